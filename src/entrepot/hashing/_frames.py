"""How to write pandas objects: frames by column, index and dtypes.

How a frame keeps its columns in blocks is its own affair, and does not count.
"""

from typing import Any, Final

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from pandas.api.extensions import ExtensionArray, ExtensionDtype  # type: ignore[import-untyped]

from entrepot.hashing._arrays import content_form, dtype_form
from entrepot.hashing._bytes import pack_texts, text
from entrepot.hashing._columns import contents_side_by_side
from entrepot.hashing._encoder import Encoder, Encoding, Refused
from entrepot.hashing._labels import class_label

__all__ = ["encoding_for"]


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    known = _KNOWN.get(cls)
    if known is not None:
        return known
    if issubclass(cls, pd.Index):
        return _index
    if issubclass(cls, ExtensionArray):
        return _extension_value
    if issubclass(cls, ExtensionDtype):
        return _dtype_value
    return None


# --- frames -----------------------------------------------------------------------------------------------------------


def _frame_form(encoder: Encoder, value: pd.DataFrame) -> bytes:
    arrays = [column.array for _, column in value.items()]
    known = contents_side_by_side({n: array.to_numpy(copy=False) for n, array in enumerate(arrays) if _is_flat(array)})
    columns = []
    for position, array in enumerate(arrays):
        try:
            columns.append(_values(encoder, array, known.get(position)))
        except Refused as refusal:
            raise refusal.inside(f".columns[{position}]") from None
    return encoder.named(
        "pandas.DataFrame",
        encoder.part(".columns", value.columns),
        encoder.part(".index", value.index),
        encoder.part(".attrs", value.attrs),
        encoder.encode(value.flags.allows_duplicate_labels),
        *columns,
    )


def _frame(encoder: Encoder, value: pd.DataFrame) -> bytes:
    return encoder.container(value, _frame_form)


def _series_form(encoder: Encoder, value: "pd.Series[Any]") -> bytes:
    return encoder.named(
        "pandas.Series",
        encoder.part(".name", value.name),
        encoder.part(".index", value.index),
        encoder.part(".attrs", value.attrs),
        encoder.encode(value.flags.allows_duplicate_labels),
        _values(encoder, value.array),
    )


def _series(encoder: Encoder, value: "pd.Series[Any]") -> bytes:
    return encoder.container(value, _series_form)


def _index(encoder: Encoder, value: "pd.Index[Any]") -> bytes:
    names = encoder.part(".names", tuple(value.names))
    cls = type(value)
    if isinstance(value, pd.RangeIndex):
        return encoder.named("pandas.RangeIndex", names, encoder.encode((value.start, value.stop, value.step)))
    if isinstance(value, pd.MultiIndex):
        # Levels as they are: `unstack` goes by their order, and who loops over `.levels` sees those that are not used.
        levels = [_values(encoder, level.array) for level in value.levels]
        codes = [_plain(encoder, np.asarray(codes, "i8")) for codes in value.codes]
        return encoder.named("pandas.MultiIndex", names, *levels, *codes)
    if cls.__module__.partition(".")[0] != "pandas":
        raise Refused(f"a {cls.__module__}.{cls.__qualname__}", "which is an index of a class unknown to pandas")
    freq = text(str(getattr(value, "freqstr", None)))
    return encoder.named("pandas.Index", text(cls.__name__), names, freq, _values(encoder, value.array))


# --- arrays -----------------------------------------------------------------------------------------------------------


def _is_flat(array: Any) -> bool:
    """Tell whether a column is an array of NumPy's without objects."""
    if type(array).__name__ not in _PLAIN:
        return False
    dtype = array.dtype.numpy_dtype
    return dtype.kind in "biufcmM" and dtype.char not in "gG"  # extended floats have bytes that say nothing


def _values(encoder: Encoder, array: Any, content: bytes | None = None) -> bytes:
    """Return the form of a column: its dtype and its items, whose form may be known already."""
    cls = type(array)
    writer = _ARRAYS.get(cls.__name__) if cls.__module__.partition(".")[0] == "pandas" else None
    if writer is None:
        raise Refused(f"a {cls.__module__}.{cls.__qualname__}", "which is a column of a kind unknown to pandas")
    return encoder.named("column", _dtype(encoder, array.dtype), content or writer(encoder, array))


def _extension_value(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("pandas.array", _values(encoder, value))


def _numpy(encoder: Encoder, array: Any) -> bytes:
    return _plain(encoder, array.to_numpy(copy=False))


def _plain(encoder: Encoder, data: np.ndarray[Any, Any]) -> bytes:
    if data.dtype.kind == "O":
        return encoder.sequence(b"[", data.tolist())
    if data.ndim == 1 and data.strides[0] < 0:
        data = data.copy()  # a column is its items in order, however it lies in memory
    return content_form(encoder, data)


def _moments(encoder: Encoder, array: Any) -> bytes:
    return _plain(encoder, array.asi8)  # the dtype says unit, zone or frequency


def _masked(encoder: Encoder, array: Any) -> bytes:
    mask = np.asarray(array.isna())
    # What lies under the mask is whatever was there before.
    data = array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=array.dtype.numpy_dtype.type(0))
    return _plain(encoder, data) + _plain(encoder, mask)


