"""The form of small plain data, written in one go: what most arguments are.

The walk of `_encoder` knows of structures that contain themselves, of what is shared, of long values, and of classes,
whose own code it may run. Small data of the exact plain types needs none of this. What is written here is letter for
letter what that walk writes; whatever is not surely so is left to it.
"""

from typing import Any, Final

from entrepot.hashing._bytes import INLINE, text
from entrepot.hashing._encoder import ENCODERS, Encoder

__all__ = ["small_form"]

_DEEPEST: Final = 4  # levels of containers: so many cannot be the beginning of a structure without end
_ITEMS: Final = 15  # of each container; from 16 on, lists of one type are packed
_FLAT: Final = {kind: ENCODERS[kind] for kind in (type(None), bool, int, float, complex, str, bytes)}
_TEXTS: Final = frozenset({str})
_encoder: Final = Encoder()  # what writes flat values does not look at it


class _NotSmall(Exception):  # noqa: N818  a signal inside this module
    """This is for the walk."""


def small_form(value: object) -> bytes | None:
    """Return the form of a value, as `Encoder.encode` writes it; None where it takes more than a glance.

    No code of the user's is run.
    """
    try:
        form = _form(value, _DEEPEST)
    except (_NotSmall, RecursionError, RuntimeError):  # a dict that another thread fills at this moment
        return None
    return form if len(form) <= INLINE else None


def _form(value: Any, depth: int) -> bytes:
    kind = type(value)
    if kind is dict:
        if len(value) > _ITEMS or not depth or not _TEXTS.issuperset(map(type, value)):
            raise _NotSmall
        parts = [b"m%d:" % len(value)]
        for key in sorted(value):
            parts += (text(key), _form(value[key], depth - 1))
        return b"".join(parts)
    if kind is list or kind is tuple:
        if len(value) > _ITEMS or not depth:
            raise _NotSmall
        tag = b"[%d:" if kind is list else b"(%d:"
        return tag % len(value) + b"".join([_form(item, depth - 1) for item in value])
    encoding = _FLAT.get(kind)
    if encoding is None:
        raise _NotSmall
    return encoding(_encoder, value)
