"""A look at a large value that costs next to nothing: its shape, and some of its bytes.

Two looks at one object that differ show that it was changed in place; two that agree do not show that it was not.
"""

import sys
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

__all__ = ["sample_of", "size_of"]

_PLACES: Final = 64
_BYTES: Final = 256  # at each place


def sample_of(value: object) -> bytes | None:
    """Return 16 bytes that say how a large value looks, or None for one of which more than its bytes counts.

    Known are arrays of NumPy without objects, frames and series of pandas and polars without objects, and tables of
    pyarrow: exactly these types, since a subclass has code of its own that would count too.
    """
    cls = type(value)
    library = cls.__module__.partition(".")[0]
    look = _LOOKS.get(f"{library}.{cls.__qualname__}")
    if look is None or library not in sys.modules:
        return None
    hasher = blake2b(digest_size=16)
    try:
        for piece in look(value):
            if piece is None:
                return None
            hasher.update(b"%d:" % len(piece))
            hasher.update(piece)
    except Exception:  # noqa: BLE001  of any version of a library, about any kind of column: then it is just not known
        return None
    return hasher.digest()


def size_of(value: object) -> int:
    """Return about how many bytes a value of a known kind has; 0 of others."""
    library = type(value).__module__.partition(".")[0]
    if f"{library}.{type(value).__qualname__}" not in _LOOKS:
        return 0
    sized: Any = value
    if library == "polars":
        return int(sized.estimated_size())
    if library == "pandas":
        used = sized.memory_usage()
        return int(used if isinstance(used, int) else used.sum())
    return int(sized.nbytes)


def _array(value: Any) -> Iterator[bytes | None]:
    if value.dtype.hasobject:
        yield None
        return
    yield repr((value.dtype, value.shape, value.strides)).encode()
    flat = value.reshape(-1, order="A") if value.flags.forc else value.flat  # neither is a copy
    width = max(1, _BYTES // max(1, value.dtype.itemsize))
    for start in range(0, value.size, max(1, value.size // _PLACES)):
        yield flat[start : start + width].tobytes()
    yield flat[max(0, value.size - width) :].tobytes()


def _pandas(value: Any) -> Iterator[bytes | None]:
    columns = [value] if value.ndim == 1 else [value.iloc[:, place] for place in range(value.shape[1])]
    yield repr((value.shape, list(value.columns) if value.ndim > 1 else value.name)).encode()
    yield repr([str(column.dtype) for column in columns]).encode()
    for column in (value.index.to_series(), *columns):
        if column.dtype == object or not type(column.dtype).__module__.startswith(("pandas.", "numpy")):
            yield None
            return
        places = range(0, len(column), max(1, len(column) // _PLACES))
        yield repr(column.iloc[list(places)].tolist()).encode()


def _polars(value: Any) -> Iterator[bytes | None]:
    outline = repr((value.shape, value.schema if hasattr(value, "schema") else (value.name, value.dtype)))
    if "Object" in outline:
        yield None
        return
    yield outline.encode()
    some = value.gather_every(max(1, len(value) // _PLACES))
    yield repr(some.to_list() if some.shape[1:] == () else some.rows()).encode()


def _table(value: Any) -> Iterator[bytes | None]:
    """Look at what cannot be changed in place: its outline is enough."""
    yield None if "extension" in str(value.schema) else repr((value.shape, str(value.schema))).encode()


_LOOKS: Final = {
    "numpy.ndarray": _array,
    "pandas.DataFrame": _pandas,
    "pandas.Series": _pandas,
    "polars.DataFrame": _polars,
    "polars.Series": _polars,
    "pyarrow.Table": _table,
}
