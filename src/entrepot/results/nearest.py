"""The record that comes nearest to a key: the one with the fewest differing parts, of several the newest."""

from collections.abc import Iterable
from datetime import datetime

from entrepot.results.explain import Facts, Near, differences, facts_of
from entrepot.results.record import Record
from entrepot.results.store import ResultStore

__all__ = ["nearest"]


def nearest(
    facts: Facts, records: Iterable[Record], store: ResultStore, *, key: str = "", before: datetime | None = None
) -> tuple[Near | None, int]:
    """Return the nearest record, and how many there were to choose from; the records are not held.

    Args:
        facts: Of the key that is explained.
        records: Of the same task.
        store: Theirs.
        key: The key itself: its own record is none of the others.
        before: When that was kept: what came later cannot have been found.
    """
    best: Record | None = None
    least = (0, 0.0)
    count = 0
    for record in records:
        if record.key == key or (before is not None and record.created > before):
            continue
        count += 1
        rank = (_distance(facts, record), -record.created.timestamp())
        if best is None or rank < least:
            best, least = record, rank
    if best is None:
        return None, 0
    near = Near(best.key, best.run, best.created, store.locate(best), differences(facts_of(best), facts))
    return near, count


def _distance(facts: Facts, record: Record) -> int:
    parts = record.parts
    shared = facts.parts.keys() & parts.keys()
    return len(facts.parts) + len(parts) - 2 * len(shared) + sum(facts.parts[name] != parts[name] for name in shared)
