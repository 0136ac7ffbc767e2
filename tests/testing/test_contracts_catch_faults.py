"""Each contract, against implementations with one fault each: the test that is there for it fails."""

import contextlib
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, SecretStr, ValidationError

from entrepot.blocks import Block
from entrepot.errors import BlockExistsError, SecretReferenceError, SerializationError
from entrepot.testing import BlockContract, HasherContract, SecretSourceContract, SerializerContract

pytestmark = pytest.mark.one_python


def failing(contract: type, **methods: Any) -> dict[str, Exception]:
    """Return the tests of a contract that fail for something, with their errors."""
    subject = type("Subject", (contract,), methods)()
    failed: dict[str, Exception] = {}
    for name in dir(subject):
        if name.startswith("test_"):
            try:
                getattr(subject, name)()
            except Exception as error:  # noqa: BLE001  as pytest has it: whatever is raised fails a test
                failed[name.removeprefix("test_")] = error
    return failed


# --- serializers --------------------------------------------------------------------------------------------------


class Lines:
    """A serializer that is right."""

    name = extension = "lines"
    is_text, reads_code = True, False

    def dumps(self, value: Any) -> Sequence[Any]:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError) as error:
            raise self.refusal(error) from None
        return [text.encode()]

    def loads(self, data: memoryview) -> Any:
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise self.refusal(error) from None

    def accepts(self, value: object) -> bool:
        try:
            return json.loads(json.dumps(value)) == value
        except (TypeError, ValueError, RecursionError):
            return False

    def refusal(self, error: Exception) -> SerializationError:
        return SerializationError(str(error), serializer=self.name, path="value")


class Rounding(Lines):
    def loads(self, data: memoryview) -> Any:
        found = super().loads(data)
        return int(found) if isinstance(found, float) else found


class Confusing(Lines):
    def loads(self, data: memoryview) -> Any:
        found = super().loads(data)
        return 1 if found is True else found


class InText(Lines):
    def dumps(self, value: Any) -> Any:
        return [json.dumps(value)] if value is None else super().dumps(value)


class Shouting(Lines):
    name = "Lines!"


class WithoutAName(Lines):
    extension = "../etc"


class NoText(Lines):
    def dumps(self, value: Any) -> Any:
        return [b"".join(super().dumps(value)).decode().encode("utf-16")]

    def loads(self, data: memoryview) -> Any:
        try:
            return super().loads(memoryview(bytes(data).decode("utf-16").encode()))
        except UnicodeError as error:
            raise self.refusal(error) from None


class TakesAll(Lines):
    def dumps(self, value: Any) -> Any:
        return [json.dumps(value, default=repr).encode()]


class Nameless(Lines):
    def refusal(self, error: Exception) -> SerializationError:
        return SerializationError(str(error), serializer="another", path="value")


class Pathless(Lines):
    def refusal(self, error: Exception) -> SerializationError:
        return SerializationError(str(error), serializer=self.name, path="")


class Raw(Lines):
    def loads(self, data: memoryview) -> Any:
        return json.loads(bytes(data))


class Framed(Lines):
    """Trusts the bytes that say how long it is."""

    def dumps(self, value: Any) -> Any:
        text = b"".join(super().dumps(value))
        return [b"%08d" % len(text), text]

    def loads(self, data: memoryview) -> Any:
        if len(data) < 8 or not bytes(data[:8]).isdigit():
            raise self.refusal(ValueError("no frame"))
        return [super().loads(data[8:])][8 + int(bytes(data[:8])) - len(data)]


class Boasting(Lines):
    def accepts(self, value: object) -> bool:
        return True


class Bound(Lines):
    def __init__(self) -> None:
        self.held = lambda: None


class Forgetful(Lines):
    def __init__(self) -> None:
        self.name = "lines"

    def __reduce__(self) -> Any:
        return Renamed, ()


class Renamed(Lines):
    name = "renamed"


class Shared(Lines):
    """Puts what it reads where other threads put theirs."""

    first: ClassVar = threading.Lock()
    other: ClassVar = threading.Event()

    def loads(self, data: memoryview) -> Any:
        self.found = super().loads(data)
        if threading.current_thread() is not threading.main_thread():
            if self.first.acquire(blocking=False):
                self.other.wait(30)  # for another thread, which has put its own there then
            else:
                self.other.set()
        return self.found


