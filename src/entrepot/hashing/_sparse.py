"""How to write the sparse arrays and matrices of SciPy: as they are kept.

The format counts, and so do the order of indices inside a row, entries that are there twice and zeros that are written
out: sums go through the entries in their order. Who does not want that calls `sum_duplicates()` before.
"""

from typing import Any, Final

import numpy as np

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding
from entrepot.hashing._labels import class_label

__all__ = ["encoding_for"]

_PARTS: Final = {
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "csc": ("data", "indices", "indptr"),
    "csr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
    "lil": ("rows", "data"),
}


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if not cls.__module__.startswith("scipy.sparse."):
        return None  # a subclass has state that is not known here
    kept = getattr(cls, "format", None)
    kind = cls.__name__.partition("_")[0]
    if not isinstance(kept, str | property) or cls.__name__.partition("_")[2] not in {"array", "matrix"}:
        return None
    return _keys if kind == "dok" else _sparse if kind in _PARTS else None


def _head(value: Any) -> tuple[object, ...]:
    return (value.format, tuple(int(size) for size in value.shape))


def _sparse(encoder: Encoder, value: Any) -> bytes:
    parts = [encoder.part(f".{name}", getattr(value, name)) for name in _PARTS[value.format]]
    label = text(class_label(type(value)))
    return encoder.named("scipy.sparse", label, encoder.encode(_head(value)), encoder.encode(value.dtype), *parts)


def _keys(encoder: Encoder, value: Any) -> bytes:
    items = {tuple(map(int, np.atleast_1d(key))): item for key, item in value.items()}
    label = text(class_label(type(value)))
    head = encoder.encode(_head(value))
    return encoder.named("scipy.sparse", label, head, encoder.encode(value.dtype), encoder.encode(items))
