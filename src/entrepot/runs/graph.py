"""One run as a graph: who called whom, when each ran and waited, and who took whose results.

Many runs of one flow or task below one node become one node with counts, so that a graph of 100,000 runs is small.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final, Literal, NamedTuple, TypeAlias

from entrepot.protocols.recorder import RunKind
from entrepot.runs.database import reading
from entrepot.runs.decide import TERMINAL
from entrepot.runs.history import RunHistory, RunSummary

__all__ = ["FOLD", "Edge", "GraphNode", "RunGraph", "Span", "read_graph"]

FOLD: Final = 30
"""How many runs of one flow or task below one node have nodes of their own; more are one node."""

_FAILED: Final = ("FAILED", "CRASHED")
_FAILURES: Final = 50  # of a group
_PARTS: Final = 100  # of the time of a group, for its activity
_INSIDE: Final = (
    "WITH RECURSIVE inside(run_id) AS (SELECT ? UNION SELECT runs.run_id FROM runs JOIN inside"
    " ON coalesce(runs.parent_run_id, runs.flow_run_id) = inside.run_id) "
)

SpanKind: TypeAlias = Literal["waiting", "running", "retrying", "paused"]


@dataclass(frozen=True, slots=True)
class Span:
    """What a run did for a while.

    Attributes:
        kind: "running", or what it waited for: its turn, its next attempt, a person.
        start: From when.
        end: Until when; for a run that goes on, until when that is known.
        attempt: In which attempt, from 1.
        outcome: The type of the state that came next, or None where none did.
    """

    kind: SpanKind
    start: datetime
    end: datetime
    attempt: int
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One run, or many of one flow or task.

    Attributes:
        id: The id of the run; of a group `group-1`, `group-2`, ...
        parent: The node that called it; None for the first.
        depth: How many nodes are above it.
        kind: "flow" or "task".
        name: Of the run; of a group that of its flow or task.
        definition: The name of the flow or task.
        runs: How many it stands for.
        counts: How many of them are in each state: (type, name) -> number.
        message: What the run said last; of a group, what one of those that failed did.
        attempts: How many the run has had; of a group, the most that one had.
        created: When the (first) run came into being; None where that was not told.
        started: When the (first) run started, or None.
        ended: When the (last) run ended; None while one goes on.
        spans: What the run did when; empty for groups.
        failures: For groups: when the first of those that failed or crashed did.
        activity: For groups: how many were under way at most, in equal parts of the time from `started` to the end.
    """

    id: str
    parent: str | None
    depth: int
    kind: RunKind
    name: str
    definition: str
    runs: int
    counts: Mapping[tuple[str, str], int]
    message: str
    attempts: int
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    spans: Sequence[Span] = ()
    failures: Sequence[datetime] = ()
    activity: Sequence[int] = ()

    @property
    def is_group(self) -> bool:
        """Whether it stands for more than one run."""
        return self.runs > 1

    @property
    def duration(self) -> timedelta | None:
        """From the first start to the last end, or None."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def state_type(self) -> str:
        """The type of its state; of a group the one that a person would look at first."""
        types = {state_type for state_type, _ in self.counts}
        return next((one for one in _BY_WEIGHT if one in types), "PENDING")

    @property
    def state_name(self) -> str:
        """The name of its state; of a group one of those of `state_type`."""
        return next((name for state_type, name in self.counts if state_type == self.state_type), "Pending")


_BY_WEIGHT: Final = ("FAILED", "CRASHED", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED", "SCHEDULED")


class Edge(NamedTuple):
    """Runs of one node took results of runs of another.

    Attributes:
        source: The id of the node whose results were taken.
        target: The id of the node that took them.
        times: How often.
    """

    source: str
    target: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGraph:
    """A run with all that ran inside it.

    Attributes:
        run: The run itself.
        nodes: It and everything below it, callers before what they called, then in the order of time.
        edges: Who took whose results.
        until: The last moment that is known of it; now, if it goes on.
    """

    run: RunSummary
    nodes: Sequence[GraphNode]
    edges: Sequence[Edge]
    until: datetime


def read_graph(history: RunHistory, wanted: str, *, fold: int = FOLD, now: datetime | None = None) -> RunGraph:
    """Return the graph of a run.

    Args:
        history: Where it is.
        wanted: As for `RunHistory.get`.
        fold: As `FOLD`.
        now: Until when runs that have not ended go on. None where it is known that they do not: until the last
            moment that is known of any.

    Raises:
        RunNotFoundError: As `RunHistory.get`.
        EntrepotError: If the file cannot be read.
    """
    run = history.find(wanted)
    with reading(history.path) as connection:
        rows = {} if connection is None else _read_runs(connection, run.run_id)
        until = _last_moment(connection, run, rows.values(), now)
        builder = _Builder(rows, fold, until)
        builder.build(run.run_id)
        edges: Sequence[Edge] = ()
        if connection is not None:
            builder.add_spans(connection)
            edges = builder.edges(connection, run.run_id)
    return RunGraph(run=run, nodes=builder.in_order(run.run_id), edges=edges, until=until)


def _last_moment(
    connection: sqlite3.Connection | None, run: RunSummary, rows: Iterable["_Run"], now: datetime | None
) -> datetime:
    """Return until when anything is known. What a run left behind that is over does not go on either."""
    moments = [moment for row in rows for moment in (row.created, row.started, row.ended) if moment]
    if not run.is_terminal and run.state_name != "NotReady":
        if now is not None:
            moments.append(now)
        elif connection is not None:
            query = f"{_INSIDE} SELECT max(timestamp) FROM inside JOIN transitions USING (run_id)"  # noqa: S608  our own texts
            moments.extend(filter(None, [_moment(connection.execute(query, (run.run_id,)).fetchone()[0])]))
    return max(moments, default=now or datetime.fromtimestamp(0, UTC))


class _Run(NamedTuple):
    run_id: str
    caller: str | None
    kind: str | None
    name: str | None
    definition: str | None
    epoch: int
    state_type: str | None
    state_name: str | None
    message: str | None
    created: datetime | None
    started: datetime | None
    ended: datetime | None


def _read_runs(connection: sqlite3.Connection, run_id: str) -> dict[str, _Run]:
    query = (
        f"{_INSIDE} SELECT runs.run_id, coalesce(parent_run_id, flow_run_id), kind, name, definition, epoch,"  # noqa: S608  our own texts
        " state_type, state_name, CASE WHEN state_type = 'COMPLETED' THEN '' ELSE message END, created, started, ended"
        " FROM inside JOIN runs ON runs.run_id = inside.run_id ORDER BY number"
    )
    return {row[0]: _Run(*row[:9], *map(_moment, row[9:])) for row in connection.execute(query, (run_id,))}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(slots=True)
class _Unit:
    """What will be a node."""

    id: str
    parent: str | None
    depth: int
    runs: Sequence[_Run]
    children: list["_Unit"] = field(default_factory=list)
    spans: Sequence[Span] = ()


class _Builder:
    """Turns rows into nodes.

    Args:
        rows: Runs by id, in the order in which they began.
        fold: As `FOLD`.
        until: Until when runs that have not ended go on.
    """

    def __init__(self, rows: Mapping[str, _Run], fold: int, until: datetime) -> None:
        self._rows = rows
        self._fold = fold
        self._until = until
        self._units: dict[str, _Unit] = {}
        self._unit_of: dict[str, str] = {}  # by run

    def build(self, top: str) -> None:
        """Make the tree of nodes, floor by floor."""
        called: dict[str, list[_Run]] = {}
        for run in self._rows.values():
            if run.caller is not None and run.run_id != top:
                called.setdefault(run.caller, []).append(run)
        numbers = count(1)
        order = {run_id: number for number, run_id in enumerate(self._rows)}
        units = [self._add(_Unit(top, None, 0, [self._rows[top]]))] if top in self._rows else []
        for unit in units:  # grows while it is read
            together: dict[tuple[str | None, str | None], list[_Run]] = {}
            for run in unit.runs:
                for inner in called.pop(run.run_id, ()):
                    together.setdefault((inner.kind, inner.definition), []).append(inner)
            for runs in together.values():
                fresh = [run for run in runs if run.run_id not in self._unit_of]  # damaged files say what cannot be
                if len(fresh) > self._fold:
                    below = [_Unit(f"group-{next(numbers)}", unit.id, unit.depth + 1, fresh)]
                else:
                    below = [_Unit(run.run_id, unit.id, unit.depth + 1, [run]) for run in fresh]
                unit.children.extend(map(self._add, below))
            unit.children.sort(key=lambda below: order[below.runs[0].run_id])
            units.extend(unit.children)

    def _add(self, unit: _Unit) -> _Unit:
        self._units[unit.id] = unit
        self._unit_of.update((run.run_id, unit.id) for run in unit.runs)
        return unit

    def add_spans(self, connection: sqlite3.Connection) -> None:
        """Read what single runs did when."""
        single = [unit.id for unit in self._units.values() if unit.id in self._rows]
        past: dict[str, list[tuple[int, str, str, datetime]]] = {}
        size = 500  # any SQLite allows 999 variables in one statement
        for start in range(0, len(single), size):
            some = single[start : start + size]
            query = (
                "SELECT run_id, epoch, state_type, state_name, timestamp FROM transitions"  # noqa: S608  marks only
                f" WHERE run_id IN ({', '.join('?' * len(some))}) ORDER BY number"
            )
            for run_id, epoch, type_, name, when in connection.execute(query, some):
                past.setdefault(run_id, []).append((epoch, type_, name, datetime.fromisoformat(when)))
        for run_id in single:
            self._units[run_id].spans = _spans(self._rows[run_id].created, past.get(run_id, ()), self._until)

    def edges(self, connection: sqlite3.Connection, top: str) -> Sequence[Edge]:
        """Return who took whose results."""
        counts: dict[tuple[str, str], int] = {}
        query = (
            f"{_INSIDE} SELECT upstream_run_id, upstream.run_id FROM inside"  # noqa: S608  our own texts
            " JOIN upstream ON upstream.run_id = inside.run_id"
        )
        for source, target in connection.execute(query, (top,)):
            ends = (self._unit_of.get(source), self._unit_of.get(target))
            if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
                counts[ends[0], ends[1]] = counts.get((ends[0], ends[1]), 0) + 1
        return [Edge(source, target, number) for (source, target), number in counts.items()]

    def in_order(self, top: str) -> Sequence[GraphNode]:
        """Return the nodes, each before those below it."""
        nodes = []
        units = [self._units[top]] if top in self._units else []
        while units:
            unit = units.pop()
            nodes.append(self._node(unit))
            units.extend(reversed(unit.children))
        return nodes

    def _node(self, unit: _Unit) -> GraphNode:
        runs, first = unit.runs, unit.runs[0]
        counts: dict[tuple[str, str], int] = {}
        for run in runs:
            state = (run.state_type or "PENDING", run.state_name or "Pending")
            counts[state] = counts.get(state, 0) + 1
        over = all(run.state_type in TERMINAL or run.state_name == "NotReady" for run in runs)
        starts = [run.started for run in runs if run.started]
        ends = [run.ended for run in runs if run.ended]
        is_group = unit.id not in self._rows
        return GraphNode(
            id=unit.id,
            parent=unit.parent,
            depth=unit.depth,
            kind="flow" if first.kind == "flow" else "task",
            name=(first.definition if is_group else first.name) or "",
            definition=first.definition or "",
            runs=len(runs),
            counts=dict(sorted(counts.items(), key=lambda item: -item[1])),
            message=next((run.message for run in runs if run.state_type in _FAILED and run.message), "")
            if is_group
            else first.message or "",
            attempts=max(run.epoch for run in runs),
            created=min((run.created for run in runs if run.created), default=None),
            started=min(starts, default=None),
            ended=max(ends, default=None) if over else None,
            spans=unit.spans,
            failures=_failures(runs) if is_group else (),
            activity=_activity(runs, self._until) if is_group else (),
        )


def _spans(created: datetime | None, past: Sequence[tuple[int, str, str, datetime]], until: datetime) -> Sequence[Span]:
    spans = []
    at: datetime | None = created
    kind: SpanKind | None = "waiting"
    attempt = 1
    for epoch, type_, name, when in past:
        if at is not None and kind is not None and when > at:
            spans.append(Span(kind, at, when, attempt, type_))
        at, attempt = when, epoch
        kind = _kind(type_, name)
    if at is not None and kind is not None and until > at:
        spans.append(Span(kind, at, until, attempt, None))
    return spans


def _kind(state_type: str, state_name: str) -> SpanKind | None:
    if state_type in TERMINAL or state_name == "NotReady":
        return None
    if state_type in {"RUNNING", "CANCELLING"}:
        return "running"
    if state_type == "PAUSED":
        return "paused"
    return "retrying" if state_name == "AwaitingRetry" else "waiting"


def _failures(runs: Iterable[_Run]) -> Sequence[datetime]:
    return sorted(run.ended for run in runs if run.ended and run.state_type in _FAILED)[:_FAILURES]


def _activity(runs: Iterable[_Run], until: datetime) -> Sequence[int]:
    """Return how many runs were under way at most in each part of the time in which any was."""
    times = [(run.started.timestamp(), (run.ended or until).timestamp()) for run in runs if run.started]
    if not times:
        return ()
    begin, end = min(start for start, _ in times), max(stop for _, stop in times)
    part = (end - begin) / _PARTS or 1.0
    # A run that was over within one part is not lost: what counts is the most that were under way at once in it.
    events = sorted([(start, 1) for start, _ in times] + [(stop, -1) for _, stop in times], key=lambda one: one[0])
    most = [0] * _PARTS
    under_way = number = 0
    for when, change in events:
        now_in = min(int((when - begin) / part), _PARTS - 1)
        for between in range(number + 1, now_in + 1):
            most[between] = under_way
        number = now_in
        under_way += change
        most[number] = max(most[number], under_way)
    return most
