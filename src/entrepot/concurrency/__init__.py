"""Concurrency limits and rate limits by name, for all processes of a machine. See `docs/limits.md`.

with concurrency("db", occupy=1):  # or `async with`
...
rate_limit("api")  # or `await arate_limit("api")`
"""

from typing import TYPE_CHECKING, Any

from entrepot.concurrency.slots import Slots, arate_limit, concurrency, rate_limit
from entrepot.concurrency.tags import tag_slots

if TYPE_CHECKING:
    from entrepot.coordination.limits import read_limits, remove_limit, set_limit

__all__ = [
    "Slots",
    "arate_limit",
    "concurrency",
    "rate_limit",
    "read_limits",
    "remove_limit",
    "set_limit",
    "tag_slots",
]


def __getattr__(name: str) -> Any:
    if name in {"read_limits", "remove_limit", "set_limit"}:
        from entrepot.coordination import limits  # noqa: PLC0415  the lazy seam: it loads SQLite

        return getattr(limits, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
