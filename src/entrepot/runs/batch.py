"""Writing a batch of events: what is known is read once, each event is decided, and the outcome is written once."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from entrepot.protocols.recorder import ArtifactKept, Heartbeat, LogLine, RunCreated, RunEvent, RunTransition
from entrepot.runs.decide import TERMINAL, Intent, Rejection, RunView, decide

__all__ = ["LONGEST_TEXT", "write_batch"]

LONGEST_TEXT: Final = 16_384
"""Longer messages are cut: a history is not a log."""

_DESCRIPTION = (
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
)
_STATE = ("epoch", "state_type", "state_name", "message", "started", "ended")


@dataclass(frozen=True, eq=False)
class _Put:
    """A statement that puts rows into a table."""

    table: str
    columns: Sequence[str]
    conflict: str = ""

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> None:
        """Put rows, many with each statement: Python waits for its turn among threads after every single one."""
        size = _VARIABLES // len(self.columns)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            connection.execute(self._statement(len(some)), [value for row in some for value in row])

    def _statement(self, count: int) -> str:
        marks = ", ".join([f"({', '.join('?' * len(self.columns))})"] * count)
        into = f"INSERT INTO {self.table} ({', '.join(self.columns)})"
        return f"{into} VALUES {marks} {self.conflict}"


# What is known of a run's making stays as it was first told; what is known of its state is replaced.
_PUT_RUNS = _Put(
    "runs",
    ("run_id", *_DESCRIPTION, *_STATE),
    "ON CONFLICT (run_id) DO UPDATE SET "
    + ", ".join(
        [f"{name}=coalesce(runs.{name}, excluded.{name})" for name in _DESCRIPTION]
        + [f"{name}=excluded.{name}" for name in _STATE]
    ),
)
_PUT_TRANSITIONS = _Put(
    "transitions",
    (
        "transition_id",
        "run_id",
        "epoch",
        "state_type",
        "state_name",
        "timestamp",
        "message",
        "cache_key",
        "result_location",
    ),
)
_PUT_LOGS = _Put("logs", ("run_id", "flow_run_id", "timestamp", "level", "logger", "message"))
_PUT_UPSTREAM = _Put("upstream", ("run_id", "upstream_run_id"), "ON CONFLICT DO NOTHING")
_PUT_ARTIFACTS = _Put(
    "artifacts",
    ("artifact_id", "run_id", "flow_run_id", "key", "type", "description", "data", "created", "updated"),
    "ON CONFLICT (artifact_id) DO UPDATE SET"
    " description=coalesce(nullif(excluded.description, ''), artifacts.description), data=excluded.data,"
    " updated=max(artifacts.updated, excluded.updated)",
)
_PUT_HEARTBEATS = _Put(
    "processes",
    ("process", "process_id", "host", "started", "heartbeat"),
    "ON CONFLICT (process) DO UPDATE SET heartbeat=max(processes.heartbeat, excluded.heartbeat)",
)
_VARIABLES: Final = 999  # any SQLite allows so many in one statement
_NOTHING_TOLD: Final[tuple[None, ...]] = (None,) * len(_DESCRIPTION)


@dataclass(slots=True)
class _Run:
    """What will be the row of one run."""

    description: Sequence[object] = _NOTHING_TOLD
    epoch: int = 0
    state_type: str | None = None
    state_name: str | None = None
    message: str | None = None
    started: str | None = None
    ended: str | None = None


def write_batch(connection: sqlite3.Connection, events: Sequence[RunEvent]) -> int:
    """Write events in the order given, inside the caller's transaction.

    Returns:
        How many transitions were refused: repeated, late, or illegal (see `decide`).
    """
    _write_notes(connection, events)
    told = [event for event in events if isinstance(event, RunCreated | RunTransition)]
    runs = _known_runs(connection, {event.run_id for event in told})
    known = _known_transitions(connection, told) if runs else set()
    rows: list[tuple[object, ...]] = []
    refused = 0
    for event in told:
        run = runs.get(event.run_id)
        if run is None:
            run = runs[event.run_id] = _Run()
        if isinstance(event, RunCreated):
            if run.description is _NOTHING_TOLD:
                run.description = _description(event)
            continue
        answer = decide(
            RunView(run.epoch, run.state_type, known), Intent(event.transition_id, event.epoch, event.state_type)
        )
        if isinstance(answer, Rejection):
            refused += 1
            continue
        known.add(event.transition_id)
        rows.append(_enter(run, event))
    _PUT_RUNS(
        connection,
        [
            (
                run_id,
                *run.description,
                run.epoch,
                run.state_type,
                run.state_name,
                run.message,
                run.started,
                run.ended,
            )
            for run_id, run in runs.items()
        ],
    )
    _PUT_TRANSITIONS(connection, rows)
    return refused


def _write_notes(connection: sqlite3.Connection, events: Iterable[RunEvent]) -> None:
    """Write what changes no run's state: log lines, artifacts, heartbeats, and who took results of whom."""
    rows: dict[_Put, list[tuple[object, ...]]] = {}
    for event in events:
        if isinstance(event, LogLine):
            row = (event.run_id, event.flow_run_id, _time(event.timestamp), event.level)
            rows.setdefault(_PUT_LOGS, []).append((*row, _text(event.logger), _text(event.message)))
        elif isinstance(event, RunCreated):
            if event.upstream:
                edges = ((event.run_id, upstream) for upstream in event.upstream)
                rows.setdefault(_PUT_UPSTREAM, []).extend(edges)
        elif isinstance(event, ArtifactKept):
            rows.setdefault(_PUT_ARTIFACTS, []).append(_artifact(event))
        elif isinstance(event, Heartbeat):
            said = (event.process, event.process_id, _text(event.host), _time(event.started), _time(event.timestamp))
            rows.setdefault(_PUT_HEARTBEATS, []).append(said)
        elif not isinstance(event, RunTransition):
            raise TypeError(f"a {type(event).__name__} is no event of a run")
    for put, some in rows.items():
        put(connection, some)


