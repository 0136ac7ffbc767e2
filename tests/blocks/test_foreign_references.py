"""Blocks of a store that others save in: they get no secret of this machine that its owner did not list for them."""

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, PrivateAttr, SecretBytes, SecretStr, field_validator
from typer.testing import CliRunner

from entrepot import flow, settings, task
from entrepot.blocks import (
    JSON,
    Block,
    BlockDocuments,
    Secret,
    SecretBytesReference,
    SecretReference,
    StorageDocumentStore,
    StoredBlocks,
    String,
    as_code,
    use_documents,
    use_sources,
)
from entrepot.blocks._files import read_blocks, write_blocks
from entrepot.blocks._inputs import references_in
from entrepot.blocks.doctor import examine_all
from entrepot.blocks.documents import current_documents
from entrepot.blocks.teams import where
from entrepot.cli.app import app
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockNotFoundError, EntrepotError, ForeignReferenceError, SecretReferenceError
from entrepot.filesystems import LocalFileSystem
from entrepot.plugins import BLOCKS, SECRET_SOURCES
from entrepot.storage import MemoryStorage
from entrepot.task_runners import ProcessPoolTaskRunner
from entrepot_test_sites import FakeSite

PREY = "the-secret-of-this-user"
LIST = "ENTREPOT_BLOCKS_TEAM_REFERENCES"


class Hook(Block):
    """Sends a secret to where it says."""

    _block_type_slug = "test-hook"

    url: str
    token: SecretStr | None = None
    key: SecretBytes | None = None
    more: dict[str, SecretStr] = Field(default_factory=dict)
    anything: Any = None
    inner: Secret | None = None


class Holder(Block):
    """Has any block inside."""

    _block_type_slug = "test-holder"

    held: Block


class Login(BaseModel):
    token: SecretStr = SecretReference("env://PREY")


class OfCode(Block):
    """Its program says where its secrets are, if a saved block does not."""

    _block_type_slug = "test-of-code"

    url: str
    text: SecretStr = "env://PREY"  # type: ignore[assignment]
    made: SecretStr = SecretReference("env://PREY")
    within: tuple[str, SecretStr] = ("a", SecretReference("env://PREY"))
    login: Login = Login()
    _hidden: SecretStr = PrivateAttr(SecretReference("env://PREY"))
    anything: Any = Field(default_factory=lambda: [SecretReference("env://PREY")])


class Curious(Block):
    """Looks at its secret as soon as it is made."""

    _block_type_slug = "test-curious"

    token: SecretStr = SecretReference("env://PREY")
    seen: list[str] = Field(default_factory=list)

    @field_validator("token")
    @classmethod
    def _look(cls, value: SecretStr) -> SecretStr:
        SEEN.append(value.get_secret_value())
        return value


SEEN: list[str] = []


class Asked:
    """A source that says whether somebody asked it."""

    asked: list[str] = []  # noqa: RUF012  shared on purpose

    def get(self, rest: str) -> str:
        self.asked.append(rest)
        return PREY


