"""For tests about results: keys that stay, a clock to set, storages that fail or lack something."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from entrepot.crypto.keyring import Keyring
from entrepot.protocols.storage import Buffer, Buffers, ObjectInfo, Storage
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage.memory import MemoryStorage

GOLDEN = Path(__file__).parent / "golden" / "results"
RING = Keyring.from_document((GOLDEN / "keyring.json").read_bytes(), location="golden keyring")
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class SetClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Kept:
    """A result store and what is needed to write to it in one short line."""

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        ring: Keyring | Callable[[], Keyring] = RING,
        allow: frozenset[str] | None = None,
        inline_limit: int = 8192,
    ) -> None:
        self.storage: Storage = MemoryStorage("results") if storage is None else storage
        self.clock = SetClock()
        self.store = ResultStore(self.storage, ring=ring, allow=allow, clock=self.clock, inline_limit=inline_limit)

    def write(self, key: str, value: object, serializer: str = "json", **options: object) -> Record:
        facts: dict[str, object] = {
            "parts": {"inputs": "1" * 64, "task": "2" * 64},
            "task": {"name": "extract", "key": "flows.extract"},
            "run": {"id": "00000000-0000-0000-0000-000000000001"},
            "serializer": get_serializer(serializer),
        }
        return self.store.write(key, value, **{**facts, **options})  # type: ignore[arg-type]

    def paths(self, prefix: str = "") -> list[str]:
        return sorted(info.path for info in self.storage.list(prefix))

    def bytes_at(self, path: str) -> bytes:
        return bytes(self.storage.get(path))


class Wrapped:
    """Passes everything on, except what a subclass changes; it cannot read into memory of the caller's."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []

    def before(self, operation: str, path: str) -> None:
        self.calls.append((operation, path))

    def after(self, operation: str, path: str) -> None:
        pass

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def creates_exclusively(self) -> bool:
        return self.inner.creates_exclusively

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        self.before("get", path)
        data = self.inner.get(path, start=start, length=length)
        self.after("get", path)
        return data

    def put(self, path: str, data: Buffers) -> None:
        self.before("put", path)
        self.inner.put(path, data)
        self.after("put", path)

    def create(self, path: str, data: Buffers) -> None:
        self.before("create", path)
        self.inner.create(path, data)
        self.after("create", path)

    def delete(self, path: str) -> None:
        self.before("delete", path)
        self.inner.delete(path)
        self.after("delete", path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.before("list", prefix)
        return self.inner.list(prefix)

    def stat(self, path: str) -> ObjectInfo:
        self.before("stat", path)
        info = self.inner.stat(path)
        self.after("stat", path)
        return info


class NotExclusive(Wrapped):
    """Cannot create an object only if there is none."""

    @property
    def creates_exclusively(self) -> bool:
        return False


class Faulty(Wrapped):
    """Raises at the n-th operation: before it has any effect, or after all of it (an answer that was lost)."""

    def __init__(self, inner: Storage, *, at: int, error: BaseException, late: bool) -> None:
        super().__init__(inner)
        self.left = at
        self.error = error
        self.late = late
        self.fired = False

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        self.left -= 1
        if self.left == 0 and not self.late:
            self.fired = True
            raise self.error

    def after(self, operation: str, path: str) -> None:
        if self.left == 0 and self.late:
            self.fired = True
            raise self.error
