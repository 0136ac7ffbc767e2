"""What is saved comes back: the same values, of the same types."""

import enum
import math
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasPath,
    AnyUrl,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    PostgresDsn,
    RootModel,
    SecretBytes,
    SecretStr,
)
from pydantic import Secret as SecretOf
from typing_extensions import TypeAliasType, TypedDict

from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.crypto.keyring import Keyring
from entrepot.storage import MemoryStorage

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Weight(enum.IntEnum):
    LIGHT = 1
    HEAVY = 2


class Mood(enum.StrEnum):
    GOOD = "good"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Left(BaseModel):
    value: int
    token: SecretStr | None = None


class Right(BaseModel):
    value: int
    token: SecretStr | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class Aliased(BaseModel):
    inner: int = Field(alias="outer")


class Rooted(RootModel[list[SecretStr]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    secret: SecretStr


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    secret: SecretStr


@dataclass
class Plain:
    token: SecretStr
    number: int = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    token: SecretStr
    derived: int = field(init=False, default=3)


class Point(NamedTuple):
    x: int
    secret: SecretStr


class Typed(TypedDict):
    name: str
    token: SecretStr


Sides = TypeAliasType("Sides", Left | Right)


class LoudSecret(SecretStr):
    pass


class SecretDate(SecretOf[date]):
    def _display(self) -> str:
        return "****-**-**"


class Loose(Block):
    model_config = ConfigDict(extra="allow")


class Carrier(Block):
    pass


class Sided(Carrier):
    """Its own annotations, not those of the class that it is in, say what `side` can be."""

    side: Left | Right


class Everything(Block):
    value: Any = None
    values: dict[str, Any] = Field(default_factory=dict)
    either: str | SecretStr | bytes | SecretBytes | int | None = None
    many: list[str | SecretStr] = Field(default_factory=list)
    when: datetime | date | time | timedelta | None = None
    number: Decimal | Fraction | complex | UUID | Path | None = None
    sets: set[int] | frozenset[str] | tuple[int, ...] | None = None
    ordered: OrderedDict[str, int] | None = None
    queue: deque[int] | None = None
    factory: defaultdict[str, list[int]] | None = None
    by_number: dict[int, SecretStr] = Field(default_factory=dict)
    by_secret: dict[SecretStr, int] = Field(default_factory=dict)
    colour: Colour | Weight | Mood | None = None
    rights: Rights | None = None
    side: Sides | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    opened: Open | None = None
    aliased: Aliased | None = None
    rooted: Rooted | None = None
    box: Box[int] | Box[SecretStr] | None = None
    plain: Plain | Frozen | None = None
    points: list[Point] = Field(default_factory=list)
    typed: Typed | None = None
    url: HttpUrl | AnyUrl | None = None
    dsn: PostgresDsn | None = None
    address: IPv4Address | IPv6Network | None = None
    pattern: re.Pattern[str] | None = None
    size: ByteSize | None = None
    loud: LoudSecret | str | None = None
    secret_number: SecretOf[int] | None = None
    secret_date: SecretDate | None = None
    secret_list: SecretOf[list[int]] | None = None
    limited: SecretStr = Field(default=SecretStr("default"), min_length=3, alias="other_name")
    hidden: SecretStr = Field(default=SecretStr("default"), exclude=True, repr=False)
    path_alias: int = Field(default=0, validation_alias=AliasPath("deep", "down"))
    inner: "Everything | None" = None
    carrier: Carrier | None = None


RING = Keyring.generate()


def round_trip(block: Block) -> Block:
    with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: RING)):
        block.save("x")
        return type(block).load("x")


