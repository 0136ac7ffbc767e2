"""The result store: writes what tasks return, and gives it back only if it is what was written.

A look-up reads the record, checks its size, its signature and its place, then its expiry, then reads the payload and
checks its digest. Only then does a serializer see the bytes: one of the reader's, by name, if the reader's policy
allows it.
"""

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    DamagedResultError,
    IntegrityError,
    OptionError,
    SerializationError,
    StorageError,
    UnknownKeyError,
)
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.results.allowed import allowed_names, check_once
from entrepot.results.compression import Compression
from entrepot.results.condemned import Condemned
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.markers import Markers
from entrepot.results.placing import Placing
from entrepot.results.prepared import Facts, Prepared, prepare
from entrepot.results.record import RECORDS, Record, record_path
from entrepot.results.records import Records
from entrepot.results.used import Uses
from entrepot.results.values import Values
from entrepot.results.versions import Versions
from entrepot.serializers import writer_for
from entrepot.serializers.advice import advice_within

__all__ = ["ResultStore"]

_MAX_INLINE: Final = 64 << 10  # six times that, in JSON escapes, still fits a record

_logger = logging.getLogger("entrepot.results")


class ResultStore:
    """Keeps results in one storage.

    `records/` holds a record for each key, `payloads/` the larger values by their digests, `damaged/` evidence of what
    did not verify; `transactions/` and `versions/` say which of the records that transactions kept count. Safe to share
    between threads.

    Args:
        storage: Where. An `EncryptedStorage` keeps everything unreadable to who has no key.
        ring: The keys, or what gives them when they are first needed.
        allow: The names of the serializers that may write and read results here, such as {"json", "parquet"}; None
            allows all. To allow one is to allow its compressed form.
        clock: Tells when a result is created, and whether it has expired.
        inline_limit: Values of up to this many bytes (at most 65,536) are kept inside the record.
        notes_use: Whether the use of results is noted, for a collection that removes the least recently used.
        mapped: Whether large values are mapped rather than read, where their files are this user's alone.
        compression: When large values are compressed: "auto", "never" or "always".

    Attributes:
        storage: As given.
        allow: As given.
        clock: As given.
        markers: What became of its transactions.
        versions: Which of the records that transactions kept count.
        condemned: What collections are about to delete.

    Raises:
        OptionError: If `inline_limit` is out of range, or `allow` no set of names.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        ring: Keyring | Callable[[], Keyring],
        allow: Collection[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        inline_limit: int = 8192,
        notes_use: bool = False,
        mapped: bool = False,
        compression: Compression = "never",
    ) -> None:
        if not 0 <= inline_limit <= _MAX_INLINE:
            raise OptionError(f"inline_limit={inline_limit} is out of range: 0 to {_MAX_INLINE}", option="inline_limit")
        self.storage = storage
        self.clock = clock
        self.markers = Markers(storage, self.keys, clock)
        self.versions = Versions(storage, self.keys, self.markers)
        self.condemned = Condemned(storage, clock)
        self._ring = ring
        self.allow = allowed_names(allow)
        self._inline_limit = inline_limit
        self._uses = Uses(storage, clock) if notes_use else None
        self._values = Values(storage, self.keys, self.allow, mapped=mapped)
        self._compression = compression
        self._records = Records(storage, self.keys, self.versions, clock)
        self._placing = Placing(storage, self.keys, self._records, self.condemned, clock)

    @property
    def location(self) -> str:
        """Where this is, for people."""
        return self.storage.location

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
        found = self._records.find(path, references=True, remembers=True)
        while True:
            if isinstance(found, Lookup):
                return found
            record = found
            try:
                value = self._values.read(record, serializer)
            except (IntegrityError, UnknownKeyError, StorageError) as error:
                found = self._records.find(path, references=True)
                if (found.record if isinstance(found, Lookup) else found) != record:
                    continue  # it was replaced, or collected with its payload, while we read
                return self._records.failed(path, error, record)
            if self._uses is not None:
                self._uses.note(path)
            return Lookup(Outcome.HIT, path, record, value)

    def fetch(self, key: str, *, serializer: Serializer | None = None, told: dict[str, str] | None = None) -> Lookup:
        """Return what is kept under a key, as a run wants it: a hit, a miss, expired or damaged.

        Damaged comes with a warning in the log, and a copy of what was found under `damaged/`; the next `write`
        replaces it. (It is not deleted: that could hit what another writer has put in its place meanwhile.)

        Args:
            key: The cache key.
            serializer: As of `lookup`.
            told: Of what damage the caller was told before, and where copies of that are: it looks again and again,
                and wants no second warning of the same. Added to.

        Raises:
            UnknownKeyError: If the result is signed under a key that the ring lacks.
            StorageError: If the store cannot be read: an outage is not a miss.
            EntrepotError: As `lookup`.
        """
        found = self.lookup(key, serializer=serializer)
        if found.outcome is Outcome.HIT:
            return found
        if found.outcome in {Outcome.UNKNOWN_KEY, Outcome.UNREACHABLE} and found.error is not None:
            raise found.error
        told = {} if told is None else told
        if found.detail in told:
            return dataclasses.replace(found, evidence=told[found.detail])
        if found.is_outdated:
            _logger.info("The stored result for key %s is not used: %s.", ascii(key[:100]), found.detail)
            told[found.detail] = ""
        if found.outcome is Outcome.DAMAGED:
            kept = self._records.keep_evidence(found)
            _logger.warning(
                "The stored result for key %s is damaged and is not used: %s. It will be computed again. %s",
                ascii(key[:100]),
                found.detail,
                f"What was found is kept in {kept}." if kept else "No copy of it could be kept.",
            )
            told[found.detail] = kept
            return dataclasses.replace(found, evidence=kept)
        return found

    def describe(self, key: str) -> Lookup:
        """Return what the record of a key says: any of the six answers. No payload is read, no value made.

        Raises:
            CacheKeyError: If it is no key.
        """
        return self._records.look(record_path(key), references=True)

    def records(self) -> Iterator[Lookup]:
        """Yield what the record of every result says: a hit, expired, damaged, unknown key. No payload is read.

        Raises:
            StorageError: If the store cannot be listed.
        """
        for info in self.storage.list(RECORDS):
            found = self._records.look(info.path)
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
            return self._values.read(record, serializer)
        except IntegrityError as error:
            raise DamagedResultError(str(error), location=error.location, key=record.key) from error

    def locate(self, record: Record) -> str:
        """Return where a result's bytes are, for people: its payload, or its record where they are inside that."""
        return self._values.locate(record)

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
        about: Mapping[str, str] = MappingProxyType({}),
        details: Mapping[str, str] = MappingProxyType({}),
        replace: bool = False,
    ) -> Record:
        """Keep a value under a key; on return it is durable.

        The value is written out in full before the store is touched: one that cannot be leaves nothing behind. The
        payload is in place before the record that points at it.

        Args:
            key: The cache key.
            value: What the task returned.
            serializer: How to write it. One that picks by value (`auto`) is asked for the one that does; the record
                names that.
            parts: What the key was made of, by name.
            task: `name` and `key` of the task.
            run: The run that computed it: `id`, and more where it helps.
            expires: From when on it is not to be used (zone-aware); None for never.
            about: As of `Record`.
            details: As of `Record`.
            replace: Take the place of a result that is there and valid (a refresh). One that has expired or is damaged
                is always replaced.

        Returns:
            The record that is in place: the new one, or, where another writer's valid one was there first and `replace`
            is false, that one.

        Raises:
            SerializationError: If the value cannot be written.
            RefusedSerializerError: If no serializer that is allowed here writes it.
            UnknownNameError: If a name that is allowed here is that of no serializer.
            UnknownKeyError: If a record is there that is signed under a key that the ring lacks: it is left alone.
            StorageError: If the store cannot be written.
            CacheKeyError: If it is no key.
        """
        return self.put(
            self.prepare(
                key,
                value,
                serializer=serializer,
                parts=parts,
                task=task,
                run=run,
                expires=expires,
                about=about,
                details=details,
                replace=replace,
            )
        )

    def prepare(
        self,
        key: str,
        value: object,
        *,
        serializer: Serializer,
        parts: Mapping[str, str],
        task: Mapping[str, str],
        run: Mapping[str, str],
        expires: datetime | None = None,
        about: Mapping[str, str] = MappingProxyType({}),
        details: Mapping[str, str] = MappingProxyType({}),
        replace: bool = False,
        first: bool = False,
    ) -> Prepared:
        """Write out a value, and its payload; nobody finds it before `put`, or a `Commit`, has kept its record.

        It takes and raises what `write` does; `first` as of `Prepared`.
        """
        check_once(self.allow)
        try:
            prepared = prepare(
                self.storage,
                self.keys(),
                key,
                value,
                serializer=writer_for(serializer, value, allow=self.allow),
                facts=Facts(parts, task, run, self.clock.now(), expires, about, details),
                inline_limit=self._inline_limit,
                condemned=self.condemned,
                clock=self.clock,
                compression=self._compression,
                allow=self.allow,
            )
        except SerializationError as error:
            if self.allow is not None:
                error.args = (advice_within(str(error), self.allow),)
                error.add_note(f"results here may only be written as {', '.join(sorted(self.allow))}")
            raise
        return dataclasses.replace(prepared, replace=replace, first=first)

    def check_serializer(self, serializer: Serializer) -> None:
        """See that a serializer may write here, before there is a value.

        Raises:
            RefusedSerializerError: If it may not. One that picks by value is not asked.
            UnknownNameError: If a name that is allowed here is that of no serializer.
        """
        if self.allow is None:
            return
        check_once(self.allow)
        if not hasattr(serializer, "choose"):
            writer_for(serializer, None, allow=self.allow)

    def put(self, prepared: Prepared) -> Record:
        """As `Placing.put`."""
        return self._placing.put(prepared)

    def settle(self, prepared: Prepared) -> Record:
        """As `Placing.settle`."""
        return self._placing.settle(prepared)

    def still_has_payload(self, prepared: Prepared) -> bool:
        """As `Placing.still_has_payload`."""
        return self._placing.still_has_payload(prepared)

    def usable(self, ours: Record) -> Record | None:
        """As `Placing.usable`."""
        return self._placing.usable(ours)

    def warn_not_exclusive(self) -> None:
        """As `Placing.warn_not_exclusive`."""
        self._placing.warn_not_exclusive()

    # --- the rest -----------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[object, ...]:
        """Return what pickle writes: the storage, and where the keys come from; never the keys, nor the clock."""
        if isinstance(self._ring, Keyring):
            raise SerializationError(
                f"the result store {self.location} holds its keys, which are never written: open it in the other"
                " process, or give it a function that returns them",
                serializer="pickle",
                path="value",
            )
        again = partial(
            ResultStore,
            self.storage,
            ring=self._ring,
            allow=self.allow,
            inline_limit=self._inline_limit,
            notes_use=self._uses is not None,
            mapped=self._values.mapped,
            compression=self._compression,
        )
        return again, ()

    def keys(self) -> Keyring:
        """Return the ring."""
        return self._ring if isinstance(self._ring, Keyring) else self._ring()
