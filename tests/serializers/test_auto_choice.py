"""What `auto` picks for which value: only what gives it back exactly as it was."""

import dataclasses
import datetime as dt
import decimal
import enum
import subprocess
import sys
import threading
import uuid
import zoneinfo
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entrepot_test_frames as frames
from entrepot.errors import PluginLoadError, RefusedSerializerError, SerializationError
from entrepot.plugins import SERIALIZERS
from entrepot.protocols.serializer import ChoosesSerializer, PicksValues
from entrepot.serializers import (
    AutoSerializer,
    CompressedSerializer,
    get_serializer,
    is_allowed,
    register_serializer,
    writer_for,
)
from entrepot.serializers import auto as auto_module

AUTO = AutoSerializer()
SHARED: list[object] = [1]
CYCLE: list[object] = []
CYCLE.append(CYCLE)
Pair = namedtuple("Pair", "x y")  # noqa: PYI024  a class that plain data must not be taken for


class Text(str):
    __slots__ = ()


class Level(enum.IntEnum):
    LOW = 1


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def doubling(depth: int) -> object:
    value: object = (1,)
    for _ in range(depth):
        value = (value, value)
    return value


NOON = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001  a naive one is the point
PICKED = {
    "None": (None, "json"),
    "bool": (True, "json"),
    "int": (10**30, "json"),
    "float": (0.1, "json"),
    "nan": (float("nan"), "json"),
    "minus zero": (-0.0, "json"),
    "text": ("한국어", "json"),
    "long text": ("x" * 1_000_000, "json"),
    "list": ([1, "a", [None, {}]], "json"),
    "dict": ({"b": 1, "a": [2.5]}, "json"),
    "dict with a type": ({"$type": "tuple"}, "json"),
    "dict of numbers": ({1: "a", None: "b", 2.5: "c"}, "json"),
    "tuple": ((1, (2, "x")), "json"),
    "empty tuples": ([(), ()], "json"),
    "date": (dt.date(2024, 5, 1), "json"),
    "datetime": ([NOON, NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=zoneinfo.ZoneInfo("Asia/Seoul"))], "json"),
    "span, decimal, uuid": ([dt.timedelta(1), decimal.Decimal("1.50"), uuid.UUID(int=7)], "json"),
    "bytes": (b"x", "bytes"),
    "array": (np.arange(3), "npy"),
    "frame": (pd.DataFrame({"a": [1]}), "parquet"),
    "series": (pd.Series([1]), "parquet"),
    "frame that Parquet cannot hold": (frames.pandas_frames()["seconds"], "arrow"),
    "polars": (frames.polars_frames()["polars"], "parquet"),
    "table": (frames.tables()["table"], "parquet"),
    "frame of objects": (pd.DataFrame({"a": [object]}), "pickle"),
    "array of objects": (np.array([None]), "pickle"),
    "numpy scalar": (np.float64(1.5), "json"),
    "int of an enum": (Level.LOW, "pickle"),
    "enum": (Color.RED, "pickle"),
    "text of a subclass": ([Text("x")], "pickle"),
    "dict of a subclass": (OrderedDict(a=1), "pickle"),
    "named tuple": (Pair(1, 2), "pickle"),
    "dataclass": (Point(1), "pickle"),
    "half of a pair": ("\ud800", "pickle"),
    "half of a pair in a key": ({"\ud800": 1}, "pickle"),
    "half of a pair in a list": (["a", "\ud800"], "pickle"),
    "bytearray": (bytearray(b"x"), "pickle"),
    "bytes in a list": ([b"x"], "pickle"),
    "set": ({1}, "pickle"),
    "one list in two places": ([SHARED, SHARED], "pickle"),
    "one list in two tuples": ({"a": (SHARED,), "b": (SHARED,)}, "pickle"),
    "itself": (CYCLE, "pickle"),
    "deep": (nested(500), "pickle"),
    "tuples in tuples, over and over": (doubling(200), "pickle"),
    "very much": ([[n] for n in range(60_000)], "pickle"),
    "zone with a name of its own": (NOON.replace(tzinfo=dt.timezone(dt.timedelta(0), "zero")), "pickle"),
    "dict of tuples": ({(1, 2): 3}, "pickle"),
}


