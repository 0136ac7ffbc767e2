"""What is in a result store, read once, one object after another, into a table on disk.

A million records take about 300 MB of a temporary file, and next to no memory.
"""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from entrepot.errors import IntegrityError, ObjectNotFoundError, UnknownKeyError, UnknownNameError
from entrepot.protocols.storage import ObjectInfo
from entrepot.results.markers import Fate
from entrepot.results.record import MAX_RECORD_SIZE, RECORDS, Record, Versioned, open_record
from entrepot.results.store import ResultStore
from entrepot.results.used import USED
from entrepot.results.versions import VERSIONS

__all__ = ["PAYLOADS", "Seen", "Survey", "digest_of", "read_record"]

PAYLOADS: Final = "payloads"

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
CREATE TABLE chain (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE transactions (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in the place of a record.

    Attributes:
        state: "live", "pending" or "aborted" (of a transaction), "damaged", "unknown" (key or format).
        sha: Of its bytes; empty where they cannot be had.
        record: The record that counts, or that would.
        payloads: All that is named there.
        chain: The versions that it stands for, or "".
        transaction: The transaction that it names, or "".
        is_blind: Whether it may need payloads that cannot be told.
        detail: What is wrong with it.
        data: Its bytes.
    """

    state: str
    sha: bytes = b""
    record: Record | None = None
    payloads: frozenset[str] = frozenset()
    chain: str = ""
    transaction: str = ""
    is_blind: bool = False
    detail: str = ""
    data: bytes = b""


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
        if seen is None:
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
        except UnknownKeyError:
            self.is_blind = True
            return
        except IntegrityError:
            return
        fields = _fields(data)
        self._note(path, _payloads_in(fields), str(fields.get("transaction", "")))

    def _note(self, owner: str, payloads: frozenset[str], transaction: str) -> None:
        for payload in payloads:
            self.database.execute("INSERT OR IGNORE INTO ref VALUES (?, ?)", (payload, owner))
        if transaction:
            self.database.execute("INSERT OR IGNORE INTO transactions VALUES (?)", (transaction,))


def read_record(store: ResultStore, path: str) -> Seen | None:
    """Return what is in the place of a record; None if there is nothing.

    Raises:
        StorageError: If the store cannot be read: an outage is not an absence.
    """
    try:
        data = bytes(store.storage.get(path, length=MAX_RECORD_SIZE + 1))
    except ObjectNotFoundError:
        return None
    except IntegrityError as error:  # an encrypted store cannot tell what it is
        return Seen("damaged", detail=str(error))
    except UnknownKeyError as error:
        return Seen("unknown", is_blind=True, detail=str(error))
    return _judged(store, path, data)


def _judged(store: ResultStore, path: str, data: bytes) -> Seen | None:
    fields = _fields(data)
    seen = Seen("", digest_of(data), None, _payloads_in(fields), "", str(fields.get("transaction", "")), data=data)
    try:
        return _opened(store, path, data, seen)
    except ObjectNotFoundError:
        return None
    except IntegrityError as error:
        return replace(seen, state="damaged", detail=str(error))
    except (UnknownKeyError, UnknownNameError) as error:
        return replace(seen, state="unknown", is_blind=not fields, detail=str(error))


def _opened(store: ResultStore, path: str, data: bytes, seen: Seen) -> Seen:
    found = open_record(data, store.keys(), path=path, location=f"{store.location.rstrip('/')}/{path}")
    record = store.versions.visible(path, found)
    state = "live"
    if isinstance(found, Versioned):  # the bytes in the place say where to look, not what counts
        what = b"" if record is None else f"{record.created} {record.digest}".encode()
        seen = replace(seen, sha=digest_of(data + what), chain=found.chain)
        if store.versions.pending(path, found.chain, store.versions.numbers(found.chain)):
            state = "pending"
    elif record is None:
        record = found
        is_over = store.markers.fate(seen.transaction) is Fate.ABORTED
        state = "aborted" if is_over else "pending"
    named = frozenset(() if record is None or record.payload is None else (record.payload,))
    return replace(seen, state=state, record=record, payloads=seen.payloads | named)


def digest_of(data: bytes) -> bytes:
    """Return what tells the bytes of one record from those of another."""
    return hashlib.sha256(data).digest()[:16]


def _fields(data: bytes) -> dict[str, Any]:
    """Return the fields of a record that need not verify: what it may need is kept in any case."""
    try:
        fields = json.loads(data.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _payloads_in(fields: dict[str, Any]) -> frozenset[str]:
    payload = fields.get("payload")
    return frozenset({payload} if isinstance(payload, str) else ())


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _time(info: ObjectInfo) -> float | None:
    modified: datetime | None = info.modified
    return None if modified is None else modified.timestamp()
