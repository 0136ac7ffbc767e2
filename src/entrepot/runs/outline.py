"""One run and what ran inside it, as much as a person reads: many runs of one task are one branch with counts.

`RunHistory.get` gives everything. This gives what is shown, and counts the rest where it is: in the database.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from entrepot.protocols.recorder import RunKind, RunTransition
from entrepot.runs.database import reading
from entrepot.runs.decide import TERMINAL
from entrepot.runs.history import RunHistory, RunSummary

__all__ = ["FOLD", "Outline", "RunBranch", "RunGroup", "RunNode", "read_outline"]

_Row: TypeAlias = Sequence[Any]
_Group: TypeAlias = tuple[str | None, str | None]  # kind and definition

FOLD: Final = 10
"""How many runs of one flow or task, called by one run, are shown one by one; more are one branch."""

_FAILURES_SHOWN: Final = 10  # runs of a group
_SOURCES_SHOWN: Final = 3  # names of runs whose results a run took

_CALLER: Final = "coalesce(parent_run_id, flow_run_id)"
_COLUMNS: Final = (
    "run_id",
    "kind",
    "name",
    "definition",
    "process_id",
    "process",
    "epoch",
    "state_type",
    "state_name",
    "message",
    "started",
    "ended",
)
_SELECTED: Final = f"{_CALLER}, number, {', '.join(_COLUMNS)}"
_FAILED: Final = ("FAILED", "CRASHED")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNode:
    """One run in an outline; its facts are those of `RunSummary`.

    Attributes:
        sources: The names of some runs whose results it took.
        more_sources: How many others there are.
        branches: What ran inside it, in the order in which it began.
        inside: How many runs it called, where they are left out because they are too deep.
    """

    run_id: str
    kind: RunKind
    name: str
    definition: str
    process_id: int
    process: str | None
    epoch: int
    state_type: str | None
    state_name: str | None
    message: str
    started: datetime | None
    ended: datetime | None
    sources: Sequence[str] = ()
    more_sources: int = 0
    branches: Sequence["RunBranch"] = ()
    inside: int = 0

    @property
    def duration(self) -> timedelta | None:
        """From its first start to its end; None while it has not ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.state_type in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGroup:
    """Many runs of one flow or task, called by one run.

    Attributes:
        kind: "flow" or "task".
        definition: The name of the flow or task.
        counts: How many are in each state: (type, name) -> number, failures last.
        started: When the first of them started, or None.
        ended: When the last of them ended; None while any goes on.
        failures: Some of those that failed or crashed, oldest first.
        more_failures: How many others did.
    """

    kind: RunKind
    definition: str
    counts: Mapping[tuple[str, str], int]
    started: datetime | None
    ended: datetime | None
    failures: Sequence[RunNode] = ()
    more_failures: int = 0

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(self.counts.values())

    @property
    def duration(self) -> timedelta | None:
        """From the first start to the last end; None while any goes on."""
        return None if self.started is None or self.ended is None else self.ended - self.started


