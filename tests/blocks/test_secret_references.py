"""References in the place of secrets: they stay what they are wherever a block goes, and are looked up when used."""

import base64
import copy
import json
import logging
import pickle
import subprocess
import sys
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keyring
import keyring.backend
import pytest
from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from typer.testing import CliRunner

from entrepot import flow, task
from entrepot._secrets import MASK, mask
from entrepot.blocks import JSON, Block, Secret, SecretBytesReference, SecretReference, Webhook, migrates
from entrepot.blocks._inputs import references_in
from entrepot.blocks.doctor import migrate
from entrepot.blocks.documents import current_documents
from entrepot.blocks.history import read_body
from entrepot.cache_policies import INPUTS
from entrepot.cli.app import app
from entrepot.errors import EntrepotError, SecretReferenceError
from entrepot.hashing.code import hash_function
from entrepot.plugins import BLOCKS, SECRET_SOURCES
from entrepot.task_runners import ThreadPoolTaskRunner

HUNTER = "hunter2-of-the-references"


class Login(BaseModel):
    user: str
    token: SecretStr


@dataclass
class Pair:
    left: str
    right: SecretStr


class ReferenceEverywhere(Block):
    """A block with secrets in every kind of place."""

    name: str = ""
    password: SecretStr | None = Field(default=None, alias="passphrase")
    key: SecretBytes = SecretBytes(b"")
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    many: list[SecretStr | int] = Field(default_factory=list)
    pair: tuple[str, SecretStr] | None = None
    login: Login | None = None
    both: Pair | None = None
    anything: Any = None
    inner: Secret | None = None


class Named(NamedTuple):
    left: str
    right: SecretStr


class Rooted(RootModel[list[SecretStr]]):
    pass


class ReferenceInMore(Block):
    """A block with secrets in containers that are not so usual."""

    queue: deque[SecretStr] = Field(default_factory=deque)
    some: set[SecretStr] = Field(default_factory=set)
    named: Named | None = None
    rooted: Rooted | None = None
    deep: dict[str, list[tuple[SecretStr, int]]] = Field(default_factory=dict)
    more: Named | None = None


class Counting:
    """A source that counts how often it is asked."""

    asked: list[str] = []  # noqa: RUF012  shared on purpose
    lock = threading.Lock()

    def get(self, rest: str) -> str | bytes:
        with self.lock:
            self.asked.append(rest)
        if rest == "down":
            raise ConnectionError(f"the server said {HUNTER}")
        if rest == "number":
            return 3  # type: ignore[return-value]
        if rest == "surrogate":
            return f"\ud800{HUNTER}"
        return b"\xff\xfe" if rest == "binary" else f"{HUNTER}-{rest}"


@pytest.fixture(autouse=True)
def _counting() -> Any:
    Counting.asked = []
    SECRET_SOURCES.register("counting", Counting)
    yield
    SECRET_SOURCES.forget("counting")


def full() -> ReferenceEverywhere:
    return ReferenceEverywhere(
        name="env://NOT_A_SECRET",
        passphrase="counting://a",
        key="counting://binary",
        headers={"A": "counting://b", "B": "literal"},
        many=["counting://c", 7],
        pair=("env://PLAIN", "counting://d"),
        login={"user": "env://USER", "token": "counting://e"},
        both={"left": "env://LEFT", "right": "counting://f"},
        anything=SecretReference("counting://g"),
        inner={"value": "counting://h"},
    )


