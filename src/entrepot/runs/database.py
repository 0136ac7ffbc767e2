"""The file of the run history: its schema, and how it is opened. See `entrepot._database` for the rest."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from entrepot import _database
from entrepot.errors import EntrepotError

__all__ = ["LADDER", "open_for_reading", "open_for_writing", "reading"]

LADDER: Final[tuple[tuple[str, ...], ...]] = (
    (
        # Times are ISO 8601 in UTC with microseconds, so that text order is time order and people can read them.
        # A transition may be told before its run (by another process): such a run's row has no kind yet.
        """
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE,
            kind TEXT,
            name TEXT,
            definition TEXT,
            key TEXT,
            flow_run_id TEXT,
            parent_run_id TEXT,
            parameters TEXT,
            tags TEXT,
            created TEXT,
            process_id INTEGER,
            epoch INTEGER NOT NULL,
            state_type TEXT,
            state_name TEXT,
            message TEXT,
            started TEXT,
            ended TEXT
        )
        """,
        "CREATE INDEX runs_by_time ON runs (kind, created)",
        "CREATE INDEX runs_by_caller ON runs (coalesce(parent_run_id, flow_run_id))",
        """
        CREATE TABLE transitions (
            number INTEGER PRIMARY KEY,
            transition_id TEXT NOT NULL UNIQUE,
            run_id TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            state_type TEXT NOT NULL,
            state_name TEXT NOT NULL,
            timestamp TEXT NOT NULL,
            message TEXT NOT NULL,
            cache_key TEXT,
            result_location TEXT
        )
        """,
        "CREATE INDEX transitions_by_run ON transitions (run_id)",
        # Changed by a flush that has nothing else to write, so that SQLite syncs what was committed before.
        "CREATE TABLE flushes (count INTEGER NOT NULL)",
        "INSERT INTO flushes VALUES (0)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN process TEXT",
        "ALTER TABLE runs ADD COLUMN root_run_id TEXT",
        "ALTER TABLE runs ADD COLUMN version TEXT",
        "ALTER TABLE runs ADD COLUMN entrypoint TEXT",
        # Which runs a run took results of: the arrows of the graph.
        """
        CREATE TABLE upstream (
            run_id TEXT NOT NULL,
            upstream_run_id TEXT NOT NULL,
            PRIMARY KEY (run_id, upstream_run_id)
        ) WITHOUT ROWID
        """,
        # A process that runs flows says from time to time that it lives.
        """
        CREATE TABLE processes (
            process TEXT PRIMARY KEY,
            process_id INTEGER NOT NULL,
            host TEXT NOT NULL,
            started TEXT NOT NULL,
            heartbeat TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE logs (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL,
            flow_run_id TEXT,
            timestamp TEXT NOT NULL,
            level INTEGER NOT NULL,
            logger TEXT NOT NULL,
            message TEXT NOT NULL
        )
        """,
        "CREATE INDEX logs_by_run ON logs (run_id)",
        "CREATE INDEX logs_by_flow_run ON logs (flow_run_id)",
        # A progress artifact is told again as it grows: the newest word of an id counts.
        """
        CREATE TABLE artifacts (
            number INTEGER PRIMARY KEY,
            artifact_id TEXT NOT NULL UNIQUE,
            run_id TEXT,
            flow_run_id TEXT,
            key TEXT,
            type TEXT NOT NULL,
            description TEXT NOT NULL,
            data TEXT NOT NULL,
            created TEXT NOT NULL,
            updated TEXT NOT NULL
        )
        """,
        "CREATE INDEX artifacts_by_run ON artifacts (run_id)",
        "CREATE INDEX artifacts_by_key ON artifacts (key)",
    ),
)
"""The schema of the run history, as the steps from an empty file to the newest. Rungs are added, never changed."""


def open_for_writing(path: Path, *, patience: float) -> sqlite3.Connection:
    """Open the history, making it and bringing it up to date where needed; as `_database.open_for_writing`."""
    return _database.open_for_writing(path, LADDER, patience=patience)


def open_for_reading(path: Path, *, patience: float = 5.0) -> sqlite3.Connection | None:
    """Open the history for queries only; as `_database.open_for_reading`."""
    return _database.open_for_reading(path, LADDER, patience=patience)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Enter one consistent view of the history, for queries only; it is None where there is nothing to read.

    Raises:
        EntrepotError: If the file cannot be read.
    """
    try:
        with _database.DATABASE_GUARD:
            connection = open_for_reading(path)
            if connection is None:
                yield None
                return
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()
    except (sqlite3.Error, OSError, _database.NewerSchemaError) as error:
        raise EntrepotError(
            f"the run history in {path} cannot be read: {error}; if the file is damaged, move it away",
            location=str(path),
        ) from error
