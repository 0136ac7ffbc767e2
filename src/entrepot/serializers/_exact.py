"""Which values JSON gives back exactly as they were, in a program that registered nothing.

Values of exact types only: a subclass would come back as its base. A list or dict that stands in two places would come
back as two, so that what is changed in one is no longer seen in the other: such values are left to pickle.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, cast
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

from entrepot._sentinels import MISSING
from entrepot.serializers._tags import is_of_library, is_utf8, library_scalar

__all__ = ["is_exact"]

_MOST_PARTS: Final = 100_000  # JSON takes ten times as long as pickle: no more of that than a moment
_COST: Final = 9  # more of them for each scalar of a library, which takes that much longer
_DEEPEST: Final = 100

_SIMPLE: Final = frozenset({type(None), bool, int, float, timedelta, date, Decimal})
_KEYS: Final = frozenset({type(None), bool, int, float, str})
_LEAVES: Final = _SIMPLE | {str, datetime, UUID}


def is_exact(value: object) -> bool:
    """Return whether the JSON serializer writes a value, and gives back exactly that.

    None, bool, int, float, text without lone surrogates, dates and times (naive, UTC, or of a named zone), time spans,
    decimals, UUIDs, scalars of NumPy and pandas; and lists, tuples and dicts with plain keys of those, each in one
    place, up to 100,000 parts.
    """
    return _Walk().holds(value, 0) if type(value) in _CONTAINERS else _is_leaf(value)


class _Walk:
    """Goes through one value."""

    __slots__ = ("left", "seen")

    def __init__(self) -> None:
        self.left = _MOST_PARTS
        self.seen: set[int] = set()  # of containers, all of which the value keeps alive

    def holds(self, value: object, depth: int) -> bool:
        """Return whether a container can be written."""
        if depth > _DEEPEST or id(value) in self.seen:
            return False
        if value != ():  # of which there is only one
            self.seen.add(id(value))
        items = _items(value)
        if items is None or (left := self.left - len(items)) < 0:
            return False
        self.left = left
        kinds = set(map(type, items))
        if kinds <= _SIMPLE:
            return True
        if kinds == {str}:
            texts = cast("list[str]", items)
            return all(map(str.isascii, texts)) or all(map(is_utf8, texts))
        if not (kinds <= _ALL or self._affords(items, kinds - _ALL)):
            return False
        return all(self.holds(item, depth + 1) if type(item) in _CONTAINERS else _is_leaf(item) for item in items)

    def _affords(self, items: Collection[object], others: set[type]) -> bool:
        """Return whether the other classes among items are those of libraries, of which there may be fewer."""
        if not all(map(is_of_library, others)):
            return False
        self.left -= _COST * sum(type(item) in others for item in items)
        return self.left >= 0


def _items(value: object) -> Collection[object] | None:
    """Return what a container holds; None if it is a dict with keys that are not plain."""
    if type(value) is not dict:
        return cast("Collection[object]", value)
    kinds = set(map(type, value))
    if kinds == {str}:
        keys: Iterable[str] = value
    elif kinds <= _KEYS:
        keys = [key for key in value if type(key) is str]
    else:
        if not all(map(is_of_library, kinds - _KEYS)):
            return None
        return [part for pair in value.items() for part in pair]  # its keys are looked at as well
    return value.values() if all(map(str.isascii, keys)) or all(map(is_utf8, keys)) else None


_CONTAINERS: Final = frozenset({dict, list, tuple})
_ALL: Final = _LEAVES | _CONTAINERS


def _is_leaf(value: object) -> bool:
    kind = type(value)
    if kind is str:
        return is_utf8(cast("str", value))
    if kind is datetime:
        zone = cast("datetime", value).tzinfo
        return zone is None or zone is UTC or (type(zone) is ZoneInfo and zone.key is not None)
    if kind is UUID:
        return cast("UUID", value).is_safe is SafeUUID.unknown
    return kind in _SIMPLE or library_scalar(value) is not MISSING
