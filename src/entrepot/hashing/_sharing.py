"""Which lists, dicts, sets and arrays stand in several places of one value.

`[row, row]` and `[[0], [0]]` are equal, and code that changes `rows[0]` in place tells them apart: it is one list in
the one, and two in the other. So what is shared counts. What nobody can change in place is shared at random (constants,
interned texts, one datetime in many rows), and does not.
"""

from collections.abc import Collection
from typing import Any, Final

from entrepot.hashing._encoder import Encoder, Refused

__all__ = ["sharing"]

_WALKED: Final = frozenset({list, tuple, dict})
_CHANGEABLE: Final = frozenset({list, dict, set, bytearray})
_ARRAYS: Final = frozenset({("numpy", "ndarray"), ("pandas", "DataFrame"), ("pandas", "Series")})
_NEVER: Final = frozenset({type(None), bool, int, float, complex, str, bytes})


def sharing(value: object) -> str:
    """Return what is shared inside a value: `3=1` says that the third thing that can change is the first one again.

    Things are counted in the order of lists and tuples, and in that of the forms of keys; so the order in which a dict
    was filled does not count. Lists, tuples and dicts are walked through, and no other objects.
    """
    if type(value) not in _WALKED:
        return ""
    walk = _Walk()
    walk.visit(value)
    return ",".join(walk.marks)


class _Walk:
    """Goes through one value, which keeps all parts alive: identities stay what they are."""

    __slots__ = ("_met", "_number", "_open", "marks")

    def __init__(self) -> None:
        self.marks: list[str] = []
        self._met: dict[int, int] = {}  # the numbers of what was met; 0 for tuples in which nothing can change
        self._open: set[int] = set()  # what is on the way from the root to here: forms say themselves that it is
        self._number = 0

    def visit(self, value: Any) -> bool:
        """Take note of a thing; return whether it, or something in it, can change."""
        key = id(value)
        if key in self._open:
            return True
        number = self._met.get(key)
        self._number += 1
        if number is not None:
            if number:
                self.marks.append(f"{self._number}={number}")
            else:
                self._number -= 1  # not counted: whether equal tuples are one is an accident
            return bool(number)
        mine = self._number
        kind = type(value)
        can_change = kind is not tuple
        if kind in _WALKED:
            self._open.add(key)
            for item in self._inside(value):
                can_change = self.visit(item) or can_change
            self._open.discard(key)
        if not can_change:
            self._number = mine - 1
        self._met[key] = mine if can_change else 0
        return can_change

    def _inside(self, value: Any) -> Collection[Any]:
        """Return the parts of a container that are to be visited, in an order of their own."""
        if type(value) is not dict:
            return [] if _NEVER.issuperset(map(type, value)) else list(filter(_is_followed, value))
        if _NEVER.issuperset(map(type, value.values())):
            return []
        followed = [(key, item) for key, item in value.items() if _is_followed(item)]
        if all(type(key) is str for key in value):  # as `Encoder.mapping` has it
            return [item for _, item in sorted(followed, key=lambda pair: pair[0])]
        try:
            return [item for _, item in sorted(followed, key=lambda pair: Encoder().encode(pair[0]))]
        except Refused:  # nobody asks then
            return []


def _is_followed(item: object) -> bool:
    kind = type(item)
    if kind in _NEVER:
        return False
    return kind in _WALKED or kind in _CHANGEABLE or (kind.__module__.partition(".")[0], kind.__name__) in _ARRAYS
