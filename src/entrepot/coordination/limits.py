"""Limits in the shared file: how they are set, shown and removed. Every public function is one transaction."""

import math
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import default_path, reading, writing
from entrepot.coordination.deciding import Limit
from entrepot.errors import LimitError

__all__ = [
    "check_limit_name",
    "keep_level",
    "limits_by_name",
    "nearest",
    "read_limits",
    "remove_limit",
    "set_limit",
]

_LONGEST: Final = 200  # characters
_MOST: Final = 1_000_000_000  # slots


def check_limit_name(name: object) -> str:
    """Return a name that may be one of a limit: 1 to 200 printable characters, without spaces at its ends.

    Raises:
        LimitError: If it is anything else.
    """
    if isinstance(name, str) and 0 < len(name) <= _LONGEST and name.isprintable() and name == name.strip():
        return name
    shown = ascii(name) if not isinstance(name, str) or len(name) <= _LONGEST else ascii(name[:40] + "...")
    raise LimitError(
        f"{shown} cannot be the name of a limit: use a text of 1 to {_LONGEST} printable characters", name=shown
    )


def set_limit(
    name: str,
    limit: int | None = None,
    *,
    slot_decay_per_second: float | None = None,
    active: bool | None = None,
    path: Path | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Limit:
    """Set a limit, or change one; what is not given stays as it is.

    Who holds more than a limit has after that keeps it; nobody is let in until there is room.

    Args:
        name: Of the limit; `tag:NAME` limits task runs with the tag `NAME`.
        limit: How many slots there are; 0 lets nobody in.
        slot_decay_per_second: How many slots come back by themselves in a second, for `rate_limit`; 0 for none.
        active: Whether it limits anything; a new one does.
        path: The file; the one in the home by default.
        clock: Tells the time.

    Returns:
        The limit as it is now.

    Raises:
        LimitError: If it is new and no number of slots is given, or a number makes no sense.
        StorageError: If the file cannot be used.
    """
    check_limit_name(name)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= _MOST):
        raise LimitError(f"a limit is a whole number from 0 to {_MOST}, not {limit!r}", name=name)
    decay = slot_decay_per_second
    if decay is not None and (isinstance(decay, bool) or not isinstance(decay, (int, float)) or not _is_rate(decay)):
        raise LimitError(f"slot_decay_per_second is a number of slots, 0 or more, not {decay!r}", name=name)
    with writing(path, durable=True) as connection:
        now, time = clock.monotonic(), clock.now().isoformat()
        known = limits_by_name(connection).get(name)
        if known is None and limit is None:
            raise LimitError(
                f"there is no limit {name!r} yet: say how many slots it has, such as --limit 5 or limit=5", name=name
            )
        before = Limit(name, limit or 0) if known is None else known
        after = replace(
            before,
            slots=before.slots if limit is None else limit,
            decay=before.decay if decay is None else float(decay),
            active=before.active if active is None else active,
            level=before.level_now(now),  # what is out so far came back at the old rate
            level_at=now,
        )
        connection.execute(
            "INSERT INTO limits VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
            " slots = excluded.slots, decay = excluded.decay, active = excluded.active, level = excluded.level,"
            " level_at = excluded.level_at, updated = excluded.updated",
            (name, after.slots, after.decay, after.active, after.level, after.level_at, time, time),
        )
    return after


def remove_limit(name: str, *, path: Path | None = None) -> bool:
    """Remove a limit; return whether there was one. Who waits for it is let in, and who holds slots goes on."""
    with writing(path, durable=True) as connection:
        return connection.execute("DELETE FROM limits WHERE name = ?", (name,)).rowcount > 0


def read_limits(*, path: Path | None = None) -> list[Limit]:
    """Return all limits, by name."""
    with reading(path or default_path()) as connection:
        return [] if connection is None else list(limits_by_name(connection).values())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the limit whose name is most like this one, or how to set it."""
    from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

    found = get_close_matches(name, list(known), n=1)
    hint = f"did you mean {found[0]!r}? If not, set" if found else "set"
    return f"{hint} it: entrepot limit set {name} --limit 1 (for a rate, with --decay-per-second)"


def limits_by_name(connection: sqlite3.Connection) -> dict[str, Limit]:
    """Return all limits, in a transaction."""
    rows = connection.execute("SELECT name, slots, decay, active, level, level_at FROM limits ORDER BY name")
    return {row[0]: Limit(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in rows}


def keep_level(connection: sqlite3.Connection, limit: Limit) -> None:
    """Write down how much of a limit's rate is out, in a transaction."""
    connection.execute(
        "UPDATE limits SET level = ?, level_at = ? WHERE name = ?", (limit.level, limit.level_at, limit.name)
    )


def _is_rate(decay: float) -> bool:
    return math.isfinite(decay) and decay >= 0
