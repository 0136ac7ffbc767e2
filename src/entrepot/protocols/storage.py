"""Where bytes are kept: objects by path, whole or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Buffer",
    "Buffers",
    "MakesDurable",
    "MapsObjects",
    "ObjectInfo",
    "ReadsAtOnce",
    "ReadsInto",
    "Stage",
    "StagesObjects",
    "Storage",
    "SupportsStorage",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""One run of bytes."""

Buffers: TypeAlias = Buffer | Sequence[Buffer]
"""An object's content: one buffer, or several that are written one after another without being joined first."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of one object.

    Attributes:
        path: Its path in the store: relative, `/`-separated.
        size: Its length in bytes.
        modified: When it was last written (zone-aware), or None where the store does not say.
    """

    path: str
    size: int
    modified: datetime | None = None


class Storage(Protocol):
    """A store of objects by path.

    Paths are relative, `/`-separated, without empty, `.` or `..` components, NUL, control characters or backslashes,
    at most 1,024 bytes long and 255 bytes a component; others raise `InvalidPathError` before anything is touched.

    Every method may raise `StorageUnreachableError` (no answer, or no such bucket or root), `StorageAccessError` and
    `StorageError`. An implementation is safe to share between threads, and can be pickled unless it lives in memory.
    """

    @property
    def location(self) -> str:
        """Where this is, for people: a path or URL without credentials."""
        ...

    @property
    def creates_exclusively(self) -> bool:
        """Whether `create` is atomic: of several writers, in any process, exactly one wins.

        The first question may ask the store (a probe); the answer is kept.
        """
        ...

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`.

        Past the end there are none: the answer is short or empty, never an error.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
        """
        ...

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there; on return it is durable, and no reader ever sees a part of it."""
        ...

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none; on return it is durable.

        Raises:
            ObjectExistsError: If there is one; it is left as it is.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix` (all of them for ""), in no promised order.

        `prefix` matches whole components: "a" finds "a/b", not "ab" and not "a" itself. An absent folder is empty.
        Freshly listed at each call: an object whose write returned before the call is there.
        """
        ...

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
        """
        ...


@runtime_checkable
class ReadsInto(Protocol):
    """The optional capability to read into memory that the caller owns, so that large values are never copied."""

    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from offset `start` of an object and return how many bytes there were.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
        """
        ...


@runtime_checkable
class ReadsAtOnce(Protocol):
    """What a store says where an answer takes its time: parts of one object are then read several at once, by `get`.

    Attributes:
        at_once: How many requests at once are of use; 1 where they are not.
    """

    at_once: int


@runtime_checkable
class MakesDurable(Protocol):
    """The optional capability of stores where an object can be seen a moment before it is durable: to wait for that."""

    def make_durable(self, path: str) -> None:
        """Return once an object is durable that another process may have written a moment ago.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
        """
        ...


@runtime_checkable
class MapsObjects(Protocol):
    """The optional capability to give an object's bytes as memory without reading them first."""

    def map(self, path: str) -> memoryview | None:
        """Return an object's bytes as writable memory of the caller's own; changing it changes no object.

        Pages come from the object when they are first touched. So this is only done where nobody but this user can
        change the object's bytes in place, and a change after they were checked is not to be feared: None elsewhere,
        and where the system cannot do it.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
        """
        ...


class Stage(Protocol):
    """An object under way, whose size and path are not known before it ends. Not shared between threads."""

    def write(self, data: Buffer) -> None:
        """Add bytes (contiguous)."""
        ...

    def commit(self, path: str, *, replace: bool) -> None:
        """Make what was written the object at `path`; on return it is durable. After an error it can be tried again.

        Raises:
            ObjectExistsError: If `replace` is not set and there is one; it is left as it is.
        """
        ...

    def close(self) -> None:
        """Let go of it; what was not committed is gone. Closing twice does nothing."""
        ...


@runtime_checkable
class StagesObjects(Protocol):
    """The optional capability to write an object piece by piece before its path is known."""

    def stage(self) -> Stage:
        """Return a new object under way; the caller closes it."""
        ...


@runtime_checkable
class SupportsStorage(Protocol):
    """Configuration (a storage block, say) that can be turned into a `Storage`."""

    def as_storage(self) -> Storage:
        """Return the storage that this describes."""
        ...