def same(one: Any, other: Any) -> bool:  # noqa: PLR0911  one case a kind of value
    """Return whether two values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if hasattr(one, "get_secret_value"):
        return same(one.get_secret_value(), other.get_secret_value())
    if isinstance(one, BaseModel):
        return same(dict(one), dict(other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, c) and same(b, d) for (a, b), (c, d) in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, Plain | Frozen):
        return same(
            [getattr(one, name) for name in one.__dataclass_fields__],
            [getattr(other, name) for name in one.__dataclass_fields__],
        )
    return bool(one == other)


EXAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "text in a union with a secret": lambda: {"either": "open"},
    "a secret in a union with text": lambda: {"either": SecretStr("closed")},
    "secret bytes in a union": lambda: {"either": SecretBytes(b"\xff\x00")},
    "bytes in a union": lambda: {"either": b"\xff\x00"},
    "both in a list": lambda: {"many": ["a", SecretStr("b"), "c"]},
    "secrets in Any": lambda: {"value": [{"a": (SecretStr("x"), {SecretStr("y")})}, SecretBytes(b"z")]},
    "secrets as values by number": lambda: {"by_number": {1: "a", 2: "b"}},
    "secrets as keys": lambda: {"by_secret": {SecretStr("k"): 1}},
    "a date": lambda: {"when": date(2025, 1, 2)},
    "a datetime": lambda: {"when": datetime(2025, 1, 2, 3, 4, 5, 6)},  # noqa: DTZ001  naive on purpose
    "a duration": lambda: {"when": timedelta(days=-1, microseconds=3)},
    "a decimal": lambda: {"number": Decimal("1.10")},
    "a fraction": lambda: {"number": Fraction(1, 3)},
    "a path": lambda: {"number": Path("a/b")},
    "an empty frozenset": lambda: {"sets": frozenset()},
    "an ordered dict": lambda: {"ordered": OrderedDict(b=1, a=2)},
    "a queue": lambda: {"queue": deque([1, 2])},
    "a dict with a factory": lambda: {"factory": {"a": [1]}},
    "an enum": lambda: {"colour": Colour.BLUE},
    "an enum of ints": lambda: {"colour": Weight.HEAVY},
    "an enum of texts": lambda: {"colour": Mood.GOOD},
    "a flag": lambda: {"rights": Rights.READ | Rights.WRITE},
    "an enum in Any": lambda: {"value": [Colour.RED, Weight.LIGHT]},
    "the left of two like models": lambda: {"side": Left(value=1, token="x")},
    "the right of two like models": lambda: {"side": Right(value=1, token="x")},
    "a model in Any that another field names": lambda: {"value": {"m": Right(value=1, token="x")}},
    "a tagged union": lambda: {"pet": Dog(secret="woof")},
    "a model with more fields": lambda: {"opened": Open(known=1, extra=SecretStr("x"), **{"$type": 3})},
    "a model with aliases": lambda: {"aliased": Aliased(outer=3)},
    "a root model": lambda: {"rooted": Rooted(["a", "b"])},
    "a generic model": lambda: {"box": Box[SecretStr](content="x")},
    "a dataclass": lambda: {"plain": Plain(SecretStr("x"), 3)},
    "a frozen dataclass": lambda: {"plain": Frozen(SecretStr("x"))},
    "named tuples": lambda: {"points": [Point(1, SecretStr("x"))]},
    "a typed dict": lambda: {"typed": {"name": "n", "token": "t"}},
    "a web address": lambda: {"url": "https://user:pw@example.com/a?b=c"},
    "another address": lambda: {"url": "ftp://example.com"},
    "a data source name": lambda: {"dsn": "postgres://user:pass@localhost:5432/foobar"},
    "an IP address": lambda: {"address": IPv4Address("127.0.0.1")},
    "an IP network": lambda: {"address": IPv6Network("::/8")},
    "a pattern": lambda: {"pattern": "a+b"},
    "a size": lambda: {"size": "3MB"},
    "a secret of a class of its own": lambda: {"loud": LoudSecret("x")},
    "text beside it": lambda: {"loud": "x"},
    "a secret number": lambda: {"secret_number": 5},
    "a secret date": lambda: {"secret_date": SecretDate(date(2025, 1, 1))},
    "a secret list": lambda: {"secret_list": [1, 2]},
    "a field with an alias": lambda: {"other_name": "abcdef"},
    "a field that dumps leave out": lambda: {"hidden": "abcdef"},
    "a field with an alias path": lambda: {"deep": {"down": 7}},
    "a block of the same class inside": lambda: {"inner": {"inner": {"value": SecretStr("x")}}},
    "a block of a derived class inside": lambda: {"carrier": Sided(side=Right(value=1))},
    "a tag-like dict": lambda: {"value": {"$type": "secret-str", "value": "x"}},
}


@pytest.mark.parametrize("what", EXAMPLES)
def test_it_comes_back_as_it_was(what: str) -> None:
    given_fields = EXAMPLES[what]()
    block = Everything(**given_fields)
    again = round_trip(block)
    assert again == block
    assert same(dict(again), dict(block))
    assert dict(block) != dict(Everything()), "the example says something"


def test_fields_that_the_class_does_not_name_come_back() -> None:
    block = Loose(**{"extra": SecretStr("x"), "and more": [1, Loose(a=1)], "$type": "x"})  # type: ignore[arg-type]
    again = round_trip(block)
    assert again == block
    assert isinstance(again.model_extra["extra"], SecretStr)  # type: ignore[index]


secrets = st.text().map(SecretStr) | st.binary().map(SecretBytes) | st.integers().map(SecretOf)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.uuids()
    | st.sampled_from([Path("a/b"), Colour.RED, Weight.HEAVY, Mood.GOOD])
    | secrets
    | st.builds(Left, value=st.integers(), token=st.text())
    | st.builds(Plain, token=st.text().map(SecretStr), number=st.integers())
)
keys = st.text() | st.integers() | st.tuples(st.integers(), st.text()) | st.text().map(SecretStr)
trees = st.recursive(
    leaves,
    lambda children: (
        st.lists(children, max_size=4)
        | st.lists(children, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.just("$type"), children, max_size=4)
        | st.dictionaries(keys, children, max_size=3)
        | st.sets(st.integers() | st.text(), max_size=4)
        | st.frozensets(st.text().map(SecretStr), max_size=3)
        | st.builds(Everything, value=children)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees, st.text() | st.text().map(SecretStr), st.dictionaries(st.text(min_size=1), trees, max_size=3))
def test_any_tree_of_values_comes_back_as_it_was(value: Any, either: Any, more: dict[str, Any]) -> None:
    block = Everything(value=value, either=either, values=more)
    again = round_trip(block)
    assert same(dict(again), dict(block))


@settings(max_examples=50, deadline=None)
@given(trees)
def test_equal_fields_have_equal_identities(value: Any) -> None:
    with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: RING)):
        one, other = Everything(value=value), Everything(value=value)
        assert one.__entrepot_key__() == other.__entrepot_key__()
        assert round_trip(one).__entrepot_key__() == one.__entrepot_key__()