RunBranch: TypeAlias = RunNode | RunGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A run and what ran inside it.

    Attributes:
        run: The run itself.
        top: The same as the root of the outline.
        past: The states that it went through, oldest first.
        log_lines: How many lines it and what ran inside it logged, as far as that is kept with it.
    """

    run: RunSummary
    top: RunNode
    past: Sequence[RunTransition] = ()
    log_lines: int = 0


def read_outline(history: RunHistory, wanted: str, *, fold: int | None = FOLD, depth: int | None = None) -> Outline:
    """Return the outline of a run.

    Args:
        history: Where it is.
        wanted: As for `RunHistory.get`.
        fold: As `FOLD`; None for all.
        depth: How many floors below the run are shown; None for all.

    Raises:
        RunNotFoundError: As `RunHistory.get`.
        EntrepotError: If the file cannot be read.
    """
    run = history.find(wanted)
    with reading(history.path) as connection:
        if connection is None:  # it was moved away a moment ago
            return Outline(run=run, top=_plain(run))
        return Outline(
            run=run,
            top=_Reader(connection, fold).tree(_plain(run), depth),
            past=_past(connection, run.run_id),
            log_lines=connection.execute(
                "SELECT count(*) FROM logs WHERE flow_run_id = ?1 OR run_id = ?1", (run.run_id,)
            ).fetchone()[0],
        )


def _past(connection: sqlite3.Connection, run_id: str) -> Sequence[RunTransition]:
    rows = connection.execute(
        "SELECT transition_id, run_id, epoch, state_type, state_name, timestamp, message, cache_key, result_location"
        " FROM transitions WHERE run_id = ? ORDER BY number",
        (run_id,),
    )
    return [
        RunTransition(id_, of, epoch, type_, name, datetime.fromisoformat(when), *rest)
        for id_, of, epoch, type_, name, when, *rest in rows
    ]


def _plain(run: RunSummary) -> RunNode:
    return RunNode(**{name: getattr(run, name) for name in _COLUMNS})


class _Reader:
    """Reads one outline, floor by floor."""

    def __init__(self, connection: sqlite3.Connection, fold: int | None) -> None:
        self._connection = connection
        self._fold = fold
        self._nodes: dict[str, RunNode] = {}
        self._branches: dict[str, list[tuple[int, str | RunGroup]]] = {}  # by caller; runs by their ids

    def tree(self, top: RunNode, depth: int | None) -> RunNode:
        """Return the run with its branches."""
        self._nodes[top.run_id] = top
        floor, floors = [top.run_id], [[top.run_id]]
        while floor and (depth is None or len(floors) <= depth):
            floor = self._below(floor)
            floors.append(floor)
        left_out = self._counted(floor)
        sources = self._sources(list(self._nodes))
        for number, run_ids in enumerate(reversed(floors)):  # what is called is ready before its callers
            for run_id in run_ids:
                self._nodes[run_id] = replace(
                    self._nodes[run_id],
                    sources=tuple(sources.get(run_id, ())[:_SOURCES_SHOWN]),
                    more_sources=max(len(sources.get(run_id, ())) - _SOURCES_SHOWN, 0),
                    branches=tuple(map(self._finished, sorted(self._branches.get(run_id, ()), key=_by_number))),
                    inside=left_out.get(run_id, 0) if number == 0 else 0,
                )
        return self._nodes[top.run_id]

    def _finished(self, branch: tuple[int, str | RunGroup]) -> RunBranch:
        found = branch[1]
        if isinstance(found, str):
            return self._nodes[found]
        return replace(found, failures=tuple(self._nodes[node.run_id] for node in found.failures))

    def _below(self, callers: Sequence[str]) -> list[str]:
        """Read what these runs called; return the ids of those that are shown one by one."""
        query = (
            f"SELECT {_CALLER}, kind, definition, state_type, state_name, count(*), min(number), min(started),"  # noqa: S608  our own texts
            f" max(ended) FROM runs WHERE {_CALLER} IN ({{}}) GROUP BY 1, 2, 3, 4, 5"
        )
        called: dict[str, dict[_Group, list[_Row]]] = {}
        for caller, kind, definition, *state in _select_in(self._connection, query, callers):
            called.setdefault(caller, {}).setdefault((kind, definition), []).append(state)
        shown: list[str] = []
        whole = []  # callers of whom every run is shown: one question for all of them
        for caller, groups in called.items():
            large = [group for group, states in groups.items() if self._is_large(states)]
            if not large:
                whole.append(caller)
                continue
            for group, states in groups.items():
                if group in large:
                    self._add_group(caller, group, states, shown)
                else:
                    self._add_runs(self._of_group(caller, group), shown)
        query = f"SELECT {_SELECTED} FROM runs WHERE {_CALLER} IN ({{}})"  # noqa: S608  our own texts
        self._add_runs(_select_in(self._connection, query, whole), shown)
        return shown

    def _is_large(self, states: Sequence[_Row]) -> bool:
        return self._fold is not None and sum(state[2] for state in states) > self._fold

    def _of_group(self, caller: str, group: _Group, condition: str = "1", limit: int = -1) -> Iterable[_Row]:
        query = (
            f"SELECT {_SELECTED} FROM runs WHERE {_CALLER} = ? AND kind IS ? AND definition IS ? AND {condition}"  # noqa: S608  our own texts
            " ORDER BY number LIMIT ?"
        )
        return self._connection.execute(query, (caller, *group, limit))

    def _add_runs(self, rows: Iterable[_Row], shown: list[str]) -> None:
        for row in rows:
            if self._take(row, shown):
                self._branches.setdefault(row[0], []).append((row[1], row[2]))

    def _take(self, row: _Row, shown: list[str]) -> bool:
        """Take in a run that is shown; return False if it has a place already, as a damaged file may say."""
        node = _node(row[2:])
        if node.run_id in self._nodes:
            return False
        self._nodes[node.run_id] = node
        shown.append(node.run_id)
        return True

    def _add_group(self, caller: str, group: _Group, states: Sequence[_Row], shown: list[str]) -> None:
        rows = self._of_group(caller, group, "state_type IN ('FAILED', 'CRASHED')", _FAILURES_SHOWN)
        failures = [self._nodes[row[2]] for row in rows if self._take(row, shown)]
        states = sorted(states, key=lambda state: (state[0] in _FAILED, -state[2]))
        counts = {(type_ or "PENDING", name or "Pending"): count for type_, name, count, *_ in states}
        failed = sum(count for (type_, _), count in counts.items() if type_ in _FAILED)
        over = all(type_ in TERMINAL or name == "NotReady" for type_, name in counts)
        made = RunGroup(
            kind="flow" if group[0] == "flow" else "task",
            definition=group[1] or "",
            counts=counts,
            started=_moment(min((state[4] for state in states if state[4]), default=None)),
            ended=_moment(max((state[5] for state in states if state[5]), default=None)) if over else None,
            failures=failures,
            more_failures=failed - len(failures),
        )
        self._branches.setdefault(caller, []).append((min(state[3] for state in states), made))

    def _counted(self, callers: Sequence[str]) -> dict[str, int]:
        query = f"SELECT {_CALLER}, count(*) FROM runs WHERE {_CALLER} IN ({{}}) GROUP BY 1"  # noqa: S608  our own texts
        return {row[0]: row[1] for row in _select_in(self._connection, query, callers)}

    def _sources(self, run_ids: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        query = (
            "SELECT upstream.run_id, coalesce(runs.name, upstream_run_id) FROM upstream"
            " LEFT JOIN runs ON runs.run_id = upstream_run_id WHERE upstream.run_id IN ({}) ORDER BY runs.number"
        )
        for run_id, name in _select_in(self._connection, query, run_ids):
            found.setdefault(run_id, []).append(name)
        return found


def _select_in(connection: sqlite3.Connection, query: str, items: Sequence[str]) -> Iterable[_Row]:
    size = 500  # any SQLite allows 999 variables in one statement
    for start in range(0, len(items), size):
        some = items[start : start + size]
        yield from connection.execute(query.format(", ".join("?" * len(some))), some)


def _node(facts: Sequence[Any]) -> RunNode:
    values = dict(zip(_COLUMNS, facts, strict=True))
    # Where only states were told so far, the run's own facts are still to come.
    return RunNode(
        **values
        | {
            "kind": values["kind"] or "task",
            "name": values["name"] or "",
            "definition": values["definition"] or "",
            "process_id": values["process_id"] or 0,
            "message": values["message"] or "",
            "started": _moment(values["started"]),
            "ended": _moment(values["ended"]),
        }
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _by_number(branch: tuple[int, object]) -> int:
    return branch[0]
