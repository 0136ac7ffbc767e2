"""A store full of what all the others plant: each command says what is wrong, and none ends in a traceback."""

import json
import os
from typing import Any

import pytest
from typer.testing import CliRunner

from entrepot import home
from entrepot.blocks.system import Secret
from entrepot.cli.app import app
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal
from entrepot_test_attacks import TREASURES, Victim, path_of

CONTROL = "\x1b]0;pwned\x07\x1b[2J"  # sets the title of a terminal, and clears it
DEEP = b'{"fields":{"value":' + b"[" * 900 + b"]" * 900 + b"}}"
SAID: dict[str, Any] = {"at": "2026-01-01T00:00:00+00:00", "by": CONTROL, "host": CONTROL + "\n", "action": CONTROL}

SEALED: dict[str, tuple[bytes | dict[str, Any], dict[str, str | int]]] = {
    "json/control": ({"fields": {"value": {CONTROL: CONTROL}}, "about": SAID}, {"schema": CONTROL}),
    "json/markup": ({"fields": {"value": "[bold red]x[/]"}, "about": {**SAID, "by": "[/]"}}, {}),
    "json/schema": ({"fields": {"value": 1}}, {"schema_version": "x"}),
    "json/deep": (DEEP, {}),
    "json/list": (b"[]", {}),
    "json/circle": ({"fields": {"value": {"$type": "block-ref", "slug": "json", "name": "circle"}}}, {}),
    "json/reference": ({"fields": {"value": {"$type": "block-ref", "slug": CONTROL, "name": CONTROL}}}, {}),
    "json/tag": ({"fields": {"value": {"$type": CONTROL, "value": 1}}}, {}),
    "gone/control": ({"fields": {CONTROL: CONTROL}}, {}),
    "gone/deep": (DEEP, {}),
    "gone/schema": ({"fields": {"value": 1}}, {"schema_version": "x"}),
}
"""What a holder of the keys may seal."""

RAW = {
    "json/garbage/00000001.json": CONTROL.encode(),
    "json/high/99999999.json": b"{}",
    "json/grave/00000001.deleted.json": b"{}",
    "secret/a/00000003.json": b"[" * 100_000,
}


@pytest.fixture
def names(home_victim: Victim) -> list[str]:
    for address, (body, header) in SEALED.items():
        slug, _, name = address.partition("/")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        place = {"type": slug, "name": name, "version": 1}
        home_victim.put(path_of(slug, name, 1), seal(home.ring(), content, place=place, header=header))
    stranger = seal(Keyring.generate(), b"{}", place={"type": "json", "name": "stranger", "version": 1})
    home_victim.put(path_of("json", "stranger", 1), stranger)
    home_victim.write(RAW)
    blocks = home_victim.home / "blocks"
    os.mkfifo(blocks / "string/a/00000002.json")
    (blocks / "string/a/00000003.json").symlink_to("/dev/zero")
    (blocks / "json/link").symlink_to("/etc")
    planted = ["/".join(path.split("/")[:2]) for path in RAW]
    return [*SEALED, *planted, "json/stranger", "json/link", "string/a", "secret/b"]


def said_by(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    assert done.exit_code in (0, 1, 2), (arguments, done.output)
    for forbidden in ("Traceback", "\x1b]", "\x1b[2J", "\x07", TREASURES[0], TREASURES[1], TREASURES[2]):
        assert forbidden not in done.output, (arguments, forbidden)
    return done.output


def test_attack_65_every_command_meets_a_hostile_store(home_victim: Victim, names: list[str]) -> None:
    for name in names:
        said_by("block", "show", name)
    examined = {
        f"{row['type']}/{row['name']}": row["state"] for row in json.loads(said_by("block", "doctor", "--json"))
    }
    assert examined["secret/b"] == "ok"
    assert {name for name, health in examined.items() if health == "fails"} >= {
        *(f"json/{name}" for name in ("schema", "list", "circle", "reference", "tag", "garbage", "high")),
        "json/stranger",
        "secret/a",
    }
    for arguments in (
        ("block", "history", "json/control"),
        ("block", "history", "json/markup"),
        ("block", "history", "secret/a", "--json"),
        ("block", "diff", "secret/a"),
        ("block", "rollback", "json/high", "1"),
        ("block", "ls"),
        ("block", "ls", "--json"),
        ("block", "doctor"),
        ("block", "migrate", "--all", "--yes"),
        ("block", "export", str(home_victim.home / "out.yaml")),
        ("keys", "status"),
        ("keys", "doctor"),
        ("keys", "rotate"),
        ("keys", "rewrap"),
        ("block", "delete", "json/high", "--yes"),
        ("block", "delete", "json/grave", "--yes"),
        ("block", "delete", "json/garbage", "--yes"),
    ):
        said_by(*arguments)
    assert Secret.load("b").get() == TREASURES[2]
    home_victim.write(dict.fromkeys(RAW))
    assert Secret.load("a").get() == TREASURES[1]