@pytest.mark.parametrize("name", PICKED)
def test_the_value_decides(name: str) -> None:
    value, expected = PICKED[name]
    assert AUTO.choose(value).name == expected


def test_a_large_frame_is_not_copied_into_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_module, "_LARGE_FRAME", 1 << 20)
    column = np.zeros(1 << 17)
    assert AUTO.choose(pd.DataFrame({"a": column[:-100]})).name == "parquet"
    assert AUTO.choose(pd.DataFrame({"a": column})).name == "arrow"


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.dates(),
        st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.timezones()),
        st.timedeltas(),
        st.decimals(),
        st.uuids(),
        st.binary(max_size=5),
        st.sampled_from([Level.LOW, Text("x"), Color.RED]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3) | st.integers() | st.booleans(), inner, max_size=4),
    ),
    max_leaves=12,
)


def shape(value: Any) -> object:
    """Return what two values must agree in to be the same, in words."""
    kind = type(value)
    if kind in {list, tuple}:
        return kind, [shape(item) for item in value]
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind is dt.datetime:
        return kind, repr(value), value.fold, type(value.tzinfo)
    return kind, repr(value)


@settings(deadline=None, max_examples=150)
@given(PLAIN)
def test_what_is_picked_gives_the_value_back_in_type_and_order(value: object) -> None:
    chosen = AUTO.choose(value)
    back = chosen.loads(memoryview(bytearray(b"".join(chosen.dumps(value)))))
    assert shape(back) == shape(value)


# --- what may be picked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "allow", "expected"),
    [
        ([1], {"json"}, "json"),
        ([1], {"pickle"}, "pickle"),
        ([SHARED, SHARED], {"json", "parquet"}, "json"),
        ({1, 2}, {"json"}, "json"),
        (pd.DataFrame({"a": [1]}), {"json", "parquet"}, "parquet"),
        (pd.DataFrame({"a": [1]}), {"json", "arrow"}, "arrow"),
        (np.arange(3), {"pickle", "json"}, "pickle"),
    ],
)
def test_the_next_one_that_is_allowed_is_picked(value: object, allow: set[str], expected: str) -> None:
    assert AUTO.choose(value, allow=frozenset(allow)).name == expected


@pytest.mark.parametrize("value", [Point(1), [1], np.arange(2)])
def test_where_none_that_is_allowed_writes_it_the_error_says_which(value: object) -> None:
    with pytest.raises(RefusedSerializerError, match=r"allows \(parquet\) writes value, a .*allow another serializer"):
        AUTO.choose(value, allow=frozenset({"parquet"}))


def test_to_allow_a_serializer_is_to_allow_its_compressed_form_and_no_other_way_round() -> None:
    assert is_allowed("compressed/json", frozenset({"json"}))
    assert not is_allowed("json", frozenset({"compressed/json"}))
    assert not is_allowed("compressed/pickle", frozenset({"json", "compressed/json"}))


def test_a_serializer_that_is_named_and_not_allowed_is_refused() -> None:
    with pytest.raises(RefusedSerializerError, match=r"'pickle' is not one that this store allows; allowed: json;"):
        writer_for(get_serializer("pickle"), 1, allow=frozenset({"json"}))


# --- compressed -------------------------------------------------------------------------------------------------------


def test_compressed_auto_compresses_what_is_picked() -> None:
    assert writer_for(get_serializer("compressed/auto"), [1]).name == "compressed/json"
    assert writer_for(get_serializer("compressed/auto"), Point(1)).name == "compressed/pickle"
    assert writer_for(get_serializer("compressed/json"), [1]).name == "compressed/json"


def test_compressed_auto_keeps_its_level_and_what_is_allowed() -> None:
    serializer = CompressedSerializer("auto", level=19)
    allow = frozenset({"compressed/json"})
    small = b"".join(writer_for(serializer, list(range(10_000)), allow=allow).dumps(list(range(10_000))))
    large = b"".join(CompressedSerializer("json", level=1).dumps(list(range(10_000))))
    assert len(small) < len(large)
    assert writer_for(serializer, Point, allow=allow).name == "compressed/json"


# --- serializers of others --------------------------------------------------------------------------------------------


