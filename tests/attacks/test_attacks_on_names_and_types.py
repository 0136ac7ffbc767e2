"""Who chooses names, types and bodies: a writer of the store, an author of a plugin, a holder of the keys."""

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from entrepot import home
from entrepot.blocks import as_code
from entrepot.blocks._files import read_blocks
from entrepot.blocks.core import Block
from entrepot.blocks.doctor import examine_all
from entrepot.blocks.history import diff, stored
from entrepot.blocks.system import JSON, Secret, String
from entrepot.crypto.seal import seal
from entrepot.errors import (
    BlockSchemaError,
    EntrepotError,
    IntegrityError,
    InvalidNameError,
    InvalidPathError,
    PluginConflictError,
    PluginDeniedError,
    SerializationError,
    UnknownBlockTypeError,
)
from entrepot.plugins import BLOCKS, PluginRegistry
from entrepot_test_attacks import Victim, path_of, refused
from entrepot_test_sites import FakeSite

NAMES = {
    "none": "",
    "up": "../x",
    "parent": "..",
    "deep": "a/b/c",
    "root": "/etc/passwd",
    "NUL byte": "a\0b",
    "line end": "a\n",
    "device": "CON",
    "long": "x" * 5000,
    "capitals": "MyKey",
    "accent": "kéy",
    "full width": "\uff4bey",
    "Cyrillic": "k\u0435y",
    "Turkish": "\u0131",
    "Kelvin": "\u212aey",
    "digits of another script": "\u0663",
    "right to left": "a\u202eb",
    "space": "a b",
    "option": "-a",
    "suffix": "a.json",
    "backslash": "..\\x",
    "URL": "file:///etc/passwd",
    "half a character": "\ud800",
}