def _artifact(event: ArtifactKept) -> tuple[object, ...]:
    when = _time(event.timestamp)
    data = event.data if event.data.isascii() else event.data.encode(errors="backslashreplace").decode()
    description = _text(event.description)
    return (event.artifact_id, event.run_id, event.flow_run_id, event.key, event.type, description, data, when, when)


def _enter(run: _Run, event: RunTransition) -> tuple[object, ...]:
    """Let the run enter a state; return the row of the transition."""
    when = _time(event.timestamp)
    message = _text(event.message)
    run.epoch = event.epoch
    run.state_type = event.state_type
    run.state_name = name = _text(event.state_name)
    run.message = message
    if run.started is None and event.state_type == "RUNNING":
        run.started = when
    if event.state_type in TERMINAL:
        run.ended = when
    return (
        event.transition_id,
        event.run_id,
        event.epoch,
        event.state_type,
        name,
        when,
        message,
        None if event.cache_key is None else _text(event.cache_key),
        None if event.result_location is None else _text(event.result_location),
    )


def _description(event: RunCreated) -> Sequence[object]:
    return (
        event.kind,
        _text(event.name),
        _text(event.definition),
        _text(event.key),
        event.flow_run_id,
        event.parent_run_id,
        json.dumps({name: _text(value) for name, value in event.parameters.items()}) if event.parameters else "{}",
        json.dumps([_text(tag) for tag in event.tags]) if event.tags else "[]",
        _time(event.created),
        event.process_id,
        event.process or None,
        event.root_run_id,
        None if event.version is None else _text(event.version),
        None if event.entrypoint is None else _text(event.entrypoint),
    )


def _known_runs(connection: sqlite3.Connection, run_ids: set[str]) -> dict[str, _Run]:
    runs = {}
    for some in _in_parts(list(run_ids)):
        marks = ", ".join("?" * len(some))
        query = f"SELECT run_id, {', '.join(_STATE)} FROM runs WHERE run_id IN ({marks})"  # noqa: S608  marks only
        for run_id, *state in connection.execute(query, some):
            runs[run_id] = _Run(_NOTHING_TOLD, *state)
    return runs


def _known_transitions(connection: sqlite3.Connection, events: Iterable[RunEvent]) -> set[str]:
    known: set[str] = set()
    said = [event.transition_id for event in events if isinstance(event, RunTransition)]
    for some in _in_parts(said):
        marks = ", ".join("?" * len(some))
        query = f"SELECT transition_id FROM transitions WHERE transition_id IN ({marks})"  # noqa: S608  marks only
        known.update(row[0] for row in connection.execute(query, some))
    return known


def _in_parts(items: list[str]) -> Iterable[list[str]]:
    """Yield parts that fit in one statement."""
    return (items[start : start + _VARIABLES] for start in range(0, len(items), _VARIABLES))


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _text(text: str) -> str:
    """Return text that SQLite can keep: cut where too long, and lone surrogates (of odd file names) spelled out."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + "..."
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
