"""Whose result a plain value is: the arrows between runs that pass values, not futures.

`data = extract(); load(data)` says as clearly as a future that `load` takes what `extract` returned. So a flow run
notes what its tasks return, and looks the arguments of the next ones up. It holds none of these values: an object is
known by a weak reference; a list, dict, tuple or set, to which there is none, by its address, its length and the
addresses of its ends; a text by its hash. Numbers, None and short texts come from anywhere, and are nobody's result.
"""

import weakref
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

__all__ = ["Origins"]

_Print: TypeAlias = tuple[object, ...]

_NOBODYS: Final = frozenset({type(None), bool, int, float, complex, type(Ellipsis), range, slice})
_TEXTS: Final = frozenset({str, bytes})
_COLLECTIONS: Final = frozenset({list, tuple, set, frozenset, dict})
_SHORTEST_TEXT: Final = 16
_LIMIT: Final = 10_000  # results that are known at a time, of each flow run
_LOOKED_AT: Final = 100  # members of a collection among arguments


class Origins:
    """What the runs inside one flow run returned."""

    __slots__ = ("_kinds", "_known")

    def __init__(self) -> None:
        self._kinds: set[type] = set()  # of all that was known at any time: most arguments are of none
        self._known: dict[_Print, tuple[str, weakref.ref[Any] | None]] = {}

    def note(self, value: object, run_id: str) -> None:
        """Know a value as the result of a run; what is returned later counts."""
        kind = type(value)
        if kind in _NOBODYS:
            return
        mark = _print_of(kind, value)
        if mark is None:
            return
        reference: weakref.ref[Any] | None = None
        if kind not in _COLLECTIONS and kind not in _TEXTS:
            try:
                reference = weakref.ref(value)
            except TypeError:
                return  # nothing would tell it from the next object at its address
        while len(self._known) >= _LIMIT:
            self._known.pop(next(iter(self._known)), None)
        self._known[mark] = (run_id, reference)
        self._kinds.add(kind)

    def of(self, arguments: Iterable[Any]) -> list[str]:
        """Return the ids of the runs whose results are among arguments, or are the members of a collection there."""
        if not self._known:
            return []
        found: dict[str, None] = {}
        for argument in arguments:
            kind = type(argument)
            if kind in _NOBODYS:
                continue
            origin = self._origin(kind, argument)
            if origin is not None:
                found[origin] = None
            elif kind in _COLLECTIONS and len(argument) <= _LOOKED_AT:
                members = argument.values() if kind is dict else argument
                if self._kinds.isdisjoint(map(type, members)):
                    continue
                for member in members:
                    origin = None if type(member) in _NOBODYS else self._origin(type(member), member)
                    if origin is not None:
                        found[origin] = None
        return list(found)

    def _origin(self, kind: type, value: Any) -> str | None:
        mark = _print_of(kind, value) if kind in self._kinds else None
        known = None if mark is None else self._known.get(mark)
        if known is None or (known[1] is not None and known[1]() is not value):
            return None
        return known[0]


def _print_of(kind: type, value: Any) -> _Print | None:
    """Return what a value is known by, or None where there is nothing to know it by."""
    if kind in _TEXTS:
        return None if len(value) < _SHORTEST_TEXT else (kind, len(value), hash(value))
    if kind not in _COLLECTIONS:
        return (kind, id(value))
    if not value:
        return None
    if kind is list or kind is tuple:
        return (kind, id(value), len(value), id(value[0]), id(value[-1]))
    first = next(iter(value))
    return (kind, id(value), len(value), id(first), id(value[first]) if kind is dict else 0)
