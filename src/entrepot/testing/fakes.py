"""Fakes: a store that fails when told to, documents in memory, and a clock that stands still."""

import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from entrepot.errors import StorageUnreachableError
from entrepot.protocols.storage import Buffer, Buffers, MakesDurable, ObjectInfo, ReadsInto, Storage, SwapsConditionally

__all__ = ["FaultyStorage", "FrozenClock", "memory_documents"]

if TYPE_CHECKING:
    from entrepot.blocks.documents import BlockDocuments

_OPERATIONS = frozenset(
    {"get", "read_into", "put", "create", "delete", "list", "stat", "make_durable", "get_tagged", "swap"}
)


class FaultyStorage:
    """Another store, one operation of which fails.

    Walk `fail_at` over 1, 2, 3, ... until `failed` stays False, and a piece of code has been shown every outage that
    it can meet.

    Args:
        storage: The other store.
        fail_at: Which operation fails, counted from 1; None for none.
        after: Whether it fails after it was done (the answer was lost) and not before (the request was).
        on: Which operations are counted.
        error: Makes the error; a `StorageUnreachableError` by default.

    Attributes:
        calls: What was called: name and path of each operation.
        failed: Whether the failure has happened.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        fail_at: int | None = None,
        after: bool = False,
        on: Collection[str] = _OPERATIONS,
        error: Callable[[], BaseException] | None = None,
    ) -> None:
        self._storage = storage
        self._fail_at = fail_at
        self._after = after
        self._on = frozenset(on)
        self._error = error
        self._count = 0
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []
        self.failed = False
        if isinstance(storage, MakesDurable):  # a capability that it has if the other store does
            self.make_durable = self._make_durable
        if isinstance(storage, SwapsConditionally):
            self.can_swap = storage.can_swap
            self.get_tagged = self._get_tagged
            self.swap = self._swap

    @property
    def location(self) -> str:
        """Where the other store is."""
        return self._storage.location

    @property
    def creates_exclusively(self) -> bool:
        """As the other store."""
        return self._storage.creates_exclusively

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """As the other store, or fail."""
        with _Step(self, "get", path):
            return self._storage.get(path, start=start, length=length)

    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """As the other store (with a copy if it cannot), or fail."""
        with _Step(self, "read_into", path):
            if isinstance(self._storage, ReadsInto):
                return self._storage.read_into(path, buffer, start=start)
            content = self._storage.get(path, start=start, length=buffer.nbytes)
            buffer.cast("B")[: len(content)] = content
            return len(content)

    def put(self, path: str, data: Buffers) -> None:
        """As the other store, or fail."""
        with _Step(self, "put", path):
            self._storage.put(path, data)

    def create(self, path: str, data: Buffers) -> None:
        """As the other store, or fail."""
        with _Step(self, "create", path):
            self._storage.create(path, data)

    def delete(self, path: str) -> None:
        """As the other store, or fail."""
        with _Step(self, "delete", path):
            self._storage.delete(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As the other store, or fail."""
        with _Step(self, "list", prefix):
            return self._storage.list(prefix)

    def stat(self, path: str) -> ObjectInfo:
        """As the other store, or fail."""
        with _Step(self, "stat", path):
            return self._storage.stat(path)

    def _make_durable(self, path: str) -> None:
        with _Step(self, "make_durable", path):
            cast("MakesDurable", self._storage).make_durable(path)

    def _get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        with _Step(self, "get_tagged", path):
            return cast("SwapsConditionally", self._storage).get_tagged(path, limit=limit)

    def _swap(self, path: str, data: Buffers, tag: str | None) -> str:
        with _Step(self, "swap", path):
            return cast("SwapsConditionally", self._storage).swap(path, data, tag)

    def _turn(self, operation: str, path: str) -> bool:
        """Count an operation and say whether it is the one."""
        with self._lock:
            self.calls.append((operation, path))
            if operation not in self._on:
                return False
            self._count += 1
            return self._count == self._fail_at

    def _fail(self, operation: str, path: str) -> None:
        self.failed = True
        if self._error is not None:
            raise self._error()
        raise StorageUnreachableError(
            f"cannot {operation} {path!r} in {self.location}: a test made it fail", location=self.location
        )


class _Step:
    def __init__(self, storage: FaultyStorage, operation: str, path: str) -> None:
        self._storage = storage
        self._operation = operation
        self._path = path
        self._fails = False

    def __enter__(self) -> None:
        self._fails = self._storage._turn(self._operation, self._path)  # noqa: SLF001  two halves of one fake
        if self._fails and not self._storage._after:  # noqa: SLF001
            self._storage._fail(self._operation, self._path)  # noqa: SLF001

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._fails and error is None:
            self._storage._fail(self._operation, self._path)  # noqa: SLF001


def memory_documents() -> "BlockDocuments":
    """Return documents of blocks that are in this process's memory only, under a keyring of their own.

    As in `with use_documents(memory_documents()): MyBlock(...).save("first")`.
    """
    from entrepot.blocks.document_store import StorageDocumentStore  # noqa: PLC0415  ciphers and pydantic
    from entrepot.blocks.documents import BlockDocuments  # noqa: PLC0415  ciphers and pydantic
    from entrepot.crypto.keyring import Keyring  # noqa: PLC0415  the same
    from entrepot.storage.memory import MemoryStorage  # noqa: PLC0415  the same

    ring = Keyring.generate()
    return BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)


class FrozenClock:
    """A clock that moves only when told to, or when something sleeps by it.

    Args:
        now: The time of day that it shows at first (zone-aware).
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if now.tzinfo is None:
            raise ValueError(f"{now} has no time zone: clocks tell zone-aware times")
        self._now = now
        self._monotonic = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the time of day."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Note it, move the clock, and return at once."""
        with self._lock:
            self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, by: float | timedelta) -> None:
        """Move the clock forward by seconds or a `timedelta`."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        with self._lock:
            self._now += step
            self._monotonic += step.total_seconds()
