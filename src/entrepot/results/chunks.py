"""How streams are kept: items in chunks, and an index of the chunks at the end.

A payload whose record names the serializer `stream/<name>` and the extension `stream`::

    "ESTREAM1"
    the chunks, one after another
    the index, for each chunk: its size: u64 | how many items: u64 | its keyed digest: 32 bytes
    the number of chunks: u64 | the number of items: u64 | "ESTREAM1"           (integers little-endian)

A chunk is items: for each its length (u64), its bytes as the serializer `<name>` writes them, and zeros up to the next
multiple of 8. A chunk ends with the item that brings it to 4 MiB.

The record's digest is that of the whole payload, as of any. Its notes (`about`) have under `stream` what follows the
chunks: `<how many bytes> <their digest>`. So a reader that has the record checks the index, and then each chunk before
it deserialises an item of it, without reading what it does not need. The digests of chunks are under the key that is
named there.
"""

import hmac
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from entrepot.crypto.digest import Digester, Hasher
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    DamagedResultError,
    EntrepotError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    SerializationError,
)
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Buffer, MakesDurable, ReadsInto, Stage, Storage, Touches
from entrepot.results.payloads import check_payload
from entrepot.results.record import Record, payload_path
from entrepot.results.streams import Kept
from entrepot.serializers.buffers import allocate, flat, total_size
from entrepot.storage.stages import stage_for

__all__ = ["STREAM", "KeptItems", "Written", "write_items"]

STREAM: Final = "stream/"
"""What the serializer of a record begins with where the result is a stream."""

_EXTENSION: Final = "stream"
_NOTE: Final = "stream"
_MAGIC: Final = b"ESTREAM1"
_LENGTH: Final = struct.Struct("<Q")
_ENTRY: Final = struct.Struct("<QQ32s")
_FOOTER: Final = struct.Struct("<QQ8s")
_CHUNK: Final = 4 << 20
_ALIGNMENT: Final = 8


@dataclass(frozen=True, slots=True)
class Written:
    """A stream that is in its store.

    Attributes:
        size: Of its payload.
        digest: Of its payload.
        path: Where that is.
        notes: What its record has to say among its notes.
        shared: Whether the payload was there before.
    """

    size: int
    digest: str
    path: str
    notes: Mapping[str, str]
    shared: bool


def write_items(storage: Storage, ring: Keyring, items: Iterable[object], serializer: Serializer) -> Written:
    """Write items as they come; on return their payload is in place, durable and right.

    No more than a chunk and an item is in memory. If the items end with an error, nothing of them stays.

    Raises:
        SerializationError: If an item cannot be written; the message gives its number.
        StorageError: If the store cannot be written.
        Exception: What the iterable raises.
    """
    stage = stage_for(storage)
    try:
        writer = _Writer(stage, Digester(ring), serializer)
        for number, item in enumerate(items):
            writer.add(number, item)
        size, digest, notes = writer.end()
        path = payload_path(digest, _EXTENSION)
        shared = _commit(storage, stage, path, size=size, digest=digest, ring=ring)
    finally:
        stage.close()
    return Written(size, digest, path, notes, shared)


def _commit(storage: Storage, stage: Stage, path: str, *, size: int, digest: str, ring: Keyring) -> bool:
    """Name the payload; return whether one was there.

    That is checked, not trusted for its name, as `write_payload` does.
    """
    if not storage.creates_exclusively:
        stage.commit(path, replace=True)  # who else writes here writes the same bytes
        return False
    try:
        stage.commit(path, replace=False)
    except ObjectExistsError:
        if check_payload(storage, path, size=size, digest=digest, ring=ring):
            stage.commit(path, replace=True)
        else:
            if isinstance(storage, MakesDurable):
                storage.make_durable(path)
            if isinstance(storage, Touches):
                storage.touch(path)  # as good as new for a collection
        return True
    return False


class _Writer:
    def __init__(self, stage: Stage, digester: Digester, serializer: Serializer) -> None:
        self._stage = stage
        self._digester = digester
        self._serializer = serializer
        self._whole = digester.new()
        self._index: list[bytes] = []
        self._chunk = bytearray()  # under way
        self._count = self._size = self._total = 0
        self._write(memoryview(_MAGIC))

    def add(self, number: int, item: object) -> None:
        try:
            parts = [flat(part) for part in self._serializer.dumps(item)]
        except SerializationError as error:
            raise SerializationError(
                f"item {number} of the stream: {error}", serializer=error.serializer, path=f"value[{number}]"
            ) from error
        length = total_size(parts)
        pieces = [memoryview(_LENGTH.pack(length)), *parts, memoryview(bytes(-length % _ALIGNMENT))]
        self._count += 1
        if len(self._chunk) + length >= _CHUNK:
            self._flush(pieces)
            return
        for piece in pieces:  # copied: whoever makes the items may use the same memory for the next one
            self._chunk += piece

    def end(self) -> tuple[int, str, Mapping[str, str]]:
        if self._count:
            self._flush([])
        index = memoryview(b"".join((*self._index, _FOOTER.pack(len(self._index), self._total, _MAGIC))))
        self._write(index)
        return self._size, self._whole.digest(), {_NOTE: f"{index.nbytes} {self._digester.digest([index])}"}

    def _flush(self, pieces: list[memoryview]) -> None:
        """Write the chunk under way, with the pieces of its last item."""
        hasher = self._digester.new(size=_CHUNK)
        chunk, self._chunk = self._chunk, bytearray()
        size = 0
        for piece in (memoryview(chunk), *pieces):
            hasher.update(piece)
            self._write(piece)
            size += piece.nbytes
        self._index.append(_ENTRY.pack(size, self._count, bytes.fromhex(hasher.hexdigest())))
        self._total += self._count
        self._count = 0

    def _write(self, part: memoryview) -> None:
        self._stage.write(part)
        self._whole.update(part)
        self._size += part.nbytes


