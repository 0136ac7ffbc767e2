"""The file that processes of one machine share, `state.db` in the home: how it is read and written.

    with writing(durable=True) as connection:
        connection.execute("INSERT ...")

A process has one connection to write and one to read, which its threads take in turns; they are closed before a fork.
"""

import errno
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from entrepot import settings
from entrepot._database import DATABASE_GUARD, NewerSchemaError, is_busy, open_for_reading, open_for_writing
from entrepot.coordination.names import DATABASE_NAME
from entrepot.coordination.schema import LADDER
from entrepot.errors import StorageAccessError, StorageError, StorageFullError, StorageUnreachableError

__all__ = ["default_path", "reading", "writing"]

_PATIENCE: Final = 10.0  # seconds
_TURN: Final = 0.05  # seconds that SQLite waits for a lock in one go; between turns others of this process get theirs


def default_path() -> Path:
    """Return the file in the home, whether it is there or not."""
    return settings.home_folder() / DATABASE_NAME


@contextmanager
def writing(
    path: Path | None = None, *, durable: bool = False, patience: float = _PATIENCE
) -> Iterator[sqlite3.Connection]:
    """Enter a transaction that is alone in changing the file; it is committed at the end, or undone by an error.

    The file is made where there is none. Be short: every other process that wants to write waits meanwhile, and every
    other thread of this one that uses SQLite. Never enter another one inside.

    Args:
        path: The file; the one in the home by default.
        durable: Whether what is committed has to survive a loss of power. A crash of the process, it always does.
        patience: How many seconds to wait for others.

    Raises:
        StorageUnreachableError: If others keep the file locked for all that time.
        StorageAccessError: If it cannot be written.
        StorageFullError: If there is no space.
        StorageError: If it cannot be used for another reason.
    """
    path = default_path() if path is None else path
    deadline = time.monotonic() + patience
    with _clear_errors(path):
        while True:
            with DATABASE_GUARD:
                try:
                    connection = _begun(path, durable=durable)
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                else:
                    try:
                        yield connection
                        connection.execute("COMMIT")
                    except BaseException:
                        _roll_back(connection)
                        raise
                    return
            time.sleep(random.uniform(0, _TURN))  # noqa: S311  only so that those who wait do not wait in step


@contextmanager
def reading(path: Path | None = None) -> Iterator[sqlite3.Connection | None]:
    """Enter a view of the file as it is now, for queries only; it is None where there is no file yet.

    Nobody waits for a reader, nor a reader for anybody.

    Raises:
        StorageError: If it cannot be read; or one of its subclasses, as for `writing`.
    """
    path = default_path() if path is None else path
    with _clear_errors(path), DATABASE_GUARD:
        connection = _connections.reader(path)
        if connection is None:
            yield None
            return
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            _roll_back(connection)


# --- connections ------------------------------------------------------------------------------------------------------


class _Connections:
    """This process's connections to one file. Every use is under `DATABASE_GUARD`."""

    def __init__(self) -> None:
        self._file: tuple[Path, int, int] | None = None  # path, device, inode
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._durable = False

    def writer(self, path: Path, *, durable: bool) -> sqlite3.Connection:
        """Return a connection that can write; the file is made, and brought up to date."""
        self._at(path)
        if self._writer is None:
            self._writer, self._durable = open_for_writing(path, LADDER, patience=_TURN), False
            self._writer.execute("PRAGMA foreign_keys=ON")
            self._file = _look(path)
        if self._writer.in_transaction:  # an interrupt came before the first statement of the last one
            self._writer.execute("ROLLBACK")
        if durable != self._durable:
            self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        return self._writer

    def reader(self, path: Path) -> sqlite3.Connection | None:
        """Return a connection that can only read, or None where there is nothing to read."""
        self._at(path)
        if self._reader is None:
            self._reader = open_for_reading(path, LADDER)
            self._file = _look(path)
        elif self._reader.in_transaction:
            self._reader.execute("ROLLBACK")
        return self._reader

    def close(self) -> None:
        """Close what is open."""
        writer, reader, self._writer, self._reader = self._writer, self._reader, None, None
        for connection in (writer, reader):
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def _at(self, path: Path) -> None:
        """Let go of another file: of another home, or one that was moved away since."""
        if self._file is not None and self._file != _look(path):
            self.close()
            self._file = None


_connections = _Connections()


def _look(path: Path) -> tuple[Path, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  on every use
    except OSError:
        return None
    return (path, status.st_dev, status.st_ino)


def _begun(path: Path, *, durable: bool) -> sqlite3.Connection:
    connection = _connections.writer(path, durable=durable)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        _connections.close()  # it is begun anew next time


def _before_fork() -> None:
    DATABASE_GUARD.acquire()
    _connections.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=DATABASE_GUARD.release, after_in_child=DATABASE_GUARD.release
    )


# --- errors -----------------------------------------------------------------------------------------------------------


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say of the file into one error that says what to do."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, NewerSchemaError, sqlite3.DatabaseError) as error:
        kind, advice = _judged(error)
        if kind is None:
            raise
        with DATABASE_GUARD:
            _connections.close()
        raise kind(f"the shared state in {path} cannot be used: {error}; {advice}", location=str(path)) from error


def _judged(error: Exception) -> tuple[type[StorageError] | None, str]:
    """Return what kind of error this is, and advice; None if it is not about the file."""
    if isinstance(error, NewerSchemaError):
        return StorageError, "upgrade entrepot, or use another ENTREPOT_HOME"
    if isinstance(error, OSError):
        kind = _BY_NUMBER.get(error.errno or 0, StorageError)
        return kind, "see that its folder can be written and has space"
    if is_busy(error):
        return StorageUnreachableError, "another program keeps it locked: end that, or let it finish"
    return _BY_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, (None, ""))


_BY_NUMBER: Final = {
    errno.EACCES: StorageAccessError,
    errno.EPERM: StorageAccessError,
    errno.EROFS: StorageAccessError,
    errno.ENOSPC: StorageFullError,
    errno.EDQUOT: StorageFullError,
}
_CLOSED: Final = (StorageAccessError, "see that it and its folder belong to you and can be written")
_DAMAGED: Final = (
    StorageError,
    "it is damaged: move it away, and a new one is made; then set limits and variables again",
)
_ILL: Final = (StorageError, "see that its disk has space and is well")
# What is not here (a constraint, a mistake in a statement) is not about the file.
_BY_CODE: Final[dict[int, tuple[type[StorageError], str]]] = {
    sqlite3.SQLITE_FULL: (StorageFullError, "make space on its disk"),
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_IOERR: _ILL,
    sqlite3.SQLITE_PROTOCOL: _ILL,
}