class Consuming(Lines):
    def dumps(self, value: Any) -> Any:
        written = super().dumps(value)
        if isinstance(value, list):
            value.clear()
        return written


SERIALIZERS = [
    (Rounding, "every_value_comes_back_as_it_was"),
    (Confusing, "every_value_comes_back_as_it_was"),
    (Consuming, "writing_changes_nothing_of_the_value"),
    (InText, "what_is_written_is_made_of_buffers"),
    (Shouting, "its_attributes_are_usable"),
    (WithoutAName, "its_attributes_are_usable"),
    (NoText, "text_is_utf8"),
    (TakesAll, "what_cannot_be_written_is_refused_with_our_error"),
    (Nameless, "what_cannot_be_written_is_refused_with_our_error"),
    (Pathless, "what_cannot_be_written_is_refused_with_our_error"),
    (Raw, "foreign_bytes_give_a_value_or_our_error"),
    (Raw, "short_bytes_give_a_value_or_our_error"),
    (Framed, "altered_bytes_give_a_value_or_our_error"),
    (Boasting, "it_says_truly_what_it_accepts"),
    (Bound, "it_can_be_pickled"),
    (Forgetful, "it_can_be_pickled"),
    (Shared, "threads_can_share_it"),
]


def test_a_serializer_that_is_right_meets_the_contract() -> None:
    assert failing(SerializerContract, make_serializer=lambda _: Lines()) == {}


@pytest.mark.parametrize(("wrong", "test"), SERIALIZERS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_contract_of_serializers_catches(wrong: type, test: str) -> None:
    assert test in failing(SerializerContract, make_serializer=lambda _: wrong())


def test_the_contract_of_serializers_catches_a_value_that_needs_the_callers_memory() -> None:
    class Borrowing(Lines):
        def loads(self, data: memoryview) -> Any:
            return Borrowed(data, super().loads(data))

    class Borrowed:
        def __init__(self, data: memoryview, value: object) -> None:
            self.data, self.value = weakref.ref(data), value

    def same(_: object, value: object, back: Any) -> bool:
        return back.data() is not None and value == back.value

    assert "reading_leaves_no_need_for_the_caller_to_keep_the_memory" in failing(
        SerializerContract, make_serializer=lambda _: Borrowing(), same=same
    )


# --- blocks -------------------------------------------------------------------------------------------------------


class Account(Block):
    """An account: one that is right."""

    _block_type_slug: ClassVar[str] = "faulty-account"
    url: str = "https://example.com"
    token: SecretStr = SecretStr("")
    count: int = 0


class LeakyDump(Account):
    """Shows its secret in what it dumps."""

    _block_type_slug: ClassVar[str] = "faulty-leaky-dump"

    def model_dump_json(self, **options: Any) -> str:
        return self.token.get_secret_value()


class LeakyFormat(Account):
    """Shows its secret in a format."""

    _block_type_slug: ClassVar[str] = "faulty-leaky-format"

    def __format__(self, spec: str) -> str:
        return self.token.get_secret_value()


class LeakySchema(Account):
    """Has a secret as an example in its schema."""

    _block_type_slug: ClassVar[str] = "faulty-leaky-schema"
    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "correct-horse"}]})


class LeakyPickle(Account):
    """Has its secret in its pickle."""

    _block_type_slug: ClassVar[str] = "faulty-leaky-pickle"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _account, (self.token.get_secret_value(),)


def _account(token: str) -> LeakyPickle:
    return LeakyPickle(token=SecretStr(token))


class InPlainText(Account):
    """Takes a password for any text."""

    _block_type_slug: ClassVar[str] = "faulty-in-plain-text"
    database_password: str = "correct-horse"


class Undescribed(Block):
    _block_type_slug: ClassVar[str] = "faulty-undescribed"


class Swallowing(Account):
    """Drops what it does not know."""

    _block_type_slug: ClassVar[str] = "faulty-swallowing"
    model_config = ConfigDict(extra="ignore")