class TestWhereTheyStand:
    def test_every_secret_takes_one_at_any_depth_and_no_other_text_does(self) -> None:
        block = full()
        assert {path: found.reference for path, found in references_in(block)} == {
            "password": "counting://a",
            "key": "counting://binary",
            "headers.A": "counting://b",
            "many[0]": "counting://c",
            "pair[1]": "counting://d",
            "login.token": "counting://e",
            "both.right": "counting://f",
            "anything": "counting://g",
            "inner.value": "counting://h",
        }
        assert (block.name, block.login.user, block.pair[0], block.both.left) == (
            "env://NOT_A_SECRET",
            "env://USER",
            "env://PLAIN",
            "env://LEFT",
        )
        assert Counting.asked == []

    def test_containers_of_other_kinds_take_them_too_and_stay_what_they_are(self) -> None:
        block = ReferenceInMore(
            queue=deque(["counting://a"], maxlen=2),
            some={"counting://b"},
            named=("env://LEFT", "counting://c"),
            rooted=["counting://d", "literal"],
            deep={"x": [("counting://e", 1)]},
            more=Named("env://LEFT", "counting://f"),
        )
        block.save("more")
        for each in (block, ReferenceInMore.load("more")):
            assert {path: found.reference for path, found in references_in(each)} == {
                "queue[0]": "counting://a",
                "some[0]": "counting://b",
                "named[1]": "counting://c",
                "rooted.root[0]": "counting://d",
                "deep.x[0][0]": "counting://e",
                "more[1]": "counting://f",
            }
        assert block.queue.maxlen == 2
        assert block.named.left == block.more.left == "env://LEFT"
        assert ReferenceInMore(named={"left": "x", "right": "counting://g"}).named.right.reference == "counting://g"
        assert Counting.asked == []

    def test_what_is_of_no_known_scheme_is_a_secret_itself_and_so_is_one_that_says_so(self) -> None:
        for value in (
            "https://example.com/x",
            "postgresql://u:p@h/d",
            "env:/x",
            "ENV://X",
            "x env://Y",
            SecretStr("env://X"),
        ):
            block = Secret(value=value)
            assert type(block.value) is SecretStr
            block.save("literal", overwrite=True)
            again = Secret.load("literal")
            assert type(again.value) is SecretStr
            assert again.get() == (value if isinstance(value, str) else "env://X")

    def test_assigned_copied_constructed_and_default_ones(self) -> None:
        class ReferenceByDefault(Block):
            token: SecretStr = "counting://default"

        block = Secret(value="x")
        block.value = "counting://assigned"
        assert block.value == SecretReference("counting://assigned")
        assert block.model_copy(update={"value": "counting://copied"}).value == SecretReference("counting://copied")
        assert Secret.model_construct(value="counting://made").value == SecretReference("counting://made")
        assert ReferenceByDefault().token == SecretReference("counting://default")
        assert Secret.model_validate_json('{"value": "counting://json"}').value == SecretReference("counting://json")
        many = full().model_validate_json('{"many": [3, "counting://many"]}').many
        assert many == [3, SecretReference("counting://many")]
        assert Secret.model_validate_strings({"value": "counting://s"}).value == SecretReference("counting://s")
        assert TypeAdapter(list[Secret]).validate_json('[{"value": "counting://t"}]')[0].value.reference
        assert copy.deepcopy(block) == block
        assert Counting.asked == []

    def test_a_reference_is_equal_to_the_same_one_only_and_asks_nobody(self) -> None:
        one = SecretReference("counting://a")
        assert one == SecretReference("counting://a")
        assert hash(one) == hash(SecretReference("counting://a"))
        assert one != SecretReference("counting://b")
        assert one != SecretBytesReference("counting://a")
        assert SecretStr("counting://a") != one
        assert Counting.asked == []

    def test_it_is_true_and_a_private_one_is_copied_without_asking(self) -> None:
        class WithPrivateReference(Block):
            _token: SecretStr = PrivateAttr(SecretReference("counting://private"))

        assert SecretReference("counting://a")
        one, other = WithPrivateReference(), WithPrivateReference()
        assert one._token == other._token
        assert one._token is not other._token
        assert Counting.asked == []
        assert len(SecretReference("counting://a")) == len(f"{HUNTER}-a")

    def test_what_is_no_reference_is_refused_without_repeating_it(self) -> None:
        with pytest.raises(SecretReferenceError, match="is written scheme") as caught:
            SecretReference(HUNTER)
        assert HUNTER not in str(caught.value)


