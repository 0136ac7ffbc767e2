"""`entrepot plugins` with plugins that mean no good: what reaches the terminal, what is written, what is taken."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from entrepot.cli import completing
from entrepot.cli.app import app
from entrepot.plugins import discovery
from entrepot.testing._logos import logo_trouble
from entrepot_test_sites import FakeSite

Invoke = Callable[..., Any]

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://evil\x1b\\click\x9b31m\u202ereversed\u2066\r\x08\ud800"
MARKUP = "[bold red]x[/] [link=http://evil]y[/link] :boom: `z`"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    discovery.reset()
    yield FakeSite(folder)
    discovery.reset()


def declare(site: FakeSite, entry: object, *, name: str = "odd-block", points: str = "") -> Path:
    package = site.folder / "odd_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    path = package / "entrepot-manifest.json"
    path.write_text(json.dumps({"format": 1, "plugins": {"entrepot.blocks": {name: entry}}}))
    site.distribution(
        "odd", text=f"[entrepot.blocks]\n{name} = odd_package:X\n{points}[entrepot.manifest]\nodd = odd_package\n"
    )
    return path


def unsteered(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


def test_nothing_that_a_distribution_calls_itself_or_says_steers_the_terminal(site: FakeSite, invoke: Invoke) -> None:
    said = f"{ESCAPES} {MARKUP}"
    schema = {"properties": {said: {"type": said, "description": said}}, "required": [said]}
    declare(
        site,
        {"target": said, "title": said, "description": said, "schema": schema, "contract": said},
        points="\x1b[31mred = odd_package:\x1b[32mX\n",
    )
    info = site.folder / "odd-1.0.dist-info" / "METADATA"
    info.write_text("Name: odd\nVersion: 1.0\x1b[5mblink\n")
    bad = site.distribution("bad", text="[entrepot.blocks]\n\x1b[2Jno entry point\n")
    (bad / "METADATA").write_text("Name: bad\x1b[2J\n")
    for command in (("ls",), ("show", "odd"), ("show", "odd\x1b[2J")):
        found = invoke("plugins", *command, exit_code=int(command[-1] == "odd\x1b[2J"))
        assert unsteered(found.stdout)
        assert unsteered(found.stderr)
        if command[-1] == "odd":
            assert "[bold red]x[/]" in found.stdout
            assert ":boom:" in found.stdout
    for command in (("ls",), ("show", "odd")):
        found = invoke("plugins", *command, "--json")
        assert found.stdout.isascii()
        assert found.data


SCHEMAS: list[Any] = [
    {"properties": []},
    {"properties": {"x": None, "y": 1, "z": []}},
    {"properties": {"x": {"type": ["string", "null"]}}, "required": 7},
    {"properties": {"x": {"type": {"a": 1}, "description": {"b": 2}}}},
    {"properties": {"x": {"anyOf": "text"}, "y": {"anyOf": []}, "z": {"anyOf": [1, None]}}},
    {"properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json#/evil"}, "y": {"$ref": 3}}},
    {"$ref": "file:///etc/passwd"},
    {"properties": {"x" * 10_000: {"type": "y" * 10_000, "description": "z" * 1_000_000}}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_a_schema_that_no_class_made_is_shown_as_far_as_it_is_one(
    site: FakeSite, invoke: Invoke, schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(site, {"target": "odd_package:X", "schema": schema})
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    said = invoke("plugins", "show", "odd").stdout
    assert "odd-block" in said
    assert len(said) < 60_000
    assert invoke("plugins", "show", "odd", "--json").data["manifest"]["plugins"]


def test_a_schema_without_end_is_said_to_be_none(site: FakeSite, invoke: Invoke) -> None:
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"anyOf": [schema]}
    declare(site, {"target": "odd_package:X", "schema": {"properties": {"x": schema}}})
    for options in ((), ("--json",)):
        assert "nested more than 64 levels deep" in invoke("plugins", "show", "odd", *options).stdout


# --- logos --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "fine"),
    [
        ('<svg><rect fill="#fff"/><use href="#a"/></svg>', True),
        ('<svg><image href="data:image/png;base64,AAAA"/></svg>', True),
        ("<svg><script>alert(1)</script></svg>", False),
        ('<svg onload="alert(1)"></svg>', False),
        ('<svg\nONLOAD = "alert(1)"></svg>', False),
        ('<svg><a href="javascript:alert(1)">x</a></svg>', False),
        ('<svg><image href="https://evil/track.png"/></svg>', False),
        ('<svg><image xlink:href="https://evil/track.png"/></svg>', False),
        ("<svg><foreignObject/></svg>", False),
        ('<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>', False),
        ("<svg><style>a { background: url(https://evil) }</style></svg>", False),
        ("<svg>" + " " * 300_000, False),
    ],
)
def test_a_logo_is_a_small_picture_and_nothing_else(tmp_path: Path, content: str, *, fine: bool) -> None:
    (tmp_path / "logo.svg").write_text(content)
    assert (logo_trouble(tmp_path, "logo.svg") == "") is fine


def test_a_logo_is_beside_its_manifest_or_at_an_https_url(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    (folder / "inner").mkdir(parents=True)
    for file in (tmp_path / "logo.svg", folder / "logo.png", folder / "inner" / "logo.svg", folder / "logo.html"):
        file.write_text("<svg/>")
    (folder / "link.svg").symlink_to(tmp_path / "logo.svg")
    os.mkfifo(folder / "pipe.svg")
    fine = ["logo.png", "inner/logo.svg", "https://example.com/logo.svg"]
    bad = ["../logo.svg", str(tmp_path / "logo.svg"), "link.svg", "pipe.svg", "logo.html", "inner", "none.svg"]
    bad += ["http://example.com/a.svg", "file:///etc/passwd", "data:image/svg+xml,<svg/>", "https://a/\x1b[2J"]
    assert [logo for logo in fine if logo_trouble(folder, logo)] == []
    assert [logo for logo in bad if not logo_trouble(folder, logo)] == []


# --- new ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/tmp/x", "..", ".", "", "-", "--", "a b", "A", "a.b", "a\n", "a\x00b", "ünïcode", "a/b", "a\\b"),
        *("~", "x" * 101),
        *("$HOME", "`id`", "a;b", "[bold]", "class", "def", "json", "os", "test", "entrepot", "pytest", "2fast", "s3"),
        *("typing-extensions", "pytest-xdist", "local-file-system"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_a_new_plugin_writes_nothing(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / "outer" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    found = invoke("plugins", "new", "--", name, exit_code=1)
    assert unsteered(found.stderr)
    assert "this should not happen" not in found.stderr
    assert [path for path in (tmp_path / "outer").rglob("*") if path != here] == []


def test_a_place_that_is_no_empty_folder_is_left_as_it_is(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").write_text("precious")
    for place in ("file", "dangling", "full"):
        assert "choose another" in invoke("plugins", "new", "acme-odd", "--folder", place, exit_code=1).stderr
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "file").read_text() == "precious"
    assert "acme_odd" not in sys.modules


# --- what is denied -----------------------------------------------------------------------------------------------

COMMANDS = [
    *(
        ["block", "types"],
        ["block", "ls"],
        ["block", "doctor"],
        ["block", "migrate", "--all"],
        ["block", "show", "note/x"],
    ),
    *(["block", "create", "note", "x"], ["block", "create", "--help"], ["block", "check", "note/x"], ["plugins", "ls"]),
    *(
        ["plugins", "ls", "--load"],
        ["plugins", "show", "odd"],
        ["plugins", "check", "odd"],
        ["plugins", "manifest", "odd"],
    ),
    *(["keys", "status"], ["keys", "doctor"], ["--help"], ["plugins", "--help"], ["cache", "ls"]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_imports_what_is_denied(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    groups = ("blocks", "serializers", "hashers", "key_providers", "secret_sources", "task_runners")
    site.module("odd_denied", f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()")
    site.distribution("odd", **dict.fromkeys(groups, "note = odd_denied:Note"))
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "odd")
    found = CliRunner().invoke(app, command, prog_name="entrepot")
    assert "this should not happen" not in found.output
    assert "No such" not in found.output
    assert "odd_denied" not in sys.modules
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_offered_nothing_that_is_denied_and_nothing_that_it_would_run(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    site.distribution("odd", blocks="note-denied = odd_denied:Note")
    site.distribution("even", blocks="note-$(id) = even:Note\nnote-`id` = even:Note\nnote-fine = even:Note")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "odd")
    monkeypatch.setenv("_ENTREPOT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "entrepot block create note-")
    monkeypatch.setenv("COMP_WORDS", "entrepot block create note-")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert completing.answer()
    said = capsys.readouterr().out
    assert "note-fine" in said
    assert "denied" not in said
    assert "id" not in said.replace("note-fine", "")