class Blurting(Account):
    """Shows what it was given in its errors."""

    _block_type_slug: ClassVar[str] = "faulty-blurting"
    model_config = ConfigDict(hide_input_in_errors=False)

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            if name not in type(self).model_fields:
                raise ValidationError.from_exception_data(
                    "Blurting", [{"type": "extra_forbidden", "loc": (name,), "input": value}]
                )
        super().__init__(**fields)


class Changing(Account):
    """Is not what was saved."""

    _block_type_slug: ClassVar[str] = "faulty-changing"

    @classmethod
    def load(cls, name: str, **options: Any) -> Any:
        return super().load(name, **options).model_copy(update={"count": 99})


class Once(Account):
    """Is saved once, whatever comes then."""

    _block_type_slug: ClassVar[str] = "faulty-once"

    def save(self, name: str, **options: Any) -> Any:
        options["overwrite"] = False
        with contextlib.suppress(BlockExistsError):
            self.__dict__["_first"] = super().save(name, **options)
        return self.__dict__["_first"]


class Uncopied(Account):
    """Loses a field in a copy."""

    _block_type_slug: ClassVar[str] = "faulty-uncopied"

    def __deepcopy__(self, memo: Any = None) -> Any:
        return type(self)(url="lost")


BLOCKS: list[tuple[type[Block], str]] = [
    (LeakyDump, "its_secrets_show_nowhere"),
    (LeakyFormat, "its_secrets_show_nowhere"),
    (LeakySchema, "its_secrets_show_nowhere"),
    (LeakyPickle, "its_secrets_show_nowhere"),
    (InPlainText, "what_sounds_like_a_secret_is_kept_as_one"),
    (Undescribed, "it_tells_people_what_it_is_for"),
    (Swallowing, "a_misspelt_field_is_refused_without_its_value"),
    (Blurting, "a_misspelt_field_is_refused_without_its_value"),
    (Changing, "it_comes_back_as_it_was_saved"),
    (Once, "each_save_is_a_new_version"),
    (Uncopied, "it_can_be_copied_and_sent_to_a_process_that_has_the_keys"),
]


def made(cls: type[Block]) -> Block:
    return cls(**({"token": SecretStr("correct-horse")} if "token" in cls.model_fields else {}))


def test_a_block_that_is_right_meets_the_contract() -> None:
    assert failing(BlockContract, make_block=lambda _: made(Account)) == {}


@pytest.mark.parametrize(("wrong", "test"), BLOCKS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_contract_of_blocks_catches(wrong: type[Block], test: str) -> None:
    assert test in failing(BlockContract, make_block=lambda _: made(wrong))


def test_the_contract_of_blocks_catches_a_slug_of_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Account, "get_block_type_slug", classmethod(lambda cls: "secret"))
    assert "its_slug_leads_to_its_class" in failing(BlockContract, make_block=lambda _: made(Account))


# --- hashers ------------------------------------------------------------------------------------------------------


class Box:
    def __init__(self, *content: str) -> None:
        self.content = set(content)


class _Boxes(HasherContract):
    def make_values(self) -> Sequence[Any]:
        return [Box(*"abcdefghijklm"), Box(*"nopqrstuvwxyz")]  # many: few have the same order under two seeds at times


class Sorted(_Boxes):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: sorted(box.content)


class Seeded(_Boxes):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: [hash(letter) for letter in sorted(box.content)]


class Unordered(_Boxes):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: "".join(box.content)


class Itself(_Boxes):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: box


class Emptying(_Boxes):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: sorted(box.content.pop() for _ in range(len(box.content)))


class Single(Sorted):
    def make_values(self) -> Sequence[Any]:
        return [Box("a")]


HASHERS: list[tuple[type[HasherContract], str]] = [
    (Seeded, "another_process_has_the_same_keys"),
    (Unordered, "another_process_has_the_same_keys"),
    (Itself, "what_it_returns_can_be_hashed"),
    (Emptying, "asking_changes_nothing"),
    (Single, "different_values_are_told_apart"),
]


def test_a_hasher_that_is_right_meets_the_contract() -> None:
    assert failing(Sorted) == {}


