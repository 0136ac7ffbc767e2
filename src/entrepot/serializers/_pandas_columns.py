"""Columns of pandas as Arrow arrays and back, exactly. What is not listed here is not written.

A column becomes a *spec*, plain JSON that says what it was, and an Arrow array that other tools understand.
"""

import base64
from collections.abc import Callable
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
from pyarrow import ipc

from entrepot.serializers._tags import is_utf8
from entrepot.serializers._unfit import Unfit

__all__ = ["Column", "Spec", "categorical", "codes_of", "column_of", "packed", "restored", "unpacked"]

Spec: TypeAlias = dict[str, Any]
Column: TypeAlias = tuple[Spec, Callable[[], pa.Array]]

_NUMBERS: Final = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}) | {
    "float32",
    "float64",
}
_MASKED: Final = {
    "Int8": "int8",
    "Int16": "int16",
    "Int32": "int32",
    "Int64": "int64",
    "UInt8": "uint8",
    "UInt16": "uint16",
    "UInt32": "uint32",
    "UInt64": "uint64",
    "Float32": "float32",
    "Float64": "float64",
    "boolean": "bool",
}
_FEW: Final = 4096  # categories that Parquet's metadata may hold


def column_of(array: Any, path: str, *, parquet: bool) -> Column:
    """Return what a column was, and what makes its Arrow array.

    Args:
        array: The `.array` of a series or index.
        path: Where it is, for messages.
        parquet: Whether it goes into a Parquet file, which holds less.

    Raises:
        Unfit: If it would not come back as it was.
    """
    dtype = getattr(array.dtype, "numpy_dtype", array.dtype) if _wraps_numpy(array) else array.dtype
    if isinstance(dtype, np.dtype):
        return _numpy(array, dtype, path, parquet=parquet)
    for cls, convert in _EXTENSIONS.items():
        if type(dtype) is cls:
            return convert(array, dtype, path, parquet)
    if type(dtype).__module__.partition(".")[0] == "pandas" and dtype.name in _MASKED:
        return _masked(array, dtype.name, path)
    raise Unfit(path, f"columns of the type {dtype} are not kept exactly")


def _wraps_numpy(array: Any) -> bool:
    return type(array) is pd.arrays.NumpyExtensionArray


def restored(spec: Spec, column: pa.ChunkedArray, memory: memoryview | None) -> Any:
    """Return the array that a column was; what its spec does not allow raises, whatever it is."""
    return _READERS[spec["kind"]](spec, column, memory)


def packed(columns: list[Column]) -> Spec:
    """Return columns as plain JSON, for metadata: labels, categories."""
    arrays = [build() for _, build in columns]
    table = pa.Table.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = base64.b64encode(memoryview(sink.getvalue())).decode()
    return {"specs": [spec for spec, _ in columns], "data": data}


def unpacked(spec: Spec) -> list[Any]:
    """Return the arrays that were packed."""
    table = ipc.open_stream(pa.py_buffer(base64.b64decode(spec["data"], validate=True))).read_all()
    table.validate(full=True)
    return [restored(one, column, None) for one, column in zip(spec["specs"], table.columns, strict=True)]


# --- writing ----------------------------------------------------------------------------------------------------------


def _numpy(array: Any, dtype: np.dtype[Any], path: str, *, parquet: bool) -> Column:
    if dtype.metadata is not None:
        raise Unfit(path, "its type has notes (dtype.metadata)")
    if dtype.name in _NUMBERS and dtype.isnative:
        return {"kind": "numpy", "dtype": dtype.str}, lambda: pa.array(_own(array.to_numpy()), from_pandas=False)
    if dtype.kind in "mM" and dtype.isnative:
        unit = np.datetime_data(dtype)[0]
        if parquet and unit == "s":
            raise Unfit(path, "Parquet has no seconds")
        return {"kind": "numpy", "dtype": dtype.str}, lambda: pa.array(_own(np.asarray(array)))
    if dtype.kind == "O":
        items = array.to_numpy().tolist()
        if set(map(type, items)) <= {str, type(None)} and all(is_utf8(item) for item in items if item is not None):
            return {"kind": "texts"}, lambda: pa.array(items, type=pa.large_string(), from_pandas=False)
        raise Unfit(path, "a column of objects that are not all text has no type; convert it (DataFrame.astype)")
    raise Unfit(path, f"columns of the type {dtype} are not kept exactly")


