"""Values as JSON that every reader takes: whatever is in a table, what comes out is valid, and shows no secret."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from typing import Any, Final

from entrepot.errors import ParameterError

__all__ = ["plain", "plain_table", "text_of"]

_DEPTH: Final = 8  # of nesting: what holds itself ends there
_UNSHOWN: Final = "..."
_SCALARS: Final = (int, float, str, date, time)
_BITS: Final = 4096  # Python refuses to write longer numbers in decimal digits
_MOMENTS: Final = frozenset({"datetime64", "timedelta64"})  # of numpy
_MISSING: Final = frozenset({"NaT", "<NA>"})  # what numpy and pandas print where there is nothing


def text_of(value: Any) -> str:
    """Return the text of a value as it is kept; every text of an artifact goes through here.

    Lone surrogates, of odd file names, are spelled out: what is kept is UTF-8.
    """
    text = value if type(value) is str else str(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def plain_table(table: Any) -> list[Any] | dict[str, Any]:
    """Return a table as JSON values.

    Args:
        table: A list of rows (mappings, or sequences), a mapping of columns (sequences, or arrays), an array, or a
            frame of pandas, polars or Arrow.

    Raises:
        ParameterError: If it is anything else.
    """
    table = _rows_of_frame(table)
    if isinstance(table, Mapping):
        columns = {text_of(name): _listed(column) for name, column in table.items()}
        if all(_is_sequence(column) for column in columns.values()):
            return {name: plain(column) for name, column in columns.items()}
    if _is_sequence(table):
        rows = list(table)
        if all(isinstance(row, Mapping) for row in rows) or all(_is_sequence(row) for row in rows):
            return [plain(row) for row in rows]
    raise ParameterError(
        f"a table is a list of rows (each a dict, or each a list), a dict of columns (each a list), or a frame, not"
        f" {_described(table)}",
        parameter="table",
    )


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """Return a value as JSON values: what JSON lacks becomes null (NaN) or text (infinities, times, anything else)."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, _SCALARS):
        return _scalar(value)
    if isinstance(value, Mapping):
        return {text_of(key): plain(member, depth - 1) for key, member in value.items()} if depth else _UNSHOWN
    if isinstance(value, AbstractSet) or _is_sequence(value):
        members = [plain(member, depth - 1) for member in value] if depth else _UNSHOWN
        return sorted(members, key=str) if isinstance(value, AbstractSet) and depth else members
    return _other(value, depth)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _BITS else hex(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return text_of(value)
    # Pandas' NaT is a kind of datetime that equals nothing.
    return value.isoformat() if value == value else None  # noqa: PLR0124


def _other(value: Any, depth: int) -> Any:
    """Return a value of another library: numbers and arrays as such, what says it is missing as null, else its text."""
    kind = type(value)
    if callable(getattr(kind, "tolist", None)) and kind.__name__ not in _MOMENTS:  # numpy's scalars and arrays, series
        members = value.tolist()
        return text_of(members) if type(members) is kind or not depth else plain(members, depth - 1)
    text = str(value)  # a secret of pydantic masks itself
    return None if kind.__module__.partition(".")[0] in {"numpy", "pandas"} and text in _MISSING else text_of(text)


def _rows_of_frame(table: Any) -> Any:
    """Return the rows of a frame, without importing its library; anything else as it is."""
    if callable(getattr(table, "to_pylist", None)):  # pyarrow
        return table.to_pylist()
    if callable(getattr(table, "to_dicts", None)):  # polars
        return table.to_dicts()
    if hasattr(table, "columns") and callable(getattr(table, "to_dict", None)):  # pandas
        names = list(table.index.names)
        named = None not in names and not set(names) & set(table.columns)
        return (table.reset_index() if named else table).to_dict(orient="records")
    return _listed(table)


def _listed(value: Any) -> Any:
    """Return what is in an array or a series of numpy or pandas; anything else as it is."""
    kind = type(value)
    return value.tolist() if callable(getattr(kind, "tolist", None)) and hasattr(kind, "__len__") else value


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _described(value: Any) -> str:
    kind = type(value).__name__
    if _is_sequence(value) and value:
        return f"a {kind} of {', '.join(sorted({type(row).__name__ for row in value}))}"
    if isinstance(value, Mapping):
        return f"a {kind} of {', '.join(sorted({type(column).__name__ for column in value.values()}))}"
    return f"a {kind}"
