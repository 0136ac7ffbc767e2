"""A secret shows itself only when asked."""

import copy
import inspect
import json
import logging
import pickle
import pprint
import pydoc
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import cloudpickle
import pytest
from pydantic import (
    BaseModel,
    Field,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic import Secret as SecretOf
from pydantic_core import PydanticCustomError, PydanticKnownError
from rich.console import Console
from rich.pretty import pretty_repr

from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.fields import MASK, shows
from entrepot.blocks.system import JSON, Secret
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal
from entrepot.errors import EntrepotError, IntegrityError, SerializationError, StorageFullError, UnknownKeyError
from entrepot.hashing.values import hash_value
from entrepot.storage import MemoryStorage
from entrepot_test_secrets import SECRET, SECRET_BYTES, leaks, our_frames


class Inner(BaseModel):
    token: SecretStr


class Stranger(BaseModel):
    """Named by no annotation."""

    token: SecretStr


class Kind(StrEnum):
    AUTO = "auto"


@dataclass
class Pair:
    token: SecretStr
    label: str = ""


class VaultLike(Block):
    """Secrets in every kind of place."""

    plain: SecretStr
    raw: SecretBytes
    number: SecretOf[int] = SecretOf(1234567890)
    either: str | SecretStr = "open"
    listed: list[SecretStr] = Field(default_factory=list)
    mapped: dict[str, SecretStr] = Field(default_factory=dict)
    anything: Any = None
    anywhere: dict[str, Any] = Field(default_factory=dict)
    inner: Inner | None = None
    pair: Pair | None = None
    nested: Secret | None = None


def full() -> VaultLike:
    return VaultLike(
        plain=SECRET,
        raw=SECRET_BYTES,
        either=SecretStr(SECRET),
        listed=[SECRET],
        mapped={"a": SECRET},
        anything=[{"deep": (SecretStr(SECRET),)}],
        anywhere={"b": SecretBytes(SECRET_BYTES)},
        inner={"token": SECRET},
        pair=Pair(SecretStr(SECRET)),
        nested=Secret(value=SECRET),
    )


class TestWherePeopleAndProgramsLook:
    def sinks(self, block: Block) -> Iterator[str]:
        yield repr(block)
        yield str(block)
        yield f"{block} {block!r} {block!s}"
        yield pprint.pformat(block)
        yield repr(block.model_dump())
        yield repr(block.model_dump(mode="json"))
        yield json.dumps(block.model_dump(mode="json"))
        for options in ({}, {"round_trip": True}, {"serialize_as_any": True}, {"exclude_unset": True}, {"indent": 1}):
            yield block.model_dump_json(**options)  # type: ignore[arg-type]
        yield repr(vars(block))
        yield repr(dict(block))
        yield repr(list(block.__repr_args__()))
        yield repr(copy.copy(block))
        yield repr(copy.deepcopy(block))
        yield repr(block.model_copy(update={"label": 1}))
        yield repr(block.__getstate__())
        yield repr(block.__entrepot_key__())
        yield json.dumps(type(block).model_json_schema())
        yield json.dumps(TypeAdapter(type(block)).json_schema())
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield pickle.dumps(block, protocol).decode("latin-1")
        yield cloudpickle.dumps(block).decode("latin-1")
        yield pickle.dumps([{"a": block}]).decode("latin-1")

    @pytest.mark.filterwarnings("ignore:Default value")  # pydantic has no JSON for the default of `number`
    def test_nothing_that_prints_or_writes_a_block_shows_its_secrets(self, documents: BlockDocuments) -> None:
        block = full()
        for shown in self.sinks(block):
            assert not leaks(shown)
            assert "1234567890" not in shown
        assert block.plain.get_secret_value() == SECRET

    def test_rich_and_logs(self, documents: BlockDocuments, caplog: pytest.LogCaptureFixture) -> None:
        block = full()
        console = Console(record=True, width=300, file=None, quiet=False, stderr=True)
        console.print(block, vars(block))
        with caplog.at_level(logging.INFO):
            logging.getLogger("x").info("using %s, %r", block, {"block": block})
        for shown in (console.export_text(), pretty_repr(block), caplog.text):
            assert not leaks(shown)

    def test_what_is_stored_shows_nothing(self, documents: BlockDocuments, storage: Any) -> None:
        full().save("all")
        stored = [bytes(storage.get(info.path)) for info in storage.list()]
        assert stored
        assert not leaks(b"".join(stored))

    def test_defaults_are_secrets_too(self) -> None:
        class WithDefault(Block):
            token: SecretStr = SECRET  # type: ignore[assignment]
            tokens: dict[str, SecretStr] = {"a": SECRET}  # type: ignore[dict-item]  # noqa: RUF012  pydantic copies it
            optional: SecretStr | None = Field(default=SecretStr(SECRET), examples=[SECRET])

        block = WithDefault()
        assert block.token.get_secret_value() == SECRET
        for shown in (repr(block), json.dumps(WithDefault.model_json_schema()), block.model_dump_json()):
            assert not leaks(shown)
        assert not leaks(json.dumps(TypeAdapter(WithDefault).json_schema()))
        assert not leaks(json.dumps(TypeAdapter(list[WithDefault]).json_schema()))

    def test_what_is_made_without_validation_is_masked_as_well(self, documents: BlockDocuments) -> None:
        made = VaultLike.model_construct(plain=SECRET, raw=SECRET_BYTES)
        copied = full().model_copy(update={"plain": SECRET, "raw": SECRET})
        for block in (made, copied):
            assert not leaks(repr(block))
            assert not leaks(block.model_dump_json())
        assert made.plain.get_secret_value() == SECRET
        assert copied.raw.get_secret_value() == SECRET.encode()

    def test_plain_values_in_containers_of_secrets_are_masked_too_and_become_secrets(self) -> None:
        wrong: Any = {
            "listed": [SECRET],
            "mapped": {"a": SECRET},
            "number": 1234567890,
            "inner": {"token": SECRET},
            "either": "open",
        }
        made = VaultLike.model_construct(plain=SECRET, raw=SECRET, **wrong)
        copied = full().model_copy(update=wrong)
        appended = full()
        appended.listed.append(SECRET)  # type: ignore[arg-type]
        appended.mapped["b"] = "env://TOKEN"  # type: ignore[assignment]
        for block in (made, copied, appended):
            assert not leaks(repr(block) + str(block))
            assert "1234567890" not in repr(block)
        assert "either='open'" in repr(copied)
        assert "SecretReference('env://TOKEN')" in repr(appended)
        for block in (made, copied):
            assert block.listed[0].get_secret_value() == SECRET
            assert block.mapped["a"].get_secret_value() == SECRET
        assert made.raw.get_secret_value() == SECRET.encode()

    def test_default_secrets_are_none_in_signatures_fields_and_help(self) -> None:
        class WithDefault(Block):
            token: SecretStr = SECRET  # type: ignore[assignment]
            tokens: dict[str, SecretStr] = {"a": SECRET}  # type: ignore[dict-item]  # noqa: RUF012  pydantic copies it
            pair: tuple[str, SecretStr] = Field(default=("seen", SECRET), examples=[("seen", SECRET)])  # type: ignore[arg-type]
            open: str | SecretStr = "seen"

        class Derived(WithDefault):
            more: int = 1

        for cls in (WithDefault, Derived):
            shown = f"{inspect.signature(cls)} {cls.model_fields} {pydoc.plain(pydoc.render_doc(cls))}"
            assert not leaks(shown + repr(cls.__pydantic_core_schema__))
            assert "seen" in shown
            block = cls()
            assert block.token.get_secret_value() == block.tokens["a"].get_secret_value() == SECRET
            assert block.pair[1].get_secret_value() == SECRET
            block.tokens.clear()
            assert cls().tokens, "each has a dict of its own"

    def test_a_plain_text_that_may_stand_beside_a_secret_stays_one(self) -> None:
        class Choosing(Block):
            literal: Literal["auto"] | SecretStr = "auto"
            constrained: Annotated[str, Field(max_length=9)] | SecretStr = "auto"
            kind: Kind | SecretStr = Kind.AUTO
            number: int | SecretStr = 5
            nested: list[Literal["auto"] | SecretStr] = ["auto"]  # noqa: RUF012  pydantic copies it
            none: SecretOf[int] | None = None

        expected = {"literal": "auto", "constrained": "auto", "kind": Kind.AUTO, "number": 5, "nested": ["auto"]}
        for block in (Choosing(), Choosing.model_construct(**expected), Choosing().model_copy(update=expected)):
            assert dict(block) == {**expected, "none": None}
            assert repr(block).count("auto") == 4
        assert not leaks(repr(Choosing.model_construct(number=SECRET)))  # type: ignore[arg-type]

    def test_a_default_that_is_a_reference_is_each_instances_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Referring(Block):
            token: SecretStr = "env://REFERRING"  # type: ignore[assignment]
            tokens: list[SecretStr] = ["env://REFERRING"]  # type: ignore[list-item]  # noqa: RUF012  pydantic copies it

        monkeypatch.setenv("REFERRING", SECRET)
        one, two = Referring(), Referring()
        assert one.token is not two.token
        assert one.tokens[0] is not two.tokens[0]
        assert one.token.get_secret_value() == one.tokens[0].get_secret_value() == SECRET

    def test_a_plain_text_that_is_assigned_becomes_a_secret(self) -> None:
        block = Secret(value="old")
        block.value = SECRET  # type: ignore[assignment]
        assert block.get() == SECRET
        assert not leaks(repr(block))

    def test_a_computed_connection_string_is_masked_in_prints(self) -> None:
        class Connection(Block):
            password: SecretStr

            @computed_field  # type: ignore[prop-decorator]
            @property
            def url(self) -> str:
                return f"db://user:{self.password.get_secret_value()}@host"

        connection = Connection(password="open-sesame")
        assert "open-sesame" in connection.url
        assert "open-sesame" not in repr(connection)
        assert f"url='{MASK}'" in str(connection)


class Strict(Block):
    name: str
    port: int = 0
    token: SecretStr = Field(default=SecretStr("x" * 12), min_length=12)
    choice: Inner | Pair | None = None
    open: Any = None
    echo: str = ""

    @field_validator("token")
    @classmethod
    def _tell_it(cls, token: SecretStr) -> SecretStr:  # noqa: C901  one case a way to tell
        text = token.get_secret_value()
        match text.partition(":")[0]:
            case "value":
                raise ValueError(f"bad token {text}")
            case "assert":
                raise AssertionError(f"bad token {text!r}")
            case "args":
                raise ValueError("bad", text)
            case "custom":
                raise PydanticCustomError("my_error", "bad {token}", {"token": text})
            case "context":
                raise PydanticCustomError("my_error", "bad token", {"token": text})
            case "known":
                raise PydanticKnownError("literal_error", {"expected": text})
            case "part":
                raise ValueError(f"it starts with {text[6:18]}")
            case "upper":
                raise ValueError(text.upper())
            case "hex":
                raise ValueError(text.encode().hex())
            case "crash":
                raise KeyError("no such token")
            case "harmless":
                raise ValueError("a token starts with tk_")
        return token

    @model_validator(mode="after")
    def _tell_all(self) -> "Strict":
        if self.name == "after":
            raise ValueError(f"{self.token.get_secret_value()} is not for {self.name}")
        return self


LONG = "s3cr3t-Value:hunter2hunter2"
SHORT = "tiny-s3cr"


def bad_inputs() -> dict[str, Callable[[], object]]:
    return {
        "a wrong type": lambda: Strict(name="n", token=[LONG]),
        "a wrong type inside": lambda: Strict(name="n", token={"a": {"b": LONG}}),
        "too short": lambda: Strict(name="n", token=SHORT),
        "another field missing": lambda: Strict(token=LONG),  # type: ignore[call-arg]
        "another field wrong": lambda: Strict(name=5, token=LONG),
        "a misspelt name": lambda: Strict(name="n", tokn=LONG),  # type: ignore[call-arg]
        "a wrong union": lambda: Strict(name="n", choice={"tokn": LONG}),
        "a wrong place": lambda: Strict(name="n", port=LONG),
        "a whole wrong value": lambda: Strict.model_validate(LONG),
        "a whole wrong list": lambda: Strict.model_validate([LONG]),
        "bad JSON": lambda: Strict.model_validate_json(json.dumps({"name": 1, "token": LONG})),
        "broken JSON": lambda: Strict.model_validate_json('{"token": "' + LONG + '"'),
        "strings": lambda: Strict.model_validate_strings({"name": "n", "port": LONG, "token": LONG}),
        "an adapter": lambda: TypeAdapter(list[Strict]).validate_python([{"token": LONG}]),
        "inside another block": lambda: Outer(strict={"token": LONG}),
        "from a validator of the model": lambda: Strict(name="after", token=LONG),
        "on assignment": lambda: setattr(Strict(name="n"), "token", [LONG]),
        "from a validator on assignment": lambda: setattr(Strict(name="n"), "token", f"value:{LONG}"),
        "from a validator that crashes on assignment": lambda: setattr(Strict(name="n"), "token", f"crash:{LONG}"),
        "a misspelt assignment": lambda: setattr(Strict(name="n"), "tokn", LONG),
        **{
            f"from a validator ({kind})": (lambda kind=kind: Strict(name="n", token=f"{kind}:{LONG}"))
            for kind in ("value", "assert", "args", "custom", "context", "known", "part", "upper", "hex", "crash")
        },
    }


class Outer(Block):
    strict: Strict


class TestValidationErrors:
    @pytest.mark.parametrize("what", bad_inputs())
    def test_no_error_shows_what_was_given(self, what: str) -> None:
        with pytest.raises((ValidationError, KeyError, ValueError)) as caught:
            bad_inputs()[what]()
        error = caught.value
        shown = our_frames(error) + "".join(traceback.format_exception(error))
        if isinstance(error, ValidationError) and what != "broken JSON":
            shown += repr(error.errors()) + error.json() + str(error.errors(include_input=True, include_context=True))
            shown += repr([each.get("ctx") for each in error.errors()])
            for each in error.errors():
                raised = each.get("ctx", {}).get("error")
                assert getattr(raised, "__traceback__", None) is None, "a traceback has the locals of the validator"
        assert not leaks(shown.casefold(), LONG.casefold(), SHORT)

    @pytest.mark.parametrize(
        "call",
        [
            lambda: Strict.model_validate({"name": "n", "token": [LONG]}),
            lambda: Strict.model_validate_json(json.dumps({"name": "n", "token": [LONG]})),
            lambda: Strict.model_validate_json(json.dumps({"name": "n", "token": LONG})[:-1]),
            lambda: Strict.model_validate_strings({"name": "n", "token": {"a": LONG}}),
        ],
        ids=["python", "json", "broken json", "strings"],
    )
    def test_no_frame_of_ours_or_of_pydantic_keeps_the_input(self, call: Callable[[], object]) -> None:
        with pytest.raises(ValidationError) as caught:
            call()
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert not leaks(shown + repr(caught.value.errors()) + caught.value.json(), LONG)

    def test_what_is_harmless_is_still_said(self) -> None:
        with pytest.raises(ValidationError, match="a token starts with tk_") as caught:
            Strict(name=1, token="harmless:" + LONG)
        name, token = caught.value.errors()
        assert (name["loc"], name["type"], name["input"]) == (("name",), "string_type", MASK)
        assert (token["loc"], token["type"]) == (("token",), "value_error")
        assert isinstance(token["ctx"]["error"], ValueError)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert caught.value.title == "Strict"

    def test_a_custom_error_keeps_its_type(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Strict(name="n", token="custom:" + LONG)
        assert caught.value.errors()[0]["type"] == "my_error"

    def test_the_place_inside_another_model_is_kept(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Outer(strict={"name": "n", "port": "x"})
        assert caught.value.errors()[0]["loc"] == ("strict", "port")

    def test_a_secret_that_is_a_key_does_not_show_in_the_place(self) -> None:
        class Keyed(Block):
            tokens: dict[SecretStr, int]

        with pytest.raises(ValidationError) as caught:
            Keyed(tokens={LONG: "no number"})
        assert not leaks(our_frames(caught.value) + repr(caught.value.errors()), LONG)

    def test_validators_that_crash_go_through_as_they_are(self) -> None:
        with pytest.raises(KeyError, match="no such token"):
            Strict(name="n", token="crash:" + LONG)

    @pytest.mark.parametrize("secret", ["a", "ab", "1", "to", ""])
    def test_very_short_secrets_do_not_silence_every_message(self, secret: str) -> None:
        assert not shows("a token starts with tk_", [secret])
        assert not secret or shows(f"bad value {secret!r}", [secret])


class Child(Block):
    strict: Strict


class TestMasks:
    def test_asterisks_that_stand_for_nothing_are_saved(self, documents: BlockDocuments) -> None:
        Strict(name=MASK).save("stars")
        assert Strict.load("stars").name == MASK
        Secret(value="*").save("short")
        Secret(value="").save("empty")
        assert Secret.load("empty").get() == ""


class Session(Block):
    url: str = ""
    _token: Any = None


class TestPickles:
    def test_a_pickle_opens_where_the_ring_is(self, documents: BlockDocuments) -> None:
        block = full()
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(block, protocol)) == block
        again = pickle.loads(cloudpickle.dumps({"x": [block]}))["x"][0]
        assert again == block
        assert again.model_fields_set == block.model_fields_set

    def test_private_attributes_travel_sealed(self, documents: BlockDocuments) -> None:
        session = Session()
        session._token = SecretStr(SECRET)
        assert not leaks(repr(cloudpickle.dumps(session)))
        state = session.__reduce_ex__(5)
        assert state[0](*state[1])._token.get_secret_value() == SECRET

    def test_a_pickle_does_not_open_under_another_ring_or_altered(
        self, documents: BlockDocuments, storage: Any
    ) -> None:
        function, (cls, sealed) = Secret(value=SECRET).__reduce_ex__(5)
        stranger = Keyring.generate()
        with use_documents(BlockDocuments(documents.store, lambda: stranger)), pytest.raises(UnknownKeyError):
            function(cls, sealed)
        with pytest.raises(IntegrityError):
            function(JSON, sealed)
        for position in range(0, len(sealed), 7):
            with pytest.raises((IntegrityError, UnknownKeyError)):
                function(cls, sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :])

    def test_a_block_without_secrets_pickles_plainly_and_needs_no_ring(self) -> None:
        block = JSON(value={"a": [1, 2]})
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(block, protocol)
            assert b"_open_pickle" not in data
            assert pickle.loads(data) == block

    def test_a_saved_block_still_is_one_after_a_pickle(self, documents: BlockDocuments) -> None:
        inner = Secret(value=SECRET)
        inner.save("inner")
        VaultLike(plain="x", raw=b"x", nested=pickle.loads(pickle.dumps(inner))).save("outer")
        Secret(value="changed").save("inner", overwrite=True)
        nested = VaultLike.load("outer").nested
        assert nested is not None
        assert nested.get() == "changed", "it was kept as a reference"


class TestFailuresWhileSavingAndLoading:
    def failures(self, documents: BlockDocuments) -> Iterator[Callable[[], object]]:
        class Thing:
            pass

        block = full()
        block.save("there")
        yield lambda: block.save("there")
        yield lambda: block.save("../there")
        yield lambda: JSON(value=[SecretStr(SECRET), Thing()]).save("json")
        yield lambda: VaultLike(
            plain=SECRET, raw=b"", anything={"a": SecretStr(SECRET), "b": Stranger(token=SECRET)}
        ).save("any")
        yield lambda: VaultLike(plain=SECRET, raw=b"", listed=[MASK, SECRET]).save("mask")
        loop: list[Any] = [SecretStr(SECRET)]
        loop.append(loop)
        yield lambda: JSON(value=loop).save("loop")
        yield lambda: JSON(value=loop).__entrepot_key__()
        yield lambda: Secret.load("there")
        yield lambda: VaultLike.load("ther")

    def test_none_shows_a_secret_in_message_chain_or_locals(self, documents: BlockDocuments) -> None:
        for fail in self.failures(documents):
            with pytest.raises(EntrepotError) as caught:
                fail()
            assert not leaks(our_frames(caught.value))

    def test_a_store_that_fails_gets_and_shows_ciphertext_only(self, ring: Keyring) -> None:
        class Full(MemoryStorage):
            def create(self, path: str, data: Any) -> None:
                raise StorageFullError("no space", location="here")

        with (
            use_documents(BlockDocuments(StorageDocumentStore(Full()), lambda: ring)),
            pytest.raises(StorageFullError) as caught,
        ):
            full().save("x")
        assert not leaks(our_frames(caught.value))

    def test_what_no_longer_fits_is_reported_without_values(self, documents: BlockDocuments) -> None:
        def define(annotation: Any) -> type[Block]:
            class Drifting(Block):
                token: annotation
                other: str = "x"

            return Drifting

        define(SecretStr)(token=SECRET, other=SECRET).save("d")
        with pytest.raises(EntrepotError) as caught:
            define(int).load("d")
        assert "token" in str(caught.value)
        assert not leaks(our_frames(caught.value))

    def test_a_body_that_is_malformed_is_not_quoted(
        self, documents: BlockDocuments, storage: Any, ring: Keyring
    ) -> None:
        body = json.dumps({"fields": {"value": {"$type": "datetime", "value": SECRET}}}).encode()
        sealed = seal(ring, body, place={"type": "json", "name": "x", "version": 1})
        storage.put("json/x/00000001.json", sealed)
        with pytest.raises(SerializationError, match="datetime") as caught:
            JSON.load("x")
        assert not leaks(our_frames(caught.value))

    def test_a_validator_that_crashes_on_load_is_named_and_not_quoted(self, documents: BlockDocuments) -> None:
        crash = False

        class Moody(Block):
            token: SecretStr

            @field_validator("token")
            @classmethod
            def _crash(cls, token: SecretStr) -> SecretStr:
                if crash:
                    raise KeyError(token.get_secret_value())
                return token

        Moody(token=SECRET).save("m")
        crash = True
        with pytest.raises(EntrepotError, match=r"KeyError in .*test_secrets\.py:\d+") as caught:
            Moody.load("m")
        assert not leaks(our_frames(caught.value))

    def test_a_secret_that_cannot_be_read_is_an_error_of_ours(self, documents: BlockDocuments) -> None:
        class Broken(SecretStr):
            def get_secret_value(self) -> str:
                raise OSError(f"the agent that has {SECRET} is locked")

        with pytest.raises(SerializationError, match=r"OSError in .*test_secrets\.py") as caught:
            JSON(value=[SecretStr(SECRET), Broken("x")]).save("x")
        assert not leaks(our_frames(caught.value))

    def test_a_block_that_would_not_come_back_is_refused_without_values(self, documents: BlockDocuments) -> None:
        class Growing(Block):
            token: SecretStr
            path: str

            @field_validator("path")
            @classmethod
            def _grow(cls, path: str) -> str:
                return path + "/"

        with pytest.raises(SerializationError, match="path") as caught:
            Growing(token=SECRET, path="a").save("g")
        assert not leaks(our_frames(caught.value))


class TestCacheKeys:
    def test_the_same_fields_have_the_same_identity(self, documents: BlockDocuments) -> None:
        assert full().__entrepot_key__() == full().__entrepot_key__()
        assert full().__entrepot_key__()[0] == "vault-like"
        changed = full()
        changed.plain = "another"  # type: ignore[assignment]
        assert changed.__entrepot_key__() != full().__entrepot_key__()

    def test_it_cannot_be_guessed_without_the_ring(self, documents: BlockDocuments) -> None:
        stranger = Keyring.generate()
        mine = Secret(value="1234").__entrepot_key__()
        with use_documents(BlockDocuments(documents.store, lambda: stranger)):
            assert Secret(value="1234").__entrepot_key__() != mine

    def test_a_saved_block_is_what_it_holds_not_where_it_lies(self, documents: BlockDocuments) -> None:
        inner = Secret(value="1")
        before = VaultLike(plain="x", raw=b"", nested=inner).__entrepot_key__()
        inner.save("inner")
        assert VaultLike(plain="x", raw=b"", nested=inner).__entrepot_key__() == before
        assert VaultLike(plain="x", raw=b"", nested=Secret.load("inner")).__entrepot_key__() == before

    def test_without_secrets_no_ring_is_needed(self) -> None:
        assert JSON(value=[1]).__entrepot_key__() == ("json", {"fields": {"value": [1]}})

    def test_it_works_as_an_input_of_the_value_hash(self, documents: BlockDocuments) -> None:
        assert hash_value(full()) == hash_value(full())
        assert hash_value(Secret(value="a")) != hash_value(Secret(value="b"))


class TestEquality:
    def test_blocks_are_equal_if_their_fields_are(self, documents: BlockDocuments) -> None:
        assert full() == full()
        assert Secret(value="a") != Secret(value="b")
        saved = Secret(value="a")
        saved.save("a")
        assert saved == Secret(value="a") == Secret.load("a")
        assert copy.deepcopy(saved) == saved
        assert Secret(value="a") != JSON(value="a")
