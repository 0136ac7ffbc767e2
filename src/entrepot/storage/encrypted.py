"""A store whose objects are readable only with the keys of a ring."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar, cast

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.stream import (
    CHUNK_SIZE,
    decrypt_into,
    decrypt_range,
    encrypt_parts,
    encrypted_size,
    plain_size,
)
from entrepot.errors import IntegrityError
from entrepot.protocols.storage import (
    Buffer,
    Buffers,
    MakesDurable,
    ObjectInfo,
    ReadsInto,
    Stage,
    Storage,
    SwapsConditionally,
    Sweeps,
    Touches,
)
from entrepot.storage._buffers import as_views
from entrepot.storage._sealed_stage import SealedStage
from entrepot.storage.paths import check_path, check_prefix, check_range
from entrepot.storage.stages import write_staged

__all__ = ["EncryptedStorage"]

_T = TypeVar("_T")
_HELD = 8 * 1024 * 1024  # of ciphertext in memory
_FIRST = encrypted_size(16 * CHUNK_SIZE)  # the first request: an object that is shorter needs no other


class EncryptedStorage:
    """Another store, encrypted: names, sizes and times can be seen in it, contents cannot.

    Each object is bound to its path, so that it decrypts only there. Sizes are those of the plaintext. A ranged read
    fetches and decrypts only the chunks that it needs. While it is written, the ciphertext of a large object is spooled
    to a file, that of others is held in memory.

    Args:
        storage: The other store.
        ring: The keys, or a function that returns them (which can be pickled, as keys cannot).
    """

    def __init__(self, storage: Storage, ring: Keyring | Callable[[], Keyring]) -> None:
        self._storage = storage
        self._ring = ring
        if isinstance(storage, ReadsInto):  # where requests are dear, fewer and larger ones by `get` are the better way
            self.read_into = self._read_into
        if isinstance(storage, MakesDurable):
            self.make_durable = storage.make_durable
        if isinstance(storage, Touches):
            self.touch = storage.touch
        if isinstance(storage, Sweeps):
            self.unfinished, self.sweep = storage.unfinished, storage.sweep
        if isinstance(storage, SwapsConditionally):
            self.can_swap = storage.can_swap
            self.get_tagged = self._get_tagged
            self.swap = self._swap

    @property
    def sealed(self) -> Storage:
        """The other store: what is in it is encrypted."""
        return self._storage

    @property
    def location(self) -> str:
        """Where the other store is."""
        return self._storage.location

    @property
    def creates_exclusively(self) -> bool:
        """As the other store."""
        return self._storage.creates_exclusively

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`; all of them verified.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If it was altered, moved or cut short.
            UnknownKeyError: If the ring does not have its key.
        """
        check_range(start, length, location=self.location)
        return self._read(
            path,
            start,
            lambda source: decrypt_range(
                self._keys(),
                path,
                source.fetch,
                size=source.size,
                location=self._place(path),
                start=start,
                length=length,
            ),
        )

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there."""
        self._write(path, data, replace=True)

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none.

        Raises:
            ObjectExistsError: If there is one.
        """
        self._write(path, data, replace=False)

    def stage(self) -> Stage:
        """Return a new object under way; what is spooled of it is encrypted, too.

        Raises:
            StorageError: If there is no room for it.
        """
        return SealedStage(self._storage, self._sealed)

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing."""
        self._storage.delete(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`; one that cannot be ours is given the size that it has there."""
        check_prefix(prefix, location=self.location)
        return (self._plain(info) or info for info in self._storage.list(prefix))

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If its size shows that it is no encrypted object.
        """
        info = self._plain(self._storage.stat(path))
        if info is None:
            raise IntegrityError(
                f"{self._place(path)} is not an encrypted object: it was cut short, or written past the encryption; "
                "remove it, or write it again",
                location=self._place(path),
            )
        return info

    def __repr__(self) -> str:
        return f"EncryptedStorage({self._storage!r})"

    def _read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from offset `start` of an object and return how many bytes there were; all of them verified.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If it was altered, moved or cut short.
        """
        check_range(start, None, location=self.location)
        return self._read(
            path,
            start,
            lambda source: decrypt_into(
                self._keys(), path, source.fetch, buffer, size=source.size, location=self._place(path), start=start
            ),
        )

    def _get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        """Return an object's bytes, all of them verified, and the tag of its ciphertext, which is never the same twice.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If it was altered, moved or cut short, or is larger than `limit`.
        """
        check_path(path, location=self.location)
        most = None if limit is None else encrypted_size(limit)
        data, tag = cast("SwapsConditionally", self._storage).get_tagged(path, limit=most)
        sealed = memoryview(data).cast("B")
        content = decrypt_range(
            self._keys(),
            path,
            lambda start, length: sealed[start : start + length],
            size=sealed.nbytes,
            location=self._place(path),
        )
        return content, tag

    def _swap(self, path: str, data: Buffers, tag: str | None) -> str:
        views = as_views(data)
        sealed = self._sealed(path, sum(view.nbytes for view in views), views)
        return cast("SwapsConditionally", self._storage).swap(path, [*sealed], tag)

    def _keys(self) -> Keyring:
        return self._ring if isinstance(self._ring, Keyring) else self._ring()

    def _place(self, path: str) -> str:
        return f"{self.location.rstrip('/')}/{path}"

    def _write(self, path: str, data: Buffers, *, replace: bool) -> None:
        views = as_views(data)
        size = sum(view.nbytes for view in views)
        sealed = self._sealed(path, size, views)
        if size > _HELD:
            write_staged(self._storage, path, sealed, replace=replace)
        else:
            (self._storage.put if replace else self._storage.create)(path, [*sealed])

    def _sealed(self, path: str, size: int, pieces: Iterable[Buffer]) -> Iterable[Buffer]:
        check_path(path, location=self.location)
        return encrypt_parts(self._keys(), path, pieces, size=size)

    def _plain(self, info: ObjectInfo) -> ObjectInfo | None:
        size = plain_size(info.size)
        return None if size is None else replace(info, size=size)

    def _read(self, path: str, start: int, decrypt: Callable[["_Source"], _T]) -> _T:
        check_path(path, location=self.location)
        for last in (False, True):
            source = _Source(self._storage, path, whole=start == 0)
            try:
                return decrypt(source)
            except IntegrityError:
                # Of an object that was replaced between two requests, the halves do not fit; a second look tells.
                if last or source.requests == 1:
                    raise
        raise AssertionError


class _Source:
    """One encrypted object, fetched in pieces; the first piece tells its size if the object is small."""

    def __init__(self, storage: Storage, path: str, *, whole: bool) -> None:
        self._storage = storage
        self._path = path
        self._first = memoryview(b"")
        self.requests = 1
        if whole:
            self._first = memoryview(storage.get(path, length=_FIRST)).cast("B")
        if whole and self._first.nbytes < _FIRST:
            self.size = self._first.nbytes
        else:
            self.size = storage.stat(path).size
            self.requests += 1

    def fetch(self, start: int, length: int) -> Buffer:
        """Return encrypted bytes from an offset."""
        if start + length <= self._first.nbytes:
            return self._first[start : start + length]
        self.requests += 1
        return self._storage.get(self._path, start=start, length=length)
