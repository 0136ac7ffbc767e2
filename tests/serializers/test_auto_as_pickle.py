"""What `auto` gives back, against what pickle gives back: nothing is lost that pickle keeps."""

import datetime as dt
import io
import pickle
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrepot.serializers import AutoSerializer, NpySerializer

AUTO = AutoSerializer()


def through_auto(value: object, allow: frozenset[str] | None) -> Any:
    chosen = AUTO.choose(value, allow=allow)
    return chosen.loads(memoryview(bytearray(b"".join(chosen.dumps(value)))))


def assert_nothing_lost(value: Any, facts: Any, *, allow: frozenset[str] | None = None) -> None:
    """Fail if a fact about a value is another one after `auto`, unless it is after pickle as well."""
    before, pickled = facts(value), facts(pickle.loads(pickle.dumps(value, 5)))
    after = facts(through_auto(value, allow))
    for name, fact in before.items():
        if pickled[name] == fact:
            assert after[name] == fact, (name, AUTO.choose(value, allow=allow).name)


# --- arrays -----------------------------------------------------------------------------------------------------------


class Own(np.ndarray):
    pass


def array_facts(array: Any) -> dict[str, object]:
    facts = {
        "class": type(array),
        "dtype": (array.dtype.str, array.dtype.descr if array.dtype.names else None, array.dtype.type),
        "notes on the type": array.dtype.metadata,
        "alignment": array.dtype.isalignedstruct,
        "shape": array.shape,
        "order": (array.flags.c_contiguous, array.flags.f_contiguous),
        "read-only": array.flags.writeable,
        "items": repr(array.tolist()) if array.dtype.hasobject or array.dtype.names else array.tobytes(),
    }
    if isinstance(array, np.ma.MaskedArray):
        facts |= {"mask": array.mask.tobytes(), "fill": repr(array.fill_value), "hard": array.hardmask}
    return facts


TYPES = (
    hnp.scalar_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.byte_string_dtypes()
    | hnp.nested_dtypes(subtype_strategy=hnp.scalar_dtypes(), max_itemsize=64)
    | st.just(np.dtype("i4", metadata={"unit": "m"}))
    | st.just(np.dtype([("a", "i1"), ("b", "f8")], align=True))
    | st.just(np.dtype(object))
)


def locked(array: Any) -> Any:
    array = array.copy(order="K")
    array.flags.writeable = False
    return array


STEPS = {
    "as it is": lambda array: array,
    "turned": lambda array: array.T,
    "every second": lambda array: array[::2] if array.ndim else array,
    "backwards": lambda array: array[::-1] if array.ndim else array,
    "in Fortran order": np.asfortranarray,
    "axes swapped": lambda array: array.swapaxes(0, -1) if array.ndim > 1 else array,
    "read-only": locked,
    "one for many": lambda array: np.broadcast_to(array, (2, *array.shape)),
    "masked": lambda array: np.ma.array(array, mask=np.zeros(array.shape, bool)) if not array.dtype.names else array,
    "of a subclass": lambda array: array.view(Own),
    "without axes": lambda array: array.reshape(-1)[:1].reshape(()) if array.size else array,
}


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_of_an_array_nothing_is_lost_that_pickle_keeps(data: st.DataObject) -> None:
    dtype = data.draw(TYPES)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = np.zeros(shape, dtype)
    if array.size and not dtype.hasobject:
        memory = np.random.default_rng(data.draw(st.integers(0, 99))).bytes(array.nbytes)
        if dtype.kind not in "bU" and not dtype.names and dtype.subdtype is None:
            array = np.frombuffer(bytearray(memory), array.dtype).reshape(array.shape)
    for step in data.draw(st.lists(st.sampled_from(list(STEPS)), max_size=3)):
        array = STEPS[step](array)
    assert_nothing_lost(array, array_facts)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.zeros((2, 2))), np.zeros(())])
def test_an_array_that_is_read_only_comes_back_so_and_numpy_opens_it(array: Any) -> None:
    fixed, npy = locked(array), NpySerializer()
    written = b"".join(npy.dumps(fixed))
    assert AUTO.choose(fixed).name == "npy"
    assert not npy.loads(memoryview(bytearray(written))).flags.writeable  # type: ignore[attr-defined]
    opened = np.load(io.BytesIO(written), allow_pickle=False)
    assert opened.tobytes() == array.tobytes()
    assert opened.flags.f_contiguous == array.flags.f_contiguous


