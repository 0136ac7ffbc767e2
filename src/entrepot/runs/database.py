"""The file of the run history: how it is made, opened and brought up to date.

SQLite in WAL mode: one writer and any number of readers at a time, in any process. The file is made 0600 in a 0700
folder. `PRAGMA user_version` is the number of rungs of the ladder that the file has taken.
"""

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["DATABASE_GUARD", "LADDER", "NewerSchemaError", "is_busy", "open_for_reading", "open_for_writing"]

DATABASE_GUARD: Final = threading.RLock()
"""Held while SQLite is at work in this process, and during a fork (see `local`): a child that inherits an open
connection would take its locks for its own, and corrupt the file."""

LADDER: Final[tuple[tuple[str, ...], ...]] = (
    (
        # Times are ISO 8601 in UTC with microseconds, so that text order is time order and people can read them.
        # A transition may be told before its run (by another process): such a run's row has no kind yet.
        """
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE,
            kind TEXT,
            name TEXT,
            definition TEXT,
            key TEXT,
            flow_run_id TEXT,
            parent_run_id TEXT,
            parameters TEXT,
            tags TEXT,
            created TEXT,
            process_id INTEGER,
            epoch INTEGER NOT NULL,
            state_type TEXT,
            state_name TEXT,
            message TEXT,
            started TEXT,
            ended TEXT
        )
        """,
        "CREATE INDEX runs_by_time ON runs (kind, created)",
        "CREATE INDEX runs_by_caller ON runs (coalesce(parent_run_id, flow_run_id))",
        """
        CREATE TABLE transitions (
            number INTEGER PRIMARY KEY,
            transition_id TEXT NOT NULL UNIQUE,
            run_id TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            state_type TEXT NOT NULL,
            state_name TEXT NOT NULL,
            timestamp TEXT NOT NULL,
            message TEXT NOT NULL,
            cache_key TEXT,
            result_location TEXT
        )
        """,
        "CREATE INDEX transitions_by_run ON transitions (run_id)",
        # Changed by a flush that has nothing else to write, so that SQLite syncs what was committed before.
        "CREATE TABLE flushes (count INTEGER NOT NULL)",
        "INSERT INTO flushes VALUES (0)",
    ),
)
"""The schema, as the steps from an empty file to the newest version. Rungs are added, never changed."""

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.2  # seconds between tries to enter WAL mode


class NewerSchemaError(Exception):
    """The file was made by a newer version, whose tables we do not know."""

    def __init__(self, found: int) -> None:
        super().__init__(f"it has version {found} of the schema, and this version of entrepot knows {len(LADDER)}")


def open_for_writing(path: Path, *, patience: float) -> sqlite3.Connection:
    """Open the file, making it and bringing it up to date where needed. Transactions are the caller's.

    Args:
        path: The file; its folder is made too.
        patience: How many seconds to wait for others' locks, here and in each statement later.

    Raises:
        OSError: If it cannot be made.
        sqlite3.DatabaseError: If it cannot be opened, is locked, or is no database.
        NewerSchemaError: If it is of a newer version.
    """
    _make(path)
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        # SQLite does not wait for others when it changes the mode, so we do.
        _until_free(lambda: connection.execute("PRAGMA journal_mode=WAL"), patience)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA journal_size_limit=8388608")  # a burst leaves no large file behind
        if _version(connection) != len(LADDER):
            _climb(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, *, patience: float = 5.0) -> sqlite3.Connection | None:
    """Open the file for queries only, or return None where there is none (or none with tables yet).

    Raises:
        sqlite3.DatabaseError: If it cannot be opened, is locked, or is no database.
        NewerSchemaError: If it is of a newer version.
    """
    if not path.exists():
        return None
    # Not "mode=ro": a reader of a WAL file takes part in its shared index, and may be the one that has to make it.
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only=1")
        version = _version(connection)
    except BaseException:
        connection.close()
        raise
    if version == len(LADDER):
        return connection
    connection.close()
    if version == 0:
        return None
    if version < len(LADDER):
        open_for_writing(path, patience=patience).close()
        return open_for_reading(path, patience=patience)
    raise NewerSchemaError(version)


def is_busy(error: BaseException) -> bool:
    """Return whether this is about a lock that somebody else holds, and so may pass."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _make(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives its companions the same mode."""
    if path.exists():
        return
    _make_folder(path.parent)
    # Made aside and linked: were it opened and closed in place, the close would drop every lock that this process
    # has on it by then, as POSIX locks go.
    descriptor, temporary = tempfile.mkstemp(prefix=".runs-", dir=path.parent)
    os.close(descriptor)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # SQLite syncs the folder of its file, not that folder's own entry
    finally:
        os.close(descriptor)


def _climb(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # again, inside: another process may have been faster
        if version > len(LADDER):
            raise NewerSchemaError(version)  # noqa: TRY301  the same rollback serves
        _take(connection, LADDER[version:])
        connection.execute(f"PRAGMA user_version={len(LADDER)}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _take(connection: sqlite3.Connection, rungs: Sequence[Sequence[str]]) -> None:
    for rung in rungs:
        for statement in rung:
            connection.execute(statement)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _until_free(act: Callable[[], object], patience: float) -> None:
    deadline = time.monotonic() + patience
    wait = _FIRST_WAIT
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() + wait > deadline:
                raise
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            return