def sealed(victim: Victim, body: bytes | dict[str, Any], version: int = 1, /, **header: str | int) -> tuple[str, bytes]:
    """Seal a body for `json/z` as a holder of the keys can, with a program that is not ours."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    place = {"type": "json", "name": "z", "version": version}
    return path_of("json", "z", version), seal(home.ring(), content, place=place, header=header)


def uses_of(name: str, victim: Victim) -> list[Callable[[], object]]:
    uses: list[Callable[[], object]] = [
        lambda: Secret(value="x").save(name),
        lambda: Secret(value="x").save(name, overwrite=True),
        lambda: Secret.load(name),
        lambda: Secret.load(name, version=1),
        lambda: Secret.delete(name),
        lambda: Secret.exists(name),
        lambda: Secret.history(name),
        lambda: Secret.rollback(name, 1),
        lambda: Block.load(f"secret/{name}"),
        lambda: Block.load(f"{name}/a"),
    ]
    if name.isprintable():
        file = victim.home.parent / "blocks.toml"
        file.write_text(f"[blocks.secret]\n{json.dumps(name)} = {{value = 'x'}}\n", "utf-8")
        uses.append(lambda: as_code.plan(read_blocks(file)))
    return uses


def test_attack_28_a_name_leads_out_or_looks_like_another(victim: Victim) -> None:
    with victim.attacked({}):
        for name in NAMES.values():
            for use in uses_of(name, victim):
                with refused(InvalidNameError, "use 1 to 100 characters of a-z, 0-9, - and _"):
                    use()


def test_attack_29_a_body_names_what_is_to_be_imported(victim: Victim) -> None:
    modules = set(sys.modules)
    bodies: list[tuple[dict[str, Any], type[EntrepotError], str]] = [
        ({"$type": "block", "slug": "os:system", "value": {}}, UnknownBlockTypeError, "no block type named 'os:sys"),
        ({"$type": "block-ref", "slug": "os", "name": "../x"}, InvalidPathError, "os/../x"),
        ({"$type": "antigravity", "value": 1}, SerializationError, "nothing in this program has registered that name"),
    ]
    for body, kind, says in bodies:
        path, planted = sealed(victim, {"fields": {"value": body}})
        with victim.attacked({path: planted}), refused(kind, says):
            JSON.load("z")
    for tag in ("typed", "secret"):
        body = {"$type": tag, "class": "antigravity:fly", "value": ["x"]}
        path, planted = sealed(victim, {"fields": {"value": body}})
        with victim.attacked({path: planted}):
            value = JSON.load("z").value
            assert (value if tag == "typed" else value.get_secret_value()) == ["x"], "the class is not made, nor sought"
    assert "antigravity" not in set(sys.modules) - modules


def test_attack_30_a_document_of_a_plugins_type_is_planted(victim: Victim, site: FakeSite) -> None:
    """What does not verify imports nothing, also where the plugin is installed and allowed."""
    site.module(
        "acme_salt",
        """
        from entrepot.blocks import Block
        class AcmeSalt(Block):
            _block_type_slug = "acme-salt"
            grams: int = 1
        """,
    )
    site.distribution("acme-salt", blocks="acme-salt = acme_salt:AcmeSalt")
    path = path_of("acme-salt", "x", 1)
    with victim.attacked({path: b"planted"}):
        for name in ("x", "acme-salt/x"):
            with refused(IntegrityError, "version 1 of the block acme-salt/x .*does not verify"):
                Block.load(name)
        assert "acme_salt" not in sys.modules
    body = b'{"fields":{"grams":7}}'
    victim.put(path, seal(home.ring(), body, place={"type": "acme-salt", "name": "x", "version": 1}))
    assert Block.load("x").grams == 7  # type: ignore[attr-defined]
    assert "acme_salt" in sys.modules
    BLOCKS.forget("acme-salt")


def test_attack_31_a_plugin_claims_the_name_of_a_built_in_type(
    victim: Victim, site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def registry() -> PluginRegistry[Any]:
        builtins = {"secret": "entrepot.blocks.system:Secret", "string": "entrepot.blocks.system:String"}
        return PluginRegistry("entrepot.blocks", kind="block type", builtins=builtins, known_elsewhere={})

    site.module("evil", "raise SystemExit('imported')")
    site.distribution("evil-plugin", blocks="secret = evil:Secret\nevil = evil:Other")
    with victim.attacked({}), refused(PluginConflictError, "'entrepot .*' and 'evil-plugin 1.0'; uninstall one"):
        registry().get("secret")
    assert registry().get("string") is String, "it breaks that name only"
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "evil-*")
    assert registry().get("secret") is Secret
    with refused(PluginDeniedError, "evil-plugin"):
        registry().get("evil")
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"", SerializationError, "could not be read"),
        (b"\xff", SerializationError, "could not be read"),
        (b"[]", SerializationError, "could not be read"),
        ({}, SerializationError, "could not be read"),
        ({"fields": []}, BlockSchemaError, "lacks the field value"),
        ({"fields": {"value": 1, "more": 2}}, BlockSchemaError, "has the field more, which the class does not know"),
        ({"fields": {"value": 1, "__class__": "x"}}, BlockSchemaError, "has the field __class__"),
        ({"fields": {"value": 1, "model_config": {}}}, BlockSchemaError, "has the field model_config"),
        ({"fields": {"value": 1}, "extra": {"more": 2}}, BlockSchemaError, "has the field more"),
        (b'{"fields":{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", SerializationError, "could not be read"),
        (b'{"fields":{"value":' + b"9" * 5_000 + b"}}", SerializationError, "could not be read"),
    ],
)
def test_attack_32_a_holder_of_the_keys_seals_a_body_that_is_none(
    victim: Victim, body: bytes | dict[str, Any], kind: type[EntrepotError], says: str
) -> None:
    JSON(value={"word": 1}).save("z")
    path, planted = sealed(victim, body, 2)
    victim.put(path, planted)
    with refused(kind, says):
        JSON.load("z")
    for look in (lambda: stored("json/z"), lambda: diff("json/z", 1, 2)):
        with contextlib.suppress(SerializationError, IntegrityError):  # some can be shown as they are
            look()
    assert [finding.health for finding in examine_all()].count("fails") == 1
    assert JSON.load("z", version=1).value == {"word": 1}
    JSON.rollback("z", 1)
    assert JSON.load("z").value == {"word": 1}
    victim.lives_well()


def test_attack_32_a_holder_of_the_keys_nests_a_body_too_deep_to_be_shown(victim: Victim) -> None:
    JSON(value={"word": 1}).save("z")
    path, planted = sealed(victim, b'{"fields":{"value":' + b"[" * 900 + b"]" * 900 + b"}}", 2)
    victim.put(path, planted)
    with contextlib.suppress(
        BlockSchemaError, SerializationError
    ):  # how deep Python may go differs between its versions
        JSON.load("z")
    for look in (lambda: stored("json/z"), lambda: diff("json/z", 1, 2)):
        with refused(IntegrityError, "version 2 of the block json/z cannot be shown: it is nested deeper than 200"):
            look()
    assert [each.version for each in JSON.history("z")] == [1, 2]
    assert len(list(examine_all())) == len(Block.names()), "the doctor comes to its end"
    JSON.rollback("z", 1)
    assert JSON.load("z").value == {"word": 1}
    victim.lives_well()


def test_attack_33_a_holder_of_the_keys_seals_a_schema_version_that_is_none(victim: Victim) -> None:
    JSON(value={"word": 1}).save("z")
    body: dict[str, Any] = {"fields": {"value": 1}}
    said: list[tuple[str | int, type[EntrepotError], str]] = [
        ("x", IntegrityError, "says no schema version: .*entrepot block rollback json/z VERSION"),
        (10**40, BlockSchemaError, "is newer than its class"),
    ]
    for number, (version, kind, says) in enumerate(said, 2):
        path, planted = sealed(victim, body, number, schema_version=version)
        victim.put(path, planted)
        with refused(kind, says):
            JSON.load("z")
        assert [finding.health for finding in examine_all()].count("fails") == 1
        assert len(JSON.history("z")) == number
    path, planted = sealed(victim, body, 4, schema_version=1, epoch="x")
    victim.put(path, planted)
    assert JSON.load("z").value == 1, "an epoch is a hint, and this is none"
    JSON.rollback("z", 1)
    assert JSON.load("z").value == {"word": 1}
    victim.lives_well()
