"""JSON: what comes back, what is refused, and what the bytes look like."""

import dataclasses
import enum
import json
import math
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidNameError, PluginConflictError, SerializationError
from entrepot.serializers import JSONSerializer, register_json_type
from entrepot.testing.serializers import SerializerContract

GOLDEN = Path(__file__).parent.parent / "golden" / "serializers"


def there_and_back(value: object) -> object:
    serializer = JSONSerializer()
    return serializer.loads(memoryview(bytearray(b"".join(serializer.dumps(value)))))


def text_of(value: object) -> str:
    return b"".join(JSONSerializer().dumps(value)).decode()


def refusal(value: object) -> SerializationError:
    with pytest.raises(SerializationError) as caught:
        JSONSerializer().dumps(value)
    return caught.value


class TestJSONSerializer(SerializerContract):
    def make_serializer(self) -> JSONSerializer:
        return JSONSerializer()


# --- values -------------------------------------------------------------------------------------------------------

PARIS = ZoneInfo("Europe/Paris")
VALUES = [
    b"",
    b"\x00\xff",
    bytearray(b"abc"),
    (),
    (1, (2,)),
    {1, 2, 3},
    {(1, 2), "a", None},
    frozenset({"x"}),
    {1: "int", None: "none", (1, 2): "tuple", "s": "str", 1.5: b"bytes"},
    {"$type": "datetime", "value": "mine"},
    {"a": {"$type": "x"}},
    1 + 2j,
    complex(math.inf, -0.0),
    range(1, 10, 3),
    10**5000,
    -(2**3000),
    -0.0,
    math.inf,
    -math.inf,
    datetime(2026, 1, 2, 3, 4, 5, 678901),  # noqa: DTZ001  naive on purpose
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=9, minutes=30))),
    datetime(2025, 10, 26, 2, 30, tzinfo=PARIS),
    datetime(2025, 10, 26, 2, 30, tzinfo=PARIS, fold=1),
    datetime(2025, 3, 30, 2, 30, tzinfo=PARIS),  # a time that the clocks skipped
    date(2026, 1, 2),
    time(3, 4, 5, 6),
    time(3, 4, tzinfo=PARIS),
    timedelta(days=-1, microseconds=1),
    UUID("12345678-1234-5678-1234-567812345678"),
    Decimal("1.10"),
    Decimal("-Infinity"),
    Fraction(1, 3),
    Path("a/b"),
    PurePosixPath("/x"),
    PureWindowsPath("C:\\x"),
    "\ud800 lone",
    {"\ud800": 1},
    "\u2028\x00\n",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_with_its_type(value: object) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)
    if not isinstance(value, int | set | frozenset):  # long integers and sets have no one repr
        assert repr(back) == repr(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_from_inside_containers(value: object) -> None:
    nested = {"a": [value, (value, {"b": value})], 1: value}
    assert there_and_back(nested) == nested


def test_nan_comes_back_as_nan() -> None:
    back = there_and_back([math.nan, {"x": Decimal("NaN")}])
    assert isinstance(back, list)
    assert math.isnan(back[0])
    assert back[1]["x"].is_nan()


def test_the_zone_of_a_time_comes_back_and_not_only_its_offset() -> None:
    back = there_and_back(datetime(2025, 10, 26, 2, 30, tzinfo=PARIS, fold=1))
    assert isinstance(back, datetime)
    assert back.tzinfo is PARIS
    assert back.utcoffset() == timedelta(hours=1)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
)
hashables = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
anything = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.just("$type") | st.text() | hashables, inner, max_size=4)
        | st.sets(hashables, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


def typed(value: object) -> object:
    """Return a value in a form in which `==` sees types too: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, dict):
        return "dict", [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [typed(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(typed(item)) for item in value)
    return type(value).__name__, hex(value) if type(value) is int else repr(value)


@given(anything)
def test_any_mix_of_known_types_comes_back_equal_in_value_and_type(value: object) -> None:
    assert typed(there_and_back(value)) == typed(value)


@given(anything)
def test_what_is_written_is_standard_json(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(text_of(value), parse_constant=refuse)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8")), st.lists
    )
)
def test_plain_json_data_is_written_as_it_is(value: object) -> None:
    assert json.loads(text_of(value)) == value


# --- what is refused ----------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Unregistered:
    x: int


class OddZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=1)


class Text(str):
    __slots__ = ()


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  the untyped kind


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Colour.RED,
        Unregistered(1),
        Text("a subclass of str"),
        Pair(1, 2),
        OrderedDict(a=1),
        deque([1]),
        np.longdouble(1.5),
        np.void(b"x"),
        np.arange(3),
        len,
        int,
        datetime(2026, 1, 1, tzinfo=OddZone()),
        memoryview(b"x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_refused_not_turned_into_similar_ones(value: object) -> None:
    assert "value" in str(refusal(value))


def test_the_path_leads_to_what_cannot_be_written() -> None:
    error = refusal({"rows": [1, {"when": (1, object())}], 3: 4})
    assert error.path == "value['rows'][1]['when'][1]"
    assert "object" in str(error)
    assert "register_json_type" in str(error)


def test_the_error_shows_no_value() -> None:
    class Sensitive:
        def __repr__(self) -> str:
            return "hunter2"

    assert "hunter2" not in str(refusal({"a": Sensitive()}))


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append({"again": loop})
    assert "contains itself" in str(refusal(loop))


def test_a_value_nested_beyond_the_limit_is_refused() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in str(refusal(deep))


@pytest.mark.parametrize("secret", [pydantic.SecretStr("hunter2"), pydantic.SecretBytes(b"hunter2")])
def test_secrets_are_refused(secret: object) -> None:
    error = refusal({"key": [secret]})
    assert error.path == "value['key'][0]"
    assert "secret" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b"NaN",
        b"[Infinity]",
        b"\xff",
        b"[1] trailing",
        b"[" * 200_000,
        b'{"$type":"date","value":"not a date"}',
        b'{"$type":"date"}',
        b'{"$type":"set","value":[[1]]}',
        b'{"$type":"set","value":"abc"}',
        b'{"$type":"float","value":"1.5"}',
        b'{"$type":["list"],"value":1}',
        b'{"$type":"datetime","value":"2026-01-01T00:00:00","zone":"../../etc/passwd"}',
        b'{"$type":"datetime","value":"2026-01-01T00:00:00","zone":"No/Where"}',
        b"1" * 5000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_malformed_bytes_are_our_error(data: bytes) -> None:
    with pytest.raises(SerializationError):
        JSONSerializer().loads(memoryview(bytearray(data)))


@pytest.mark.parametrize("name", ["os.system", "builtins:eval", "Unregistered", "__main__.Unregistered", "pickle"])
def test_a_name_in_the_data_is_looked_up_never_imported(name: str) -> None:
    before = set(sys.modules)
    data = json.dumps({"$type": name, "value": {"x": 1}}).encode()
    with pytest.raises(SerializationError, match="nothing in this program has registered"):
        JSONSerializer().loads(memoryview(bytearray(data)))
    assert set(sys.modules) == before


# --- registered classes -------------------------------------------------------------------------------------------


@register_json_type("test-reading")
@dataclasses.dataclass(frozen=True)
class Reading:
    station: str
    when: datetime
    values: tuple[float, ...] = ()
    doubled: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * len(self.values))


@register_json_type("test-level")
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@register_json_type("test-rights")
class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@register_json_type("test-model")
class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str = pydantic.Field(alias="theName", default="anonymous")
    inner: "Model | None" = None
    tags: set[str] = set()


@register_json_type("test-root")
class Root(pydantic.RootModel[list[int]]):
    pass


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


register_json_type(
    Celsius, "test-celsius", encode=lambda value: {"degrees": value.degrees}, decode=lambda plain: Celsius(**plain)
)


@pytest.mark.parametrize(
    "value",
    [
        Reading("seoul", datetime(2026, 1, 1, tzinfo=UTC), (1.0, math.inf)),
        Level.HIGH,
        Rights.READ,
        Rights.READ | Rights.WRITE,
        Model(theName="a", inner=Model(tags={"x", "y"})),
        Model.model_validate({"theName": "a", "$type": "date", "more": (1, 2)}),
        Root([1, 2]),
        Celsius(3.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_registered_classes_come_back_as_instances(value: object) -> None:
    back = there_and_back({"x": [value]})
    assert back == {"x": [value]}
    assert type(back["x"][0]) is type(value)  # type: ignore[index]


def test_a_model_still_knows_which_fields_were_set() -> None:
    back = there_and_back(Model(theName="a"))
    assert isinstance(back, Model)
    assert back.model_fields_set == {"name"}


def test_the_data_holds_the_registered_name_and_no_path() -> None:
    text = text_of(Reading("seoul", datetime(2026, 1, 1, tzinfo=UTC)))
    assert "test-reading" in text
    assert __name__ not in text
    assert "Reading" not in text


def test_a_path_inside_a_registered_class_names_its_field() -> None:
    error = refusal([Reading("x", datetime(2026, 1, 1, tzinfo=UTC), (object(),))])  # type: ignore[arg-type]
    assert error.path == "value[0].values[0]"


def test_a_secret_inside_a_registered_model_is_refused() -> None:
    @register_json_type("test-login")
    class Login(pydantic.BaseModel):
        password: pydantic.SecretStr

    error = refusal(Login(password=pydantic.SecretStr("hunter2")))
    assert error.path == "value.password"
    assert "hunter2" not in str(error)


def test_a_subclass_is_registered_on_its_own() -> None:
    class Sub(Reading):
        pass

    assert "Sub" in str(refusal(Sub("x", datetime(2026, 1, 1, tzinfo=UTC))))


def test_a_field_that_the_class_no_longer_has_is_our_error() -> None:
    data = b'{"$type":"test-reading","value":{"station":"x","gone":1}}'
    with pytest.raises(SerializationError, match="may have changed"):
        JSONSerializer().loads(memoryview(bytearray(data)))


def test_a_name_belongs_to_one_class() -> None:
    with pytest.raises(PluginConflictError, match=r"Reading.*Other"):

        @register_json_type("test-reading")
        @dataclasses.dataclass
        class Other:
            x: int


def test_a_class_has_one_name() -> None:
    with pytest.raises(PluginConflictError, match="one name"):
        register_json_type(Reading, "test-another")


def test_defining_a_class_again_replaces_it() -> None:
    def define() -> type:
        @register_json_type("test-again")
        @dataclasses.dataclass
        class Again:
            x: int

        return Again

    first, second = define(), define()
    assert type(there_and_back(second(1))) is second
    with pytest.raises(SerializationError):
        there_and_back(first(1))


@pytest.mark.parametrize("name", ["datetime", "dict", "", "Has Space", "$secret", "a.b", "x" * 101])
def test_names_that_could_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(InvalidNameError):
        register_json_type(Unregistered, name)


def test_a_class_of_no_known_kind_needs_functions() -> None:
    class Odd:
        pass

    with pytest.raises(SerializationError, match="encode"):
        register_json_type(Odd, "test-odd")
    with pytest.raises(InvalidNameError, match="both"):
        register_json_type(Odd, "test-odd", encode=str)  # type: ignore[call-overload]


# --- bytes --------------------------------------------------------------------------------------------------------

EVERYTHING = {
    "plain": [None, True, 1, 1.5, "text 한국어", {"a": []}],
    "bytes": b"\x00\x01",
    "bytearray": bytearray(b"\x02"),
    "tuple": (1, "a"),
    "set": {3, 1, 2},
    "frozenset": frozenset({"b", "a"}),
    "keys": {1: "a", "$type": "b"},
    "complex": 1 - 2j,
    "range": range(3),
    "float": [math.inf, -math.inf],
    "int": 2**2048,
    "str": "\ud800",
    "datetime": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "zoned": datetime(2025, 10, 26, 2, 30, tzinfo=PARIS, fold=1),
    "date": date(2026, 1, 2),
    "time": time(1, 2, 3),
    "timedelta": timedelta(days=1, seconds=2, microseconds=3),
    "uuid": UUID(int=1),
    "decimal": Decimal("1.10"),
    "fraction": Fraction(1, 3),
    "pure-posix-path": PurePosixPath("a/b"),
    "pure-windows-path": PureWindowsPath("a/b"),
    "registered": Level.HIGH,
}


def test_the_bytes_are_those_of_the_golden_file() -> None:
    assert text_of(EVERYTHING) + "\n" == (GOLDEN / "everything.json").read_text("utf-8")


def test_the_golden_file_is_read_back() -> None:
    data = (GOLDEN / "everything.json").read_bytes()
    assert JSONSerializer().loads(memoryview(bytearray(data))) == EVERYTHING


def test_sets_are_written_the_same_under_every_hash_seed() -> None:
    program = (
        "from entrepot.serializers import JSONSerializer;"
        "print(JSONSerializer().dumps([{'a','b','c','d',(1,2),None}, {1: frozenset('xyz')}])[0].decode())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": str(seed)}, check=True, capture_output=True
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(outputs) == 1


def test_importing_the_json_serializer_loads_nothing_heavy() -> None:
    program = (
        "import sys; from entrepot.serializers import JSONSerializer, get_serializer; get_serializer('json');"
        "print([m for m in ('pydantic', 'numpy', 'cloudpickle', 'zstandard', 'cryptography') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