class TestKept:
    def test_saved_and_loaded_and_saved_again_it_is_the_reference(self) -> None:
        block = full()
        block.save("all")
        loaded = ReferenceEverywhere.load("all")
        assert loaded == block
        loaded.name = "changed"
        ref = loaded.save("all", overwrite=True)
        body = json.dumps(read_body(ref, current_documents())[0])
        assert "counting://a" in body
        assert Counting.asked == []
        assert loaded.password.get_secret_value() == f"{HUNTER}-a"
        loaded.save("all", overwrite=True)
        ref = current_documents().latest("reference-everywhere", "all")
        assert HUNTER not in json.dumps(read_body(ref, current_documents())[0]), "it is never written back in clear"

    def test_whatever_is_done_to_a_saved_block_its_document_has_the_reference(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OLD_TOKEN", HUNTER)
        BLOCKS.register("reference-everywhere", ReferenceEverywhere)
        full().save("all")
        file = tmp_path / "blocks.toml"
        asked = []
        for arguments in (
            ["edit", "reference-everywhere/all", "--field", "name=new", "--no-check"],
            ["edit", "reference-everywhere/all", "--field", "passphrase=env://OLD_TOKEN", "--no-check"],
            ["rollback", "reference-everywhere/all", "1"],
            ["export", str(file)],
            ["apply", str(file), "--live"],
            ["diff", str(file), "--live"],
            ["show", "reference-everywhere/all"],
            ["doctor"],
            ["migrate", "--all"],
        ):
            done = CliRunner().invoke(app, ["block", *arguments])
            assert done.exit_code == 0, done.output
            assert HUNTER not in done.output
            asked += Counting.asked
            ReferenceEverywhere.load("all").password.get_secret_value()  # what is known by now must not get into it
            Counting.asked = []
        assert asked == [], "none of them looks a secret up"
        for arguments in (["rotate"], ["rewrap"]):
            done = CliRunner().invoke(app, ["keys", *arguments])
            assert done.exit_code == 0, done.output
        assert HUNTER not in file.read_text()
        documents = current_documents()
        versions = documents.history("reference-everywhere", "all")
        assert len(versions) >= 4
        for ref in versions:
            body = json.dumps(read_body(ref, documents)[0])
            assert HUNTER not in body
            assert "counting://b" in body

    def test_a_migration_that_passes_it_on_keeps_it(self) -> None:
        class MovedReference(Block):
            old: SecretStr

        MovedReference(old="counting://moved").save("x")
        BLOCKS.forget("moved-reference")

        class Moved(Block):
            _block_type_slug = "moved-reference"
            _schema_version = 2

            new: SecretStr

            @migrates(from_version=1)
            @staticmethod
            def _rename(fields: dict[str, Any]) -> dict[str, Any]:
                return {"new": fields["old"]}

        (finding,) = [migrate(ref, current_documents()) for ref in Moved.list()]
        assert finding.health == "migrated"
        assert Moved.load("x").new == SecretReference("counting://moved")
        assert Counting.asked == []
        BLOCKS.forget("moved-reference")

    def test_pickled_it_is_the_reference(self) -> None:
        block = full()
        block.password.get_secret_value()
        assert pickle.loads(pickle.dumps(block)) == block
        assert HUNTER.encode() not in pickle.dumps(block.password)
        assert pickle.loads(pickle.dumps(block.password)) == block.password

    def test_it_shows_itself_and_no_secret(self) -> None:
        block = full()
        block.password.get_secret_value()
        asked = list(Counting.asked)
        for text in (repr(block), str(block), block.model_dump_json(), repr(block.model_dump()), str(block.password)):
            assert HUNTER not in text
            assert base64.b64encode(HUNTER.encode()).decode() not in text
        assert "SecretReference('counting://a')" in repr(block)
        assert json.loads(block.model_dump_json())["password"] == MASK
        assert Counting.asked == asked, "nothing is looked up to be shown"
        assert "pw" not in repr(SecretReference("vault://me:pw@mount/x#y"))

    def test_what_was_looked_up_is_masked(self, caplog: pytest.LogCaptureFixture) -> None:
        assert mask(f"see {HUNTER}-masked") == f"see {HUNTER}-masked"
        Secret(value="counting://masked").get()
        assert mask(f"see {HUNTER}-masked") == f"see {MASK}"
        assert caplog.records == [each for each in caplog.records if each.levelno < logging.ERROR]

    def test_a_validator_that_repeats_what_it_looked_up_is_not_quoted(self) -> None:
        class EchoOfReference(Block):
            token: SecretStr

            @field_validator("token")
            @classmethod
            def _refuse(cls, value: SecretStr) -> SecretStr:
                raise ValueError(f"{value.get_secret_value()} is not good")

        with pytest.raises(ValidationError) as caught:
            EchoOfReference(token="counting://bad")
        assert HUNTER not in str(caught.value)
        assert Counting.asked == ["bad"]

    def test_built_in_blocks_do_not_look_up_what_they_check(self) -> None:
        Webhook(url="counting://url", headers={"A": "counting://b"}, signing_secret="counting://s").save("hook")
        Webhook.load("hook")
        assert Counting.asked == []


class TestKeys:
    def test_a_key_is_of_the_secret_itself_wherever_that_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEY_OF_A", HUNTER)
        by_reference = Secret(value="env://KEY_OF_A")
        first = by_reference.__entrepot_key__()
        assert first == Secret(value=HUNTER).__entrepot_key__()
        monkeypatch.setenv("KEY_OF_A", "rotated-since")
        assert by_reference.__entrepot_key__() != first
        monkeypatch.delenv("KEY_OF_A")
        with pytest.raises(SecretReferenceError, match="KEY_OF_A is not set"):
            by_reference.__entrepot_key__()

    def test_a_cached_task_computes_again_when_the_secret_is_another(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        calls = tmp_path / "calls"

        @task(cache_policy=INPUTS)
        def read(account: Secret) -> int:
            with calls.open("a") as file:
                file.write(f"{account.get()}\n")
            return len(calls.read_text().split())

        @flow
        def main() -> int:
            return read(Secret(value="env://ACCOUNT"))

        monkeypatch.setenv("ACCOUNT", "account-one")
        assert (main(), main()) == (1, 1)
        monkeypatch.setenv("ACCOUNT", "account-two")
        assert main() == 2
        assert calls.read_text().split() == ["account-one", "account-two"]

    def test_code_that_has_one_as_a_default_is_hashed_by_where_the_secret_is(self) -> None:
        def code(reference: str) -> Any:
            class LoginByDefault(BaseModel):
                token: SecretStr = SecretReference(reference)

            def use() -> LoginByDefault:
                return LoginByDefault()

            return use

        digests = [hash_function(code(f"counting://{rest}")).digest for rest in ("down", "down", "b")]
        assert digests[0] == digests[1] != digests[2]
        assert Counting.asked == []


class TestLookedUp:
    def test_once_a_run_whatever_asks(self) -> None:
        Secret(value="counting://shared").save("shared")

        @task
        def use(_: int) -> str:
            return Secret.load("shared").get()

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
        def main() -> int:
            return len({future.result() for future in use.map(range(8))} | {Secret.load("shared").get()})

        assert main() == 1
        assert Counting.asked == ["shared"]
        main()
        assert Counting.asked == ["shared"] * 2, "another run asks anew"

    def test_each_time_outside_of_runs(self) -> None:
        block = Secret(value="counting://x")
        block.get()
        block.get()
        assert Counting.asked == ["x", "x"]

    def test_an_error_names_block_field_reference_and_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NOT_SET_HERE", raising=False)
        JSON(value={"login": [SecretReference("env://NOT_SET_HERE")]}).save("conf")
        with pytest.raises(
            SecretReferenceError,
            match=r"json/conf: value\.login\[0\]: the secret env://NOT_SET_HERE cannot be had: .* is not set; set it",
        ) as caught:
            JSON.load("conf").value["login"][0].get_secret_value()
        assert pickle.loads(pickle.dumps(caught.value)).reference == "env://NOT_SET_HERE"
        with pytest.raises(SecretReferenceError, match=r"^Secret: value: the secret"):
            Secret(value="env://NOT_SET_HERE").get()

    @pytest.mark.parametrize(
        ("rest", "why"), [("down", r"its source failed \(ConnectionError\)"), ("number", "gave a int")]
    )
    def test_a_source_that_fails_is_an_error_without_its_words(self, rest: str, why: str) -> None:
        with pytest.raises(SecretReferenceError, match=why) as caught:
            Secret(value=f"counting://{rest}").get()
        assert caught.value.__cause__ is None
        assert HUNTER not in str(caught.value)

    def test_bytes_that_are_no_text(self) -> None:
        assert ReferenceEverywhere(key="counting://binary").key.get_secret_value() == b"\xff\xfe"
        assert ReferenceEverywhere(key="counting://text").key.get_secret_value() == f"{HUNTER}-text".encode()
        with pytest.raises(SecretReferenceError, match="SecretBytes"):
            Secret(value="counting://binary").get()

    def test_text_that_is_none_is_said_to_be_so_and_no_error_has_it(self) -> None:
        with pytest.raises(SecretReferenceError, match="is no text") as caught:
            SecretBytesReference("counting://surrogate").get_secret_value()
        assert caught.value.__context__ is None
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert HUNTER not in shown

    def test_a_source_that_is_gone_is_named_and_the_block_still_loads(self) -> None:
        Secret(value="counting://x").save("gone")
        SECRET_SOURCES.forget("counting")
        block = Secret.load("gone")
        with pytest.raises(SecretReferenceError, match=r"no source of secrets named 'counting'; .*known: aws-sm"):
            block.get()

    def test_another_process_looks_it_up_itself(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("OVER_THERE", HUNTER)
        (tmp_path / "block").write_bytes(pickle.dumps(Secret(value="env://OVER_THERE")))
        code = f"import pickle; print(pickle.load(open({str(tmp_path / 'block')!r}, 'rb')).get())"
        monkeypatch.setenv("OVER_THERE", "another-value")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == "another-value"


class _Backend(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        self.fail = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.fail:
            raise keyring.errors.KeyringLocked(HUNTER)
        return HUNTER if (service, username) == ("git/hub", "ci bot") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.PasswordSetError("it is read only")


def get(reference: str) -> str:
    return SecretReference(reference).get_secret_value()


class TestSources:
    def test_a_file_is_read_without_its_last_line_end(self, tmp_path: Path) -> None:
        path = tmp_path / "my key"
        path.write_bytes(b"two\nlines\r\n")
        url = f"file://{path}".replace(" ", "%20")
        assert get(url) == "two\nlines"
        path.write_bytes(b"\xff\n")
        assert SecretBytesReference(url).get_secret_value() == b"\xff\n"

    @pytest.mark.parametrize(
        ("reference", "why"),
        [
            ("env://not a name", "takes the name of a variable"),
            ("file://relative", "absolute path"),
            ("file:///no/such/file", "/no/such/file cannot be read: No such file"),
            ("file:///dev/zero", "is no regular file"),
            ("file:///x%00y", "it can be no path"),
            ("keyring://alone", "a service and a user"),
            ("block://secret", "type and name of a block"),
            ("block://secret/none", "no .*none"),
            ("block://secret/there/get", "has no field get; known: value"),
            ("block://json/there", "holds no text"),
        ],
    )
    def test_what_cannot_be_had_is_said(self, reference: str, why: str) -> None:
        Secret(value="x").save("there")
        JSON(value=3).save("there")
        with pytest.raises(SecretReferenceError, match=why):
            get(reference)

    def test_a_field_of_another_block(self) -> None:
        Secret(value=HUNTER).save("far")
        Secret(value="block://secret/far").save("near")
        ReferenceEverywhere(name="plain", login={"user": "u", "token": "t"}).save("v")
        assert get("block://secret/near") == HUNTER
        assert get("block://reference-everywhere/v/name") == "plain"

    def test_a_circle_is_an_error(self) -> None:
        Secret(value="block://secret/two").save("one")
        Secret(value="block://secret/one").save("two")
        with pytest.raises(SecretReferenceError, match="leads back to itself"):
            Secret.load("one").get()

    def test_the_keyring_of_the_system(self) -> None:
        before = keyring.get_keyring()
        backend = _Backend()
        keyring.set_keyring(backend)
        try:
            assert get("keyring://git%2Fhub/ci%20bot") == HUNTER
            with pytest.raises(SecretReferenceError, match="no such password; set it: keyring set git me"):
                get("keyring://git/me")
            backend.fail = True
            with pytest.raises(SecretReferenceError, match=r"does not open \(KeyringLocked\)") as caught:
                get("keyring://git/me")
            assert HUNTER not in str(caught.value)
        finally:
            keyring.set_keyring(before)


def test_errors_are_of_the_tree() -> None:
    assert issubclass(SecretReferenceError, EntrepotError | LookupError)
