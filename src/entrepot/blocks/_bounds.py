"""How deep and how large plain data from outside is, found before anything walks it by calling itself."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

__all__ = ["DEEPEST", "beyond_bounds"]

DEEPEST: Final = 200
"""Levels: what walks plain data takes up to four calls for each, and Python allows for a thousand."""

_HOLDERS: Final = (list, tuple, AbstractSet, Mapping)


def beyond_bounds(value: Any, *, most: int | None = None) -> str:
    """Say why plain data is too much to be walked; "" if it is not.

    Args:
        value: Lists, tuples, sets and mappings of anything; what occurs in it twice (aliases of YAML) counts twice.
        most: How many values there may be, or None for any number.
    """
    pending, count = [(value, 1)] if isinstance(value, _HOLDERS) else [], 0
    while pending:
        each, depth = pending.pop()
        count += len(each)
        if depth > DEEPEST:
            return f"it is nested deeper than {DEEPEST} levels"
        if most is not None and count > most:
            return f"it unfolds to more than {most:,} values"
        inner = each.values() if isinstance(each, Mapping) else each
        pending += [(one, depth + 1) for one in inner if isinstance(one, _HOLDERS)]
    return ""