def _own(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the values in one piece, as Arrow keeps them."""
    return np.ascontiguousarray(values)


def _masked(array: Any, name: str, path: str) -> Column:
    kind = np.dtype(_MASKED[name])
    mask = np.asarray(array.isna())
    data = array.to_numpy(dtype=kind, na_value=kind.type(0))
    if kind.kind == "f" and np.isnan(data).any():
        raise Unfit(path, "it holds both NaN and missing values")
    return {"kind": "masked", "dtype": name}, lambda: pa.array(data, mask=mask, from_pandas=False)


def _texts(array: Any, dtype: Any, path: str, parquet: bool) -> Column:  # noqa: ARG001, FBT001  as all of `_EXTENSIONS`
    storage = dtype.storage
    if storage not in {"pyarrow", "python"}:
        raise Unfit(path, f"text stored as {storage!r} is not kept exactly")
    spec = {"kind": "string", "storage": storage, "na": "NA" if dtype.na_value is pd.NA else "nan"}
    if storage == "pyarrow":
        return spec, lambda: _one(pa.array(array)).cast(pa.large_string())
    items = array.to_numpy(dtype=object, na_value=None).tolist()
    if not all(is_utf8(item) for item in items if item is not None):
        raise Unfit(path, "its text holds half of a surrogate pair")
    return spec, lambda: pa.array(items, type=pa.large_string(), from_pandas=False)


def _zoned(array: Any, dtype: Any, path: str, parquet: bool) -> Column:  # noqa: FBT001  as all of `_EXTENSIONS`
    if parquet and dtype.unit == "s":
        raise Unfit(path, "Parquet has no seconds")
    zone, shown = _zone(dtype.tz, path)
    kind = pa.timestamp(dtype.unit, tz=shown)
    return {"kind": "zoned", "unit": dtype.unit, "zone": zone}, lambda: pa.array(
        _own(np.asarray(array.asi8)).view(f"M8[{dtype.unit}]"), type=kind
    )


def _zone(zone: Any, path: str) -> tuple[object, str]:
    """Return a zone as plain JSON, and as Arrow has it."""
    if zone is UTC:
        return None, "UTC"
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key, zone.key
    if type(zone) is timezone:
        seconds = zone.utcoffset(None).total_seconds()
        minutes, rest = divmod(seconds, 60)
        if not rest and timezone(timedelta(seconds=seconds)).tzname(None) == zone.tzname(None):
            sign, minutes = "-" if minutes < 0 else "+", abs(int(minutes))
            return seconds, f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    raise Unfit(path, f"its zone is a {type(zone).__module__}.{type(zone).__qualname__}; use zoneinfo.ZoneInfo")


def _categorical(array: Any, dtype: Any, path: str, parquet: bool) -> Column:  # noqa: FBT001  as all of `_EXTENSIONS`
    if dtype.categories.name is not None:
        raise Unfit(path, "its categories have a name")
    return categorical(np.asarray(array.codes), dtype.categories, path, ordered=dtype.ordered, parquet=parquet)


def categorical(codes: np.ndarray[Any, Any], labels: Any, path: str, *, ordered: bool, parquet: bool) -> Column:
    """Return how codes and what they stand for are written: of a categorical, or a level of a `MultiIndex`.

    Raises:
        Unfit: If they would not come back as they were.
    """
    if type(labels) not in {pd.Index, pd.RangeIndex, pd.DatetimeIndex, pd.TimedeltaIndex}:
        raise Unfit(path, f"its categories are a {type(labels).__qualname__}")
    if getattr(labels, "freq", None) is not None:
        raise Unfit(path, "its categories have a frequency")
    if not labels.is_unique or labels.hasnans:
        raise Unfit(path, "its categories are not distinct")
    known = column_of(labels.array, path, parquet=parquet)
    spec: Spec = {"kind": "categorical", "ordered": bool(ordered), "labels": known[0]}
    if isinstance(labels, pd.RangeIndex):
        spec["range"] = [labels.start, labels.stop, labels.step]
    if parquet:
        if len(labels) > _FEW:
            raise Unfit(path, f"it has more than {_FEW} categories")
        spec["packed"] = packed([known])
    is_text = known[0]["kind"] in {"string", "texts"}

    def build() -> pa.Array:
        own = np.ascontiguousarray(codes)
        indices = pa.array(own, mask=own < 0, from_pandas=False)
        array = pa.DictionaryArray.from_arrays(indices, known[1](), ordered=bool(ordered))
        return array if is_text or not parquet else array.dictionary_decode()

    return spec, build


_EXTENSIONS: Final[dict[type, Callable[[Any, Any, str, bool], Column]]] = {
    pd.StringDtype: _texts,
    pd.DatetimeTZDtype: _zoned,
    pd.CategoricalDtype: _categorical,
}


# --- reading ----------------------------------------------------------------------------------------------------------


def _one(column: Any) -> pa.Array:
    """Return a column in one piece."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def _values(column: Any, dtype: np.dtype[Any], memory: memoryview | None) -> np.ndarray[Any, Any]:
    """Return numbers or dates, writable: where they lie in `memory`, or a copy."""
    array = _one(column)
    if array.type != pa.from_numpy_dtype(dtype):
        raise TypeError("a column of another type")
    if memory is not None and len(array) and not array.null_count and dtype.kind != "b":
        buffer = array.buffers()[1]
        start = buffer.address - pa.py_buffer(memory).address + array.offset * dtype.itemsize
        if start >= 0 and start + len(array) * dtype.itemsize <= len(memory):
            return np.frombuffer(memory, dtype, len(array), start)
    values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
    if values.dtype != dtype:
        raise TypeError("missing values where there were none")
    return values if values.flags.writeable else values.copy()


def _read_numpy(spec: Spec, column: Any, memory: memoryview | None) -> Any:
    dtype = np.dtype(str(spec["dtype"]))
    if dtype.name not in _NUMBERS and dtype.kind not in "mM":
        raise TypeError("no type of a column")
    return _values(column, dtype, memory)


def _read_masked(spec: Spec, column: Any, memory: memoryview | None) -> Any:  # noqa: ARG001  as all of `_READERS`
    kind = np.dtype(_MASKED[spec["dtype"]])
    array = _one(column)
    mask = np.asarray(array.is_null().to_numpy(zero_copy_only=False)).copy()
    values = _values(array.fill_null(kind.type(0).item()), kind, None)
    if kind.kind == "b":
        return pd.arrays.BooleanArray(values, mask)
    return (pd.arrays.FloatingArray if kind.kind == "f" else pd.arrays.IntegerArray)(values, mask)


def _read_texts(spec: Spec, column: Any, memory: memoryview | None) -> Any:  # noqa: ARG001  as all of `_READERS`
    items = np.empty(len(column), object)
    items[:] = column.to_pylist()
    if not set(map(type, items.tolist())) <= {str, type(None)}:
        raise TypeError("a column of another type")
    return items


def _read_string(spec: Spec, column: Any, memory: memoryview | None) -> Any:  # noqa: ARG001  as all of `_READERS`
    storage = spec["storage"]
    dtype = pd.StringDtype(storage) if spec["na"] == "NA" else pd.StringDtype(storage, na_value=np.nan)
    return dtype.__from_arrow__(column)


def _read_zoned(spec: Spec, column: Any, memory: memoryview | None) -> Any:
    unit, zone = spec["unit"], spec["zone"]
    array = _one(column)
    moments = _values(array.cast(pa.timestamp(unit)), np.dtype(f"M8[{unit}]"), memory)
    found: tzinfo = UTC if zone is None else ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(0, zone))
    return pd.Series(moments).dt.tz_localize(UTC).dt.tz_convert(found).array


