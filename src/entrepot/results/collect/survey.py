"""What is in a result store, read once, one object after another, into a table on disk.

A million records take about 300 MB of a temporary file, and next to no memory.
"""

import errno
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from entrepot.errors import (
    DestroyedKeyError,
    IntegrityError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    UnknownKeyError,
)
from entrepot.protocols.storage import ObjectInfo
from entrepot.results.record import MAX_RECORD_SIZE, RECORDS
from entrepot.results.seen import fields_of, payloads_in, read_record
from entrepot.results.store import ResultStore
from entrepot.results.used import USED
from entrepot.results.versions import VERSIONS

__all__ = ["PAYLOADS", "Survey", "surveying"]

PAYLOADS: Final = "payloads"

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_BATCH: Final = 10_000  # rows between two commits of the table
_MARGIN: Final = 5.0  # seconds: stores tell times as coarsely as this
_SCHEMA: Final = """
CREATE TABLE record (
    path TEXT PRIMARY KEY, modified REAL, size INTEGER, sha BLOB, state TEXT, task TEXT, task_key TEXT, flow TEXT,
    tags TEXT, created REAL, expires REAL, keep TEXT, keep_last INTEGER, payload TEXT, value_size INTEGER, used REAL,
    serializer TEXT, key TEXT, verdict TEXT, gone INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE ref (payload TEXT, owner TEXT, PRIMARY KEY (payload, owner)) WITHOUT ROWID;
CREATE TABLE payload (path TEXT PRIMARY KEY, size INTEGER, modified REAL) WITHOUT ROWID;
CREATE TABLE claim (path TEXT PRIMARY KEY, size INTEGER, modified REAL) WITHOUT ROWID;
CREATE TABLE chain (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE transactions (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@contextmanager
def surveying(store: ResultStore, began: float | None, tick: Callable[[str, int], object]) -> Iterator["Survey"]:
    """Enter a survey of a store, not yet read; its table is removed at the end.

    Args:
        store: Which.
        began: As of `Survey`.
        tick: The same.

    Raises:
        StorageFullError: If there is no room for the table where temporary files are kept.
        StorageError: If the table cannot be used for another reason.
    """
    try:
        survey = Survey(store, began, tick)
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unusable(store, error) from error
    try:
        yield survey
    except sqlite3.DatabaseError as error:
        raise _unusable(store, error) from error
    finally:
        survey.close()


def _unusable(store: ResultStore, error: Exception) -> StorageError:
    place = tempfile.gettempdir()
    is_full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in _FULL
    kind, todo = (StorageFullError, "free some room there") if is_full else (StorageError, "see that it is well")
    return kind(
        f"the table of what is in {store.location} cannot be kept in {place}: {error}; {todo}, or set TMPDIR",
        location=place,
    )


class Survey:
    """A table of what is in a store; close it when done.

    Args:
        store: Which.
        began: The store's own time when this was made, as a timestamp; None if it tells none.
        tick: Called with what is being read, and how many were.

    Attributes:
        database: The table.
        is_blind: Whether a record that cannot be read may need payloads that cannot be told.
    """

    def __init__(self, store: ResultStore, began: float | None, tick: Callable[[str, int], object]) -> None:
        self._store = store
        self._began = began
        self._tick = tick
        self._folder = tempfile.TemporaryDirectory(prefix="entrepot-collect-")
        self.is_blind = False
        self.database = sqlite3.connect(Path(self._folder.name) / "survey.db")
        self.database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)

    def close(self) -> None:
        """Remove the table."""
        self.database.close()
        self._folder.cleanup()

    def read(self) -> None:
        """Read everything. Payloads first: what is written from now on is not looked at.

        Raises:
            StorageError: If the store cannot be read.
        """
        self._insert_payloads()
        self.read_changes()
        times = ((_time(info), info.path.removeprefix(f"{USED}/")) for info in self._store.storage.list(USED))
        self.database.executemany(
            "UPDATE record SET used = max(used, ?) WHERE path = ?",
            ((at, f"{RECORDS}/{name}.json") for at, name in times if at is not None),
        )
        self.database.commit()

    def read_changes(self) -> None:
        """Read the records and versions that are new, or not certainly what was read before.

        Raises:
            StorageError: If the store cannot be read.
        """
        for count, info in enumerate(self._store.storage.list(VERSIONS)):
            self._read_version(info.path)
            self._tick("versions", count + 1)
        for count, info in enumerate(self._store.storage.list(RECORDS)):
            if not self._is_known(info):
                self._read_record(info)
            if count % _BATCH == 0:
                self.database.commit()
            self._tick("records", count + 1)
        self.database.commit()

    def _insert_payloads(self) -> None:
        def rows() -> Iterator[tuple[str, int, float | None]]:
            for count, info in enumerate(self._store.storage.list(PAYLOADS)):
                self._tick("payloads", count + 1)
                yield info.path, info.size, _time(info)

        self.database.executemany("INSERT OR REPLACE INTO payload VALUES (?, ?, ?)", rows())

    def _is_known(self, info: ObjectInfo) -> bool:
        modified = _time(info)
        if modified is None or self._began is None or modified >= self._began - _MARGIN:
            return False
        found = self.database.execute("SELECT modified, size, gone FROM record WHERE path = ?", (info.path,)).fetchone()
        return bool(found == (modified, info.size, 0))

    def _read_record(self, info: ObjectInfo) -> None:
        seen = read_record(self._store, info.path)
        if seen is None:  # the claim of a run, and no record yet
            self.database.execute("INSERT OR REPLACE INTO claim VALUES (?, ?, ?)", (info.path, info.size, _time(info)))
            return
        self.is_blind = self.is_blind or seen.is_blind
        self._note(info.path, seen.payloads, seen.transaction)
        if seen.chain:
            self.database.execute("INSERT OR IGNORE INTO chain VALUES (?)", (seen.chain,))
        record = seen.record
        modified = _time(info)
        row: dict[str, Any] = {"path": info.path, "modified": modified, "size": info.size, "sha": seen.sha}
        row["state"] = seen.state
        if record is not None:
            about = record.about
            created = record.created.timestamp()
            row |= {
                "task": record.task.get("name", ""),
                "task_key": record.task.get("key", ""),
                "flow": about.get("flow", ""),
                "tags": json.dumps([name[4:] for name in about if name.startswith("tag:")]),
                "created": created,
                "expires": None if record.expires is None else record.expires.timestamp(),
                "keep": about.get("keep"),
                "keep_last": _number(about.get("keep_last")),
                "payload": record.payload,
                "value_size": record.size,
                "used": created if modified is None else max(created, modified),
                "serializer": record.serializer,
                "key": record.key,
            }
        self.database.execute(
            f"INSERT OR REPLACE INTO record ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608  names of ours
            tuple(row.values()),
        )

    def _read_version(self, path: str) -> None:
        """Note what a version needs. Who may be reading it does not matter: what it names is kept."""
        try:
            data = bytes(self._store.storage.get(path, length=MAX_RECORD_SIZE + 1))
        except ObjectNotFoundError:
            return
        except UnknownKeyError as error:
            self.is_blind = self.is_blind or not isinstance(error, DestroyedKeyError)
            return
        except IntegrityError:
            return
        fields = fields_of(data)
        self._note(path, payloads_in(fields), str(fields.get("transaction", "")))

    def _note(self, owner: str, payloads: frozenset[str], transaction: str) -> None:
        for payload in payloads:
            self.database.execute("INSERT OR IGNORE INTO ref VALUES (?, ?)", (payload, owner))
        if transaction:
            self.database.execute("INSERT OR IGNORE INTO transactions VALUES (?)", (transaction,))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _time(info: ObjectInfo) -> float | None:
    modified: datetime | None = info.modified
    return None if modified is None else modified.timestamp()
