"""How leases end and go on: those of claims that hold slots, and those of locks. See `coordination.liveness`."""

import sqlite3
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import writing
from entrepot.coordination.liveness import is_proven_dead, known_processes

__all__ = ["drop_ended", "drop_process", "has_swept", "renew"]

_DUST: Final = 1.0  # seconds: an `expires` further away than a lease lasts is of before the machine's last start

_swept: set[tuple[Path, str]] = set()  # homes that this process has looked through for what the dead left


def drop_ended(connection: sqlite3.Connection, home: Path, token: str, now: float) -> list[str]:
    """Remove what was not renewed in time, and what processes hold or wait for that are proven dead.

    Args:
        connection: In a transaction.
        home: Where processes have their files.
        token: This process's own.
        now: Seconds of the monotonic clock, read in the transaction.

    Returns:
        The tokens of the dead, to be forgotten after the commit.
    """
    for table in ("claims", "locks"):
        connection.execute(f"DELETE FROM {table} WHERE expires <= ? OR expires > ? + seconds", (now, now + _DUST))  # noqa: S608
    others = {row[0] for row in connection.execute("SELECT process FROM claims UNION SELECT process FROM locks")}
    if not has_swept(home, token):  # once in a process, also for those that left nothing but their file
        _swept.add((home, token))
        others.update(known_processes(home))
    dead = [other for other in others if other != token and is_proven_dead(home, other)]
    for other in dead:
        drop_process(connection, other)
    return dead


def has_swept(home: Path, token: str) -> bool:
    """Return whether this process has looked once through what the dead left."""
    return (home, token) in _swept


def drop_process(connection: sqlite3.Connection, token: str) -> None:
    """Remove everything that one process holds or waits for."""
    for table in ("claims", "locks"):
        connection.execute(f"DELETE FROM {table} WHERE process = ?", (token,))  # noqa: S608


def renew(path: Path, token: str, *, clock: Clock = SYSTEM_CLOCK) -> set[str]:
    """Renew every lease of a process; return the ids of claims and the keys of locks that it still has.

    A lease that is over can be renewed as long as nobody came to take its place.
    """
    with writing(path) as connection:
        now = clock.monotonic()
        kept: set[str] = set()
        for table, name, which in (("claims", "claim_id", "granted"), ("locks", "key", "renewed")):
            ours = f"WHERE process = ? AND {which}"
            connection.execute(f"UPDATE {table} SET expires = ? + seconds {ours}", (now, token))  # noqa: S608
            kept.update(row[0] for row in connection.execute(f"SELECT {name} FROM {table} {ours}", (token,)))  # noqa: S608
    return kept
