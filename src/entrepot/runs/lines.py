"""How runs belong together: what is around a run, which runs resume one another, and what was done before another."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from entrepot.protocols.recorder import Heartbeat
from entrepot.runs.database import reading
from entrepot.runs.history import RunDetails, RunHistory, RunSummary

__all__ = ["completed_before", "heartbeat_of", "inside", "keeps_something", "line_of", "top_of"]

_AT_ONCE: Final = 500  # any SQLite allows 999 variables in one statement


def top_of(history: RunHistory, run: RunSummary) -> RunSummary:
    """Return the outermost run around a run; itself, if there is none.

    Raises:
        RunNotFoundError: If one on the way is not in the history.
    """
    seen = set()
    while (caller := run.parent_run_id or run.flow_run_id) is not None and caller not in seen:
        seen.add(caller)
        run = history.find(caller)
    return run


def line_of(history: RunHistory, root_run_id: str) -> list[RunSummary]:
    """Return the flow runs that resume one another, oldest first: their root, and all that name it.

    Raises:
        EntrepotError: If the history cannot be read.
    """
    query = "SELECT run_id FROM runs WHERE kind = 'flow' AND ? IN (run_id, root_run_id) ORDER BY created, number"
    return [history.find(row[0]) for row in _rows(history, query, root_run_id)]


def heartbeat_of(history: RunHistory, process: str) -> Heartbeat | None:
    """Return what a process said last of itself, or None.

    Raises:
        EntrepotError: If the history cannot be read.
    """
    query = "SELECT process, process_id, host, started, heartbeat FROM processes WHERE process = ?"
    for token, number, host, started, beat in _rows(history, query, process):
        return Heartbeat(token, number, host, datetime.fromisoformat(started), datetime.fromisoformat(beat))
    return None


def keeps_something(history: RunHistory, run_id: str) -> bool:
    """Return whether a run, or one that it called, kept or found a result.

    Raises:
        EntrepotError: If the history cannot be read.
    """
    query = (
        "SELECT 1 FROM runs JOIN transitions USING (run_id) WHERE result_location IS NOT NULL"
        " AND (runs.run_id = ?1 OR coalesce(parent_run_id, flow_run_id) = ?1) LIMIT 1"
    )
    return bool(_rows(history, query, run_id))


def completed_before(history: RunHistory, start: RunSummary, now: datetime) -> tuple[set[str], datetime]:
    """Return under which keys results had been found or kept before a run inside another began, and when it began.

    What had completed by then cannot depend on anything that it did, by whatever way. Before and after are those of the
    order in which the history was written, not of its clock, which may have been set back meanwhile.

    Args:
        history: Where to look.
        start: The run.
        now: Stands for when it began, if it never did.

    Raises:
        EntrepotError: If the history cannot be read.
    """
    query = (
        "SELECT number, timestamp FROM transitions WHERE run_id = ? ORDER BY state_type != 'RUNNING', number LIMIT 1"
    )
    began = _rows(history, query, start.run_id)
    number, until = began[0] if began else (1 << 62, now.isoformat())
    top = top_of(history, start)
    others = [run.run_id for run in inside(history.get(top.run_id)) if run.run_id != start.run_id]
    keys: set[str] = set()
    for at in range(0, len(others), _AT_ONCE):
        some = others[at : at + _AT_ONCE]
        query = (
            "SELECT cache_key FROM transitions"  # noqa: S608  marks only
            " WHERE state_type = 'COMPLETED' AND cache_key IS NOT NULL AND number < ?"
            f" AND run_id IN ({', '.join('?' * len(some))})"
        )
        keys.update(row[0] for row in _rows(history, query, number, *some))
    return keys, datetime.fromisoformat(until)


def _rows(history: RunHistory, query: str, *values: object) -> Sequence[Sequence[Any]]:
    with reading(history.path) as connection:
        return [] if connection is None else connection.execute(query, values).fetchall()


def inside(run: RunDetails) -> Iterator[RunDetails]:
    """Yield every run inside a run."""
    waiting = [*run.children]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(one.children)
