"""Results made ready to be kept: their bytes are written out, and payloads in place. Only their records are missing."""

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from entrepot._clock import Clock
from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, OptionError, SerializationError
from entrepot.hashing.files import collected_references
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.results.chunks import STREAM, write_items
from entrepot.results.compression import Compression, compressed_where_worth_it
from entrepot.results.condemned import RECHECK, Condemned
from entrepot.results.payloads import write_payload
from entrepot.results.record import Record, another_path, payload_path, seal_record, stored_key
from entrepot.results.references import reference_notes
from entrepot.results.streams import Stream
from entrepot.serializers.buffers import flat, total_size

__all__ = ["Facts", "Placed", "Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a record says besides its key and its value; each as of `Record`."""

    parts: Mapping[str, str]
    task: Mapping[str, str]
    run: Mapping[str, str]
    created: datetime
    expires: datetime | None
    about: Mapping[str, str]
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placed:
    """How a payload came to be in its place.

    Attributes:
        shared: Whether it was there before, for another record or for none.
        at: When writing it began, by the time of day.
        since: The same by a clock that never goes back.
        again: Writes the value once more, to a place of its own; None where it is no longer at hand.
    """

    shared: bool
    at: datetime
    since: float
    again: Callable[[], "Prepared"] | None = None

    def is_doubtful(self, clock: Clock) -> bool:
        """Return whether a collection may have taken the payload for one that nobody needs."""
        # By both: the one stands still while a machine sleeps, the other can be set.
        took = max(clock.monotonic() - self.since, (clock.now() - self.at).total_seconds())
        return self.shared or took >= RECHECK


@dataclass(frozen=True, slots=True)
class Prepared:
    """A result that is to be kept.

    Attributes:
        record: Its record.
        sealed: The record's bytes.
        replace: Whether it takes the place of one that is there and valid.
        first: Whether there must be no valid one; a transaction with another one there is not committed.
        placed: How its payload came to be in place; None if it has none.
    """

    record: Record
    sealed: bytes
    replace: bool = False
    first: bool = False
    placed: Placed | None = field(default=None, compare=False, repr=False)

    def without_value(self) -> "Prepared":
        """Return the same, but for the value's bytes, which are not to be held in memory until it is kept."""
        return self if self.placed is None else replace(self, placed=replace(self.placed, again=None))


def prepare(
    storage: Storage,
    ring: Keyring,
    key: str,
    value: object,
    *,
    serializer: Serializer,
    facts: Facts,
    inline_limit: int,
    condemned: Condemned,
    clock: Clock,
    compression: Compression = "never",
    allow: frozenset[str] | None = None,
) -> Prepared:
    """Write out a value, and put its payload in place if it has one; on return that is durable.

    The value is written out in full before the store is touched: one that cannot be leaves nothing behind. A `Stream`
    is written as its items come; one that ends with an error leaves nothing behind either.

    Args:
        storage: Where its payload goes.
        ring: The keys.
        key: The cache key.
        value: What the task returned.
        serializer: How to write it.
        facts: What its record says besides.
        inline_limit: Values of up to this many bytes go inside the record.
        condemned: What collections are about to delete there.
        clock: Tells when the payload was in place.
        compression: When larger ones are compressed.
        allow: The names of the serializers that may be used; None for all.

    Raises:
        SerializationError: If the value cannot be written.
        Exception: What the items of a stream raise.
        OptionError: If the expiry has no zone.
        CacheKeyError: If it is no key.
        StorageError: If the store cannot be written.
    """
    if facts.expires is not None and facts.expires.tzinfo is None:
        raise OptionError("a result's expiry is a time with a zone, such as datetime.now(UTC)", option="expires")
    kept_key = stored_key(key)
    if isinstance(value, Stream):
        return _prepare_stream(storage, ring, kept_key, value, serializer=serializer, facts=facts, clock=clock)
    with collected_references() as references:
        parts = _written(serializer, value)
    serializer, data = compressed_where_worth_it(storage, serializer, parts, compression=compression, allow=allow)
    record = Record(
        key=kept_key,
        parts=facts.parts,
        task=facts.task,
        run=facts.run,
        serializer=serializer.name,
        size=total_size(data),
        digest=Digester(ring).digest(data),
        created=facts.created,
        expires=facts.expires,
        about={**facts.about, **reference_notes(references)},
        details=facts.details,
    )
    if record.size <= inline_limit:
        record = replace(record, value=_inline(b"".join(data), serializer))
    else:
        record = replace(record, payload=payload_path(record.digest, serializer.extension))
    if record.payload is None:
        return Prepared(record, seal_record(record, ring))
    place = partial(_place, storage, ring, record, data, condemned=condemned, clock=clock)
    # What is kept only until a run ends has a payload of its own, so that it can be removed without looking at others.
    return place(own=facts.about.get("keep") == "run")


def _place(
    storage: Storage,
    ring: Keyring,
    record: Record,
    data: Sequence[memoryview],
    *,
    condemned: Condemned,
    clock: Clock,
    own: bool,
) -> Prepared:
    """Put a payload in its place, or in one that no other result shares, and seal the record that names it."""
    again = partial(_place, storage, ring, record, data, condemned=condemned, clock=clock, own=True)
    path = record.payload or ""
    path = another_path(path, secrets.token_hex(8)) if own else path
    sealed = seal_record(placed := replace(record, payload=path), ring)
    at, since = clock.now(), clock.monotonic()  # before it is written: a store says that it is as old as its bytes
    shared = write_payload(storage, path, data, digest=record.digest, ring=ring)
    if shared and not condemned.has(path):
        return again()
    return Prepared(placed, sealed, placed=Placed(shared, at, since, again))


def _prepare_stream(
    storage: Storage,
    ring: Keyring,
    key: str,
    items: Stream[object],
    *,
    serializer: Serializer,
    facts: Facts,
    clock: Clock,
) -> Prepared:
    at, since = clock.now(), clock.monotonic()
    with collected_references() as references:
        written = write_items(storage, ring, items, serializer)
    record = Record(
        key=key,
        parts=facts.parts,
        task=facts.task,
        run=facts.run,
        serializer=f"{STREAM}{serializer.name}",
        size=written.size,
        digest=written.digest,
        created=facts.created,
        expires=facts.expires,
        payload=written.path,
        about={**facts.about, **written.notes, **reference_notes(references)},
        details=facts.details,
    )
    return Prepared(record, seal_record(record, ring), placed=Placed(written.shared, at, since))


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
