"""Finding the runs whose process ended without a word (killed, out of memory, power cut), and what is said of them."""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._database import DATABASE_GUARD, NewerSchemaError
from entrepot.protocols.recorder import Heartbeat, Recorder, RunTransition
from entrepot.runs.database import open_for_reading
from entrepot.runs.decide import TERMINAL
from entrepot.runs.liveness import FOLDER, Life, life_of, tokens_in
from entrepot.runs.process import process_token
from entrepot.states import new_id

__all__ = ["dead_among", "heard_of", "sweep", "transitions_of_the_dead"]

_OVER: Final = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
_GOING_ON: Final = f"state_type IS NULL OR state_type NOT IN ({_OVER}, 'PAUSED')"
"""Of a run that its process would have to end. One that is paused may outlive the process: it waits for somebody."""


def sweep(path: Path, recorder: Recorder, *, processes: Collection[str] = (), thorough: bool = False) -> Sequence[str]:
    """Mark the runs of dead processes as crashed, and return their ids.

    Nothing is raised: where the history cannot be read or written, nothing is marked.

    Args:
        path: The file of the history.
        recorder: Writes to it.
        processes: Also look at these, whether or not they left a file.
        thorough: Look at every process that has a run which has not ended; that reads the whole history.
    """
    try:
        found = _look(path, processes, thorough=thorough)
        if not found:
            return []
        for event in found:
            recorder.record(event)
        recorder.flush()
        # A second look removes what the dead have left behind, and says what is still not marked.
        left = {event.run_id for event in _look(path, processes, thorough=thorough)}
    except (sqlite3.Error, OSError, NewerSchemaError):
        return []
    return [event.run_id for event in found if event.run_id not in left]


def _look(path: Path, processes: Collection[str], *, thorough: bool) -> Sequence[RunTransition]:
    with DATABASE_GUARD:
        connection = open_for_reading(path)
        if connection is None:
            return []
        with contextlib.closing(connection):
            asked = set(processes)
            if thorough:
                query = f"SELECT DISTINCT process FROM runs WHERE process IS NOT NULL AND ({_GOING_ON})"  # noqa: S608  our own texts
                asked.update(row[0] for row in connection.execute(query))
            return transitions_of_the_dead(connection, path.parent / FOLDER, processes=asked)


def transitions_of_the_dead(
    connection: sqlite3.Connection, folder: Path, *, processes: Collection[str] = (), clock: Clock = SYSTEM_CLOCK
) -> Sequence[RunTransition]:
    """Return the last word of each run whose process cannot say it: that it crashed. What runs called comes first.

    What a dead process left in the folder is removed once none of its runs goes on in the history.

    Args:
        connection: To the history.
        folder: Where processes hold their locks.
        processes: Those to look at beside the ones that have a file there.
        clock: Tells the time.
    """
    files = set(tokens_in(folder))
    looked_at = (files | set(processes)) - {process_token()}
    if not looked_at:
        return []
    now = clock.now()
    heard = heard_of(connection, looked_at)
    dead = dead_among(folder, looked_at, heard, now)
    if not dead:
        return []
    said: list[RunTransition] = []
    left = set()
    latest = _last_signs(connection, dead)
    query = (
        "SELECT process, process_id, run_id, epoch FROM runs"  # noqa: S608  our own texts
        f" WHERE process IN ({{}}) AND ({_GOING_ON}) ORDER BY number DESC"
    )
    for process, process_id, run_id, epoch in _select_in(connection, query, dead):
        left.add(process)
        beat = heard.get(process)
        signs = [latest.get(process), None if beat is None else beat.timestamp]
        when = min(max((sign for sign in signs if sign is not None), default=now), now)
        said.append(
            RunTransition(new_id(), run_id, max(epoch, 1), "CRASHED", "Crashed", when, _words(process_id, beat))
        )
    for process in (dead & files) - left:
        with contextlib.suppress(OSError):
            (folder / process).unlink()
    return said


def dead_among(folder: Path, processes: Iterable[str], heard: Mapping[str, Heartbeat], now: datetime) -> set[str]:
    """Return the processes that have ended, as far as that is known for certain."""
    return {process for process in processes if life_of(folder, process, heard.get(process), now) is Life.ENDED}


def heard_of(connection: sqlite3.Connection, processes: Collection[str]) -> dict[str, Heartbeat]:
    """Return the last heartbeat of each process that has given one."""
    query = "SELECT process, process_id, host, started, heartbeat FROM processes WHERE process IN ({})"
    return {
        process: Heartbeat(
            process, process_id, host, datetime.fromisoformat(started), datetime.fromisoformat(heartbeat)
        )
        for process, process_id, host, started, heartbeat in _select_in(connection, query, processes)
    }


def _words(process_id: int, beat: Heartbeat | None) -> str:
    return f"its process (pid {process_id}{'' if beat is None else f' on {beat.host}'}) ended without a word"


def _last_signs(connection: sqlite3.Connection, processes: Collection[str]) -> dict[str, datetime]:
    """Return when each process last said something of one of its runs."""
    # SQLite's max of several arguments is NULL if one of them is: hence the empty texts.
    query = (
        "SELECT process, max(max(coalesce(created, ''), coalesce(started, ''), coalesce(ended, '')))"
        " FROM runs WHERE process IN ({}) GROUP BY process"
    )
    found = _select_in(connection, query, processes)
    return {process: datetime.fromisoformat(moment).astimezone(UTC) for process, moment in found if moment}


def _select_in(connection: sqlite3.Connection, query: str, items: Collection[str]) -> Iterable[Sequence[Any]]:
    size = 500  # any SQLite allows 999 variables in one statement
    every = list(items)
    for start in range(0, len(every), size):
        some = every[start : start + size]
        yield from connection.execute(query.format(", ".join("?" * len(some))), some)
