"""Reading the history: which runs there were, how they went, and what ran inside them."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from entrepot.errors import RunNotFoundError
from entrepot.protocols.recorder import RunKind, RunTransition
from entrepot.runs.database import reading
from entrepot.runs.decide import TERMINAL

__all__ = ["RunDetails", "RunHistory", "RunSummary"]

_Row: TypeAlias = Sequence[Any]

_COLUMNS: Final = (
    "run_id",
    "kind",
    "name",
    "definition",
    "key",
    "flow_run_id",
    "parent_run_id",
    "parameters",
    "tags",
    "created",
    "process_id",
    "process",
    "root_run_id",
    "version",
    "entrypoint",
    "epoch",
    "state_type",
    "state_name",
    "message",
    "started",
    "ended",
)
_CREATED: Final = _COLUMNS.index("created")
_SUMMARY: Final = ", ".join(_COLUMNS)
_SHORTEST_PREFIX: Final = 4  # fewer characters of an id are a slip more often than a choice
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run, as it is now.

    Attributes:
        run_id: A UUID, as text.
        kind: "flow" or "task".
        name: The run's own name; empty where only its states were told so far.
        definition: The name of its flow or task.
        key: The stable identity of its flow or task.
        created: When it came into being; None where only its states were told so far.
        flow_run_id: The flow run that it is part of, or None.
        parent_run_id: The run that called it, or None.
        parameters: Short printable forms; secrets masked.
        tags: Sorted.
        process_id: The process that runs it.
        process: What tells that process from every other, or None.
        root_run_id: The first of the runs that resume one another; None for itself.
        version: The user's own version of its flow or task, or None.
        entrypoint: Where another process finds its flow, or None.
        epoch: The attempt that it is in, from 1; 0 where no state was told yet.
        state_type: `RUNNING`, `COMPLETED`, ... or None.
        state_name: `Running`, `Cached`, ... or None.
        message: What it said when it entered that state.
        started: When it first ran, or None.
        ended: When it came to its terminal state, or None.
    """

    run_id: str
    kind: RunKind
    name: str
    definition: str
    key: str
    created: datetime | None
    flow_run_id: str | None
    parent_run_id: str | None
    parameters: Mapping[str, str]
    tags: Sequence[str]
    process_id: int
    process: str | None
    root_run_id: str | None
    version: str | None
    entrypoint: str | None
    epoch: int
    state_type: str | None
    state_name: str | None
    message: str
    started: datetime | None
    ended: datetime | None

    @property
    def duration(self) -> timedelta | None:
        """From its first start to its end, waits between attempts included; None while it has not ended."""
        if self.started is None or self.ended is None:
            return None
        return self.ended - self.started

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.state_type in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails(RunSummary):
    """One run with its past and with what ran inside it.

    Attributes:
        transitions: The states that it went through, oldest first.
        upstream: The ids of the runs whose results it took.
        children: The runs that it called, oldest first, each with its own.
    """

    transitions: Sequence[RunTransition] = ()
    upstream: Sequence[str] = ()
    children: Sequence["RunDetails"] = field(default=())


