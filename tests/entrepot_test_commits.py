"""For tests about results that are committed together: commits in one line, storages that die or let others in."""

from collections.abc import Callable, Mapping

from entrepot.protocols.storage import Storage
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.prepared import Prepared
from entrepot.serializers import get_serializer
from entrepot_test_results import Kept, Wrapped

ABSENT = "absent"


class Died(BaseException):
    """The process is gone: nothing that it would still do reaches the store."""


class Dying(Wrapped):
    """Lets a number of operations through; the next one, and all after it, never happen (or the next one just does)."""

    def __init__(self, inner: Storage, *, after: int, late: bool = False) -> None:
        super().__init__(inner)
        self.left = after
        self.late = late
        self.dead = False

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        self.left -= 1
        if self.dead or (self.left < 0 and not self.late):
            self.dead = True
            raise Died

    def after(self, operation: str, path: str) -> None:
        if self.left < 0:
            self.dead = True
            raise Died


class Between(Wrapped):
    """Calls something before each operation, or before one of them."""

    def __init__(self, inner: Storage, action: Callable[[], object], *, at: int | None = None) -> None:
        super().__init__(inner)
        self.action = action
        self.at = at
        self.count = 0

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        self.count += 1
        if self.at is None or self.count == self.at:
            self.action()


def prepared(kept: Kept, values: Mapping[str, object], *, replace: bool = False, first: bool = False) -> list[Prepared]:
    """Return results that are ready to be committed; their payloads are in place."""
    return [
        kept.store.prepare(
            key,
            value,
            serializer=get_serializer("json"),
            parts={"inputs": "1" * 64, "task": "2" * 64},
            task={"name": "extract", "key": "flows.extract"},
            run={"id": "00000000-0000-0000-0000-000000000001"},
            replace=replace,
            first=first,
        )
        for key, value in values.items()
    ]


def commit(kept: Kept, values: Mapping[str, object], *, replace: bool = False, patience: float = 0.0) -> Commit:
    """Commit results together, one operation after the other."""
    made = Commit(kept.store, prepared(kept, values, replace=replace), patience=patience, workers=1)
    made.run()
    return made


def seen(storage: Storage, keys: Mapping[str, object] | list[str], *, inline_limit: int = 8192) -> dict[str, object]:
    """Return what a new reader finds under each key: a value, ABSENT, or the name of another outcome."""
    reader = Kept(storage, inline_limit=inline_limit)
    found = {key: reader.store.lookup(key) for key in keys}
    return {
        key: one.value if one.outcome is Outcome.HIT else ABSENT if one.outcome is Outcome.MISS else one.outcome.value
        for key, one in found.items()
    }
