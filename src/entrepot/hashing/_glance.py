"""The form of small plain data, written in one go: what most arguments are.

The walk of `_encoder` knows of structures that contain themselves, of what is shared, of long values, and of classes,
whose own code it may run. Small data of the exact plain types needs none of this. What is written here is letter for
letter what that walk writes; whatever is not surely so is left to it.
"""

from typing import Any, Final

from entrepot.hashing._bytes import INLINE
from entrepot.hashing._encoder import ENCODERS, Encoder, Encoding

__all__ = ["small_form"]

_DEEPEST: Final = 4  # levels of containers: so many cannot be the beginning of a structure without end
_ITEMS: Final = 15  # of each container; from 16 on, lists of one type are packed
_FLAT: Final[dict[type, Encoding]] = {
    kind: ENCODERS[kind] for kind in (type(None), bool, int, float, complex, str, bytes)
}
_TEXTS: Final = frozenset({str})
_CONTAINERS: Final = frozenset({list, tuple, dict})
_encoder: Final = Encoder()  # what writes flat values does not look at it


class _NotSmall(Exception):  # noqa: N818  a signal inside this module
    """This is for the walk."""


def small_form(value: object) -> bytes | None:
    """Return the form of a value, as `Encoder.encode` writes it; None where it takes more than a glance.

    No code of the user's is run.
    """
    encoding = _FLAT.get(type(value))
    try:
        form = _container(value, _DEEPEST, set()) if encoding is None else encoding(_encoder, value)
    except (_NotSmall, RuntimeError, UnicodeEncodeError):  # RuntimeError: another thread fills a dict at this moment
        return None
    return form if len(form) <= INLINE else None


def _container(value: Any, depth: int, met: set[int]) -> bytes:
    kind = type(value)
    flat = _FLAT
    if kind not in _CONTAINERS or not depth or len(value) > _ITEMS:
        raise _NotSmall
    if kind is not tuple:
        if id(value) in met:
            raise _NotSmall  # one that stands in two places counts as such
        met.add(id(value))
    if kind is dict:
        if not _TEXTS.issuperset(map(type, value)):
            raise _NotSmall
        parts = [b"m%d:" % len(value)]
        for key in sorted(value):
            data, item = key.encode(), value[key]
            encoding = flat.get(type(item))
            form = _container(item, depth - 1, met) if encoding is None else encoding(_encoder, item)
            parts.append(b"s%d:%b%b" % (len(data), data, form))
        return b"".join(parts)
    parts = [(b"[%d:" if kind is list else b"(%d:") % len(value)]
    for item in value:
        encoding = flat.get(type(item))
        parts.append(_container(item, depth - 1, met) if encoding is None else encoding(_encoder, item))
    return b"".join(parts)
