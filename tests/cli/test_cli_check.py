"""`entrepot check FILE`: what would be missing is known before the run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.blocks import JSON, Secret, SecretReference, String
from entrepot.blocks.preflight import named_in
from entrepot.filesystems import LocalFileSystem

from .conftest import Invoke

HUNTER = "hunter2-of-the-check"

FLOW = """
import entrepot.blocks as blocks
import checked_helper
from entrepot import flow, task
from entrepot.blocks import Block, Secret

@task(result_storage="local-file-system/results")
def read():
    return Secret.load("api-key").get()

@flow
def main():
    from entrepot.blocks import String as Text
    Text.load(name="greeting")
    blocks.JSON.aload("conf")
    Block.load("json/conf")
    open("block://local-file-system/data/x.csv")
    Secret.load("never" + "seen")
    json.load("no block")
    raise SystemExit("a flow is not run by this")
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "checked_flow.py"
    path.write_text(FLOW)
    (tmp_path / "checked_helper.py").write_text(
        'from entrepot.blocks import Secret\ndef help():\n    return Secret.load("of-the-helper")\n'
    )
    before = list(sys.path)
    yield path
    sys.path[:] = before
    for name in ("checked_flow", "checked_helper"):
        sys.modules.pop(name, None)


def save_all() -> None:
    Secret(value="env://CHECKED_KEY").save("api-key")
    Secret(value="plain").save("of-the-helper")
    String(value="hello").save("greeting")
    JSON(value={"a": [SecretReference("file:///no/such/secret")]}).save("conf")
    for name in ("results", "data"):
        LocalFileSystem(basepath="/tmp/x").save(name)


def test_every_block_that_the_source_names_is_tried_with_its_secrets(
    invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all()
    monkeypatch.setenv("CHECKED_KEY", HUNTER)
    found = invoke("check", str(file), exit_code=1)
    assert HUNTER not in found.stdout + found.stderr
    assert "/no/such/secret cannot be read: No such file or directory" in found.stdout
    assert "1 flow, 6 blocks named, 1 cannot be used" in found.stderr
    data = invoke("check", str(file), "--json", exit_code=1).data
    assert HUNTER not in str(data)
    assert (data["ok"], data["flows"]) == (False, ["main"])
    assert {each["block"]: each["where"] for each in data["blocks"]} == {
        "secret/api-key": ["checked_flow.py:9"],
        "string/greeting": ["checked_flow.py:14"],
        "json/conf": ["checked_flow.py:15", "checked_flow.py:16"],
        "local-file-system/data": ["checked_flow.py:17"],
        "local-file-system/results": ["checked_flow.py: task 'read'"],
        "secret/of-the-helper": ["checked_helper.py:3"],
    }
    assert [each["block"] for each in data["blocks"] if not each["ok"]] == ["json/conf"]


def test_all_is_well(invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_all()
    JSON(value=1).save("conf", overwrite=True)
    monkeypatch.setenv("CHECKED_KEY", HUNTER)
    found = invoke("check", str(file))
    assert "6 blocks named\n" in found.stderr
    assert "env://CHECKED_KEY" in found.stdout


def test_a_block_that_is_not_there_and_a_setting_are_named(
    invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "s3/of-the-setting")
    data = invoke("check", str(file), "--json", exit_code=1).data
    assert not any(each["ok"] for each in data["blocks"])
    missing = {each["block"]: (each["where"], each["detail"]) for each in data["blocks"]}
    assert "api-key" in missing["secret/api-key"][1]
    assert missing["s3/of-the-setting"][0] == ["the setting results_storage"]


def test_a_file_that_cannot_be_imported_is_searched_all_the_same(invoke: Invoke, file: Path) -> None:
    file.write_text('from entrepot.blocks import Secret\nKEY = Secret.load("missing").get()\n')
    data = invoke("check", str(file), "--json", exit_code=1).data
    assert "cannot be imported: BlockNotFoundError" in data["problem"]
    assert [each["block"] for each in data["blocks"]] == ["secret/missing"]
    file.write_text("def broken(:\n")
    assert "SyntaxError" in invoke("check", str(file), "--json", exit_code=1).data["problem"]
    assert "is no file" in invoke("check", str(file) + "x", exit_code=1).stderr


def test_blocks_that_the_program_makes_itself(invoke: Invoke, file: Path) -> None:
    file.write_text(
        "from entrepot import flow\nfrom entrepot.blocks import Secret\nKEY = Secret(value='env://NOT_SET_HERE')\n"
        "@flow\ndef main():\n    return KEY\n"
    )
    found = invoke("check", str(file), exit_code=1)
    assert "Secret: value: the secret env://NOT_SET_HERE cannot be had" in found.stdout


def test_what_only_looks_like_a_block_is_none() -> None:
    source = (
        "import json\nclass X:\n    load = print\njson.load('a/b')\nX.load('x')\nf()('y')\n'block://x'\n'block:///a'\n"
    )
    assert list(named_in(source, "x.py", {"json": __import__("json")})) == []


def test_a_block_is_created_with_a_reference_and_shown_with_it(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKS_LIKE_ONE", "env://CHECKED_KEY")
    monkeypatch.setenv("CHECKED_KEY", HUNTER)
    invoke("block", "create", "secret", "by-reference", "--field", "value=env://CHECKED_KEY")
    invoke("block", "create", "secret", "literal", "--secret-env", "value=LOOKS_LIKE_ONE")
    assert (Secret.load("by-reference").get(), Secret.load("literal").get()) == (HUNTER, "env://CHECKED_KEY")
    shown = invoke("block", "show", "by-reference").stdout
    assert "env://CHECKED_KEY" in shown
    assert HUNTER not in shown
    assert "env://" not in invoke("block", "show", "literal").stdout
    assert "is a secret" in invoke("block", "create", "secret", "x", "--field", "value=plain", exit_code=1).stderr
