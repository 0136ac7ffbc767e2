"""How leases end and go on: those of claims that hold slots, and those of locks. See `coordination.liveness`."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import writing
from entrepot.coordination.liveness import is_proven_dead, known_processes

__all__ = ["drop_dead", "drop_expired_claims", "drop_expired_lock", "drop_process", "has_swept", "renew"]

_DUST: Final = 1.0  # seconds: an `expires` further away than a lease lasts is of before the machine's last start

_ENDED: Final = "(expires <= ? OR expires > ? + seconds)"

_swept: set[tuple[Path, str]] = set()  # homes that this process has looked through for what the dead left


def drop_expired_claims(connection: sqlite3.Connection, names: Iterable[str], now: float) -> None:
    """Remove claims on some limits that were not renewed in time.

    Args:
        connection: In a transaction.
        names: The limits.
        now: Seconds of the monotonic clock, read in the transaction.
    """
    for name in names:
        mine = "claim_id IN (SELECT claim_id FROM claimed WHERE name = ?)"
        connection.execute(f"DELETE FROM claims WHERE {mine} AND {_ENDED}", (name, now, now + _DUST))  # noqa: S608


def drop_expired_lock(connection: sqlite3.Connection, key: str, now: float) -> None:
    """Remove a lock that was not renewed in time, or whose time is over."""
    connection.execute(f"DELETE FROM locks WHERE key = ? AND {_ENDED}", (key, now, now + _DUST))  # noqa: S608


def drop_dead(connection: sqlite3.Connection, home: Path, token: str) -> list[str]:
    """Remove what processes hold or wait for that are proven dead.

    Args:
        connection: In a transaction.
        home: Where processes have their files.
        token: This process's own.

    Returns:
        Their tokens, to be forgotten after the commit.
    """
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


def renew(
    path: Path, claims: Iterable[str], locks: Iterable[tuple[str, str]] = (), *, clock: Clock = SYSTEM_CLOCK
) -> set[str]:
    """Renew leases. One that is over can be renewed as long as nobody came to take its place.

    Args:
        path: The file.
        claims: Ids of claims that hold slots.
        locks: Keys of locks, with their holders.
        clock: Tells the time.

    Returns:
        The ids and keys of those that are still held.
    """
    kept = set()
    with writing(path) as connection:
        now = clock.monotonic()
        for claim_id in claims:
            renewed = "UPDATE claims SET expires = ? + seconds WHERE claim_id = ? AND granted"
            if connection.execute(renewed, (now, claim_id)).rowcount:
                kept.add(claim_id)
        for key, holder in locks:
            renewed = "UPDATE locks SET expires = ? + seconds WHERE key = ? AND holder = ? AND renewed"
            if connection.execute(renewed, (now, key, holder)).rowcount:
                kept.add(key)
    return kept
