"""Blocks of the environment, places in between, and the order in which they are asked."""

import asyncio
import json
import traceback
from typing import Any

import pytest
from pydantic import Field, SecretStr, field_validator

from entrepot.blocks import StoredBlocks, use_sources
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.sources import EnvironmentBlocks, variable_of
from entrepot.blocks.system import JSON, Secret, String
from entrepot.blocks.teams import where
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockFileError,
    BlockNotFoundError,
    InvalidNameError,
    UnknownBlockTypeError,
)
from entrepot.storage import MemoryStorage

HUNTER = "hunter2-correct-horse"


class Mailer(Block):
    host: str
    port: int = Field(default=25, alias="PORT")
    password: SecretStr | None = None
    login: Secret | None = None

    @field_validator("host")
    @classmethod
    def _check(cls, host: str) -> str:
        if host == "bad":
            raise ValueError("that is no host")
        return host


@pytest.mark.usefixtures("documents")
class TestEnvironment:
    def test_a_variable_gives_a_block_by_every_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__MY_API_KEY", json.dumps({"value": HUNTER}))
        for block in (
            Secret.load("my-api-key"),
            Secret.load("my_api_key"),
            Block.load("secret/my-api-key"),
            Block.load("my-api-key"),
            asyncio.run(Secret.aload("my-api-key")),
        ):
            assert isinstance(block, Secret)
            assert block.get() == HUNTER
        assert Secret.exists("my-api-key")
        assert Block.exists("secret/my-api-key")
        assert not String.exists("my-api-key")
        assert Secret.names() == [], "it is not saved"

    def test_it_comes_before_what_is_saved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Secret(value="saved").save("x")
        String(value="saved").save("x")
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", json.dumps({"value": HUNTER}))
        assert Secret.load("x").get() == HUNTER
        assert Secret.load("x", version=1).get() == "saved", "a version is one of the documents"
        assert isinstance(Block.load("x"), Secret)
        monkeypatch.setenv("ENTREPOT_BLOCK__STRING__X", '{"value": "y"}')
        with pytest.raises(AmbiguousBlockNameError, match=r"secret/x, string/x"):
            Block.load("x")
        with pytest.raises(BlockNotFoundError, match="string/x is a string block, not a Secret"):
            Secret.load("string/x")

    def test_references_and_nested_blocks_may_be_in_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Secret(value="saved").save("login")
        monkeypatch.setenv("MAIL_PASSWORD", HUNTER)
        monkeypatch.setenv(
            "ENTREPOT_BLOCK__MAILER__PROD",
            '{"host": "m", "PORT": 26, "password": "env://MAIL_PASSWORD", "login": "block://secret/login"}',
        )
        mailer = Mailer.load("prod")
        assert mailer.password is not None
        assert mailer.login is not None
        assert (mailer.port, mailer.password.get_secret_value(), mailer.login.get()) == (26, HUNTER, "saved")

    def test_a_saved_block_may_refer_to_one_of_the_environment_and_stays_a_reference(
        self, documents: BlockDocuments, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Secret(value="saved").save("token")
        JSON(value=Secret.load("token")).save("outer")
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__TOKEN", json.dumps({"value": HUNTER}))
        outer = JSON.load("outer")
        assert outer.value.get() == HUNTER
        outer.save("outer", overwrite=True)
        monkeypatch.delenv("ENTREPOT_BLOCK__SECRET__TOKEN")
        assert JSON.load("outer").value.get() == "saved", "what the environment gave was not sealed into it"

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (f'{{"host": "{HUNTER}"', r"ENTREPOT_BLOCK__MAILER__PROD is no JSON: look at line 1, column \d+"),
            (f'["{HUNTER}"]', "is no JSON object of fields"),
            (f'"{HUNTER}"', "is no JSON object of fields"),
            ("", "is no JSON"),
            ('{"password": "x"}', "ENTREPOT_BLOCK__MAILER__PROD: host: Field required"),
            (f'{{"host": "h", "PORT": "{HUNTER}"}}', "PORT: Input should be a valid integer"),
            (f'{{"host": "bad", "password": "{HUNTER}"}}', "host: that is no host"),
            (f'{{"host": "h", "pasword": "{HUNTER}"}}', "no field named 'pasword'; known: host, port"),
            (f'{{"host": "h", "password": ["{HUNTER}"]}}', "password: Input should be a valid string"),
            ("[" * 100_000, "ENTREPOT_BLOCK__MAILER__PROD"),
        ],
    )
    def test_what_makes_no_block_names_the_variable_and_no_value(
        self, value: str, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__MAILER__PROD", value)
        with pytest.raises(BlockFileError, match=message) as caught:
            Mailer.load("prod")
        error: BaseException | None = caught.value
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        ours = shown.partition("entrepot/blocks")[2]  # the frame of this test has the value, of course
        assert HUNTER not in ours
        while error is not None:
            assert HUNTER not in repr(error)
            error = error.__cause__ or error.__context__

    def test_a_type_that_is_not_here_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__NO_SUCH_TYPE__X", "{}")
        with pytest.raises(UnknownBlockTypeError, match="no-such-type"):
            Block.load("no-such-type/x")

    def test_no_keyring_is_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost() -> Keyring:
            raise AssertionError("nobody should ask")

        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", json.dumps({"value": HUNTER}))
        with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lost)):
            assert Secret.load("x").get() == HUNTER

    def test_odd_variables_give_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for odd in ("ENTREPOT_BLOCK__", "ENTREPOT_BLOCK____X", "ENTREPOT_BLOCK__X", "ENTREPOT_BLOCK__UNKNOWN__X"):
            monkeypatch.setenv(odd, "{}")
        assert EnvironmentBlocks().slugs("x") == []
        assert variable_of("local-file-system", "my_data-1") == "ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM__MY_DATA_1"
        with pytest.raises(BlockNotFoundError):
            Block.load("x")
        for bad in ("../x", "X", "a/b/c", ""):
            with pytest.raises(InvalidNameError):
                Block.load(bad)