def _texts(encoder: Encoder, array: Any) -> bytes:
    missing = np.asarray(array.isna())
    items = array.to_numpy(dtype=object)
    if missing.any():
        items = np.where(missing, "", items)
    return encoder.encode(len(items)) + encoder.close(pack_texts(items.tolist())) + _plain(encoder, missing)


def _categories(encoder: Encoder, array: Any) -> bytes:
    return _plain(encoder, np.asarray(array.codes))  # the dtype says categories and their order


def _intervals(encoder: Encoder, array: Any) -> bytes:
    return encoder.encode(array.left) + encoder.encode(array.right)  # the dtype says which ends are closed


def _sparse(encoder: Encoder, array: Any) -> bytes:
    return encoder.encode(len(array)) + _plain(encoder, array.sp_values) + _plain(encoder, array.sp_index.indices)


def _arrow(encoder: Encoder, array: Any) -> bytes:
    from entrepot.hashing._arrow import content_of  # noqa: PLC0415  an array of pyarrow has loaded it; others do without

    chunks = array._pa_array.chunks  # noqa: SLF001  `__arrow_array__` would copy them into one
    return content_of(encoder, chunks, array._pa_array.type)  # noqa: SLF001  the same


_PLAIN: Final = ("NumpyExtensionArray", "PandasArray")  # the second is what it was called before pandas 2.1
_ARRAYS: Final = {
    "NumpyExtensionArray": _numpy,
    "PandasArray": _numpy,
    "DatetimeArray": _moments,
    "TimedeltaArray": _moments,
    "PeriodArray": _moments,
    "IntegerArray": _masked,
    "FloatingArray": _masked,
    "BooleanArray": _masked,
    "StringArray": _texts,
    "StringArrayNumpySemantics": _texts,
    "ArrowStringArray": _arrow,
    "ArrowStringArrayNumpySemantics": _arrow,
    "Categorical": _categories,
    "IntervalArray": _intervals,
    "SparseArray": _sparse,
    "ArrowExtensionArray": _arrow,
}


# --- dtypes -----------------------------------------------------------------------------------------------------------


def _dtype(encoder: Encoder, dtype: Any) -> bytes:
    if isinstance(dtype, np.dtype):
        return dtype_form(encoder, dtype)
    parts: tuple[object, ...] = ()
    if isinstance(dtype, pd.CategoricalDtype):
        parts = (dtype.categories, dtype.ordered)
    elif isinstance(dtype, pd.StringDtype):
        parts = (dtype.storage, str(dtype.na_value))
    elif isinstance(dtype, pd.SparseDtype):
        parts = (dtype.fill_value,)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        parts = (dtype.unit, dtype.tz)
    elif isinstance(dtype, pd.IntervalDtype):
        parts = (str(dtype.subtype), dtype.closed)
    elif getattr(getattr(dtype, "numpy_dtype", None), "metadata", None) is not None:
        parts = (dict(dtype.numpy_dtype.metadata),)
    return encoder.named(
        "pandas.dtype", text(class_label(type(dtype))), text(str(dtype)), *[encoder.encode(part) for part in parts]
    )


def _dtype_value(encoder: Encoder, value: Any) -> bytes:
    return _dtype(encoder, value)


# --- scalars ----------------------------------------------------------------------------------------------------------


def _timestamp(encoder: Encoder, value: pd.Timestamp) -> bytes:
    parts = (value.unit, int(value.asm8.view("i8")), value.fold)
    return encoder.named("pandas.Timestamp", encoder.encode(parts), encoder.part(".tzinfo", value.tzinfo))


def _timedelta(encoder: Encoder, value: pd.Timedelta) -> bytes:
    return encoder.named("pandas.Timedelta", encoder.encode((value.unit, int(value.asm8.view("i8")))))


def _period(encoder: Encoder, value: pd.Period) -> bytes:
    return encoder.named("pandas.Period", encoder.encode((value.freqstr, value.ordinal)))


def _interval(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("pandas.Interval", encoder.encode((value.left, value.right, value.closed)))


def _missing(encoder: Encoder, _: object) -> bytes:
    return encoder.named("pandas.NA")


def _no_time(encoder: Encoder, _: object) -> bytes:
    return encoder.named("pandas.NaT")


_KNOWN: Final[dict[type, Encoding]] = {
    pd.DataFrame: _frame,
    pd.Series: _series,
    pd.Timestamp: _timestamp,
    pd.Timedelta: _timedelta,
    pd.Period: _period,
    pd.Interval: _interval,
    type(pd.NA): _missing,
    type(pd.NaT): _no_time,
}
