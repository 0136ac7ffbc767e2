"""Values that must all differ, and pairs of values that must agree: the corpus of the hashing tests.

Run as a script, it prints the digest of every value as JSON; the tests compare that between processes.
"""

import array
import collections
import dataclasses
import datetime as dt
import enum
import fractions
import functools
import ipaddress
import json
import operator
import pathlib
import re
import sys
import types
import typing
import uuid
import zoneinfo
from decimal import Decimal

import attrs
import numpy as np
import pandas as pd
from pydantic import BaseModel, HttpUrl

from entrepot.hashing.values import hash_value

SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")
NOON = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001  a naive one is the point


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: float
    y: float


@dataclasses.dataclass
class Vector:
    x: float
    y: float


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: float
    y: float


@dataclasses.dataclass
class WithMore:
    x: float
    scale: dataclasses.InitVar[float] = 1.0

    def __post_init__(self, scale: float) -> None:
        self.scaled = self.x * scale


@dataclasses.dataclass
class Node:
    name: str
    next: "Node | None" = None

    @functools.cached_property
    def length(self) -> int:
        return 1 + (self.next.length if self.next else 0)


@attrs.define
class Attrs:
    x: float
    y: float = 2.0


class Model(BaseModel):
    x: float = 1.0
    y: float = 2.0


class OtherModel(BaseModel):
    x: float = 1.0
    y: float = 2.0


class Pair(typing.NamedTuple):
    x: float
    y: float


class IntLike(int):
    pass


class ListLike(list):
    pass


class DictLike(dict):
    pass


class StrLike(str):
    __slots__ = ()


class Keyed:
    def __init__(self, url: str, connection: object = None) -> None:
        self.url = url
        self.connection = connection

    def __entrepot_key__(self) -> str:
        return self.url


def add_one(x: int) -> int:
    return x + 1


def add_two(x: int) -> int:
    return x + 2


def adder(n: int) -> typing.Callable[[int], int]:
    def add(x: int) -> int:
        return x + n

    return add


def cycle_of_one() -> list[object]:
    one: list[object] = []
    one.append(one)
    return one


def cycle_with(value: object) -> list[object]:
    one: list[object] = [value]
    one.append(one)
    return one


def cycle_in_dict() -> dict[str, object]:
    one: dict[str, object] = {}
    one["self"] = one
    return one


def ring(*names: str) -> Node:
    nodes = [Node(name) for name in names]
    for here, after in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        here.next = after
    return nodes[0]


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