# --- frames -----------------------------------------------------------------------------------------------------------


def index_facts(index: Any, name: str) -> dict[str, object]:
    facts = {
        f"{name} class": type(index),
        f"{name} names": [(type(one), one) for one in index.names],
        f"{name} labels": [(type(one), repr(one)) for one in index],
        f"{name} dtype": repr(getattr(index, "dtypes", index.dtype)),
        f"{name} freq": getattr(index, "freq", None),
    }
    if isinstance(index, pd.MultiIndex):
        facts[f"{name} levels"] = [(repr(level), repr(level.dtype)) for level in index.levels]
        facts[f"{name} codes"] = [(codes.tolist(), codes.dtype) for codes in index.codes]
    return facts


def frame_facts(frame: Any) -> dict[str, object]:
    columns = [frame.array] if isinstance(frame, pd.Series) else [column.array for _, column in frame.items()]
    facts = {
        "class": type(frame),
        "shape": frame.shape,
        "items": [[(type(one), repr(one)) for one in column] for column in columns],
        "dtypes": [(type(column), repr(column.dtype)) for column in columns],
        "notes on types": [getattr(getattr(column.dtype, "numpy_dtype", 0), "metadata", None) for column in columns],
        "categories": [repr(getattr(column, "categories", None)) for column in columns],
        "attrs": repr(frame.attrs),
        "flags": frame.flags.allows_duplicate_labels,
        **index_facts(frame.index, "index"),
    }
    if isinstance(frame, pd.Series):
        return facts | {"name": (type(frame.name), repr(frame.name))}
    return facts | index_facts(frame.columns, "columns")


class OwnFrame(pd.DataFrame):
    @property
    def _constructor(self) -> type["OwnFrame"]:
        return OwnFrame


SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")
COLUMNS: list[Any] = [
    [1, 2, 3],
    [1.5, np.nan, -0.0],
    ["a", None, "한"],
    [True, False, True],
    [1, "a", None],
    [None, np.nan, pd.NA],
    np.zeros(3, "f2"),
    np.zeros(3, ">i4"),
    np.zeros(3, np.dtype("i4", metadata={"unit": "m"})),
    np.zeros(3, "c16"),
    np.array(["2024", "NaT", "1970"], "M8[s]"),
    pd.array([1, None, 3], "Int64"),
    pd.array([1.5, None, 3], "Float32"),
    pd.array([True, None, False], "boolean"),
    pd.array(["a", None, "b"], pd.StringDtype("python")),
    pd.array(["a", None, "b"], pd.StringDtype("pyarrow")),
    pd.array(["a", None, "b"], pd.StringDtype("python", na_value=np.nan)),
    pd.Series(["a", None, "b"], dtype=object),
    pd.Series([b"a", None, "b"], dtype=object),
    pd.Series([dt.date(2024, 1, 1)] * 3, dtype=object),
    pd.Series([pd.Timestamp("2024"), 1, [2]], dtype=object),
    pd.Categorical(["b", None, "a"], categories=["b", "unused", "a"], ordered=True),
    pd.Categorical([3, 1, 3], categories=[3, 1, 2]),
    pd.Categorical([0.5, None, 1.5]),
    pd.Categorical.from_codes([0, 1, -1], pd.Index(["a", "b"], name="named")),
    pd.Categorical(pd.to_datetime(["2024", "2025", None])),
    pd.Categorical(pd.interval_range(0, 3)),
    pd.arrays.SparseArray([0, 0, 1]),
    pd.array(pd.period_range("2024", periods=3, freq="M")),
    pd.array(pd.interval_range(0, 3)),
    pd.array([1, None, 3], "int64[pyarrow]"),
    pd.array(pd.date_range("2024", periods=3, tz=SEOUL)),
    pd.array(pd.date_range("2024", periods=3, tz=dt.timezone(dt.timedelta(hours=-3)))),
    pd.array(pd.to_timedelta([1, None, 2], unit="D").as_unit("ns")),
]
INDEXES: list[Any] = [
    pd.RangeIndex(3),
    pd.RangeIndex(6, 0, -2, name="down"),
    pd.Index([3, 1, 1]),
    pd.Index(["a", None, "b"], dtype=object, name=("a", 1)),
    pd.Index(["a", None, "b"], dtype="str", name=pd.Timestamp("2024")),
    pd.Index([1, "a", 2.5], dtype=object),
    pd.Index([0.5, np.nan, 1.0], name=np.int64(3)),
    pd.Index([True, False, True]),
    pd.Index(np.zeros(3, np.dtype("i4", metadata={"unit": "m"}))),
    pd.date_range("2024", periods=3, freq="D"),
    pd.date_range("2024", periods=3, freq="MS", tz=SEOUL),
    pd.DatetimeIndex(["2024", "2025", "2024"]),
    pd.timedelta_range("1h", periods=3, freq="90min"),
    pd.period_range("2024", periods=3, freq="M"),
    pd.interval_range(0, 3),
    pd.CategoricalIndex(["b", "a", "b"], categories=["b", "a", "c"], ordered=True, name="c"),
    pd.MultiIndex.from_tuples([("a", 1), ("b", None), ("a", 2)], names=["letter", None]),
    pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3), ("d", 4)])[:3],
    pd.MultiIndex.from_arrays([pd.date_range("2024", periods=3), ["x", "x", "y"], [1.5, np.nan, 2]]),
    pd.MultiIndex.from_product([pd.Categorical(["a", "b", "c"]), [1]]),
]
ATTRS: list[dict[Any, Any]] = [
    {},
    {"source": {"page": (1, None)}},
    {"when": pd.Timestamp("2024", tz=SEOUL), np.int64(1): np.float32(2)},
    {"rows": [1, {2}]},
    {"lock": np.arange(2)},
]
ALLOWED = [None, frozenset({"json", "arrow", "pickle"})]  # as it is for small frames, and for large ones
NAMES: list[Any] = [None, "n", 3, ("a", 1), np.int64(3), pd.Timestamp("2024"), pd.NaT, 1.5, b"x"]


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_of_a_frame_nothing_is_lost_that_pickle_keeps(data: st.DataObject) -> None:
    columns = data.draw(st.lists(st.sampled_from(range(len(COLUMNS))), max_size=3))
    index = data.draw(st.sampled_from(INDEXES))
    frame = pd.DataFrame({number: pd.Series(COLUMNS[one]) for number, one in enumerate(columns)}, index=range(3))
    frame.index = index
    attrs = data.draw(st.sampled_from(ATTRS))
    kind, allow = data.draw(st.sampled_from(["frame", "series", "subclass"])), data.draw(st.sampled_from(ALLOWED))
    if kind == "series" and columns:
        series = frame.iloc[:, 0].rename(data.draw(st.sampled_from(NAMES)))
        series.attrs = attrs
        assert_nothing_lost(series, frame_facts, allow=allow)
        return
    labels = data.draw(st.sampled_from([None, *INDEXES]))
    if labels is not None and len(columns) == 3:
        frame.columns = labels
    frame.attrs = attrs
    if data.draw(st.booleans()) and frame.index.is_unique and frame.columns.is_unique:
        frame = frame.set_flags(allows_duplicate_labels=False)
    assert_nothing_lost(OwnFrame(frame) if kind == "subclass" else frame, frame_facts, allow=allow)


@pytest.mark.parametrize("column", range(len(COLUMNS)))
def test_each_kind_of_column_alone(column: int) -> None:
    for allow in ALLOWED:
        assert_nothing_lost(pd.DataFrame({"a": pd.Series(COLUMNS[column])}), frame_facts, allow=allow)
    assert_nothing_lost(pd.Series(COLUMNS[column], name="a"), frame_facts)


@pytest.mark.parametrize("index", range(len(INDEXES)))
def test_each_kind_of_index_alone(index: int) -> None:
    for allow in ALLOWED:
        assert_nothing_lost(pd.DataFrame({"a": [1, 2, 3]}, index=INDEXES[index]), frame_facts, allow=allow)
    assert_nothing_lost(pd.DataFrame([[1, 2, 3]], columns=INDEXES[index]), frame_facts)