@pytest.fixture(autouse=True)
def _prey(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PREY", PREY)
    Asked.asked.clear()
    SEEN.clear()
    SECRET_SOURCES.register("asked", Asked)
    BLOCKS.register("test-curious", Curious)
    yield
    SECRET_SOURCES.forget("asked")


@pytest.fixture
def team(tmp_path: Path) -> BlockDocuments:
    """The documents of the team, as somebody sees them who saves there."""
    ring = Keyring.generate()
    return BlockDocuments(StorageDocumentStore(MemoryStorage("team")), lambda: ring)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the setting names, and blocks in it that a colleague saved."""
    folder = tmp_path / "team"
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(folder))
    Hook(url="https://theirs.example.com", token="env://PREY").save("hook")
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    return folder


def save(team: BlockDocuments, block: Block, name: str = "x") -> None:
    with use_documents(team):
        block.save(name, overwrite=True)


def load(team: BlockDocuments, cls: type[Block], name: str = "x") -> Any:
    with use_sources(StoredBlocks(team)):
        return cls.load(name)


def refuses(reference: Any) -> ForeignReferenceError:
    with pytest.raises(ForeignReferenceError) as caught:
        reference.get_secret_value()
    assert PREY not in str(caught.value)
    return caught.value


class TestRefused:
    @pytest.mark.parametrize(
        "reference",
        ["env://PREY", "file:///etc/hostname", "keyring://a/b", "aws-sm://prod/db", "vault://a/b#c", "asked://prey"],
    )
    def test_nobody_is_asked_for_what_is_not_listed(self, team: BlockDocuments, reference: str) -> None:
        save(team, Hook(url="https://theirs", token=reference))
        block = load(team, Hook)
        error = refuses(block.token)
        assert Asked.asked == []
        assert (error.reference, error.store, error.where) == (reference, "memory://team", "test-hook/x: token")
        for said in ("test-hook/x: token", reference, "the shared store memory://team", error.setting):
            assert said in str(error)
        assert pickle.loads(pickle.dumps(error)).setting == error.setting

    def test_what_the_message_says_lets_it(
        self, store: Path, monkeypatch: pytest.MonkeyPatch, entrepot_home: Path
    ) -> None:
        error = refuses(Hook.load("hook").token)
        line, _, path = error.setting.partition(" in ")
        assert path == str(settings.config_path())
        assert line == 'blocks_team_references = ["env://PREY"]'
        entrepot_home.mkdir(exist_ok=True)
        Path(path).write_text(line)
        assert Hook.load("hook").token.get_secret_value() == PREY
        monkeypatch.setenv(LIST, "vault://a/*,ENV://OTHER")  # comes before the file
        error = refuses(Hook.load("hook").token)
        assert error.setting == f"{LIST}='vault://a/*,env://OTHER,env://PREY'"
        monkeypatch.setenv(LIST, error.setting.partition("=")[2].strip("'"))
        assert Hook.load("hook").token.get_secret_value() == PREY

    def test_every_place_of_a_block(self, team: BlockDocuments) -> None:
        save(
            team,
            Hook(
                url="https://theirs",
                key="env://PREY",
                more={"a": "env://PREY"},
                anything={"deep": [(SecretReference("env://PREY"), {"x": SecretBytesReference("env://PREY")})]},
                inner=Secret(value="env://PREY"),
            ),
        )
        found = dict(references_in(load(team, Hook)))
        assert set(found) == {"key", "more.a", "anything.deep[0][0]", "anything.deep[0][1].x", "inner.value"}
        for reference in found.values():
            refuses(reference)

    def test_what_a_class_has_by_default_too_and_its_own_blocks_stay_as_they_are(self, team: BlockDocuments) -> None:
        """Who saves the block says where its secret goes, also if the program says which."""
        save(team, OfCode(url="https://theirs"))
        body: dict[str, Any] = {"fields": {"url": "https://theirs"}}
        with use_documents(team):
            _plant(team, "test-of-code", body)
        for _ in range(2):
            block = load(team, OfCode)
            found = dict(references_in(block))
            assert set(found) == {"text", "made", "within[1]", "login.token", "anything[0]"}
            for reference in found.values():
                refuses(reference)
            refuses(block._hidden)
        assert OfCode(url="https://mine")._hidden.get_secret_value() == PREY
        for reference in dict(references_in(OfCode(url="https://mine"))).values():
            assert reference.get_secret_value() == PREY

    def test_a_text_in_the_place_of_a_secret(self, team: BlockDocuments) -> None:
        """Who has the keys can write what they like, so also what no save writes."""
        _plant(team, "test-hook", {"fields": {"url": "https://theirs", "token": "env://PREY"}})
        refuses(load(team, Hook).token)

    @pytest.mark.parametrize("fields", [{"token": "env://PREY"}, {}])
    def test_a_validator_that_looks_at_the_secret(self, team: BlockDocuments, fields: dict[str, Any]) -> None:
        _plant(team, "test-curious", {"fields": fields})
        with pytest.raises(ForeignReferenceError, match=r"test-curious/x.*env://PREY"):
            load(team, Curious)
        assert SEEN == []
        Curious()
        assert SEEN == [PREY]

    def test_keys_of_the_cache_need_the_secret_and_do_not_get_it(self, team: BlockDocuments) -> None:
        save(team, Hook(url="https://theirs", token="env://PREY"))
        with pytest.raises(ForeignReferenceError):
            load(team, Hook).__entrepot_key__()


class TestKept:
    def test_whatever_becomes_of_the_block(self, team: BlockDocuments) -> None:
        class Derived(Hook):
            _block_type_slug = "test-hook-derived"

        save(team, Hook(url="https://theirs", token="env://PREY"))
        block = load(team, Hook)
        outer = JSON(value=[block])
        others = [
            copy.copy(block),
            copy.deepcopy(block),
            pickle.loads(pickle.dumps(block)),
            block.model_copy(),
            block.model_copy(deep=True, update={"url": "https://other"}),
            Hook(**dict(block)),
            Hook.model_validate(block.model_dump()),
            Hook.model_validate(block),
            Derived(**block.model_dump()),
            Hook.model_construct(**dict(block)),
            pickle.loads(pickle.dumps(outer)).value[0],
            copy.deepcopy(outer).value[0],
        ]
        for other in others:
            assert refuses(other.token).where == "test-hook/x: token"
        for reference in (copy.copy(block.token), copy.deepcopy(block.token), pickle.loads(pickle.dumps(block.token))):
            assert refuses(reference).store == "memory://team"
            assert reference == block.token

    def test_a_reference_says_whose_it_is_wherever_it_is_copied_to(self) -> None:
        block = Hook(url="x", token="env://NOT_SET_HERE", key="env://NOT_SET_HERE")
        for reference in (block.token, block.key):
            assert reference is not None
            for again in (copy.copy(reference), copy.deepcopy(reference), pickle.loads(pickle.dumps(reference))):
                assert type(again) is type(reference)
                with pytest.raises(SecretReferenceError, match=r"Hook: (token|key): the secret env://NOT_SET_HERE"):
                    again.get_secret_value()

    def test_in_another_process_of_the_run(self, store: Path) -> None:
        @task
        def use(block: Secret) -> tuple[int, str]:
            try:
                return os.getpid(), block.value.get_secret_value()
            except ForeignReferenceError as error:
                return os.getpid(), error.store

        @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
        def main() -> tuple[int, str]:
            found: tuple[int, str] = use.submit(Secret(value=Hook.load("hook").token)).result()
            return found

        pid, said = main()
        assert pid != os.getpid()
        assert said == str(store)

    def test_in_another_program(self, store: Path, tmp_path: Path) -> None:
        block = Secret(value=Hook.load("hook").token)
        (tmp_path / "pickled").write_bytes(pickle.dumps(block))
        code = f"import pickle; print(pickle.load(open({str(tmp_path / 'pickled')!r}, 'rb')).get())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 1
        assert "ForeignReferenceError" in done.stderr
        assert PREY not in done.stdout + done.stderr

    def test_what_a_program_puts_in_itself_is_its_own(self, team: BlockDocuments) -> None:
        save(team, Hook(url="https://theirs", token="env://OTHER"))
        block = load(team, Hook)
        block.token = "env://PREY"
        assert block.token.get_secret_value() == PREY
        assert block.model_copy(update={"token": "env://PREY"}).token.get_secret_value() == PREY


class TestThisUsersOwn:
    def test_what_this_user_saves_or_applies(self, store: Path, tmp_path: Path) -> None:
        Hook.load("hook").save("mine")
        assert Hook.load("mine").token.get_secret_value() == PREY
        refuses(Hook.load("hook").token)
        exported = as_code.export([current_documents().latest("test-hook", "mine")])
        file = tmp_path / "blocks.toml"
        file.write_text(write_blocks(exported.blocks, file).replace("mine", "applied"))
        assert [ref for _, ref in as_code.apply(as_code.plan(read_blocks(file), live=True))]
        assert Hook.load("applied").token.get_secret_value() == PREY

    def test_documents_that_are_said_to_be_ones_own(self, team: BlockDocuments) -> None:
        save(team, Hook(url="https://mine", token="env://PREY"))
        with use_sources(StoredBlocks(team, own=True)):
            assert Hook.load("x").token.get_secret_value() == PREY
        with use_documents(team):
            assert Hook.load("x").token.get_secret_value() == PREY

    def test_in_the_store_of_the_team_itself_the_blocks_are_the_teams(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = store.parent / "link"
        link.symlink_to(store)
        for spelled in (store, f"{store}/", f"{store}/../{store.name}", f"file://{store}", link):
            monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(spelled))
            refuses(Hook.load("hook").token)
            refuses(Hook.load("hook", version=1).token)
            assert len(where("test-hook/hook")) == 2
        Hook.load("hook").save("hook", overwrite=True)
        refuses(Hook.load("hook").token)
        monkeypatch.delenv("ENTREPOT_BLOCKS_TEAM")
        assert Hook.load("hook").token.get_secret_value() == PREY


class TestBlocksOfTheStore:
    def test_one_leads_to_another_of_the_same_store(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(store))
        Secret(value="of the team").save("shared")
        Secret(value="block://secret/shared").save("via")
        JSON(value=Secret.load("shared")).save("outer")
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
        Secret(value="mine").save("shared")
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__SHARED", '{"value": "mine"}')
        assert Secret.load("via").get() == "of the team"
        assert pickle.loads(pickle.dumps(Secret.load("via"))).get() == "of the team"
        assert JSON.load("outer").value.get() == "of the team"
        assert Secret(value="block://secret/shared").get() == "mine"

        @flow
        def main() -> list[str]:
            return [Secret(value="block://secret/shared").get(), Secret.load("via").get()]

        assert main() == ["mine", "of the team"]
        monkeypatch.setenv(LIST, "block://secret/shared")
        assert Secret.load("via").get() == "mine"
        assert JSON.load("outer").value.get() == "mine"

    def test_never_to_one_of_this_user(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(store))
        Secret(value="x").save("mine")
        JSON(value=Secret.load("mine")).save("outer")
        Hook(url="https://theirs", token="block://secret/mine").save("via")
        Secret.delete("mine")
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
        Secret(value=PREY).save("mine")
        assert Secret.load("mine").get() == PREY
        for given in (None, json.dumps({"value": PREY})):
            if given:
                monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__MINE", given)
            with pytest.raises(SecretReferenceError, match="no secret block named 'mine'") as refused:
                Hook.load("via").token.get_secret_value()
            assert 'blocks_team_references = ["block://secret/mine"]' in str(refused.value)
            with pytest.raises(BlockNotFoundError) as caught:
                JSON.load("outer")
            assert 'blocks_team_references = ["block://secret/mine"]' in "".join(caught.value.__notes__)
        monkeypatch.setenv(LIST, "block://secret/mine")
        for _ in range(2):  # of the environment, then of one's own documents
            assert JSON.load("outer").value.get() == PREY
            assert Hook.load("via").token.get_secret_value() == PREY
            monkeypatch.delenv("ENTREPOT_BLOCK__SECRET__MINE", raising=False)

    def test_a_listed_block_of_this_user_inside_keeps_its_own_references(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(store))
        Secret(value="x").save("mine")
        OfCode(url="https://theirs", anything=Secret.load("mine")).save("outer")
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__MINE", '{"value": "env://PREY"}')
        monkeypatch.setenv(LIST, "block://secret/mine")
        block = OfCode.load("outer")
        assert block.anything.get() == PREY
        refuses(block.made)

    def test_a_block_of_this_user_that_leads_into_the_store_gets_no_secret_there_either(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reference = SecretReference("block://test-hook/hook/token")
        error = refuses(reference)
        assert (error.store, error.reference) == (str(store), "env://PREY")
        monkeypatch.setenv(LIST, "env://PR*")
        assert reference.get_secret_value() == PREY

    def test_a_store_that_is_not_looked_up_here_any_more(self, team: BlockDocuments) -> None:
        save(team, Secret(value="of the team"), "other")
        save(team, Secret(value="block://secret/other"))
        block = load(team, Secret)
        Secret(value="mine").save("other")
        with pytest.raises(SecretReferenceError, match="in the shared store memory://team, and blocks are not looked"):
            block.get()
        with use_sources(StoredBlocks(team)):
            assert block.get() == "of the team"

    def test_what_leads_back_to_itself_ends(self, team: BlockDocuments) -> None:
        save(team, Secret(value="block://secret/y"), "x")
        save(team, Secret(value="block://secret/x"), "y")
        with use_sources(StoredBlocks(team)), pytest.raises(SecretReferenceError, match="leads back to itself"):
            Secret.load("x").get()


class TestTheBlockThatNamesTheStore:
    """The storage block of `blocks_team` is this user's own."""

    class Remote(LocalFileSystem):
        """A storage that needs a secret to be opened."""

        _block_type_slug = "test-remote"

        token: SecretStr

        def as_storage(self) -> Any:
            if self.token.get_secret_value() != "open":
                raise AssertionError("the wrong key")
            return super().as_storage()

    @pytest.fixture(autouse=True)
    def _registered(self) -> None:
        BLOCKS.register("test-remote", self.Remote)

    @pytest.mark.parametrize("reference", ["env://DOOR", "block://secret/door"])
    def test_its_references_are_followed_and_never_into_the_store(
        self, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOOR", "open")
        Secret(value="open").save("door")
        self.Remote(basepath=str(tmp_path / "team"), token=reference).save("team")
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "block://test-remote/team")
        Secret(value="env://DOOR").save("x")
        Secret(value="closed").save("door")
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
        monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "block://test-remote/team")
        for _ in range(2):
            refuses(Secret.load("x").value)
        assert Secret.load("door").get() == "closed"

        @flow
        def main() -> list[str]:
            return [Secret.load("door").get(), SecretReference("block://secret/door").get_secret_value()]

        assert main() == ["closed", "closed"]


