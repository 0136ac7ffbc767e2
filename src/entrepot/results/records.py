"""What the record of a key says, before its payload is read: one of the six answers, or the record itself."""

from collections.abc import Callable

from entrepot._clock import Clock
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    DestroyedKeyError,
    EntrepotError,
    IntegrityError,
    ObjectNotFoundError,
    StorageError,
    UnknownKeyError,
)
from entrepot.protocols.storage import Storage
from entrepot.results.evidence import keep_evidence
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import MAX_RECORD_SIZE, Record, Versioned, open_record
from entrepot.results.references import changed_reference
from entrepot.results.remembered import Remembered
from entrepot.results.versions import Versions

__all__ = ["Records"]


class Records:
    """The records of one store, read. Safe to share between threads.

    Args:
        storage: Where they are.
        keys: Returns the ring.
        versions: Which of those that transactions kept count.
        clock: Tells whether one has expired.
    """

    def __init__(self, storage: Storage, keys: Callable[[], Keyring], versions: Versions, clock: Clock) -> None:
        self._storage = storage
        self._keys = keys
        self._versions = versions
        self._clock = clock
        self._remembered = Remembered()

    def where(self, path: str) -> str:
        """Return where an object is, for people."""
        return f"{self._storage.location.rstrip('/')}/{path}"

    def look(self, path: str, *, references: bool = False) -> Lookup:
        """Return what the record at `path` says; no payload is read, no value made."""
        found = self.find(path, references=references)
        return found if isinstance(found, Lookup) else Lookup(Outcome.HIT, path, found)

    def find(self, path: str, *, references: bool, remembers: bool = False) -> Record | Lookup:
        """Return the record at `path`, if it is to be used; else what is to be said of it.

        Args:
            path: Where the record is.
            references: Whether a result whose files have changed is taken for expired; that may mean to read them.
            remembers: Whether a record that was verified before need not be decoded again. It is shared then, so it is
                only for who keeps it to themselves.
        """
        try:
            data = bytes(self._storage.get(path, length=MAX_RECORD_SIZE + 1))
            found = self._open(path, data, remembers=remembers)
            if isinstance(found, Record) and found.transaction is None:
                record: Record | None = found  # most are such
            else:
                record = self._versions.visible(path, found)
        except ObjectNotFoundError:
            return Lookup(Outcome.MISS, path, detail="no result is kept under this key")
        except (IntegrityError, UnknownKeyError, StorageError) as error:
            return self.failed(path, error, None)
        if record is None:
            return Lookup(Outcome.MISS, path, detail="it is part of a transaction that was not committed")
        if record.expires is not None and record.expires <= self._clock.now():
            return Lookup(Outcome.EXPIRED, path, record, detail=f"expired at {record.expires.isoformat()}")
        changed = changed_reference(record.about) if references and record.about else ""
        if changed:
            return Lookup(Outcome.EXPIRED, path, record, detail=changed, is_outdated=True)
        return record

    def _open(self, path: str, data: bytes, *, remembers: bool) -> Record | Versioned:
        ring = self._keys()
        known = self._remembered.find(path, data, ring) if remembers else None
        if known is not None:
            return known
        found = open_record(data, ring, path=path, location=self.where(path))
        if remembers and isinstance(found, Record):
            self._remembered.note(path, data, ring, found)
        return found

    def failed(self, path: str, error: EntrepotError, record: Record | None) -> Lookup:
        """Return what is to be said of a result that could not be read, or did not verify."""
        if isinstance(error, DestroyedKeyError):  # its owner has said that it is not to be believed, ever again
            return Lookup(Outcome.MISS, path, detail=f"what is kept under this key is not used: {error}")
        if isinstance(error, UnknownKeyError):
            return Lookup(Outcome.UNKNOWN_KEY, path, record, detail=str(error), error=self._unknown_key(path, error))
        outcome = Outcome.DAMAGED if isinstance(error, IntegrityError) else Outcome.UNREACHABLE
        return Lookup(outcome, path, record, detail=str(error), error=error)

    def keep_evidence(self, found: Lookup) -> str:
        """Keep a copy of what did not verify; return where it is, or "" if none could be kept."""
        spoilt = found.path if found.record is None else found.record.payload or found.path
        return keep_evidence(self._storage, spoilt)

    def _unknown_key(self, path: str, error: UnknownKeyError) -> UnknownKeyError:
        return UnknownKeyError(
            f"the stored result {self.where(path)} cannot be checked, and is neither used nor replaced: {error}",
            key_id=error.key_id,
            location=getattr(error, "location", self.where(path)),
        )