def distinct() -> dict[str, object]:
    """Return values by name; no two of them are the same."""
    grid = np.arange(6, dtype=np.int64).reshape(2, 3)
    big = np.arange(20_000, dtype=np.float64)
    changed = big.copy()
    changed[-1] += 1
    texts = [f"text {n}" for n in range(100)]
    return {
        # plain data
        "none": None,
        "ellipsis": ...,
        "not implemented": NotImplemented,
        "true": True,
        "false": False,
        "0": 0,
        "1": 1,
        "-1": -1,
        "1.0": 1.0,
        "0.0": 0.0,
        "-0.0": -0.0,
        "0.1+0.2": 0.1 + 0.2,
        "0.3": 0.3,
        "nan": float("nan"),
        "inf": float("inf"),
        "-inf": float("-inf"),
        "1+0j": 1 + 0j,
        "1j": 1j,
        "2**63-1": 2**63 - 1,
        "2**63": 2**63,
        "-2**63": -(2**63),
        "-2**63-1": -(2**63) - 1,
        "2**64": 2**64,
        "10**5000": 10**5000,
        "text 1": "1",
        "text True": "True",
        "text None": "None",
        "empty text": "",
        "space": " ",
        "nul": "\0",
        "é composed": "\u00e9",
        "é decomposed": "e\u0301",
        "surrogate": "\ud800",
        "long text a": "a" * 100_000,
        "long text b": "a" * 99_999 + "b",
        "bytes 1": b"1",
        "bytes": b"",
        "bytearray": bytearray(b"1"),
        "memoryview": memoryview(b"1"),
        "memoryview of two bytes": memoryview(array.array("h", [1])),
        "long bytes": b"a" * 100_000,
        # containers
        "(1,)": (1,),
        "[1]": [1],
        "{1}": {1},
        "frozenset 1": frozenset({1}),
        "()": (),
        "[]": [],
        "{}": {},
        "set()": set(),
        "frozenset()": frozenset(),
        "[[]]": [[]],
        "[[[]]]": [[[]]],
        "[[], []]": [[], []],
        "[()]": [()],
        "['ab','c']": ["ab", "c"],
        "['a','bc']": ["a", "bc"],
        "['abc']": ["abc"],
        "['a','b','c']": ["a", "b", "c"],
        "[1,2]": [1, 2],
        "[2,1]": [2, 1],
        "[[1],2]": [[1], 2],
        "[1,[2]]": [1, [2]],
        "[1.0]": [1.0],
        "[True]": [True],
        "['1']": ["1"],
        "[None]": [None],
        "{1,2}": {1, 2},
        "{'1',2}": {"1", 2},
        "{(1,2)}": {(1, 2)},
        "{1:'a'}": {1: "a"},
        "{'1':'a'}": {"1": "a"},
        "{True:'a'}": {True: "a"},
        "{1.0:'a'}": {1.0: "a"},
        "{'a':1}": {"a": 1},
        "{'a':'1'}": {"a": "1"},
        "{'a':1,'b':2}": {"a": 1, "b": 2},
        "{'a':2,'b':1}": {"a": 2, "b": 1},
        "{'a':{'b':1}}": {"a": {"b": 1}},
        "{'a':{},'b':1}": {"a": {}, "b": 1},
        "{('a',1)}": {("a", 1)},
        "[('a',1)]": [("a", 1)],
        "{None:None}": {None: None},
        "twenty ints": list(range(20)),
        "twenty ints as a tuple": tuple(range(20)),
        "twenty floats": [float(n) for n in range(20)],
        "twenty texts": [str(n) for n in range(20)],
        "twenty bools": [True] * 20,
        "twenty ones": [1] * 20,
        "twenty, one long": [*range(19), 2**70],
        "twenty, one float": [*range(19), 19.0],
        "a hundred texts": texts,
        "a hundred texts, cut elsewhere": [texts[0] + texts[1][0], texts[1][1:], *texts[2:]],
        "ten thousand": [*range(9_999), "end"],
        "ten thousand, other end": [*range(9_999), "END"],
        "large dict": {n: str(n) for n in range(6_000)},
        "large dict, one other": {n: str(n) if n != 5_999 else "x" for n in range(6_000)},
        "ordered ab": collections.OrderedDict(a=1, b=2),
        "ordered ba": collections.OrderedDict(b=2, a=1),
        "defaultdict int": collections.defaultdict(int, a=1),
        "defaultdict list": collections.defaultdict(list, a=1),
        "counter": collections.Counter(a=1),
        "deque": collections.deque([1]),
        "deque of at most 1": collections.deque([1], maxlen=1),
        "chain map": collections.ChainMap({"a": 1}),
        "mapping proxy": types.MappingProxyType({"a": 1}),
        "namespace": types.SimpleNamespace(a=1),
        "array of bytes": array.array("b", [1]),
        "array of shorts": array.array("h", [1]),
        "range": range(3),
        "range with step": range(0, 3, 2),
        "slice": slice(3),
        "slice with step": slice(None, 3, 1),
        # structures that contain themselves
        "cycle": cycle_of_one(),
        "cycle with 1": cycle_with(1),
        "cycle with 2": cycle_with(2),
        "cycle one deeper": [cycle_of_one()],
        "cycle in a dict": cycle_in_dict(),
        "ring of one": ring("a"),
        "ring of two": ring("a", "b"),
        "ring of two, renamed": ring("a", "c"),
        "ring of two, from the other side": ring("b", "a"),
        # times and numbers
        "date": dt.date(2024, 5, 1),
        "datetime": NOON,
        "datetime of midnight": dt.datetime(2024, 5, 1),  # noqa: DTZ001
        "datetime utc": NOON.replace(tzinfo=dt.UTC),
        "datetime +0": NOON.replace(tzinfo=dt.timezone(dt.timedelta(0), "zero")),
        "datetime +1": NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))),
        "datetime Seoul": NOON.replace(tzinfo=SEOUL),
        "same moment in Seoul": NOON.replace(tzinfo=dt.UTC).astimezone(SEOUL),
        "datetime fold": NOON.replace(fold=1),
        "datetime µs": NOON.replace(microsecond=1),
        "time": dt.time(12),
        "time utc": dt.time(12, tzinfo=dt.UTC),
        "timedelta": dt.timedelta(days=1),
        "timedelta µs": dt.timedelta(days=1, microseconds=1),
        "utc": dt.UTC,
        "Seoul": SEOUL,
        "iso text": NOON.isoformat(),
        "Decimal 1": Decimal(1),
        "Decimal 1.0": Decimal("1.0"),
        "Decimal 1.00": Decimal("1.00"),
        "Decimal -0": Decimal("-0"),
        "Decimal NaN": Decimal("NaN"),
        "Decimal sNaN": Decimal("sNaN"),
        "Fraction": fractions.Fraction(1, 2),
        "Fraction 1": fractions.Fraction(1),
        "UUID": uuid.UUID(int=1),
        "UUID as text": str(uuid.UUID(int=1)),
        "path": pathlib.PurePosixPath("a/b"),
        "local path": pathlib.Path("a/b"),
        "Windows path": pathlib.PureWindowsPath("a/b"),
        "path as text": "a/b",
        "pattern": re.compile("a+"),
        "pattern, ignoring case": re.compile("a+", re.IGNORECASE),
        "pattern of bytes": re.compile(b"a+"),
        "address": ipaddress.ip_address("127.0.0.1"),
        "network": ipaddress.ip_network("127.0.0.1/32"),
        # classes' instances
        "Color.RED": Color.RED,
        "Color.BLUE": Color.BLUE,
        "Shade.RED": Shade.RED,
        "Level.LOW": Level.LOW,
        "Access.READ": Access.READ,
        "Access both": Access.READ | Access.WRITE,
        "Point": Point(1.0, 2.0),
        "Point of ints": Point(1, 2),
        "Point the other way": Point(2.0, 1.0),
        "Vector": Vector(1.0, 2.0),
        "Slotted": Slotted(1.0, 2.0),
        "Pair": Pair(1.0, 2.0),
        "tuple like Pair": (1.0, 2.0),
        "dict like Point": {"x": 1.0, "y": 2.0},
        "Attrs": Attrs(1.0),
        "Attrs otherwise": Attrs(1.0, 3.0),
        "WithMore": WithMore(1.0),
        "WithMore scaled": WithMore(1.0, 2.0),
        "Model": Model(x=1.0, y=2.0),
        "Model by default": Model(),
        "Model otherwise": Model(x=1.0, y=3.0),
        "OtherModel": OtherModel(x=1.0, y=2.0),
        "url": HttpUrl("http://localhost/"),
        "IntLike": IntLike(1),
        "ListLike": ListLike([1]),
        "DictLike": DictLike(a=1),
        "StrLike": StrLike("1"),
        "Keyed": Keyed("a"),
        "Keyed otherwise": Keyed("b"),
        # code
        "function": add_one,
        "another function": add_two,
        "built-in": len,
        "method of text": str.upper,
        "bound method": "a".upper,
        "bound method of another": "b".upper,
        "class": Point,
        "another class": Vector,
        "int": int,
        "str": str,
        "module": json,
        "partial": functools.partial(add_one, 1),
        "partial of another": functools.partial(add_two, 1),
        "partial with other arguments": functools.partial(add_one, 2),
        "closure of 1": adder(1),
        "closure of 2": adder(2),
        "itemgetter": operator.itemgetter(1),
        "attrgetter": operator.attrgetter("a"),
        "methodcaller": operator.methodcaller("a"),
        "methodcaller with a keyword": operator.methodcaller("a", b=1),
        "list[int]": list[int],
        "list[str]": list[str],
        "int | None": int | None,
        "type variable": typing.TypeVar("T"),
        # NumPy
        "np.int64": np.int64(1),
        "np.int32": np.int32(1),
        "np.uint64": np.uint64(1),
        "np.float64": np.float64(1),
        "np.float32": np.float32(1),
        "np.bool": np.bool_(1),
        "np.str": np.str_("1"),
        "np.float64 nan": np.float64("nan"),
        "np.datetime64 D": np.datetime64("2024-05-01", "D"),
        "np.datetime64 s": np.datetime64("2024-05-01", "s"),
        "np.timedelta64": np.timedelta64(1, "D"),
        "0-d array": np.array(1),
        "array [1]": np.array([1]),
        "array [1.0]": np.array([1.0]),
        "array int32": np.array([1], np.int32),
        "array big-endian": np.array([1], ">i8"),
        "array of bools": np.array([True]),
        "array of text": np.array(["1"]),
        "array of longer text": np.array(["1"], "U2"),
        "array of objects": np.array([1], object),
        "array of objects, otherwise": np.array(["1"], object),
        "array of long text": np.array(["1"], np.dtypes.StringDType()),
        "array of days": np.array(["2024-05-01"], "M8[D]"),
        "array of seconds": np.array(["2024-05-01"], "M8[s]"),
        "array 2x3": grid,
        "array 3x2": grid.reshape(3, 2),
        "array 6": grid.reshape(6),
        "array 2x3, turned": grid.T.copy(),
        "array 2x3, Fortran order": np.asfortranarray(grid),
        "array 2x3, backwards": grid[::-1],
        "array 2x3, backwards copy": grid[::-1].copy(),
        "array nan": np.array([np.nan]),
        "array -0.0": np.array([-0.0]),
        "array 0.0": np.array([0.0]),
        "empty array": np.array([]),
        "empty array 0x3": np.empty((0, 3)),
        "large array": big,
        "large array, one other": changed,
        "structured array": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        "structured array, renamed": np.array([(1, 2.0)], [("a", "i4"), ("c", "f8")]),
        "structured array, aligned": np.array([(1, 2.0)], np.dtype([("a", "i4"), ("b", "f8")], align=True)),
        "record array": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        "masked array": np.ma.array([1, 2], mask=[False, True]),
        "masked array, otherwise": np.ma.array([1, 2], mask=[True, False]),
        "masked array, unmasked": np.ma.array([1, 2]),
        "matrix": np.array([[1]]).view(np.matrix),
        "dtype": np.dtype("f8"),
        "dtype f4": np.dtype("f4"),
        "ufunc add": np.add,
        "ufunc subtract": np.subtract,
        "long double": np.longdouble(1),
        # pandas
        "frame": frame(a=[1, 2], b=["x", "y"]),
        "frame, other values": frame(a=[1, 3], b=["x", "y"]),
        "frame, other texts": frame(a=[1, 2], b=["x", "z"]),
        "frame, columns swapped": frame(b=["x", "y"], a=[1, 2]),
        "frame, renamed": frame(a=[1, 2], c=["x", "y"]),
        "frame of floats": frame(a=[1.0, 2.0], b=["x", "y"]),
        "frame of objects": frame(a=[1, 2], b=pd.Series(["x", "y"], dtype=object)),
        "frame with an index": frame(a=[1, 2], b=["x", "y"]).set_axis([5, 6]),
        "frame with an equal index": frame(a=[1, 2], b=["x", "y"]).set_axis(pd.Index([0, 1])),
        "frame with missing": frame(a=[1, None], b=["x", None]),
        "frame of Int64": frame(a=pd.array([1, None], "Int64"), b=["x", None]),
        "frame of categories": frame(b=pd.Categorical(["x", "y"])),
        "frame of more categories": frame(b=pd.Categorical(["x", "y"], categories=["x", "y", "z"])),
        "frame of ordered categories": frame(b=pd.Categorical(["x", "y"], ordered=True)),
        "frame without rows": frame(a=[1]).iloc[:0],
        "frame with attrs": _with_attrs(frame(a=[1, 2], b=["x", "y"])),
        "series": pd.Series([1, 2]),
        "series, named": pd.Series([1, 2], name="a"),
        "series int32": pd.Series([1, 2], dtype="int32"),
        "series utc": pd.Series(pd.to_datetime(["2024-05-01"], utc=True)),
        "series naive": pd.Series(pd.to_datetime(["2024-05-01"])),
        "series Seoul": pd.Series(pd.to_datetime(["2024-05-01"]).tz_localize("Asia/Seoul")),
        "series of periods": pd.Series(pd.period_range("2024-05", periods=2, freq="M")),
        "series of intervals": pd.Series(pd.interval_range(0, 2)),
        "series, sparse": pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        "series, sparse otherwise": pd.Series(pd.arrays.SparseArray([0, 1, 0])),
        "index": pd.Index([1, 2]),
        "index, named": pd.Index([1, 2], name="a"),
        "range index": pd.RangeIndex(1, 3),
        "multi index": pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]),
        "multi index, otherwise": pd.MultiIndex.from_tuples([(1, "b"), (2, "a")]),
        "timestamp": pd.Timestamp("2024-05-01 12:00"),
        "timestamp utc": pd.Timestamp("2024-05-01 12:00", tz="UTC"),
        "timestamp in ns": pd.Timestamp("2024-05-01 12:00").as_unit("ns"),
        "pandas timedelta": pd.Timedelta(days=1),
        "period": pd.Period("2024-05", "M"),
        "interval": pd.Interval(0, 1),
        "interval closed on the left": pd.Interval(0, 1, closed="left"),
        "pd.NA": pd.NA,
        "pd.NaT": pd.NaT,
    }


