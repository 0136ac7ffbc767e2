"""Named locks in the shared file. Every function is one transaction."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import reading, writing
from entrepot.coordination.leases import drop_dead, drop_expired_lock, has_swept
from entrepot.coordination.liveness import forget, is_proven_dead, process_token

__all__ = ["LEASE_SECONDS", "lock_holder", "try_lock", "unlock"]

LEASE_SECONDS: Final = 30.0
"""How long a lock without a time of its own stays when its process is stopped."""


def try_lock(path: Path, key: str, holder: str, hold_timeout: float | None, *, clock: Clock = SYSTEM_CLOCK) -> bool:
    """Take a lock if it is free, or the holder's already; return whether it is the holder's now.

    Args:
        path: The file.
        key: What is locked.
        holder: For whom.
        hold_timeout: How many seconds it is held at most; with None it is a lease, which somebody has to renew.
        clock: Tells the time.
    """
    home = path.parent
    token = process_token(home)
    gone: list[str] = []
    with writing(path) as connection:
        now = clock.monotonic()
        taken = _is_free(connection, key, holder)
        if not taken or not has_swept(home, token):
            if not taken:
                drop_expired_lock(connection, key, now)
            gone = drop_dead(connection, home, token)
            taken = _is_free(connection, key, holder)
        if taken:
            seconds = LEASE_SECONDS if hold_timeout is None else hold_timeout
            connection.execute(
                "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    holder,
                    token,
                    os.getpid(),
                    os.uname().nodename,
                    clock.now().isoformat(),
                    now + seconds,
                    seconds,
                    hold_timeout is None,
                ),
            )
    for dead in gone:
        forget(home, dead)
    return taken


def unlock(path: Path, key: str, holder: str, *, clock: Clock = SYSTEM_CLOCK) -> bool:
    """Give a lock back; return whether it was the holder's."""
    with writing(path) as connection:
        # A lease that is over is still the holder's as long as nobody came for the lock; a time that is over is not.
        return (
            connection.execute(
                "DELETE FROM locks WHERE key = ? AND holder = ? AND (renewed OR expires > ?)",
                (key, holder, clock.monotonic()),
            ).rowcount
            > 0
        )


def lock_holder(path: Path, key: str, *, clock: Clock = SYSTEM_CLOCK) -> str | None:
    """Return who holds a lock, or None."""
    with reading(path) as connection:
        row = (
            None
            if connection is None
            else connection.execute(
                "SELECT holder, process FROM locks WHERE key = ? AND expires > ?", (key, clock.monotonic())
            ).fetchone()
        )
    return None if row is None or is_proven_dead(path.parent, row[1]) else str(row[0])


def _is_free(connection: sqlite3.Connection, key: str, holder: str) -> bool:
    """Return whether a holder can have a lock."""
    row = connection.execute("SELECT holder FROM locks WHERE key = ?", (key,)).fetchone()
    return row is None or row[0] == holder
