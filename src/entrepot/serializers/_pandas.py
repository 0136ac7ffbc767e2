"""Frames and series of pandas."""

from collections.abc import Hashable, Iterable
from typing import Any, Final

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa

from entrepot.serializers._exact import is_exact
from entrepot.serializers._frames import Plan
from entrepot.serializers._pandas_columns import (
    Column,
    Spec,
    categorical,
    codes_of,
    column_of,
    packed,
    restored,
    unpacked,
)
from entrepot.serializers._unfit import Unfit
from entrepot.serializers.tagged import from_plain, to_plain

__all__ = ["plan", "restore"]

_MOST_COLUMNS: Final = 10_000
_INDEXES: Final = (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex)


def plan(value: Any, *, parquet: bool) -> Plan:
    """Return how a frame or series is written: its columns, then those of its index.

    Raises:
        Unfit: If it would not come back as it was.
    """
    about: dict[str, Any] = {
        "attrs": _plain(value.attrs, ".attrs"),
        "duplicates": bool(value.flags.allows_duplicate_labels),
    }
    if isinstance(value, pd.Series):
        about["name"] = _plain(value.name, ".name")
        labels: Iterable[Hashable] = ["value" if value.name is None else value.name]
        columns = [column_of(value.array, "", parquet=parquet)]
    else:
        if value.shape[1] > _MOST_COLUMNS:
            raise Unfit(".columns", f"it has more than {_MOST_COLUMNS} columns")
        labels = value.columns
        about["labels"], own = _index(value.columns, ".columns", parquet=False)
        about["labels"]["packed"] = packed(own)
        columns = [
            column_of(column.array, f".columns[{position}]", parquet=parquet)
            for position, (_, column) in enumerate(value.items())
        ]
    about["columns"] = [spec for spec, _ in columns]
    about["index"], index = _index(value.index, ".index", parquet=parquet)
    if parquet and not columns and not index:
        raise Unfit("", "Parquet keeps no table without columns")
    names = _names(labels, value.index.names[: len(index)])
    about["rows"] = len(value)

    def build() -> pa.Table:
        return pa.Table.from_arrays([made() for _, made in (*columns, *index)], names=names)

    return Plan(about, build)


def restore(table: pa.Table, about: dict[str, Any], memory: memoryview | None) -> Any:
    """Return the frame or series as it was."""
    specs = about["columns"]
    arrays = [restored(spec, column, memory) for spec, column in zip(specs, table.columns[: len(specs)], strict=True)]
    index = _read_index(about["index"], table.columns[len(specs) :], memory)
    if about["of"] == "pandas.Series":
        (array,) = arrays
        value = pd.Series(array, index=index, name=from_plain(about["name"]), dtype=array.dtype, copy=False)
    else:
        labels = about["labels"]
        # Columns go by position: labels need not be distinct.
        series = {
            number: pd.Series(array, index=index, dtype=array.dtype, copy=False) for number, array in enumerate(arrays)
        }
        value = pd.DataFrame(series, index=index, columns=range(len(arrays)), copy=False)
        value.columns = _from_arrays(labels, unpacked(labels["packed"]))
    if len(value) != about["rows"]:
        raise ValueError("another number of rows")
    value.attrs.update(from_plain(about["attrs"]))
    value.flags.allows_duplicate_labels = about["duplicates"]
    return value


def _plain(value: object, path: str) -> object:
    if not is_exact(value):
        raise Unfit(path, "it holds more than plain data")
    return to_plain(value)


def _names(labels: Iterable[Hashable], levels: Iterable[Hashable]) -> list[str]:
    """Return distinct names for other tools to see: each label as text, with a number where it is taken."""
    wanted = [label if isinstance(label, str) else str(label) for label in labels]
    wanted += [f"index_{number}" if label is None else str(label) for number, label in enumerate(levels)]
    taken: set[str] = set()
    names = []
    for name in wanted:
        plain = name.encode(errors="replace").decode()
        free, number = plain, 2
        while free in taken:
            free, number = f"{plain}_{number}", number + 1
        taken.add(free)
        names.append(free)
    return names


def _index(index: Any, path: str, *, parquet: bool) -> tuple[Spec, list[Column]]:
    """Return what an index was, and its columns.

    Raises:
        Unfit: If it would not come back as it was.
    """
    spec: Spec = {"names": _plain(list(index.names), f"{path}.names")}
    if type(index) is pd.RangeIndex:
        return spec | {"kind": "range", "range": [index.start, index.stop, index.step]}, []
    if type(index) is pd.MultiIndex:
        columns = []
        for number, (level, codes) in enumerate(zip(index.levels, index.codes, strict=True)):
            column = categorical(codes, level, f"{path}.levels[{number}]", ordered=False, parquet=parquet)
            columns.append(column)
        return spec | {"kind": "multi", "levels": [column[0] for column in columns]}, columns
    if type(index) not in _INDEXES:
        raise Unfit(path, f"an index of the type {type(index).__qualname__} is not kept exactly")
    freq = getattr(index, "freq", None)
    if freq is not None:
        spec["freq"] = index.freqstr
        if not _is_named(freq, index.freqstr):
            raise Unfit(path, "its frequency has no name of its own")
    column = column_of(index.array, path, parquet=parquet)
    return spec | {"kind": "index", "column": column[0]}, [column]


def _is_named(freq: Any, name: str) -> bool:
    try:
        return bool(pd.tseries.frequencies.to_offset(name) == freq)
    except ValueError:
        return False


def _read_index(spec: Spec, columns: list[Any], memory: memoryview | None) -> Any:
    if spec["kind"] == "multi":
        parts = [codes_of(one, column, memory) for one, column in zip(spec["levels"], columns, strict=True)]
        return _multi(spec, parts)
    if spec["kind"] == "range":
        return _from_arrays(spec, [])
    return _from_arrays(spec, [restored(spec["column"], column, memory) for column in columns])


def _from_arrays(spec: Spec, arrays: list[Any]) -> Any:
    """Return an index from its columns."""
    names: Any = from_plain(spec["names"])
    if spec["kind"] == "range":
        return pd.RangeIndex(*spec["range"], name=names[0])
    if spec["kind"] == "multi":
        return _multi(spec, [(array.codes, array.categories) for array in arrays])
    (array,) = arrays
    index = pd.Index(array, dtype=array.dtype, name=names[0], copy=False)
    if "freq" in spec:
        index.freq = spec["freq"]
    return index


def _multi(spec: Spec, parts: list[tuple[Any, Any]]) -> Any:
    return pd.MultiIndex(
        levels=[labels for _, labels in parts], codes=[codes for codes, _ in parts], names=from_plain(spec["names"])
    )