@pytest.mark.parametrize(("wrong", "test"), HASHERS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_contract_of_hashers_catches(wrong: type[HasherContract], test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(wrong(), f"test_{test}")()


# --- sources of secrets -------------------------------------------------------------------------------------------


class Source:
    """One that is right."""

    kept: ClassVar[Mapping[str, str | bytes]] = {"prod/db": "correct-horse", "prod/key": b"battery-staple"}

    def get(self, rest: str) -> str | bytes:
        if rest in self.kept:
            return self.kept[rest]
        raise SecretReferenceError(f"there is no secret {rest!r}; write acme://prod/NAME", reference=rest)


class Empty(Source):
    def get(self, rest: str) -> str | bytes:
        return self.kept.get(rest, "")


class Native(Source):
    def get(self, rest: str) -> str | bytes:
        return self.kept[rest]


class Typed(Source):
    def get(self, rest: str) -> str | bytes:
        found = super().get(rest)
        return found if isinstance(found, str) else found.decode()


class Trimming(Source):
    def get(self, rest: str) -> str | bytes:
        return super().get(rest)[:-1]


class UsedUp(Source):
    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, rest: str) -> str | bytes:
        if rest in self.asked:
            raise SecretReferenceError("it was given already", reference=rest)
        self.asked.add(rest)
        return super().get(rest)


class Remembering(Source):
    def __init__(self) -> None:
        self.given: list[str | bytes] = []

    def get(self, rest: str) -> str | bytes:
        self.given.append(super().get(rest))
        return self.given[-1]

    def __repr__(self) -> str:
        return f"Remembering({self.given})"


class Telling(Source):
    def get(self, rest: str) -> str | bytes:
        if rest in self.kept:
            return self.kept[rest]
        raise SecretReferenceError(f"no {rest!r} in {dict(self.kept)}", reference=rest)


class Mute(Source):
    def get(self, rest: str) -> str | bytes:
        if rest in self.kept:
            return self.kept[rest]
        raise SecretReferenceError("", reference=rest)


class _Sources(SecretSourceContract):
    make_source = lambda self: Source()  # noqa: E731  replaced by each

    def known(self) -> Mapping[str, str | bytes]:
        return dict(Source.kept)

    def unknown(self) -> Sequence[str]:
        return ["prod/none"]

    def malformed(self) -> Sequence[str]:
        return ["", "//"]


SOURCES = [
    (Empty, "what_is_not_there_is_an_error"),
    (Empty, "what_is_malformed_is_an_error"),
    (Native, "what_is_not_there_is_an_error"),
    (Typed, "a_secret_is_given_as_it_is"),
    (Trimming, "a_secret_is_given_as_it_is"),
    (UsedUp, "a_secret_is_given_as_it_is"),
    (Remembering, "it_does_not_show_what_it_gave"),
    (Telling, "what_is_not_there_is_an_error"),
    (Mute, "what_is_malformed_is_an_error"),
    (object, "it_is_a_source"),
]


def test_a_source_that_is_right_meets_the_contract() -> None:
    assert failing(_Sources) == {}


@pytest.mark.parametrize(("wrong", "test"), SOURCES, ids=lambda each: getattr(each, "__name__", ""))
def test_the_contract_of_sources_of_secrets_catches(wrong: type, test: str) -> None:
    assert test in failing(_Sources, make_source=lambda _: wrong())


def test_every_test_of_these_contracts_catches_something() -> None:
    for contract, caught in (
        (
            SerializerContract,
            {test for _, test in SERIALIZERS} | {"reading_leaves_no_need_for_the_caller_to_keep_the_memory"},
        ),
        (BlockContract, {test for _, test in BLOCKS} | {"its_slug_leads_to_its_class", *BY_OTHERS}),
        (HasherContract, {test for _, test in HASHERS} | {"equal_values_are_one"}),  # test_testing_contracts.py
        (SecretSourceContract, {test for _, test in SOURCES}),
    ):
        assert {name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")} == caught


BY_OTHERS = ("two_equal_ones_are_made", "it_counts_by_its_fields_in_cache_keys")  # test_testing_contracts.py
