"""How to write polars frames, series and types.

A series is its name, its type and its values; how it is cut into chunks, and what polars has noted about its order, do
not count. Values of categoricals count as the texts that they stand for: their numbers differ from process to process.
"""

from typing import Any, Final

import polars as pl

from entrepot.hashing._arrow import content_of
from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding, Refused

__all__ = ["encoding_for"]


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if issubclass(cls, pl.DataType):
        return _type_value
    return _KNOWN.get(cls)


def _frame(encoder: Encoder, value: pl.DataFrame) -> bytes:
    columns = []
    for position, column in enumerate(value.get_columns()):
        try:
            columns.append(_column(encoder, column))
        except Refused as refusal:
            raise refusal.inside(f".columns[{position}]") from None
    return encoder.named("polars.DataFrame", encoder.encode(value.shape), *columns)


def _series(encoder: Encoder, value: pl.Series) -> bytes:
    return encoder.named("polars.Series", _column(encoder, value))


def _column(encoder: Encoder, value: pl.Series) -> bytes:
    head = (text(value.name), _type(encoder, value.dtype))
    if isinstance(value.dtype, pl.Categorical | pl.Enum):
        value = value.cast(pl.String)
    elif _holds(value.dtype, (pl.Object, pl.Categorical)):
        return encoder.named("polars.column", *head, encoder.sequence(b"[", value.to_list()))
    array = value.to_arrow()
    return encoder.named("polars.column", *head, content_of(encoder, [array], array.type))


def _holds(dtype: Any, kinds: tuple[Any, ...]) -> bool:
    if isinstance(dtype, kinds):
        return True
    inner = [field.dtype for field in dtype.fields] if isinstance(dtype, pl.Struct) else [getattr(dtype, "inner", None)]
    return any(_holds(each, kinds) for each in inner if each is not None)


def _type(encoder: Encoder, dtype: Any) -> bytes:
    categories = encoder.encode(dtype.categories.to_list()) if isinstance(dtype, pl.Enum) else b"N"
    return encoder.named("polars.type", text(repr(dtype)), categories)


def _type_value(encoder: Encoder, value: Any) -> bytes:
    return _type(encoder, value)


def _lazy(_: Encoder, __: Any) -> bytes:
    raise Refused("a polars.LazyFrame", "which is a plan and no data (pass what it reads, or what collect() gives)")


_KNOWN: Final[dict[type, Encoding]] = {pl.DataFrame: _frame, pl.Series: _series, pl.LazyFrame: _lazy}
