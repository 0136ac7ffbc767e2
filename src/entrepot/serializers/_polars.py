"""Frames of polars."""

from typing import Any, Final

import polars as pl
import pyarrow as pa

from entrepot.serializers._frames import Plan
from entrepot.serializers._unfit import Unfit

__all__ = ["plan", "restore"]

_KEPT: Final = (
    pl.Boolean,
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.UInt8,
    pl.UInt16,
    pl.UInt32,
    pl.UInt64,
    pl.Float32,
    pl.Float64,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Time,
    pl.Datetime,
    pl.Duration,
)


def plan(value: pl.DataFrame, *, parquet: bool) -> Plan:  # noqa: ARG001  what is kept, both formats keep
    """Return how a frame is written.

    Raises:
        Unfit: If it would not come back as it was.
    """
    if not value.width:
        raise Unfit("", "a frame without columns may have rows, which a table cannot")
    for name, dtype in value.schema.items():
        if not _is_kept(dtype):
            raise Unfit(f"[{name!a}]", f"{dtype} is not kept exactly")
    return Plan({}, lambda: value.to_arrow(compat_level=pl.CompatLevel.oldest()))


def restore(table: pa.Table, about: dict[str, Any], memory: memoryview | None) -> object:  # noqa: ARG001  it shares
    """Return the frame as it was."""
    try:
        return pl.from_arrow(table)
    except (
        pl.exceptions.PanicException
    ) as error:  # which is no Exception: a schema that Arrow takes and polars does not
        raise ValueError("polars takes it for no frame") from error


def _is_kept(dtype: Any) -> bool:
    if isinstance(dtype, pl.List):
        return _is_kept(dtype.inner)
    return any(dtype == kept for kept in _KEPT)
