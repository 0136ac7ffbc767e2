"""A store that several homes share, with one keyring or several: no block is closed to others or taken away unasked."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from entrepot import home, task
from entrepot.blocks import Secret, String, _rings
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import KeyringMissingError, UnknownKeyError
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage
from entrepot_test_terminals import Terminal

from .conftest import Invoke

GOOD = "correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "shared"


At = Callable[..., Any]


@pytest.fixture
def at(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """Be another person from here on: `at("anna")`; they save to the shared store, or (`shares=False`) at home."""

    def go(name: str, *, shares: bool = True) -> None:
        monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / name))
        if shares:
            monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(store))
        else:
            monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE", raising=False)
        _rings._looks.clear()  # as a new process

    return go


@pytest.fixture
def carry(invoke: Invoke, tmp_path: Path, at: At) -> Callable[..., Any]:
    """Carry the keyring of one person to another."""
    (tmp_path / "passphrase").write_text(GOOD)

    def go(source: str, target: str, command: str = "import", *options: str, exit_code: int = 0) -> Any:
        file = tmp_path / "carried.sealed"
        file.unlink(missing_ok=True)
        at(source)
        invoke("keys", "export", str(file), "--passphrase-file", str(tmp_path / "passphrase"))
        at(target)
        given = ("--passphrase-file", str(tmp_path / "passphrase"), *options)
        return invoke("keys", command, str(file), *given, exit_code=exit_code)

    return go


@contextmanager
def mixed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("ENTREPOT_BLOCKS_MIXED_KEYRINGS", "true")
        yield


def findings(invoke: Invoke, exit_code: int = 1) -> list[tuple[str, str, str]]:
    found = invoke("keys", "doctor", "--json", exit_code=exit_code).data["findings"]
    return [(each["what"], each["detail"], each["command"]) for each in found]


def keys_in(store: Path) -> set[str]:
    return {(read_key(path.read_bytes()) or ("", ""))[1] for path in store.rglob("*.json")}


@pytest.fixture
def strangers(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anna's store with three blocks, and one of Ben's, who has a keyring of his own."""
    at("anna")
    for name in ("one", "two", "three"):
        Secret(value=f"{name} of anna").save(name)
    at("ben")
    (home.home_path() / "keyring.json").parent.mkdir(mode=0o700)
    home.key_provider().create(Keyring.generate().to_document())
    with mixed(monkeypatch):
        Secret(value="of ben").save("stray")


