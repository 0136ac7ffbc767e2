"""The result store: writes what tasks return, and gives it back only if it is what was written.

A look-up reads the record, checks its size, its signature and its place, then its expiry, then reads the payload and
checks its digest. Only then does a serializer see the bytes: one of the reader's, by name, if the reader's policy
allows it.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace as changed
from datetime import datetime
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    DamagedResultError,
    EntrepotError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    OptionError,
    RefusedSerializerError,
    SerializationError,
    StorageError,
    UnknownKeyError,
    UnknownNameError,
)
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.results.evidence import keep_evidence
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.payloads import check_payload, read_payload, write_payload
from entrepot.results.record import (
    MAX_RECORD_SIZE,
    RECORDS,
    Record,
    open_record,
    payload_path,
    record_path,
    seal_record,
    stored_key,
)
from entrepot.serializers import get_serializer
from entrepot.serializers.buffers import flat, total_size

__all__ = ["ResultStore"]

_MAX_INLINE: Final = 64 << 10  # six times that, in JSON escapes, still fits a record

_logger = logging.getLogger("entrepot.results")


class ResultStore:
    """Keeps results in one storage.

    `records/` holds a record for each key, `payloads/` the larger values by their digests, `damaged/` evidence of what
    did not verify. Safe to share between threads.

    Args:
        storage: Where. An `EncryptedStorage` keeps everything unreadable to who has no key.
        ring: The keys, or what gives them when they are first needed.
        allow: The names of the serializers that may read results here; None allows all.
        clock: Tells when a result is created, and whether it has expired.
        inline_limit: Values of up to this many bytes (at most 65,536) are kept inside the record.

    Raises:
        OptionError: If `inline_limit` is out of range.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        ring: Keyring | Callable[[], Keyring],
        allow: frozenset[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        inline_limit: int = 8192,
    ) -> None:
        if not 0 <= inline_limit <= _MAX_INLINE:
            raise OptionError(f"inline_limit={inline_limit} is out of range: 0 to {_MAX_INLINE}", option="inline_limit")
        self._storage = storage
        self._ring = ring
        self._allow = allow
        self._clock = clock
        self._inline_limit = inline_limit
        self._warned = False

    @property
    def location(self) -> str:
        """Where this is, for people."""
        return self._storage.location

    # --- reading ------------------------------------------------------------------------------------------------------

    def lookup(self, key: str, *, serializer: Serializer | None = None) -> Lookup:
        """Return what is kept under a key; for a hit, with the value.

        Args:
            key: The cache key.
            serializer: The caller's own; it reads results that carry its name. Others come from the registry.

        Raises:
            CacheKeyError: If it is no key.
            UnknownNameError: If the result names a serializer that is not here, or has a newer format.
            RefusedSerializerError: If it names one that this reader does not allow.
            SerializationError: If its bytes are right, but cannot be turned into a value (a class has moved, say).
        """
        path = record_path(key)
        found = self._look(path)
        record = found.record
        if found.outcome is not Outcome.HIT or record is None:
            return found
        try:
            value = self._value(record, serializer)
        except (IntegrityError, UnknownKeyError, StorageError) as error:
            return self._failed(path, error, record)
        return Lookup(Outcome.HIT, path, record, value)

    def fetch(self, key: str, *, serializer: Serializer | None = None) -> Lookup:
        """Return what is kept under a key, as a run wants it: a hit, a miss, expired or damaged.

        Damaged comes with a warning in the log, and a copy of what was found under `damaged/`; the next `write`
        replaces it. (It is not deleted: that could hit what another writer has put in its place meanwhile.)

        Raises:
            UnknownKeyError: If the result is signed under a key that the ring lacks.
            StorageError: If the store cannot be read: an outage is not a miss.
            EntrepotError: As `lookup`.
        """
        found = self.lookup(key, serializer=serializer)
        if found.outcome in {Outcome.UNKNOWN_KEY, Outcome.UNREACHABLE} and found.error is not None:
            raise found.error
        if found.outcome is Outcome.DAMAGED:
            kept = self._keep_evidence(found)
            _logger.warning(
                "The stored result for key %s is damaged and is not used: %s. It will be computed again. %s",
                ascii(key[:100]),
                found.detail,
                f"What was found is kept in {kept}." if kept else "No copy of it could be kept.",
            )
        return found

    def describe(self, key: str) -> Lookup:
        """Return what the record of a key says: any of the six answers. No payload is read, no value made.

        Raises:
            CacheKeyError: If it is no key.
        """
        return self._look(record_path(key))

    def records(self) -> Iterator[Lookup]:
        """Yield what the record of every result says: a hit, expired, damaged, unknown key. No payload is read.

        Raises:
            StorageError: If the store cannot be listed.
        """
        for info in self._storage.list(RECORDS):
            found = self._look(info.path)
            if found.outcome is not Outcome.MISS:  # deleted since it was listed
                yield found

    def load_record(self, record: Record, *, serializer: Serializer | None = None) -> object:
        """Return the value of a record, expired or not.

        Raises:
            DamagedResultError: If its payload is missing or does not verify.
            UnknownKeyError: If its payload's digest is under a key that the ring lacks.
            StorageError: If the store cannot be read.
            EntrepotError: As `lookup`.
        """
        try:
            return self._value(record, serializer)
        except IntegrityError as error:
            raise DamagedResultError(str(error), location=error.location, key=record.key) from error

    def locate(self, record: Record) -> str:
        """Return where a result's bytes are, for people: its payload, or its record where they are inside that."""
        return self._where(record.payload or record.path)

    def _look(self, path: str) -> Lookup:
        """Return what the record at `path` says; no payload is read, no value made."""
        try:
            data = bytes(self._storage.get(path, length=MAX_RECORD_SIZE + 1))
            record = open_record(data, self._keys(), path=path, location=self._where(path))
        except ObjectNotFoundError:
            return Lookup(Outcome.MISS, path, detail="no result is kept under this key")
        except (IntegrityError, UnknownKeyError, StorageError) as error:
            return self._failed(path, error, None)
        if record.expires is not None and record.expires <= self._clock.now():
            return Lookup(Outcome.EXPIRED, path, record, detail=f"expired at {record.expires.isoformat()}")
        return Lookup(Outcome.HIT, path, record)

    def _failed(self, path: str, error: EntrepotError, record: Record | None) -> Lookup:
        if isinstance(error, UnknownKeyError):
            return Lookup(Outcome.UNKNOWN_KEY, path, record, detail=str(error), error=self._unknown_key(path, error))
        outcome = Outcome.DAMAGED if isinstance(error, IntegrityError) else Outcome.UNREACHABLE
        return Lookup(outcome, path, record, detail=str(error), error=error)

    def _value(self, record: Record, serializer: Serializer | None) -> object:
        reader = self._reader(record, serializer)
        if record.payload is not None:
            data = read_payload(
                self._storage, record.payload, size=record.size, digest=record.digest, ring=self._keys()
            )
        else:
            # The signature covers the value itself: its digest, which it also covers, need not be made again.
            value = record.value
            data = memoryview(bytearray(value.encode() if isinstance(value, str) else value or b""))
        try:
            return reader.loads(data)
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the {reader.name} serializer failed to read {self.locate(record)} ({type(error).__name__})",
                serializer=reader.name,
                path="value",
            ) from error

    def _reader(self, record: Record, serializer: Serializer | None) -> Serializer:
        name = record.serializer
        if self._allow is not None and name not in self._allow:
            raise RefusedSerializerError(
                f"{self.locate(record)} was written by the serializer {ascii(name)[:100]}, which this reader does not"
                f" allow; allowed: {', '.join(sorted(self._allow)) or 'none'}; allow it, or compute the result again",
                serializer=name,
            )
        if serializer is not None and serializer.name == name:
            return serializer
        try:
            return get_serializer(name)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"{self.locate(record)} cannot be read: {error}", group=error.group, name=error.name, known=error.known
            ) from error

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(
        self,
        key: str,
        value: object,
        *,
        serializer: Serializer,
        parts: Mapping[str, str],
        task: Mapping[str, str],
        run: Mapping[str, str],
        expires: datetime | None = None,
        replace: bool = False,
    ) -> Record:
        """Keep a value under a key; on return it is durable.

        The value is written out in full before the store is touched: one that cannot be leaves nothing behind. The
        payload is in place before the record that points at it.

        Args:
            key: The cache key.
            value: What the task returned.
            serializer: How to write it.
            parts: What the key was made of, by name.
            task: `name` and `key` of the task.
            run: The run that computed it: `id`, and more where it helps.
            expires: From when on it is not to be used (zone-aware); None for never.
            replace: Take the place of a result that is there and valid (a refresh). One that has expired or is damaged
                is always replaced.

        Returns:
            The record that is in place: the new one, or, where another writer's valid one was there first and `replace`
            is false, that one.

        Raises:
            SerializationError: If the value cannot be written.
            UnknownKeyError: If a record is there that is signed under a key that the ring lacks: it is left alone.
            StorageError: If the store cannot be written.
            CacheKeyError: If it is no key.
        """
        if expires is not None and expires.tzinfo is None:
            raise OptionError("a result's expiry is a time with a zone, such as datetime.now(UTC)", option="expires")
        kept_key = stored_key(key)
        data = _written(serializer, value)
        ring = self._keys()
        record = Record(
            key=kept_key,
            parts=parts,
            task=task,
            run=run,
            serializer=serializer.name,
            size=total_size(data),
            digest=Digester(ring).digest(data),
            created=self._clock.now(),
            expires=expires,
        )
        if record.size <= self._inline_limit:
            record = changed(record, value=_inline(b"".join(data), serializer))
        else:
            record = changed(record, payload=payload_path(record.digest, serializer.extension))
        sealed = seal_record(record, ring)
        if record.payload is not None:
            write_payload(self._storage, record.payload, data, digest=record.digest, ring=ring)
        return self._commit(record, sealed, replace=replace)

    def _commit(self, record: Record, sealed: bytes, *, replace: bool) -> Record:
        path = record.path
        if replace:
            self._storage.put(path, sealed)
            return record
        if self._storage.creates_exclusively:
            with contextlib.suppress(ObjectExistsError):
                self._storage.create(path, sealed)
                return record
        else:
            self._warn_not_exclusive()
        theirs = self._valid(path, record)
        if theirs is not None:
            return theirs
        # Never deleted first: what another writer has put in its place meanwhile is as good as ours.
        self._storage.put(path, sealed)
        return record

    def _valid(self, path: str, ours: Record) -> Record | None:
        """Return the record in place if it can be used, payload and all; None if it may be replaced."""
        found = self._look(path)
        theirs = found.record
        if found.outcome is Outcome.HIT and theirs is not None:
            if theirs.payload is None or theirs.payload == ours.payload:
                return theirs  # a payload of the same name was checked a moment ago
            problem = check_payload(
                self._storage, theirs.payload, size=theirs.size, digest=theirs.digest, ring=self._keys()
            )
            if not problem:
                return theirs
            error = IntegrityError(problem, location=self._where(theirs.payload))
            found = self._failed(path, error, theirs)
        if found.outcome in {Outcome.UNKNOWN_KEY, Outcome.UNREACHABLE} and found.error is not None:
            raise found.error
        if found.outcome is Outcome.DAMAGED:
            self._keep_evidence(found)
        return None

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _keys(self) -> Keyring:
        return self._ring if isinstance(self._ring, Keyring) else self._ring()

    def _where(self, path: str) -> str:
        return f"{self._storage.location.rstrip('/')}/{path}"

    def _unknown_key(self, path: str, error: UnknownKeyError) -> UnknownKeyError:
        return UnknownKeyError(
            f"the stored result {self._where(path)} cannot be checked, and is neither used nor replaced: {error}",
            key_id=error.key_id,
            location=getattr(error, "location", self._where(path)),
        )

    def _warn_not_exclusive(self) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "%s cannot create an object only if there is none: of two runs that compute the same result at the same"
                " moment, the later one replaces the earlier one's. Both are valid; no result is lost.",
                self._storage.location,
            )

    def _keep_evidence(self, found: Lookup) -> str:
        spoilt = found.path if found.record is None else found.record.payload or found.path
        return keep_evidence(self._storage, spoilt)


def _written(serializer: Serializer, value: object) -> list[memoryview]:
    try:
        return [flat(part) for part in serializer.dumps(value)]
    except (EntrepotError, MemoryError):
        raise
    except Exception as error:
        raise SerializationError(
            f"the {serializer.name} serializer failed to write a {type(value).__qualname__} ({type(error).__name__})",
            serializer=serializer.name,
            path="value",
        ) from error


def _inline(data: bytes, serializer: Serializer) -> str | bytes:
    if serializer.is_text:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode()
    return data