class TestRuns:
    def test_what_a_run_has_looked_up_for_ones_own_block_is_not_given_to_the_others(self, store: Path) -> None:
        @flow
        def main() -> None:
            assert Secret(value="env://PREY").get() == PREY
            refuses(Hook.load("hook").token)

        main()

    def test_a_run_that_lists_it_meanwhile(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        @flow
        def main() -> None:
            block = Hook.load("hook")
            refuses(block.token)
            monkeypatch.setenv(LIST, "env://PREY")
            assert block.token.get_secret_value() == PREY
            monkeypatch.delenv(LIST)
            refuses(block.token)

        main()

    def test_an_answer_is_of_the_places_that_it_came_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, team: BlockDocuments
    ) -> None:
        for name in ("one", "two"):
            monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path / name))
            Secret(value=f"of {name}").save("x")
        save(team, Secret(value="of the team"))
        reference = SecretReference("block://secret/x")

        @flow
        def main() -> list[str]:
            found = []
            for setting in ("ENTREPOT_BLOCKS_STORAGE", "ENTREPOT_BLOCKS_TEAM"):
                for name in ("one", "two", "one"):
                    monkeypatch.setenv(setting, str(tmp_path / name))
                    found.append(reference.get_secret_value())
            with use_documents(team):
                monkeypatch.delenv("ENTREPOT_BLOCKS_TEAM")
                found.append(reference.get_secret_value())
            with use_sources(StoredBlocks(team)):
                found.append(reference.get_secret_value())
            monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", '{"value": "of the environment"}')
            found.append(reference.get_secret_value())
            return found

        expected = ["of one", "of two", "of one"]
        assert main() == [*expected, *expected, "of the team", "of the team", "of the environment"]

    def test_documents_that_are_chosen_are_asked_once_a_run(self, team: BlockDocuments) -> None:
        save(team, Secret(value="asked://x"))

        @flow
        def main() -> None:
            with use_documents(team):
                for _ in range(3):
                    assert SecretReference("block://secret/x").get_secret_value() == PREY

        main()
        assert Asked.asked == ["x"]