class TestAnotherKeyring:
    def test_saves_no_new_name_into_a_store_that_is_under_another_one(
        self, at: At, store: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at("anna")
        Secret(value="x").save("one")
        at("ben", shares=False)
        Secret(value="x").save("own")
        at("ben")
        with pytest.raises(UnknownKeyError, match=r"nothing was saved.*keys import.*keys join.*blocks_mixed_keyrings"):
            Secret(value="y").save("two")
        assert "nothing was saved" in invoke("block", "create", "string", "two", "-f", "value=x", exit_code=1).stderr
        assert not list(store.glob("*/two"))
        with mixed(monkeypatch):
            assert Secret(value="y").save("two").version == 1
        Secret(value="z").save("three")  # one of the newest is of this keyring now

    def test_saves_what_it_likes_where_nothing_is(self, at: At) -> None:
        at("anna")
        Secret(value="x").save("one")
        Secret.delete("one")
        at("ben", shares=False)
        home.ring()
        at("ben")
        Secret(value="x").save("two")

    def test_deletes_nothing_of_others_unless_it_is_forced(self, strangers: None, at: At, invoke: Invoke) -> None:
        with pytest.raises(UnknownKeyError, match="another keyring"):
            Secret.delete("one")
        at("anna")
        assert Secret.load("one").get() == "one of anna"
        said = invoke("block", "delete", "stray", "--yes", exit_code=1).stderr
        assert "entrepot block delete secret/stray --force" in said
        assert "no secret block" in invoke("block", "delete", "secret/other", "--yes", "--force", exit_code=1).stderr
        invoke("block", "delete", "stray", "--yes", "--force")
        assert not Secret.exists("stray")
        assert findings(invoke, exit_code=0) == []
        assert Secret(value="again").save("stray").version == 3

    def test_its_tombstones_can_be_taken_away(self, strangers: None, at: At, invoke: Invoke) -> None:
        Secret.delete("stray")
        at("anna")
        assert "no secret block" in invoke("block", "delete", "secret/stray", "--yes", exit_code=1).stderr
        ((what, _, command),) = findings(invoke)
        assert (what, command) == ("another keyring", "entrepot block delete secret/stray --force")
        invoke("keys", "rewrap", "--yes", exit_code=1)
        invoke(*command.split()[1:], "--yes")
        assert findings(invoke, exit_code=0) == []
        invoke("keys", "rewrap", "--yes")
        invoke(*command.split()[1:], "--yes", exit_code=1)

    def test_without_any_keyring_a_shared_block_is_not_removed(self, at: At, store: Path, invoke: Invoke) -> None:
        at("anna")
        Secret(value="x").save("one")
        at("carl")
        with pytest.raises(KeyringMissingError):
            Secret.delete("one")
        invoke("block", "delete", "one", "--yes", exit_code=1)
        assert list(store.glob("secret/one/*.json"))
        invoke("block", "delete", "one", "--yes", "--force")
        assert not list(store.glob("secret/one/*.json"))

    def test_is_adopted_with_an_export_of_it(
        self, strangers: None, at: At, carry: Callable[..., Any], invoke: Invoke, store: Path
    ) -> None:
        at("anna")
        ((what, detail, command),) = findings(invoke)
        assert (what, command) == ("another keyring", "entrepot keys adopt FILE")
        assert "entrepot block delete secret/stray --force" in detail
        assert "--yes was not given" in carry("ben", "anna", "adopt", exit_code=1).stderr
        assert "1 documents" in carry("ben", "anna", "adopt", "--yes").stderr
        assert Secret.load("stray").get() == "of ben"
        assert [each.version for each in Secret.history("stray")] == [1]
        assert findings(invoke, exit_code=0) == []
        assert "0 documents" in carry("ben", "anna", "adopt", "--yes").stderr

    def test_of_one_does_not_take_over_the_store_of_many(
        self, at: At, carry: Callable[..., Any], invoke: Invoke, store: Path
    ) -> None:
        at("anna")
        Secret(value="x").save("one")
        before = keys_in(store)
        at("ben", shares=False)
        home.ring()
        at("ben")
        ((_, _, command),) = findings(invoke)
        assert command == "entrepot keys join FILE"
        assert "nothing was changed" in carry("anna", "ben", "adopt", "--yes", exit_code=1).stderr
        assert "nothing was changed" in carry("ben", "anna", "join", exit_code=1).stderr
        assert keys_in(store) == before
        at("anna")
        assert Secret.load("one").get() == "x"


class TestWithoutAKeyring:
    def test_the_teams_is_asked_for_and_nothing_is_to_be_moved_away(self, at: At, invoke: Invoke) -> None:
        at("anna")
        Secret(value="x").save("one")
        at("carl")
        for command in (["block", "show", "one"], ["block", "create", "string", "two", "-f", "value=x"]):
            said = invoke(*command, exit_code=1).stderr
            assert "entrepot keys import FILE" in said
            assert "move" not in said
        said = invoke("keys", "status").stderr
        assert "on first need" not in said
        assert "what is here needs one: entrepot keys import FILE" in said

    def test_ones_own_data_may_be_moved_away_when_it_is_lost(self, at: At) -> None:
        at("anna", shares=False)
        Secret(value="x").save("one")
        (home.home_path() / "keyring.json").unlink()
        with pytest.raises(KeyringMissingError, match=r"entrepot keys import FILE.*move that data away to start anew"):
            Secret(value="x").save("two")


class TestRotation:
    @pytest.fixture
    def team(self, at: At, carry: Callable[..., Any]) -> None:
        """Anna and Ben share a store and a keyring."""
        at("anna")
        for number in range(3):
            Secret(value=str(number)).save(f"s{number}")
        carry("anna", "ben")

    def test_of_a_shared_store_asks_first(self, team: None, at: At, invoke: Invoke, store: Path) -> None:
        at("anna")
        before = keys_in(store)
        said = invoke("keys", "rotate", exit_code=1).stderr
        for step in ("rotate --stage-only", "keys export FILE", "keys import FILE", "--yes"):
            assert step in said
        assert keys_in(store) == before
        assert {key.state for key in home.ring().all_keys()} == {"enabled"}
        invoke("keys", "rotate", "--stage-only")
        (staged,) = [each.id for each in home.ring().all_keys() if (each.state, each.purpose) == ("staged", "block")]
        assert staged in invoke("keys", "rotate", exit_code=1).stderr
        invoke("keys", "rotate", "--purpose", "result")
        invoke("keys", "rotate", "--yes")
        assert keys_in(store) == {staged}

    def test_says_at_a_terminal_what_will_happen(
        self, team: None, at: At, terminal: Callable[..., Terminal], store: Path
    ) -> None:
        at("anna")
        before = keys_in(store)
        one = terminal(["keys", "rotate"])
        one.wait_for("at once all the same? [y/N]")
        one.type("n\n")
        assert one.end() == 1
        assert keys_in(store) == before

    def test_in_stages_locks_nobody_out_and_is_never_taken_back(
        self,
        team: None,
        at: At,
        carry: Callable[..., Any],
        invoke: Invoke,
        store: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        at("anna")
        invoke("keys", "rotate", "--stage-only")
        carry("anna", "ben")
        staged = findings(invoke, exit_code=0)
        assert {command for _, _, command in staged} == {"entrepot keys import FILE"}
        at("anna")
        invoke("keys", "rotate", "--yes")
        (new,) = keys_in(store)
        at("ben")
        with caplog.at_level(logging.WARNING, logger="entrepot.keys"):
            assert Secret.load("s1").get() == "1"
        assert caplog.text == ""
        found = findings(invoke, exit_code=0)
        assert {command for _, _, command in found} == {"entrepot keys import FILE"}
        assert any(what == "newer key" and new in detail for what, detail, _ in found)
        said = invoke("keys", "rewrap", "--yes", exit_code=1).stderr
        assert "3 documents stay under a key that came after" in said
        assert keys_in(store) == {new}
        Secret(value="of ben").save("s1", overwrite=True)
        assert keys_in(store) == {new}, "what is saved over it does not go back, either"
        assert Secret.load("s1").get() == "of ben"
        Secret(value="of ben").save("new")
        Secret.delete("s2")
        assert keys_in(store) == {new}, "nor does a new block, or what is left of a deleted one"
        old = home.ring().primary("block").id
        carry("anna", "ben")
        assert home.ring().primary("block").id == new != old
        assert findings(invoke, exit_code=0) == []
        invoke("keys", "rewrap", "--yes")
        invoke("keys", "disable", old)

    def test_that_one_has_no_key_of_lets_nothing_be_saved_until_it_is_imported(
        self, team: None, at: At, carry: Callable[..., Any], invoke: Invoke, store: Path
    ) -> None:
        at("anna")
        invoke("keys", "rotate", "--yes")
        at("ben")
        before = keys_in(store)
        said = invoke("block", "create", "string", "new", "-f", "value=x", exit_code=1).stderr
        for part in ("nothing was saved", *before, "entrepot keys import FILE"):
            assert part in " ".join(said.split())
        assert not list(store.glob("string/*"))
        carry("anna", "ben")
        invoke("block", "create", "string", "new", "-f", "value=x")
        assert keys_in(store) == before

    def test_on_two_machines_at_once_comes_together_with_the_next_one(
        self, team: None, at: At, carry: Callable[..., Any], invoke: Invoke, store: Path
    ) -> None:
        at("ben")
        invoke("keys", "rotate", "--yes")
        at("anna")
        invoke("keys", "rotate", "--yes", exit_code=1)  # what is there is under a key that she does not have
        carry("ben", "anna")
        before = keys_in(store)
        invoke("keys", "rewrap", "--yes", exit_code=1)
        carry("anna", "ben")
        assert "make a newer key: entrepot keys rotate" in invoke("keys", "rewrap", "--yes", exit_code=1).stderr
        assert keys_in(store) == before, "nobody takes back what the other one did"
        assert Secret.load("s2").get() == "2"
        invoke("keys", "rotate", "--yes")
        assert keys_in(store) == {home.ring().primary("block").id}

    def test_that_one_does_not_know_of_is_told_once(
        self, team: None, at: At, invoke: Invoke, caplog: pytest.LogCaptureFixture
    ) -> None:
        at("anna")
        invoke("keys", "rotate", "--stage-only", "--purpose", "result")
        Secret(value="new").save("s1", overwrite=True)
        at("ben")
        with caplog.at_level(logging.WARNING, logger="entrepot.keys"):
            assert {Secret.load("s1").get() for _ in range(3)} == {"new"}
        (said,) = caplog.messages
        assert "lacks changes that were made elsewhere" in said
        assert "entrepot keys import FILE" in said

    def test_with_old_keys_fills_no_screen(self, team: None, at: At, invoke: Invoke) -> None:
        at("ben")
        for number in range(3):
            Secret(value=str(number)).save("s0", overwrite=True)
        old = home.ring().primary("block").id
        at("anna")
        invoke("keys", "rotate", "--yes")
        at("ben")
        found = invoke("block", "history", "s0")
        (warning,) = [line for line in found.stderr.splitlines() if line.startswith("warning")]
        assert "version 1 of the block secret/s0" in warning
        assert "and 3 more cannot be opened" in warning
        found = invoke("keys", "rewrap", "--yes", exit_code=1)
        (warning,) = [line for line in found.stderr.splitlines() if line.startswith("warning")]
        assert "and 5 more stay as they are" in warning
        assert old != ""


class TestJoining:
    @pytest.fixture
    def ben(self, at: At) -> str:
        """Ben, who has tried Entrepot for himself; the id of his keyring."""
        at("anna")
        Secret(value="of the team").save("shared")
        at("ben", shares=False)
        Secret(value="first").save("own")
        Secret(value="second").save("own", overwrite=True)
        String(value="gone").save("gone")
        String.delete("gone")
        return home.ring().ring_id

    def test_takes_ones_own_blocks_along(
        self, ben: str, at: At, carry: Callable[..., Any], invoke: Invoke, tmp_path: Path
    ) -> None:
        assert "entrepot keys join FILE" in carry("anna", "ben", exit_code=1).stderr
        said = carry("anna", "ben", "join").stderr
        kept = tmp_path / f"ben/keyring-{ben}.sealed"
        assert str(kept) in said
        assert kept.stat().st_mode & 0o777 == 0o600
        assert Secret.load("shared").get() == "of the team"
        Secret(value="of ben").save("more")
        at("ben", shares=False)
        assert home.ring().ring_id != ben
        assert Secret.load("own").get() == "second"
        assert Secret.load("own", version=1).get() == "first"
        assert [each.action for each in Secret.history("own")] == ["save", "save"]
        assert String(value="new").save("gone").version == 3
        assert findings(invoke, exit_code=0) == []
        at("anna")
        assert Secret.load("more").get() == "of ben"

    def test_computes_results_again(self, ben: str, at: At, carry: Callable[..., Any], invoke: Invoke) -> None:
        calls: list[int] = []
        counted = task(persist_result=True, cache_key_fn=lambda *_: "same")(lambda: calls.append(1) or len(calls))
        assert [counted(), counted()] == [1, 1]
        carry("anna", "ben", "join")
        at("ben", shares=False)
        assert [counted(), counted()] == [2, 2]
        assert findings(invoke, exit_code=0) == []

    def test_later_rotations_of_the_team_are_taken_over(
        self, ben: str, at: At, carry: Callable[..., Any], invoke: Invoke
    ) -> None:
        carry("anna", "ben", "join")
        at("anna")
        invoke("keys", "rotate", "--stage-only")
        carry("anna", "ben")
        at("anna")
        invoke("keys", "rotate", "--yes")
        new = home.ring().primary("block").id
        carry("anna", "ben")
        assert home.ring().primary("block").id == new
        assert Secret.load("shared").get() == "of the team"

    def test_that_was_stopped_goes_on(
        self, ben: str, at: At, carry: Callable[..., Any], invoke: Invoke, tmp_path: Path
    ) -> None:
        shutil.copytree(tmp_path / "ben/blocks", tmp_path / "before")
        carry("anna", "ben", "join")
        at("ben", shares=False)
        path = "secret/own/00000002.json"
        shutil.copy(tmp_path / "before" / path, tmp_path / "ben/blocks" / path)  # as if it had ended before this one
        with pytest.raises(UnknownKeyError, match="another keyring"):
            Secret.load("own")
        ((what, _, command),) = findings(invoke)
        assert (what, command) == ("another keyring", "entrepot keys adopt FILE")
        kept = str(tmp_path / f"ben/keyring-{ben}.sealed")
        assert f"entrepot keys adopt {kept}" in carry("anna", "ben", "join").stderr
        invoke("keys", "adopt", kept, "--passphrase-file", str(tmp_path / "passphrase"))
        at("ben", shares=False)
        assert Secret.load("own").get() == "second"

    def test_that_failed_before_leaves_its_copy_of_the_keyring(
        self, ben: str, at: At, carry: Callable[..., Any], invoke: Invoke, tmp_path: Path
    ) -> None:
        kept = tmp_path / f"ben/keyring-{ben}.sealed"
        kept.write_text("of an earlier one")
        carry("anna", "ben", "join")
        assert kept.read_text() == "of an earlier one"
        assert kept.with_name(f"keyring-{ben}-2.sealed").exists()

    def test_is_an_import_where_there_is_nothing_to_take_along(
        self, at: At, carry: Callable[..., Any], tmp_path: Path
    ) -> None:
        at("anna")
        Secret(value="x").save("one")
        carry("anna", "ben", "join")
        assert Secret.load("one").get() == "x"
        carry("anna", "ben", "join")
        assert not list((tmp_path / "ben").glob("*.sealed"))

    def test_shows_no_key_on_the_disk(self, ben: str, at: At, carry: Callable[..., Any], tmp_path: Path) -> None:
        document = json.loads((tmp_path / "ben/keyring.json").read_bytes())
        materials = [key["material"]["raw"] for key in document["keys"]]
        carry("anna", "ben", "join")
        for path in (tmp_path / "ben").rglob("*"):
            assert not path.is_file() or not [each for each in materials if each.encode() in path.read_bytes()], path


class TestPassphrases:
    def test_a_wrong_one_is_the_first_thing_that_is_said(
        self, at: At, carry: Callable[..., Any], invoke: Invoke, tmp_path: Path
    ) -> None:
        at("anna")
        home.ring()
        carry("anna", "ben")
        (tmp_path / "wrong").write_text(GOOD[::-1])
        file = str(tmp_path / "carried.sealed")
        at("carl")
        said = invoke("keys", "import", file, "--passphrase-file", str(tmp_path / "wrong"), exit_code=1).stderr
        assert "does not open: wrong passphrase?" in said

    def test_one_that_is_too_short_is_refused_before_it_is_asked_for_again(
        self, at: At, terminal: Callable[..., Terminal], tmp_path: Path
    ) -> None:
        at("anna")
        home.ring()
        one = terminal(["keys", "export", str(tmp_path / "x")])
        one.wait_for("Passphrase: ")
        one.type("short\n")
        one.wait_for("needs 12")
        assert one.end() == 1
        assert "again" not in one.seen


def test_none_is_made_while_a_store_of_others_does_not_answer(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, entrepot_home: Path
) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "memory://team")
    monkeypatch.setattr(home, "store_at", lambda _: FaultyStorage(MemoryStorage("team"), fail_at=1))
    said = invoke("block", "create", "string", "mine", "-f", "value=x", exit_code=1).stderr
    assert "none is made while it is not known whether that store needs another one" in said
    assert "entrepot config unset blocks_team" in said
    assert not (entrepot_home / "keyring.json").exists()


def test_the_listing_does_not_say_of_a_rotation_that_it_was_a_save(invoke: Invoke) -> None:
    Secret(value="x").save("one")
    found = invoke("block", "ls").stdout
    assert "Written" in found
    assert "Saved" not in found


def test_a_url_that_nothing_opens_is_told_when_it_is_set_and_with_its_setting(invoke: Invoke) -> None:
    said = invoke("config", "set", "blocks_team", "s4://bucket").stderr
    assert "no file system is called 's4'; did you mean 's3'?" in said
    said = invoke("block", "ls", exit_code=1).stderr
    assert "the setting blocks_team: cannot open s4://bucket" in said
    assert "warning" not in invoke("config", "set", "blocks_team", "s3://bucket").stderr
    assert "warning" not in invoke("config", "set", "blocks_team", "block://s3/team").stderr