class RunHistory:
    """The history that a `LocalRecorder` keeps.

    Args:
        path: Its file. Where there is none, there are no runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def list(
        self,
        *,
        limit: int | None = 20,
        kind: RunKind | None = "flow",
        state: str | None = None,
        flow: str | None = None,
    ) -> Sequence[RunSummary]:
        """Return runs, newest first.

        Args:
            limit: At most so many; None for all.
            kind: Runs of flows, of tasks, or (None) of both.
            state: Only those in a state of this name or type, in any case: `failed`, `Cached`.
            flow: Only those of the flow or task of this name.

        Raises:
            EntrepotError: If the file cannot be read.
        """
        conditions = ["kind IS NOT NULL"]
        values: list[object] = []
        if kind is not None:
            conditions.append("kind = ?")
            values.append(kind)
        if state is not None:
            conditions.append("? IN (lower(state_type), lower(state_name))")
            values.append(state.lower())
        if flow is not None:
            conditions.append("definition = ?")
            values.append(flow)
        query = (
            f"SELECT {_SUMMARY} FROM runs WHERE {' AND '.join(conditions)}"  # noqa: S608  our own texts
            " ORDER BY created DESC, number DESC LIMIT ?"
        )
        with reading(self._path) as connection:
            if connection is None:
                return []
            rows = connection.execute(query, (*values, -1 if limit is None else limit))
            return [RunSummary(**_summary(row)) for row in rows]

    def completed(self, roots: Sequence[str]) -> frozenset[str]:
        """Return which of these first runs were completed, by themselves or by one that resumed them.

        Raises:
            EntrepotError: If the file cannot be read.
        """
        line = "coalesce(root_run_id, run_id)"
        query = f"SELECT {line} FROM runs WHERE flow_run_id IS NULL AND state_type = 'COMPLETED' AND {line} IN ({{}})"  # noqa: S608  our own texts
        with reading(self._path) as connection:
            return (
                frozenset() if connection is None else frozenset(row[0] for row in _select_in(connection, query, roots))
            )

    def get(self, wanted: str) -> RunDetails:
        """Return one run with its transitions and everything that ran inside it.

        Args:
            wanted: Its id, the beginning of its id (if no other begins so), or its name.

        Raises:
            RunNotFoundError: If there is no such run, or more than one; the message says which are near.
            EntrepotError: If the file cannot be read.
        """
        with reading(self._path) as connection:
            return _tree(*self._found(connection, wanted))

    def find(self, wanted: str) -> RunSummary:
        """Return one run without its past and what ran inside it; as `get`, and quick however large the run."""
        with reading(self._path) as connection:
            return RunSummary(**_summary(self._found(connection, wanted)[1]))

    def _found(self, connection: sqlite3.Connection | None, wanted: str) -> tuple[sqlite3.Connection, _Row]:
        wanted = wanted.encode(errors="replace").decode()  # a command line may hold what is no text
        if connection is None:
            raise RunNotFoundError(f"no run {wanted!r}: no run was recorded in {self._path} yet", run_id=wanted)
        return connection, _find(connection, wanted)


def _find(connection: sqlite3.Connection, wanted: str) -> _Row:
    """Return the row of the run that is meant."""
    select = f"SELECT {_SUMMARY} FROM runs WHERE"  # noqa: S608  our own texts
    row = connection.execute(f"{select} run_id = ?", (wanted,)).fetchone()
    if row is not None:
        return row  # type: ignore[no-any-return]
    if len(wanted) >= _SHORTEST_PREFIX:
        # A range, not LIKE: it uses the index, and "%" and "_" mean themselves. Flows come first: there are few of
        # them, and it is they that are asked for by four digits.
        for kind in ("kind = 'flow' AND", ""):
            found = connection.execute(
                f"{select} {kind} run_id >= ? AND run_id < ? ORDER BY number DESC LIMIT ?",
                (wanted, wanted + "\U0010ffff", _SHOWN + 1),
            ).fetchall()
            if found:
                return _only(found, wanted, "the beginning of the ids of several runs")
    found = connection.execute(
        f"{select} name = ? AND kind IS NOT NULL ORDER BY number DESC LIMIT ?", (wanted, _SHOWN + 1)
    ).fetchall()
    if found:
        return _only(found, wanted, "the name of several runs")
    return _refuse(connection, wanted)


def _only(found: Sequence[_Row], wanted: str, what: str) -> _Row:
    if len(found) == 1:
        return found[0]
    if found[0][0].startswith(wanted):
        shown, how = [f"{row[0]} ({row[2]})" for row in found[:_SHOWN]], "say more of the id"
    else:
        times = [datetime.fromisoformat(row[_CREATED]).astimezone() for row in found[:_SHOWN]]
        shown = [f"{row[0][:8]} ({time:%Y-%m-%d %H:%M})" for row, time in zip(found, times, strict=False)]
        how = "say which by its id"
    more = ", ..." if len(found) > _SHOWN else ""
    raise RunNotFoundError(f"{wanted!r} is {what}: {', '.join(shown)}{more}; {how}", run_id=wanted)


def _refuse(connection: sqlite3.Connection, wanted: str) -> NoReturn:
    recent = connection.execute(
        "SELECT run_id, name FROM runs WHERE kind IS NOT NULL ORDER BY number DESC LIMIT 500"
    ).fetchall()
    names = {name: None for _, name in recent} | {run_id[: len(wanted)]: None for run_id, _ in recent}
    near = get_close_matches(wanted, list(names), n=3)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise RunNotFoundError(
        f"no run {wanted!r}{hint}; `entrepot runs` lists the recent ones; {_SHORTEST_PREFIX} characters of an id"
        " can be enough",
        run_id=wanted,
    )


def _tree(connection: sqlite3.Connection, top: _Row) -> RunDetails:
    """Return a run with all that ran inside it, read floor by floor."""
    rows: dict[str, _Row] = {top[0]: top}
    inside: dict[str, list[str]] = {}
    floor = [top[0]]
    while floor:
        query = (
            f"SELECT {_SUMMARY}, coalesce(parent_run_id, flow_run_id) FROM runs"  # noqa: S608  our own texts
            " WHERE coalesce(parent_run_id, flow_run_id) IN ({}) ORDER BY created, number"
        )
        below = []
        for row in _select_in(connection, query, floor):
            run_id, caller = row[0], row[-1]
            if run_id not in rows:  # a damaged file may say that a run called itself
                rows[run_id] = row
                inside.setdefault(caller, []).append(run_id)
                below.append(run_id)
        floor = below
    past: dict[str, list[RunTransition]] = {}
    query = (
        "SELECT transition_id, run_id, epoch, state_type, state_name, timestamp, message, cache_key, result_location"
        " FROM transitions WHERE run_id IN ({}) ORDER BY number"
    )
    for row in _select_in(connection, query, list(rows)):
        past.setdefault(row[1], []).append(
            RunTransition(row[0], row[1], row[2], row[3], row[4], datetime.fromisoformat(row[5]), *row[6:])
        )
    sources: dict[str, list[str]] = {}
    query = "SELECT run_id, upstream_run_id FROM upstream WHERE run_id IN ({})"
    for run_id, upstream in _select_in(connection, query, list(rows)):
        sources.setdefault(run_id, []).append(upstream)
    built: dict[str, RunDetails] = {}
    for run_id in reversed(rows):  # callers come before what they call, so this way children are ready
        built[run_id] = RunDetails(
            **_summary(rows[run_id]),
            transitions=tuple(past.get(run_id, ())),
            upstream=tuple(sources.get(run_id, ())),
            children=tuple(built[child] for child in inside.get(run_id, ())),
        )
    return built[top[0]]


def _select_in(connection: sqlite3.Connection, query: str, items: Sequence[str]) -> Iterable[_Row]:
    size = 500  # any SQLite allows 999 variables in one statement
    for start in range(0, len(items), size):
        some = items[start : start + size]
        yield from connection.execute(query.format(", ".join("?" * len(some))), some)


def _summary(row: _Row) -> dict[str, Any]:
    """Return the facts of a row as arguments of `RunSummary`."""
    facts = dict(zip(_COLUMNS, row, strict=False))
    for moment in ("created", "started", "ended"):
        if facts[moment] is not None:
            facts[moment] = datetime.fromisoformat(facts[moment])
    facts["parameters"] = json.loads(facts["parameters"] or "{}")
    facts["tags"] = tuple(json.loads(facts["tags"] or "[]"))
    # Where only states were told so far, the run's own facts are still to come.
    return facts | {
        "kind": facts["kind"] or "task",
        "name": facts["name"] or "",
        "definition": facts["definition"] or "",
        "key": facts["key"] or "",
        "process_id": facts["process_id"] or 0,
        "message": facts["message"] or "",
    }