class TestSaidBefore:
    def run(self, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "500"})
        assert "Traceback" not in done.output
        return done.exit_code, " ".join(done.output.split())

    def test_by_every_command_that_looks_at_the_block(self, store: Path, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text('from entrepot.blocks import Block\n\n\ndef f():\n    Block.load("test-hook/hook")\n')
        line = 'blocks_team_references = ["env://PREY"]'
        for arguments, code in {
            ("check", str(program)): 1,
            ("block", "show", "test-hook/hook"): 0,
            ("block", "check", "test-hook/hook"): 1,
            ("block", "doctor"): 1,
        }.items():
            exit_code, output = self.run(*arguments)
            assert exit_code == code, output
            assert line in output, arguments
            assert "test-hook/hook: token" in output
            assert PREY not in output

    def test_doctor_names_the_store_and_what_is_listed_is_well(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        String(value="x").save("mine")
        assert [(each.health, each.location) for each in examine_all()] == [("refused", str(store)), ("ok", "")]
        assert json.loads(CliRunner().invoke(app, ["block", "doctor", "--json"]).stdout)[0]["location"] == str(store)
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(store))
        _plant(current_documents(), "test-curious", {"fields": {}})
        assert {each.health for each in examine_all()} == {"refused"}, "also where it does not load for that"
        Curious.delete("x")
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
        monkeypatch.setenv(LIST, "*")
        assert [each.health for each in examine_all()] == ["ok", "ok"]
        assert self.run("block", "check", "test-hook/hook")[0] == 0


def _plant(team: BlockDocuments, slug: str, body: dict[str, Any]) -> None:
    with use_documents(team):
        header: dict[str, str | int] = {"schema_version": 1}
        team.save(slug, "x", memoryview(json.dumps(body).encode()), header=header, overwrite=True)


@pytest.mark.parametrize("inside", ["block", "block-ref"])
def test_what_a_plugin_makes_when_such_a_block_has_it_imported_is_this_users(
    inside: str, team: BlockDocuments, site: FakeSite
) -> None:
    slug, module = f"test-late-{inside}", f"late_plugin_{len(inside)}"
    site.module(
        module,
        f"""
        from pydantic import SecretStr
        from entrepot.blocks import Block, SecretReference

        class Late(Block):
            _block_type_slug = "{slug}"
            token: SecretStr = SecretReference("env://PREY")
        """,
    )
    site.distribution("late", blocks=f"{slug} = {module}:Late")
    late: dict[str, Any] = {"name": "x"} if inside == "block-ref" else {"value": {}}
    _plant(team, slug, {"fields": {}})
    _plant(team, "test-holder", {"fields": {"held": {"$type": inside, "slug": slug, **late}}})
    assert module not in sys.modules
    held: Any = load(team, Holder).held
    assert module in sys.modules
    refuses(held.token)
    own: Any = type(held)()
    assert own.token.get_secret_value() == PREY


def test_no_error_is_lost_where_it_is_told_of_another(team: BlockDocuments) -> None:
    assert issubclass(ForeignReferenceError, SecretReferenceError)
    assert issubclass(ForeignReferenceError, EntrepotError)
    assert dataclasses.replace(team, foreign=True).foreign
