"""How the record of a result takes its place, whatever is there, and whatever collections and other writers do."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable

from entrepot._clock import Clock
from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, ObjectExistsError, StorageError
from entrepot.protocols.storage import MakesDurable, Storage
from entrepot.results.condemned import Condemned
from entrepot.results.lookup import Outcome
from entrepot.results.markers import marker_path
from entrepot.results.payloads import check_payload
from entrepot.results.prepared import Prepared
from entrepot.results.record import Record
from entrepot.results.records import Records

__all__ = ["Placing"]

_logger = logging.getLogger("entrepot.results")


class Placing:
    """Puts the records of one store in their places. Safe to share between threads.

    Args:
        storage: Where.
        keys: Returns the ring.
        records: Reads what is there.
        condemned: What collections are about to delete.
        clock: Tells how old a payload is.
    """

    def __init__(
        self, storage: Storage, keys: Callable[[], Keyring], records: Records, condemned: Condemned, clock: Clock
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._records = records
        self._condemned = condemned
        self._clock = clock
        self._warned = False

    def put(self, prepared: Prepared) -> Record:
        """Keep the record of a result whose payload is in place; on return it is durable.

        Returns:
            The record that is in place: the new one, or another writer's valid one that was there first.

        Raises:
            UnknownKeyError: If one is there that is signed under a key that the ring lacks.
            StorageError: If the store cannot be written.
        """
        kept = self._in_place(prepared)
        return self.settle(prepared) if kept is prepared.record else kept

    def settle(self, prepared: Prepared) -> Record:
        """See that the payload of a record that was just put is there to stay; else write it again, elsewhere.

        Returns:
            The record that is in place.

        Raises:
            StorageError: If the store cannot be written.
        """
        while not self.still_has_payload(prepared):
            # A collection may have deleted it before it could see the record.
            again = None if prepared.placed is None else prepared.placed.again
            if again is None:
                raise StorageError(
                    f"the payload of {self._records.where(prepared.record.path)} was deleted by a collection before its"
                    " record was kept, which took longer than the collection's grace; compute it again, and collect"
                    " with a longer one",
                    location=self._storage.location,
                )
            prepared = dataclasses.replace(again(), replace=True, first=prepared.first)
            self._in_place(prepared)
        return prepared.record

    def still_has_payload(self, prepared: Prepared) -> bool:
        """Return whether the payload of a result is there and will stay; asked when its record is in place.

        Raises:
            StorageError: If the store cannot be read.
        """
        placed, payload = prepared.placed, prepared.record.payload
        if placed is None or payload is None or not placed.is_doubtful(self._clock):
            return True
        return self._condemned.has(payload)

    def _in_place(self, prepared: Prepared) -> Record:
        record, sealed, path = prepared.record, prepared.sealed, prepared.record.path
        if prepared.replace:
            self._storage.put(path, sealed)
            self._condemned.put_back(path, sealed)
            return record
        if self._storage.creates_exclusively:
            with contextlib.suppress(ObjectExistsError):
                self._storage.create(path, sealed)
                return record
        else:
            self.warn_not_exclusive()
        theirs = self.usable(record)
        if theirs is not None:
            return theirs
        # Never deleted first: what another writer has put in its place meanwhile is as good as ours.
        self._storage.put(path, sealed)
        self._condemned.put_back(path, sealed)
        return record

    def usable(self, ours: Record) -> Record | None:
        """Return the record that counts for a key, if it can be used, payload and all; None if it may be replaced.

        What is returned is durable, whoever wrote it: who hears "it is there already" relies on that.

        Args:
            ours: The one that would take its place; its payload is in place.

        Raises:
            UnknownKeyError: If it is signed under a key that the ring lacks.
            StorageError: If the store cannot be read.
        """
        found = self._records.look(ours.path, references=True)
        theirs = found.record
        if found.outcome is Outcome.HIT and theirs is not None:
            if theirs.transaction is not None and isinstance(self._storage, MakesDurable):
                self._storage.make_durable(marker_path(theirs.transaction))  # whose writer may have died before that
            if theirs.payload is None or theirs.payload == ours.payload:
                return theirs  # a payload of the same name was checked a moment ago
            problem = check_payload(
                self._storage, theirs.payload, size=theirs.size, digest=theirs.digest, ring=self._keys()
            )
            if not problem:
                return theirs
            error = IntegrityError(problem, location=self._records.where(theirs.payload))
            found = self._records.failed(ours.path, error, theirs)
        if found.outcome in {Outcome.UNKNOWN_KEY, Outcome.UNREACHABLE} and found.error is not None:
            raise found.error
        if found.outcome is Outcome.DAMAGED:
            self._records.keep_evidence(found)
        return None

    def warn_not_exclusive(self) -> None:
        """Say once, where it is so, that of two writers at the same moment the later one wins."""
        if not self._warned:
            self._warned = True
            _logger.warning(
                "%s cannot create an object only if there is none: of two runs that compute the same result at the same"
                " moment, the later one replaces the earlier one's. Both are valid; no result is lost.",
                self._storage.location,
            )
