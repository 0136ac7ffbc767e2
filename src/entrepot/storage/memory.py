"""Objects in this process's memory: for tests, and for flows that need nothing kept."""

import itertools
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import NoReturn

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.errors import ObjectExistsError, ObjectNotFoundError, SerializationError
from entrepot.protocols.storage import Buffer, Buffers, ObjectInfo
from entrepot.storage._buffers import joined
from entrepot.storage._swaps import changed, tag_of, too_large
from entrepot.storage.paths import check_path, check_prefix, check_range

__all__ = ["MemoryStorage"]

_numbers = itertools.count(1)
_named: dict[str, "MemoryStorage"] = {}
_named_lock = threading.Lock()


class MemoryStorage:
    """A store that ends with the process.

    Args:
        name: Its name in `location`; a number by default.
        clock: Gives the time of each write.
    """

    def __init__(self, name: str | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = str(next(_numbers)) if name is None else name
        self._clock = clock
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    @classmethod
    def named(cls, name: str) -> "MemoryStorage":
        """Return the one store of this name in this process: what `memory://name` stands for."""
        with _named_lock:
            return _named.setdefault(name, cls(name))

    @property
    def location(self) -> str:
        """Where this is, for people."""
        return f"memory://{self._name}"

    @property
    def creates_exclusively(self) -> bool:
        """True: one lock guards every write."""
        return True

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return an object's bytes, or those from `start`, at most `length`.

        Raises:
            ObjectNotFoundError: If there is none.
        """
        check_range(start, length, location=self.location)
        content, _ = self._object(path)
        return content[start : None if length is None else start + length]

    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from offset `start` of an object and return how many bytes there were.

        Raises:
            ObjectNotFoundError: If there is none.
        """
        view = buffer.cast("B")
        content = self.get(path, start=start, length=view.nbytes)
        view[: len(content)] = content
        return len(content)

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there."""
        check_path(path, location=self.location)
        content = joined(data)
        with self._lock:
            self._objects[path] = (content, self._clock.now())

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none.

        Raises:
            ObjectExistsError: If there is one; it is left as it is.
        """
        check_path(path, location=self.location)
        content = joined(data)
        with self._lock:
            taken = path in self._objects
            if not taken:
                self._objects[path] = (content, self._clock.now())
        if taken:
            raise ObjectExistsError(
                f"{self.location} has an object {path!r} already", path=path, location=self.location
            )

    def can_swap(self) -> bool:
        """Return True: the same lock."""
        return True

    def get_tagged(self, path: str, *, limit: int | None = None) -> tuple[bytes, str]:
        """Return an object's bytes and its tag.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If it is larger than `limit`.
        """
        content, _ = self._object(path)
        if limit is not None and len(content) > limit:
            raise too_large(path, limit, location=self.location)
        return content, tag_of(content)

    def swap(self, path: str, data: Buffers, tag: str | None) -> str:
        """Write an object if the one in its place has this tag.

        Raises:
            ObjectExistsError: If `tag` is None and there is one.
            ObjectChangedError: If there is another one, or none.
        """
        check_path(path, location=self.location)
        content = joined(data)
        if tag is None:
            self.create(path, content)
            return tag_of(content)
        with self._lock:
            found = self._objects.get(path)
            if is_same := found is not None and tag_of(found[0]) == tag:
                self._objects[path] = (content, self._clock.now())
        if not is_same:
            raise changed(path, location=self.location)
        return tag_of(content)

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing."""
        check_path(path, location=self.location)
        with self._lock:
            self._objects.pop(path, None)

    def delete_if(self, path: str, data: Buffer) -> bool:
        """Remove an object if these are its bytes; return whether it is gone, or was not there."""
        check_path(path, location=self.location)
        with self._lock:
            found = self._objects.get(path)
            if found is not None and found[0] != bytes(data):
                return False
            self._objects.pop(path, None)
            return True

    def touch(self, path: str) -> None:
        """Make the time of an object the present one; where there is none, do nothing."""
        check_path(path, location=self.location)
        with self._lock:
            found = self._objects.get(path)
            if found is not None:
                self._objects[path] = (found[0], self._clock.now())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`, as they are at the call."""
        check_prefix(prefix, location=self.location)
        folder = f"{prefix}/" if prefix else ""
        with self._lock:
            found = [
                ObjectInfo(path, len(content), modified)
                for path, (content, modified) in self._objects.items()
                if path.startswith(folder)
            ]
        return iter(found)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object.

        Raises:
            ObjectNotFoundError: If there is none.
        """
        content, modified = self._object(path)
        return ObjectInfo(path, len(content), modified)

    def _object(self, path: str) -> tuple[bytes, datetime]:
        check_path(path, location=self.location)
        with self._lock:
            found = self._objects.get(path)
        if found is None:
            raise ObjectNotFoundError(f"{self.location} has no object {path!r}", path=path, location=self.location)
        return found

    def __repr__(self) -> str:
        return f"MemoryStorage({self._name!r})"

    def __reduce__(self) -> NoReturn:
        # A copy in another process would be another, empty store: refused rather than found out later.
        raise SerializationError(
            f"{self.location} lives in this process's memory and cannot be sent to another: use a folder or a bucket",
            serializer="pickle",
            path="",
        )
