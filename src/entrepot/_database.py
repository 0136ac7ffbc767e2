"""SQLite files that processes of one machine share: how they are made, opened and brought up to date.

WAL mode: one writer and any number of readers at a time, in any process. A file is made 0600 in a 0700 folder.
`PRAGMA user_version` is the number of rungs of its ladder that the file has taken.
"""

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["DATABASE_GUARD", "Ladder", "NewerSchemaError", "is_busy", "open_for_reading", "open_for_writing"]

DATABASE_GUARD: Final = threading.RLock()
"""Held while SQLite is at work in this process, and during a fork (see `runs.local`): a child that inherits an open
connection would take its locks for its own, and corrupt the file."""

Ladder: TypeAlias = Sequence[Sequence[str]]
"""A schema, as the steps from an empty file to the newest version. Rungs are added, never changed."""

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.2  # seconds between tries to enter WAL mode


class NewerSchemaError(Exception):
    """The file was made by a newer version, whose tables we do not know."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"it has version {found} of the schema, and this version of entrepot knows {known}")


def open_for_writing(path: Path, ladder: Ladder, *, patience: float) -> sqlite3.Connection:
    """Open the file, making it and bringing it up to date where needed. Transactions are the caller's.

    Args:
        path: The file; its folder is made too.
        ladder: Its schema.
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
        if _version(connection) != len(ladder):
            _climb(connection, ladder)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, ladder: Ladder, *, patience: float = 5.0) -> sqlite3.Connection | None:
    """Open the file for queries only, or return None where there is none (or none with tables yet).

    Raises:
        sqlite3.DatabaseError: If it cannot be opened, is locked, or is no database.
        NewerSchemaError: If it is of a newer version.
    """
    if not path.exists():
        return None
    # Not "mode=ro": a reader of a WAL file takes part in its shared index, and may be the one that has to make it.
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only=1")
        version = _version(connection)
    except BaseException:
        connection.close()
        raise
    if version == len(ladder):
        return connection
    connection.close()
    if version == 0:
        return None
    if version < len(ladder):
        open_for_writing(path, ladder, patience=patience).close()
        return open_for_reading(path, ladder, patience=patience)
    raise NewerSchemaError(version, len(ladder))


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
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
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


def _climb(connection: sqlite3.Connection, ladder: Ladder) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # again, inside: another process may have been faster
        if version > len(ladder):
            raise NewerSchemaError(version, len(ladder))  # noqa: TRY301  the same rollback serves
        _take(connection, ladder[version:])
        connection.execute(f"PRAGMA user_version={len(ladder)}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _take(connection: sqlite3.Connection, rungs: Ladder) -> None:
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