def _read_categorical(spec: Spec, column: Any, memory: memoryview | None) -> Any:
    codes, labels = codes_of(spec, column, memory)
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(labels, ordered=spec["ordered"]))


def codes_of(spec: Spec, column: Any, memory: memoryview | None) -> tuple[np.ndarray[Any, Any], Any]:
    """Return the codes, and what they stand for."""
    array = _one(column)
    if not isinstance(array, pa.DictionaryArray):
        array = array.dictionary_encode()
    indices = np.asarray(array.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    if "packed" not in spec:
        return indices.copy(), _labels(spec, restored(spec["labels"], pa.chunked_array([array.dictionary]), memory))
    # Parquet wrote what the codes stand for, in an order of its own.
    labels = _labels(spec, unpacked(spec["packed"])[0])
    there = labels.get_indexer(pd.Index(restored(spec["labels"], pa.chunked_array([array.dictionary]), None)))
    if (there < 0).any():
        raise ValueError("a category that is none")
    return np.append(there, -1)[indices], labels


def _labels(spec: Spec, values: Any) -> Any:
    return pd.RangeIndex(*spec["range"]) if "range" in spec else pd.Index(values, dtype=values.dtype)


_READERS: Final[dict[str, Callable[[Spec, Any, memoryview | None], Any]]] = {
    "numpy": _read_numpy,
    "masked": _read_masked,
    "texts": _read_texts,
    "string": _read_string,
    "zoned": _read_zoned,
    "categorical": _read_categorical,
}
