"""What else a result store accumulates: marks of transactions, evidence, notes of use, claims, unfinished writes.

Each kind is removed only where nothing can need it any more, and after an age besides.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from entrepot.errors import EntrepotError, IntegrityError, ObjectNotFoundError, UnknownKeyError, UnknownNameError
from entrepot.protocols.storage import DeletesIf, ObjectInfo, Sweeps
from entrepot.results.claims import is_claim, open_claim, standing_in
from entrepot.results.collect.lease import Lease
from entrepot.results.collect.survey import Survey
from entrepot.results.condemned import COLLECTED
from entrepot.results.markers import MARKERS
from entrepot.results.record import MAX_RECORD_SIZE, RECORDS, Record, open_record, record_path
from entrepot.results.store import ResultStore
from entrepot.results.used import USED
from entrepot.results.versions import VERSIONS, chain_of

__all__ = ["Leftovers", "is_left_behind"]

_DAY: Final = 86_400.0
_UNFINISHED: Final = _DAY  # longer than a write takes
_UNDECIDED: Final = 7 * _DAY  # a transaction that is not over by then is aborted, as others with its keys would do
_CHAINS: Final = 7 * _DAY
_MARKERS: Final = 30 * _DAY  # longer than a process that was stopped in a transaction is let sleep
_EVIDENCE: Final = 30 * _DAY
_CLAIMS: Final = _DAY  # those of who computes are renewed every few seconds, and each twenty minutes at least


class Leftovers:
    """The leftovers in one store.

    Args:
        store: Which.
        survey: What is in the store, as of now.
        now: The store's own time, as a timestamp.
        lease: Of the collection; None where nothing is to be removed.
    """

    def __init__(self, store: ResultStore, survey: Survey, now: float, lease: Lease | None = None) -> None:
        self._store = store
        self._survey = survey
        self._database = survey.database
        self._now = now
        self._lease = lease

    def found(self) -> Iterator[tuple[str, int]]:
        """Yield what kind of thing each is, and its size.

        Raises:
            StorageError: If the store cannot be read.
        """
        for kind, info, _ in self._all():
            yield kind, info.size

    def remove(self) -> Iterator[tuple[str, int]]:
        """Remove them, and yield kind and size of each; abort transactions that were never decided.

        Raises:
            StorageError: If the store cannot be read or written.
        """
        for kind, info, delete in self._all():
            if self._lease is not None:
                self._lease.renew()
            if delete(info.path) is not False:
                yield kind, info.size
        undecided = self._database.execute(
            "SELECT path FROM record WHERE state = 'pending' AND gone = 0 AND modified <= ?", (self._now - _UNDECIDED,)
        )
        for (path,) in undecided.fetchall():
            self._abort(path)

    def _all(self) -> Iterator[tuple[str, ObjectInfo, Callable[[str], object]]]:
        storage = self._store.storage
        kinds: dict[str, Callable[[], Iterator[ObjectInfo]]] = {
            "notices of collections": self._notices,
            "marks of transactions": self._markers,
            "outgrown versions": self._chains,
            "notes of use": self._notes_of_use,
            "evidence of damage": lambda: self._older("damaged", _EVIDENCE),
        }
        for kind, find in kinds.items():
            for info in find():
                yield kind, info, storage.delete
        for info in self._claims():
            yield "claims of dead runs", info, self._delete_claim
        if isinstance(storage, Sweeps):
            for info in storage.unfinished(datetime.fromtimestamp(self._now - _UNFINISHED, UTC)):
                yield "unfinished writes", info, storage.sweep

    def _notices(self) -> Iterator[ObjectInfo]:
        """Yield notices of collections that are over."""
        known: dict[str, bool] = {}
        for folder in ("payloads", "records"):
            for info in self._store.storage.list(f"{COLLECTED}/{folder}"):
                collection = info.path.rpartition("/")[2].partition("-")[0]
                if self._lease is not None and collection not in known:
                    known[collection] = self._lease.is_over(collection)
                if known.get(collection, False):
                    yield info

    def _markers(self) -> Iterator[ObjectInfo]:
        """Yield markers of transactions that nothing names any more."""
        if self._survey.is_blind:
            return  # a record that cannot be read may name one, and would no longer count
        for info in self._older(MARKERS, _MARKERS):
            name = info.path.rpartition("/")[2].removesuffix(".json")
            if not self._has("transactions", "id", name):
                yield info

    def _chains(self) -> Iterator[ObjectInfo]:
        """Yield versions whose chain is in no place, and never will be: what it began with is gone from there."""
        if self._survey.is_blind:
            return
        known: dict[str, bool] = {}
        for info in self._older(VERSIONS, _CHAINS):
            chain = info.path.split("/")[2]
            if chain not in known:
                known = {chain: not self._has("chain", "name", chain) and self._is_outgrown(info.path, chain)}
            if known[chain]:
                yield info

    def _is_outgrown(self, version: str, chain: str) -> bool:
        storage = self._store.storage
        try:
            fields = json.loads(bytes(storage.get(version, length=MAX_RECORD_SIZE + 1)).partition(b"\n")[0])
            place = record_path(fields["key"])
        except (EntrepotError, ValueError, LookupError, TypeError, RecursionError):
            return False  # who knows; it takes room, and nothing else
        try:
            return chain_of(place, bytes(storage.get(place, length=MAX_RECORD_SIZE + 1))) != chain
        except ObjectNotFoundError:
            return True

    def _claims(self) -> Iterator[ObjectInfo]:
        """Yield claims without a record that nobody holds any more."""
        found = self._database.execute(
            "SELECT path, size, modified FROM claim WHERE modified <= ?", (self._now - _CLAIMS,)
        )
        for path, size, modified in found.fetchall():
            yield ObjectInfo(path, size, datetime.fromtimestamp(modified, UTC))

    def _delete_claim(self, path: str) -> bool:
        """Delete a claim if it is still one that nobody holds; return whether it is gone."""
        storage = self._store.storage
        try:
            data = bytes(storage.get(path, length=MAX_RECORD_SIZE + 1))
            if not is_claim(data) or standing_in(data) or not is_left_behind(self._store, path, data, self._now):
                return False  # it has been taken up since
        except (ObjectNotFoundError, IntegrityError, UnknownKeyError):
            return False
        if isinstance(storage, DeletesIf):
            return storage.delete_if(path, data)
        storage.delete(path)
        return True

    def _notes_of_use(self) -> Iterator[ObjectInfo]:
        for info in self._store.storage.list(USED):
            path = f"{RECORDS}/{info.path.removeprefix(f'{USED}/')}.json"
            if not self._has("record", "path", path, "AND gone = 0"):
                yield info

    def _abort(self, path: str) -> None:
        storage = self._store.storage
        location = f"{self._store.location.rstrip('/')}/{path}"
        try:
            data = bytes(storage.get(path, length=MAX_RECORD_SIZE + 1))
            found = open_record(data, self._store.keys(), path=path, location=location)
        except (ObjectNotFoundError, IntegrityError, UnknownKeyError, UnknownNameError):
            return  # it became another one since, perhaps one that was planted
        if storage.creates_exclusively and isinstance(found, Record) and found.transaction is not None:
            self._store.markers.try_abort(found.transaction)

    def _older(self, folder: str, age: float) -> Iterator[ObjectInfo]:
        for info in self._store.storage.list(folder):
            if info.modified is not None and info.modified.timestamp() <= self._now - age:
                yield info

    def _has(self, table: str, column: str, value: str, rest: str = "") -> bool:
        found = self._database.execute(f"SELECT 1 FROM {table} WHERE {column} = ? {rest}", (value,))  # noqa: S608  names of ours
        return found.fetchone() is not None


def is_left_behind(store: ResultStore, path: str, data: bytes, now: float | None) -> bool:
    """Return whether nobody computes any more what a claim says that somebody does.

    Args:
        store: Where it is.
        path: Of the record.
        data: What is there.
        now: The store's own time, as a timestamp; None if it tells none.

    Raises:
        StorageError: If the store cannot be read.
    """
    try:
        claim = open_claim(data, store.keys(), path=path, location=f"{store.location.rstrip('/')}/{path}")
    except (IntegrityError, UnknownKeyError):
        claim = None
    if claim is not None and not claim.holder:
        return True
    modified = store.storage.stat(path).modified
    return now is not None and modified is not None and modified.timestamp() <= now - _CLAIMS
