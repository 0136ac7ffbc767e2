"""Reads a whole result store again, and says what is not as it was written."""

import enum
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

from entrepot.errors import UnknownKeyError
from entrepot.results.payloads import check_payload
from entrepot.results.record import RECORDS
from entrepot.results.seen import read_record
from entrepot.results.store import ResultStore

__all__ = ["Kind", "Problem", "Verified", "verify"]

_READERS: Final = 8  # objects that are read at a time; each takes a few MiB of memory
_AHEAD: Final = 64


class Kind(enum.Enum):
    """What can be wrong with a result."""

    DAMAGED_RECORD = "damaged record"
    MISSING_PAYLOAD = "missing payload"
    DAMAGED_PAYLOAD = "damaged payload"
    UNKNOWN_KEY = "unknown key"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one result.

    Attributes:
        kind: In a word.
        path: Of the object that does not verify, below the root of the store.
        detail: What is wrong with it.
        task: The name of the task whose result it is, where that is known.
        key: Its cache key, likewise.
    """

    kind: Kind
    path: str
    detail: str
    task: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """One record that was checked, with its payload.

    Attributes:
        path: Of the record.
        size: Bytes that were read of its value.
        problem: What is wrong; None if all is well.
    """

    path: str
    size: int = 0
    problem: Problem | None = None


def verify(store: ResultStore, *, readers: int = _READERS, tick: Callable[[], object] = int) -> Iterator[Verified]:
    """Check every record, its signature and place, and every payload, its presence and digest; nothing is changed.

    Args:
        store: Which.
        readers: How many objects are read at a time.
        tick: Called after each.

    Raises:
        StorageError: If the store cannot be read: an outage is no damage.
    """
    paths = (info.path for info in store.storage.list(RECORDS))
    pool = ThreadPoolExecutor(readers, thread_name_prefix="entrepot-verify")
    try:
        pending: list[Future[Verified | None]] = [pool.submit(_check, store, path) for path in islice(paths, _AHEAD)]
        while pending:
            found = pending.pop(0).result()
            pending += [pool.submit(_check, store, path) for path in islice(paths, 1)]
            tick()
            if found is not None:
                yield found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check(store: ResultStore, path: str) -> Verified | None:
    """Return how the result of one record is; None if it was removed meanwhile."""
    while True:
        seen = read_record(store, path)
        if seen is None:
            return None
        if seen.state == "damaged":
            return Verified(path, 0, Problem(Kind.DAMAGED_RECORD, path, seen.detail))
        if seen.state == "unknown":
            return Verified(path, 0, Problem(Kind.UNKNOWN_KEY, path, seen.detail))
        record = seen.record
        if record is None or record.payload is None or seen.state != "live":
            return Verified(path, 0 if record is None else record.size)
        kind = Kind.DAMAGED_PAYLOAD
        try:
            detail = check_payload(
                store.storage, record.payload, size=record.size, digest=record.digest, ring=store.keys()
            )
        except UnknownKeyError as error:
            kind, detail = Kind.UNKNOWN_KEY, str(error)
        if not detail:
            return Verified(path, record.size)
        again = read_record(store, path)
        if again is None or again.sha != seen.sha:
            continue  # it was replaced, or collected, while we read
        if detail == "it is not there":
            kind = Kind.MISSING_PAYLOAD
        name = record.task.get("name", "")
        return Verified(path, record.size, Problem(kind, record.payload, detail, name, record.key))
