"""Frames for tests of serializers, and what it means that one came back as it was."""

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

__all__ = ["assert_same", "is_same", "pandas_frames", "polars_frames", "tables"]

_SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")
_BEHIND = dt.timezone(dt.timedelta(hours=-9, minutes=-30))


def pandas_frames() -> dict[str, Any]:
    """Return frames and series by name, each of which comes back as it was from an Arrow file."""
    frame = pd.DataFrame
    noted = frame({"x": [1, 2]})
    noted.attrs["source"] = {"page": (1, None)}
    daily = frame({"x": [1, 2]}, index=pd.date_range("2024", periods=2, freq="D", name="day"))
    levels = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", None)], names=["letter", None])
    text = pd.StringDtype
    return {
        "plain": frame({"a": [1, 2], "b": [1.5, np.nan], "c": ["x", None], "d": [True, False]}),
        "empty": frame(),
        "no rows": frame({"a": pd.Series([], dtype="i8"), "t": pd.Series([], dtype="M8[ns]")}),
        "no columns": frame(index=pd.RangeIndex(3)),
        "an index only": frame(index=["a", "b"]),
        "attrs": noted,
        "frequency": daily,
        "frequency over a change of clocks": frame(
            {"x": range(6)},
            index=pd.date_range("2024-03-28", periods=6, freq="D", tz=zoneinfo.ZoneInfo("Europe/Berlin")),
        ),
        "frequency, backwards": frame({"x": range(4)}, index=pd.date_range("2024", periods=4, freq="W-SUN")[::-1]),
        "frequency of nothing": frame({"x": []}, index=pd.date_range("2024", periods=4, freq="ME")[:0]),
        "grouped": frame({"k": ["a", "b", "a"], "d": pd.to_datetime(["2024", "2025", "2024"]), "v": [1, 2, 3]})
        .groupby(["k", "d"])
        .agg(["sum", "mean"]),
        "pivoted": frame({"k": ["a", "b"], "c": ["x", "y"], "v": [1, 2.5]}).pivot_table(
            index="k", columns="c", values="v"
        ),
        "counted": pd.Series(["a", "b", "a"]).value_counts(),
        "levels with gaps": frame(
            {"x": [1, 2]}, index=pd.MultiIndex.from_arrays([pd.to_datetime(["2024", None]), [1.5, np.nan]])
        ),
        "odd labels": frame({"": [1], "a.b": [2], "a\n": [3], 'q"': [4], "a\0b": ["x"]}),
        "levels": frame({"x": [1, 2, 3]}, index=levels),
        "unused levels": frame({"x": [1, 2, 3]}, index=levels)[:1],
        "a column twice": frame([[1, 2.5]], columns=["a", "a"]),
        "numbered columns": frame([[1, 2]], columns=[0, 5]),
        "columns by range": frame(np.arange(6.0).reshape(2, 3)),
        "columns in levels": frame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        "columns by date": frame([[1, 2]], columns=pd.to_datetime(["2024", "2025"])),
        "named columns": frame([[1]], columns=pd.Index(["a"], name="axis")),
        "zones": frame(
            {
                "seoul": pd.date_range("2024", periods=2, tz=_SEOUL),
                "utc": pd.date_range("2024", periods=2, tz="UTC"),
                "behind": pd.date_range("2024", periods=2, tz=_BEHIND),
            }
        ),
        "dates": frame(
            {
                "us": pd.to_datetime(["2024-01-01", None]),
                "ns": pd.to_datetime(["2024", None]).as_unit("ns"),
                "span": pd.to_timedelta([1, None], unit="D"),
            }
        ),
        "seconds": frame({"t": pd.to_datetime(["2024", None]).as_unit("s")}),
        "categories": frame({"c": pd.Categorical(["b", None, "a"], categories=["b", "unused", "a"], ordered=True)}),
        "categories of numbers": frame({"c": pd.Categorical([3, 1], categories=[3, 1, 2])}),
        "masked": frame(
            {
                "i": pd.array([1, None], "Int64"),
                "u": pd.array([255, None], "UInt8"),
                "f": pd.array([1.5, None], "Float32"),
                "b": pd.array([True, None], "boolean"),
            }
        ),
        "texts": frame(
            {
                "python": pd.array(["a", None], text("python")),
                "arrow": pd.array(["한", None], text("pyarrow")),
                "nan": pd.array(["a", None], text("python", na_value=np.nan)),
                "object": pd.Series(["a", None], dtype=object),
            }
        ),
        "an index named as a column": frame({"x": [1]}, index=pd.Index(["r"], name="x")),
        "an index of categories": frame({"x": [1, 2]}, index=pd.CategoricalIndex(["a", "b"])),
        "an index of bools": frame({"x": [1, 2]}, index=[True, False]),
        "an index of spans": frame({"x": [1, 2]}, index=pd.to_timedelta([1, 2], unit="h")),
        "an index of floats": frame({"x": [1, 2]}, index=[0.5, np.nan]),
        "strided": frame(np.arange(12.0).reshape(3, 4)).iloc[::2, ::2],
        "distinct labels": frame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        "special floats": frame({"a": [-0.0, np.nan, 0.0, np.inf, -np.inf, 5e-324]}),
        "series": pd.Series([1, 2], name="n"),
        "series without a name": pd.Series([1.0]),
        "series of texts": pd.Series(["a", None], index=[3, 1], name=("a", 1)),
    }