def _with_attrs(df: pd.DataFrame) -> pd.DataFrame:
    df.attrs["source"] = "here"
    return df


def equal() -> dict[str, tuple[object, object]]:
    """Return pairs of values that are the same."""
    shared, other = [1, "a"], [1, "a"]
    grid = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    node = Node("a", Node("b"))
    asked = Node("a", Node("b"))
    assert asked.length == 2
    wide = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
    pieces = pd.DataFrame({name: wide[name].to_numpy().copy() for name in wide})
    multi = pd.MultiIndex.from_tuples([(1, "a"), (2, "b"), (3, "c")])
    structured = np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    dirty = np.frombuffer(b"\xff" * structured.nbytes, np.uint8).copy().view(structured.dtype)
    dirty["a"], dirty["b"] = 0, 0
    negative_nan = -abs(float("nan"))
    return {
        "dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        "dict of mixed keys": ({1: "x", "b": 2, (1, 2): 3}, {(1, 2): 3, "b": 2, 1: "x"}),
        "nested dict": ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}),
        "set": ({"a", "b", "c", "d"}, {"d", "c", "b", "a"}),
        "set of mixed": ({1, "a", None, (1, 2)}, {(1, 2), None, "a", 1}),
        "frozenset": (frozenset("abcdef"), frozenset("fedcba")),
        "counter": (collections.Counter("aab"), collections.Counter("baa")),
        "defaultdict": (collections.defaultdict(int, a=1, b=2), collections.defaultdict(int, b=2, a=1)),
        "nan": (float("nan"), negative_nan),
        "nan in a list": ([float("nan")], [float("inf") - float("inf")]),
        "nan among many": ([float("nan")] * 20, [negative_nan] * 20),
        "infinities that add up to nan": ([float("inf"), float("-inf")] * 10, [float("inf"), float("-inf")] * 10),
        "nan keys": ({float("nan"): 1, float("nan"): 2}, {float("nan"): 2, float("nan"): 1}),
        "np nan": (np.float64("nan"), -np.float64("nan")),
        "shared": ([shared, shared], [other, other]),
        "shared in dict": ({"a": shared, "b": shared}, {"b": other, "a": other}),
        "shared in a dict of mixed keys": ({1: [shared], "b": shared}, {"b": other, 1: [other]}),
        "shared tuple": ((shared,) * 3, (other,) * 3),
        "shared, though nobody can tell": ([(1, ("a",))] * 2, [(1, ("a",)), tuple([1, tuple(["a"])])]),  # noqa: C409
        "shared long": (["x" * 1000] * 3, ["".join(["x"] * 1000) for _ in range(3)]),
        "int made otherwise": (10**30, int("1" + "0" * 30)),
        "text made otherwise": ("ab" * 10, "".join(["ab"] * 10)),
        "bytes made otherwise": (b"\1\2", bytes([1, 2])),
        "range": (range(0, 3, 1), range(3)),
        "cycle": (cycle_of_one(), cycle_of_one()),
        "ring": (ring("a", "b", "c"), ring("a", "b", "c")),
        "dataclass": (Point(1.0, 2.0), Point(y=2.0, x=1.0)),
        "kept property": (node, asked),
        "model": (Model(x=1.0, y=2.0), Model(y=2, x=1)),
        "key of its own": (Keyed("a", object()), Keyed("a", object())),
        "function": (add_one, add_one),
        "closure": (adder(1), adder(1)),
        "partial": (functools.partial(add_one, 1), functools.partial(add_one, 1)),
        "strided": (grid[:, ::2], grid[:, ::2].copy()),
        "slice of columns": (grid[..., 1:3], np.ascontiguousarray(grid[..., 1:3])),
        "one column": (grid[0, :, 1], grid[0, :, 1].copy()),
        "Fortran copies": (np.asfortranarray(grid), np.asfortranarray(grid).copy(order="F")),
        "axis of length one": (np.ones((3, 1)), np.ones((1, 3)).T),
        "read-only": (_read_only(np.arange(3)), np.arange(3)),
        "large strided": (np.arange(20_000)[::2], np.arange(20_000)[::2].copy()),
        "bytes between fields": (structured, dirty),
        "array of objects": (np.array([{"a": 1, "b": 2}], object), np.array([{"b": 2, "a": 1}], object)),
        "frame in blocks": (wide, pieces),
        "frame after a change back": (wide.assign(z=1).drop(columns="z"), wide),
        "unused levels, removed": (multi[:2].remove_unused_levels(), pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        "what is under a mask": (
            pd.array([1, None], "Int64"),
            pd.arrays.IntegerArray(np.array([1, 99]), np.array([False, True])),
        ),
        "missing texts": (pd.Series(["a", None], dtype="str"), pd.Series(["a", np.nan], dtype="str")),
        "reversed series": (pd.Series([3, 2, 1])[::-1].reset_index(drop=True), pd.Series([1, 2, 3])),
        "long text": ("a" * 100_000, "".join("a" for _ in range(100_000))),
        "long list": ([str(n) for n in range(10_000)], [f"{n}" for n in range(10_000)]),
        "long mixed list": ([*range(5000), "x"], [*range(5000), "x"]),
        "memoryview": (memoryview(b"abcdef")[::2], memoryview(b"ace")),
    }


def _read_only(array_: "np.ndarray[typing.Any, typing.Any]") -> "np.ndarray[typing.Any, typing.Any]":
    array_.flags.writeable = False
    return array_


def main() -> None:
    digests = {name: hash_value(value, name=name) for name, value in distinct().items()}
    for name, (one, _) in equal().items():
        digests[f"equal: {name}"] = hash_value(one, name=name)
    json.dump(digests, sys.stdout)


if __name__ == "__main__":
    import entrepot_test_values

    entrepot_test_values.main()
