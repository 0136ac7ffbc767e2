"""What a result store holds: how much of which kind, what is shared, and what nobody needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from entrepot.results.collect.policy import orphans
from entrepot.results.collect.survey import surveying
from entrepot.results.store import ResultStore

__all__ = ["Count", "Large", "Statistics", "statistics"]

_AGES: Final = (("a day", 86_400), ("a week", 7 * 86_400), ("a month", 30 * 86_400), ("a year", 365 * 86_400))
_LARGEST: Final = 10


@dataclass(frozen=True, slots=True)
class Count:
    """How many results of one kind there are.

    Attributes:
        name: The kind.
        records: How many.
        size: Bytes of their values; a value that several share counts for each.
    """

    name: str
    records: int
    size: int


@dataclass(frozen=True, slots=True)
class Large:
    """One of the largest results."""

    key: str
    task: str
    size: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a store holds.

    Attributes:
        records: How many records, of all states.
        record_size: Their bytes.
        payloads: How many payloads.
        payload_size: Their bytes.
        saved: Bytes that sharing payloads saves.
        tasks: Results by task, the largest first.
        serializers: Results by serializer, the largest first.
        ages: Results by age, the youngest first.
        states: Records by state: "live", "expired", "damaged", "unknown", "pending", "aborted".
        orphans: How many payloads no record names.
        orphan_size: Their bytes.
        evidence: How many objects are kept of what was damaged.
        evidence_size: Their bytes.
        largest: The largest results.
    """

    records: int
    record_size: int
    payloads: int
    payload_size: int
    saved: int
    tasks: tuple[Count, ...]
    serializers: tuple[Count, ...]
    ages: tuple[Count, ...]
    states: tuple[Count, ...]
    orphans: int
    orphan_size: int
    evidence: int
    evidence_size: int
    largest: tuple[Large, ...]


def statistics(store: ResultStore, *, tick: Callable[[str, int], object] = lambda _what, _count: None) -> Statistics:
    """Count what is in a store. Every record is read and verified, no payload is.

    Args:
        store: Which.
        tick: Told what is being read, and how many were.

    Raises:
        StorageError: If the store cannot be read.
    """
    now = store.clock.now().timestamp()
    with surveying(store, None, tick) as survey:
        survey.read()
        database = survey.database

        def one(query: str) -> tuple[int, int]:
            count, size = database.execute(query).fetchone()
            return int(count), int(size)

        def counts(name: str, order: str = "3 DESC, 1") -> tuple[Count, ...]:
            rows = database.execute(
                f"SELECT {name}, count(*), coalesce(sum(value_size), 0) FROM record GROUP BY 1 ORDER BY {order}"  # noqa: S608  texts of ours
            )
            return tuple(Count(*row) for row in rows)

        left = list(orphans(database, is_done=True, before=None))
        evidence = [info.size for info in store.storage.list("damaged")]
        ages = " ".join(f"WHEN created > {now - seconds!r} THEN {place}" for place, (_, seconds) in enumerate(_AGES))
        names = [*(f"up to {name}" for name, _ in _AGES), "older"]
        by_age = counts(f"CASE WHEN created IS NULL THEN -1 {ages} ELSE {len(_AGES)} END", "1")
        largest = database.execute(
            "SELECT key, task, value_size FROM record WHERE key IS NOT NULL ORDER BY value_size DESC, key LIMIT ?",
            (_LARGEST,),
        )
        (shared,) = database.execute(
            "SELECT coalesce(sum(payload.size * (need - 1)), 0) FROM payload JOIN (SELECT ref.payload AS name, count(*)"
            " AS need FROM ref JOIN record ON record.path = ref.owner GROUP BY 1) ON name = payload.path"
        ).fetchone()
        return Statistics(
            *one("SELECT count(*), coalesce(sum(size), 0) FROM record"),
            *one("SELECT count(*), coalesce(sum(size), 0) FROM payload"),
            shared,
            counts("coalesce(task, '')"),
            counts("coalesce(serializer, '')"),
            tuple(Count(names[int(age.name)], age.records, age.size) for age in by_age if int(age.name) >= 0),
            counts(f"CASE WHEN state = 'live' AND expires <= {now!r} THEN 'expired' ELSE state END"),
            len(left),
            sum(size for _, size, _ in left),
            len(evidence),
            sum(evidence),
            tuple(Large(*row) for row in largest),
        )