@pytest.mark.usefixtures("documents")
class TestTheChain:
    @pytest.fixture
    def team(self) -> BlockDocuments:
        theirs = Keyring.generate()
        documents = BlockDocuments(StorageDocumentStore(MemoryStorage("team")), lambda: theirs)
        with use_documents(documents):
            Secret(value="of the team").save("shared")
            Secret(value="of the team").save("both")
            Secret(value="of the team").save("gone")
            Secret.delete("gone")
        return documents

    def test_a_store_of_a_team_is_asked_after_the_environment_and_before_ones_own(
        self, team: BlockDocuments, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Secret(value="own").save("both")
        Secret(value="own").save("mine")
        with use_sources(StoredBlocks(team)):
            found = {name: Secret.load(name).get() for name in ("shared", "both", "mine")}
            assert found == {"shared": "of the team", "both": "of the team", "mine": "own"}
            assert Block.load("shared") == Secret(value="of the team")
            assert not Secret.exists("gone")
            monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__BOTH", '{"value": "environment"}')
            assert Secret.load("both").get() == "environment"
            assert [(place.location, place.blocks) for place in where("both")] == [
                ("the environment", ("secret/both",)),
                ("memory://team", ("secret/both",)),
                (where("both")[-1].location, ("secret/both",)),
            ]
            assert [place.blocks for place in where("secret/shared")] == [(), ("secret/shared",), ()]
            assert [place.blocks for place in where("string/shared")] == [(), (), ()]
        with pytest.raises(BlockNotFoundError):
            Secret.load("shared")

    def test_what_a_team_has_and_cannot_be_opened_is_an_error_and_not_passed_over(self, team: BlockDocuments) -> None:
        Secret(value="own").save("both")
        storage: Any = team.store._storage  # type: ignore[attr-defined]
        storage.put("secret/both/00000001.json", b"damaged")
        with use_sources(StoredBlocks(team)), pytest.raises(ValueError, match="does not verify"):
            Secret.load("both")

    @pytest.mark.parametrize("name", ["../x", "x/../y", ""])
    def test_where_takes_names_only(self, name: str) -> None:
        with pytest.raises(InvalidNameError):
            where(name)
