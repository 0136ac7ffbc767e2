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
    "SwapsConditionally",
    "Sweeps",
    "Touches",
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
class DeletesIf(Protocol):
    """The optional capability to delete an object only if it still is what it was."""

    def delete_if(self, path: str, data: Buffer) -> bool:
        """Remove an object if these are its bytes; return whether it is gone, or was not there."""
        ...


@runtime_checkable
class Touches(Protocol):
    """The optional capability to say for next to nothing that an object was used just now."""

    def touch(self, path: str) -> None:
        """Make the time of an object the present one; where there is none, do nothing."""
        ...


@runtime_checkable
class Sweeps(Protocol):
    """The optional capability of stores in which writers that were killed leave something behind."""

    def unfinished(self, before: datetime) -> Iterator[ObjectInfo]:
        """Yield what unfinished writes left that are older than `before`; these are no objects."""
        ...

    def sweep(self, path: str) -> None:
        """Remove what an unfinished write left; where there is nothing any more, do nothing."""
        ...


@runtime_checkable
class SwapsConditionally(Protocol):
    """The optional capability to replace an object only if it is still the one that was read.

    What was read is named by a tag, which is of use to this store only. Two objects with one tag have one content. Of
    several that swap for one tag, in any process, exactly one wins, and a swap that was held up on its way (a stopped
    process, a slow network) fails if another came first: there is no moment between the comparison and the change.
    A `put` or `delete` of the same moment, which knows no conditions, may be undone by a swap.
    """

    def can_swap(self) -> bool:
        """Return whether the store keeps that promise. The first question may ask it (a probe); the answer is kept.

        Raises:
            StorageError: If it had to be asked and did not answer.
        """
        ...

    def get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        """Return an object's bytes, all of them, and its tag.

        Args:
            path: Of the object.
            limit: How many bytes it may have; more are not read, or not much more.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
            IntegrityError: If it is larger than `limit`: whoever knows the limit did not write it.
        """
        ...

    def swap(self, path: str, data: Buffers, tag: str | None) -> str:
        """Write an object if the one in its place has this tag (for None: if there is none); on return it is durable.

        Where the answer to a write was lost and a library repeated it, it may fail although the object is our own.

        Returns:
            The new object's tag.

        Raises:
            ObjectExistsError: If `tag` is None and there is one.
            ObjectChangedError: If there is another one, or none.
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
