"""`entrepot keys`: what a person sees, and what a program gets."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot import home, task
from entrepot.blocks.system import Secret
from entrepot.engine import places
from entrepot.filesystems import LocalFileSystem
from entrepot_test_terminals import Terminal

Invoke = Callable[..., Any]
GOOD = "correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def used(entrepot_home: Path) -> str:
    """A home with a block of two versions, and a result; the id of its block key."""
    Secret(value="sesame").save("one")
    Secret(value="sesame 2").save("one", overwrite=True)
    task(persist_result=True)(lambda: 1)()
    return home.ring().primary("block").id


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    (tmp_path / "passphrase.txt").write_text(GOOD + "\n")
    return str(tmp_path / "passphrase.txt")


def keys(invoke: Invoke) -> dict[str, Any]:
    return {key["id"]: key for key in invoke("keys", "status", "--json").data["keys"]}


def test_init_makes_a_keyring_once(invoke: Invoke, entrepot_home: Path) -> None:
    said = invoke("keys", "init")
    assert "entrepot keys export" in said.stderr
    assert stat.S_IMODE((entrepot_home / "keyring.json").stat().st_mode) == 0o600
    assert "already" in invoke("keys", "init", exit_code=1).stderr


def test_init_makes_none_beside_what_needs_another(invoke: Invoke, used: str, entrepot_home: Path) -> None:
    (entrepot_home / "keyring.json").unlink()
    assert "sealed data that needs it" in invoke("keys", "init", exit_code=1).stderr
    assert not (entrepot_home / "keyring.json").exists()


def test_status_counts_what_needs_each_key(invoke: Invoke, used: str) -> None:
    said = invoke("keys", "status")
    assert used in said.stdout
    assert "enabled, primary" in said.stdout
    assert "epoch 1" in said.stderr
    facts = keys(invoke)
    assert (facts[used]["blocks"], facts[used]["results"], len(facts[used]["stores"])) == (2, 0, 1)
    result = next(key for key in facts.values() if key["purpose"] == "result")
    assert (result["blocks"], result["results"]) == (0, 1)


def test_status_makes_no_keyring(invoke: Invoke, entrepot_home: Path) -> None:
    assert "made on first need" in invoke("keys", "status").stderr
    data = invoke("keys", "status", "--json").data
    assert (data["ring"], data["keys"], data["missing"]) == (None, [], [])
    assert not (entrepot_home / "keyring.json").exists()


def test_status_looks_into_stores_that_are_named(invoke: Invoke, used: str, tmp_path: Path) -> None:
    task(result_storage=tmp_path / "more", persist_result=True)(lambda: 2)()
    data = invoke("keys", "status", "--json", "--storage", str(tmp_path / "more")).data
    assert [key["results"] for key in data["keys"] if key["purpose"] == "result"] == [2]


def test_status_names_what_needs_a_key_that_is_not_there(invoke: Invoke, used: str, entrepot_home: Path) -> None:
    (entrepot_home / "keyring.json").unlink()
    said = invoke("keys", "status")
    assert used in said.stderr
    assert {one["id"]: one["blocks"] for one in invoke("keys", "status", "--json").data["missing"]}[used] == 2


def test_rotate_seals_all_blocks_under_a_new_key(invoke: Invoke, used: str) -> None:
    said = invoke("keys", "rotate")
    assert f"after {used}" in said.stderr
    assert "2 of 2 documents are sealed again" in said.stderr
    facts = keys(invoke)
    (new,) = [key for key in facts.values() if key["purpose"] == "block" and key["primary"]]
    assert (new["blocks"], facts[used]["blocks"], facts[used]["state"]) == (2, 0, "enabled")
    assert Secret.load("one").get() == "sesame 2"


def test_rotate_of_results_leaves_blocks_alone(invoke: Invoke, used: str) -> None:
    said = invoke("keys", "rotate", "--purpose", "result")
    assert "documents" not in said.stderr
    assert keys(invoke)[used]["primary"]
    assert "none of: block, result, all" in invoke("keys", "rotate", "--purpose", "blocks", exit_code=1).stderr


def test_rotate_in_steps(invoke: Invoke, used: str) -> None:
    invoke("keys", "rotate", "--purpose", "block", "--stage-only")
    assert sorted(key["state"] for key in keys(invoke).values()) == ["enabled", "enabled", "staged"]
    invoke("keys", "rotate", "--purpose", "block", "--no-rewrap")
    facts = keys(invoke)
    assert len(facts) == 3, "the staged key was promoted, and no other was made"
    assert facts[used]["blocks"] == 2
    assert "2 of 2" in invoke("keys", "rewrap").stderr
    assert "0 of 2" in invoke("keys", "rewrap").stderr


def test_rewrap_exits_with_1_where_something_stays(invoke: Invoke, used: str, entrepot_home: Path) -> None:
    path = entrepot_home / "blocks/secret/one/00000001.json"
    path.write_bytes(path.read_bytes().replace(b'"schema_version":1', b'"schema_version":2'))
    said = invoke("keys", "rotate", exit_code=1)
    assert "version 1 of the block secret/one" in said.stderr
    assert "1 of 2" in said.stderr


def test_a_key_is_disabled_enabled_and_destroyed(invoke: Invoke, used: str) -> None:
    invoke("keys", "rotate", "--no-rewrap")
    assert "secret/one" in invoke("keys", "disable", used, exit_code=1).stderr
    invoke("keys", "rewrap")
    invoke("keys", "disable", used)
    invoke("keys", "enable", used)
    invoke("keys", "disable", used)
    assert "--yes" in invoke("keys", "destroy", used, exit_code=1).stderr
    invoke("keys", "destroy", used, "--yes")
    assert keys(invoke)[used]["state"] == "destroyed"
    assert Secret.load("one").get() == "sesame 2"


def test_force_gives_up_what_needs_a_key(invoke: Invoke, used: str) -> None:
    old = home.ring().primary("result").id
    invoke("keys", "rotate")
    assert "store gc" in invoke("keys", "disable", old, exit_code=1).stderr
    invoke("keys", "disable", old, "--force")
    invoke("keys", "destroy", old, "--force", "--yes")
    assert keys(invoke)[old]["results"] == 1


def test_destroy_asks_at_a_terminal(terminal: Callable[..., Terminal], invoke: Invoke, used: str) -> None:
    invoke("keys", "rotate")
    invoke("keys", "disable", used)
    at = terminal(["keys", "destroy", used])
    at.wait_for("for good?")
    at.type("n\n")
    assert at.end() == 1
    assert keys(invoke)[used]["state"] == "disabled"


def test_export_and_import(invoke: Invoke, used: str, tmp_path: Path, secret_file: str, entrepot_home: Path) -> None:
    file = str(tmp_path / "keys.sealed")
    invoke("keys", "export", file, "--passphrase-file", secret_file)
    assert "already" in invoke("keys", "export", file, "--passphrase-file", secret_file, exit_code=1).stderr
    (entrepot_home / "keyring.json").unlink()
    said = invoke("keys", "import", file, "--passphrase-file", secret_file)
    assert str(entrepot_home / "keyring.json") in said.stderr
    assert Secret.load("one").get() == "sesame 2"
    assert "0 keys added" in invoke("keys", "import", file, "--passphrase-file", secret_file).stderr


def test_import_never_writes_over_another_keyring(
    invoke: Invoke, used: str, tmp_path: Path, secret_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "keys.sealed")
    invoke("keys", "export", file, "--passphrase-file", secret_file)
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "other"))
    invoke("keys", "init")
    before = (tmp_path / "other" / "keyring.json").read_bytes()
    assert "another keyring" in invoke("keys", "import", file, "--passphrase-file", secret_file, exit_code=1).stderr
    assert (tmp_path / "other" / "keyring.json").read_bytes() == before


def test_a_passphrase_is_not_read_from_a_pipe_that_was_not_named(invoke: Invoke, used: str, tmp_path: Path) -> None:
    said = invoke("keys", "export", str(tmp_path / "x"), stdin=f"{GOOD}\n{GOOD}\n", exit_code=1)
    assert "--passphrase-file" in said.stderr
    assert not (tmp_path / "x").exists()


def test_it_can_be_read_from_a_pipe_that_was(program: Invoke, used: str, tmp_path: Path) -> None:
    said = program("keys", "export", str(tmp_path / "x"), "--passphrase-file", "/dev/stdin", stdin=GOOD)
    assert said.exit_code == 0, said.stderr
    assert (tmp_path / "x").is_file()


def test_a_weak_passphrase_is_refused(invoke: Invoke, used: str, tmp_path: Path) -> None:
    (tmp_path / "weak").write_text("hunter2")
    said = invoke("keys", "export", str(tmp_path / "x"), "--passphrase-file", str(tmp_path / "weak"), exit_code=1)
    assert "needs 12" in said.stderr
    assert "hunter2" not in said.stderr
    assert not (tmp_path / "x").exists()


def test_nothing_is_exported_where_there_is_nothing(invoke: Invoke, tmp_path: Path, secret_file: str) -> None:
    said = invoke("keys", "export", str(tmp_path / "x"), "--passphrase-file", secret_file, exit_code=1)
    assert "no keyring" in said.stderr


def test_the_passphrase_is_asked_twice_at_a_terminal(
    terminal: Callable[..., Terminal], used: str, tmp_path: Path
) -> None:
    at = terminal(["keys", "export", str(tmp_path / "x")])
    at.wait_for("Passphrase: ")
    at.type(f"{GOOD}\n")
    at.wait_for("The same again: ")
    at.type("something else\n")
    assert at.end() == 1
    assert not (tmp_path / "x").exists()
    assert GOOD not in at.seen


def test_the_doctor_exits_with_1_and_says_what_to_do(invoke: Invoke, used: str, entrepot_home: Path) -> None:
    assert "0 problems" in invoke("keys", "doctor").stderr
    (entrepot_home / "keyring.json").chmod(0o644)
    said = invoke("keys", "doctor", exit_code=1)
    assert f"chmod 600 {entrepot_home}/keyring.json" in said.stdout
    (finding,) = invoke("keys", "doctor", "--json", exit_code=1).data["findings"]
    assert (finding["level"], finding["what"]) == ("problem", "permissions")


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "status",
        "rotate",
        "rewrap",
        "disable",
        "enable",
        "destroy",
        "export",
        "import",
        "join",
        "adopt",
        "doctor",
    ],
)
def test_every_command_has_examples(command: str, invoke: Invoke) -> None:
    assert f"  entrepot keys {command}" in invoke("keys", command, "--help").stdout


def test_a_keyring_moves_from_a_file_to_another_provider(
    invoke: Invoke, used: str, tmp_path: Path, secret_file: str, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("keys", "export", str(tmp_path / "x"), "--passphrase-file", secret_file)
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"passphrase?passphrase_file={secret_file}")
    assert "entrepot keys export" in invoke("keys", "status", exit_code=1).stderr, "it says how"
    (entrepot_home / "keyring.json").rename(tmp_path / "old.json")
    invoke("keys", "import", str(tmp_path / "x"), "--passphrase-file", secret_file)
    assert Secret.load("one").get() == "sesame 2"
    assert b"entrepot-keyring-sealed/1" in (entrepot_home / "keyring.json").read_bytes()
    assert "0 problems" in invoke("keys", "doctor").stderr


def test_the_doctor_sees_what_is_wrong_although_the_store_of_results_is_a_block(
    invoke: Invoke, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalFileSystem(basepath=str(tmp_path / "results")).save("mine")
    monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "local-file-system/mine")
    assert "0 problems" in invoke("keys", "doctor").stderr
    (entrepot_home / "keyring.json").chmod(0o644)
    places._open.clear()
    found = {one["what"] for one in invoke("keys", "doctor", "--json", exit_code=1).data["findings"]}
    assert found == {"permissions", "store"}


def test_progress_is_shown_at_a_terminal(terminal: Callable[..., Terminal], used: str) -> None:
    at = terminal(["keys", "rotate"])
    assert at.end() == 0
    assert "sealing" in at.seen
    assert "2/2" in at.seen