class KeptItems(Kept[Any]):
    """The items of a stream in a store: read when they are asked for, in chunks, each checked first.

    Args:
        storage: Where.
        ring: Gives the keys.
        record: Its record, which was verified.
        serializer: How to read an item.

    Raises:
        IntegrityError: If its index is not there or does not verify.
        UnknownKeyError: If its digests were made under a key that the ring lacks.
    """

    def __init__(self, storage: Storage, ring: Callable[[], Keyring], record: Record, serializer: Serializer) -> None:
        self._storage = storage
        self._ring = ring
        self._key = record.key
        self._path = record.payload or ""
        self._location = f"{storage.location.rstrip('/')}/{self._path}"
        self._serializer = serializer
        self.digest = f"{record.serializer}:{record.digest}"  # the same bytes may be other items to another serializer
        self._note = record.about.get(_NOTE, "")
        self._index = self._open(record.size)

    def __iter__(self) -> Iterator[Any]:
        """Go through the items.

        Raises:
            DamagedResultError: If a chunk is not there, or was altered.
            StorageError: If the store cannot be read.
            SerializationError: If an item is what was written, but cannot be turned into a value.
        """
        start = len(_MAGIC)
        for size, count, digest in _ENTRY.iter_unpack(self._index):
            yield from self._items(self._chunk(start, size, digest), count)
            start += size

    def _open(self, size: int) -> memoryview:
        count, _, self._index_digest = self._note.partition(" ")
        length = int(count) if count.isdecimal() else -1
        if not _FOOTER.size <= length <= size - len(_MAGIC):
            raise self._bad("its record does not say where its index is")
        index = self._read(size - length, length + 1)  # one more: a payload that goes on after its end is noticed
        hasher = self._hasher(length)
        hasher.update(index)
        if not hmac.compare_digest(hasher.digest(), self._index_digest):
            raise self._bad("its index was altered, swapped or cut since it was written")
        _, self.count, _ = _FOOTER.unpack(index[-_FOOTER.size :])
        return index[: -_FOOTER.size]

    def _hasher(self, size: int) -> Hasher:
        return Digester(self._ring()).hasher_for(self._index_digest, size=size)

    def _chunk(self, start: int, size: int, digest: bytes) -> memoryview:
        try:
            chunk = self._read(start, size)
            hasher = self._hasher(size)
            hasher.update(chunk)
            if chunk.nbytes != size or not hmac.compare_digest(bytes.fromhex(hasher.hexdigest()), digest):
                raise self._bad(f"its {size} bytes from offset {start} were altered since they were written")
        except IntegrityError as error:
            raise DamagedResultError(
                f"{error}. The items before it were right. Compute the result again (refresh_cache=True)",
                location=error.location,
                key=self._key,
            ) from error
        return chunk

    def _items(self, chunk: memoryview, count: int) -> Iterator[Any]:
        at = 0
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(chunk, at)
            at += _LENGTH.size
            yield self._loaded(chunk[at : at + length])
            at += length + -length % _ALIGNMENT

    def _loaded(self, data: memoryview) -> object:
        try:
            return self._serializer.loads(data)
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the {self._serializer.name} serializer failed to read an item of {self._location}"
                f" ({type(error).__name__})",
                serializer=self._serializer.name,
                path="value",
            ) from error

    def _read(self, start: int, size: int) -> memoryview:
        """Return bytes of the payload in memory of their own, which the items may share."""
        memory = allocate(size)
        try:
            if isinstance(self._storage, ReadsInto):
                return memory[: self._storage.read_into(self._path, memory, start=start)]
            data: Buffer = self._storage.get(self._path, start=start, length=size)
        except ObjectNotFoundError as error:
            raise self._bad("it is not there") from error
        memory[: len(data)] = data
        return memory[: len(data)]

    def _bad(self, why: str) -> IntegrityError:
        return IntegrityError(f"the payload {self._location} does not verify: {why}", location=self._location)