def polars_frames() -> dict[str, pl.DataFrame]:
    """Return frames of polars by name."""
    when = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001  zones are added below
    many = pl.DataFrame(
        {
            "int": [1, None],
            "text": ["x", "한"],
            "day": [when.date(), None],
            "time": [dt.time(1, 2, 3, 4), None],
            "when": [when, None],
            "span": [dt.timedelta(1), None],
            "bytes": [b"x", None],
            "bool": [True, None],
            "float": [float("nan"), None],
            "list": [[1, None], None],
        }
    ).with_columns(
        pl.col("when").dt.replace_time_zone("Asia/Seoul").alias("zoned"),
        pl.col("when").dt.cast_time_unit("ns").alias("when ns"),
        pl.col("span").dt.cast_time_unit("ms").alias("span ms"),
        pl.col("int").cast(pl.UInt8).alias("byte"),
    )
    return {"polars": many, "polars without rows": many.clear()}


def tables() -> dict[str, pa.Table]:
    """Return Arrow tables by name."""
    flat = pa.table({"a": [1, None], "s": ["x", None]})
    return {
        "table": flat,
        "table with notes": flat.replace_schema_metadata({"k": "v"}),
        "table of few columns": flat.slice(1).select(["s"]),
        "table in pieces": pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
        "table, not null": pa.table([pa.array([1])], schema=pa.schema([pa.field("a", pa.int64(), nullable=False)])),
    }


def assert_same(one: Any, other: Any) -> None:
    """Fail unless a frame came back as it was: values, types, index, names, notes."""
    assert type(one) is type(other)
    if isinstance(one, pa.Table):
        assert one.equals(other, check_metadata=True)
        assert one.schema.equals(other.schema, check_metadata=True)
    elif isinstance(one, pl.DataFrame):
        assert one.schema == other.schema
        assert one.equals(other, null_equal=True)
    else:
        _assert_same_pandas(one, other)


def is_same(one: Any, other: Any) -> bool:
    """Return whether a frame came back as it was."""
    try:
        assert_same(one, other)
    except AssertionError:
        return False
    return True


def _assert_same_pandas(one: Any, other: Any) -> None:
    columns, others = [(frame.to_frame() if isinstance(frame, pd.Series) else frame) for frame in (one, other)]
    assert columns.shape == others.shape
    for number in range(columns.shape[1]):
        left, right = columns.iloc[:, number].array, others.iloc[:, number].array
        assert type(left) is type(right)
        assert repr(left.dtype) == repr(right.dtype)
        pd.testing.assert_extension_array_equal(left, right, check_exact=True)
        if left.dtype == np.float64:
            assert left.to_numpy().tobytes() == right.to_numpy().tobytes()
    _assert_same_index(columns.columns, others.columns)
    _assert_same_index(one.index, other.index)
    assert one.attrs == other.attrs
    assert one.flags == other.flags
    if isinstance(one, pd.Series):
        assert one.name == other.name


def _assert_same_index(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert list(one.names) == list(other.names)
    assert getattr(one, "freq", None) == getattr(other, "freq", None)
    if isinstance(one, pd.MultiIndex):
        for left, right in zip(one.levels, other.levels, strict=True):
            _assert_same_index(left.rename(None), right.rename(None))
        for codes, others in zip(one.codes, other.codes, strict=True):
            assert (codes == others).all()
    else:
        pd.testing.assert_index_equal(one, other, exact=True)