class PointSerializer:
    name = "test-points"
    extension = "txt"
    is_text = True
    reads_code = False

    def accepts(self, value: object) -> bool:
        return type(value) in {Point, list}

    def dumps(self, value: object) -> list[bytes]:
        return [str(value).encode()]

    def loads(self, data: memoryview) -> object:
        return str(data, "utf-8")


@pytest.fixture
def registered() -> Any:
    names: list[str] = []

    def register(cls: type) -> None:
        register_serializer(cls)
        names.append(cls.name)  # type: ignore[attr-defined]

    yield register
    for name in names:
        SERIALIZERS.forget(name)
        auto_module._broken.discard(name)


def test_one_of_this_program_is_offered_what_ours_do_not_take(registered: Any) -> None:
    registered(PointSerializer)
    assert AUTO.choose(Point(1)).name == "test-points"
    assert AUTO.choose([1]).name == "json"
    assert AUTO.choose([SHARED, SHARED]).name == "test-points"
    assert AUTO.choose(Point(1), allow=frozenset({"pickle"})).name == "pickle"


def test_of_several_the_first_by_name_is_picked(registered: Any) -> None:
    registered(PointSerializer)
    earlier = type("Earlier", (PointSerializer,), {"name": "test-a"})
    registered(earlier)
    assert AUTO.choose(Point(1)).name == "test-a"


def test_one_that_does_not_say_what_it_accepts_is_not_offered_anything(registered: Any) -> None:
    quiet = type("Quiet", (), {k: v for k, v in vars(PointSerializer).items() if k != "accepts"} | {"name": "test-q"})
    registered(quiet)
    assert AUTO.choose(Point(1)).name == "pickle"


def test_one_that_raises_when_asked_breaks_only_itself(registered: Any, caplog: pytest.LogCaptureFixture) -> None:
    def accepts(self: object, value: object) -> bool:
        raise RuntimeError("no")

    raising = type("Raising", (PointSerializer,), {"name": "test-raising", "accepts": accepts})
    registered(raising)
    assert AUTO.choose(Point(1)).name == "pickle"
    assert "'test-raising' could not say" in caplog.text


def test_a_plugin_that_cannot_be_imported_breaks_only_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = SERIALIZERS.names()
    monkeypatch.setattr(SERIALIZERS, "names", lambda: [*names, "test-broken"])
    monkeypatch.setattr(auto_module, "_broken", set())
    assert AUTO.choose(Point(1)).name == "pickle"
    assert AUTO.choose(Point(2)).name == "pickle"
    assert caplog.text.count("'test-broken' is not offered any values") == 1


# --- itself -----------------------------------------------------------------------------------------------------------


def test_it_writes_and_reads_nothing_itself() -> None:
    with pytest.raises(SerializationError, match="picks one for each value"):
        AUTO.dumps(1)
    with pytest.raises(SerializationError, match="which their record names"):
        AUTO.loads(memoryview(b"1"))


def test_it_meets_the_protocol_of_choosers() -> None:
    assert isinstance(AUTO, ChoosesSerializer)
    assert isinstance(get_serializer("json"), PicksValues)
    assert not isinstance(get_serializer("pickle"), PicksValues)


def test_plain_data_loads_no_library_of_arrays_or_frames() -> None:
    program = (
        "import sys; from entrepot.serializers import get_serializer as get;"
        "picked = [get('auto').choose(value).name for value in (1, [{}], 'x', b'x', {1}, object())];"
        "print(picked, [m for m in ('numpy', 'pandas', 'pyarrow', 'polars', 'cloudpickle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "['json', 'json', 'json', 'bytes', 'pickle', 'pickle'] []\n"


def test_without_arrow_frames_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("pyarrow", "entrepot.serializers._frames"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("arrow", "parquet"):
        monkeypatch.delitem(sys.modules, f"entrepot.serializers.{name}", raising=False)
        monkeypatch.delitem(SERIALIZERS._resolved, name, raising=False)
    assert AUTO.choose(pd.DataFrame({"a": [1]})).name == "pickle"
    with pytest.raises(PluginLoadError, match="pyarrow"):
        get_serializer("parquet")


def test_threads_can_share_it() -> None:
    found: list[set[str]] = []

    def choose() -> None:
        found.append({AUTO.choose(value).name for value, _ in list(PICKED.values())[:30]})

    threads = [threading.Thread(target=choose) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [found[0]] * 4
