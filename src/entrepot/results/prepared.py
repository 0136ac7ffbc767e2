"""Results made ready to be kept: their bytes are written out, and payloads in place. Only their records are missing."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, OptionError, SerializationError
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.results.chunks import STREAM, write_items
from entrepot.results.compression import Compression, compressed_where_worth_it
from entrepot.results.payloads import write_payload
from entrepot.results.record import Record, payload_path, seal_record, stored_key
from entrepot.results.streams import Stream
from entrepot.serializers.buffers import flat, total_size

__all__ = ["Facts", "Prepared", "prepare"]


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
class Prepared:
    """A result that is to be kept.

    Attributes:
        record: Its record.
        sealed: The record's bytes.
        replace: Whether it takes the place of one that is there and valid.
        first: Whether there must be no valid one; a transaction with another one there is not committed.
    """

    record: Record
    sealed: bytes
    replace: bool = False
    first: bool = False


def prepare(
    storage: Storage,
    ring: Keyring,
    key: str,
    value: object,
    *,
    serializer: Serializer,
    facts: Facts,
    inline_limit: int,
    compression: Compression = "never",
    allow: frozenset[str] | None = None,
) -> tuple[Record, bytes]:
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
        compression: When larger ones are compressed.
        allow: The names of the serializers that may be used; None for all.

    Returns:
        The record, and its bytes.

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
        return _prepare_stream(storage, ring, kept_key, value, serializer=serializer, facts=facts)
    serializer, data = compressed_where_worth_it(
        storage, serializer, _written(serializer, value), compression=compression, allow=allow
    )
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
        about=facts.about,
        details=facts.details,
    )
    if record.size <= inline_limit:
        record = replace(record, value=_inline(b"".join(data), serializer))
    else:
        record = replace(record, payload=payload_path(record.digest, serializer.extension))
    sealed = seal_record(record, ring)
    if record.payload is not None:
        write_payload(storage, record.payload, data, digest=record.digest, ring=ring)
    return record, sealed


def _prepare_stream(
    storage: Storage, ring: Keyring, key: str, items: Stream[object], *, serializer: Serializer, facts: Facts
) -> tuple[Record, bytes]:
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
        about={**facts.about, **written.notes},
        details=facts.details,
    )
    return record, seal_record(record, ring)


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
