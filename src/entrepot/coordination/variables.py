"""Variables in the shared file. Every function is one transaction."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import default_path, reading, writing

__all__ = ["StoredVariable", "delete_variable", "read_variable", "read_variables", "write_variable"]

_COLUMNS = "name, value, tags, created, updated"


@dataclass(frozen=True, slots=True)
class StoredVariable:
    """A variable as it is kept.

    Attributes:
        name: Of the variable.
        value: What JSON can say.
        tags: Sorted.
        created: When it was set first, in UTC.
        updated: When it was set last.
    """

    name: str
    value: Any
    tags: Sequence[str]
    created: datetime
    updated: datetime


def read_variable(name: str, *, path: Path | None = None) -> StoredVariable | None:
    """Return a variable, or None where there is none."""
    with reading(path or default_path()) as connection:
        if connection is None:
            return None
        row = connection.execute(f"SELECT {_COLUMNS} FROM variables WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return None if row is None else _variable(row)


def read_variables(*, path: Path | None = None) -> list[StoredVariable]:
    """Return all variables, by name."""
    with reading(path or default_path()) as connection:
        if connection is None:
            return []
        rows = connection.execute(f"SELECT {_COLUMNS} FROM variables ORDER BY name").fetchall()  # noqa: S608
    return [_variable(row) for row in rows]


def write_variable(
    name: str,
    value: str,
    tags: Sequence[str] | None,
    *,
    overwrite: bool,
    path: Path | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> StoredVariable | None:
    """Keep a variable, durably.

    Args:
        name: Of the variable.
        value: JSON.
        tags: None for those that it has.
        overwrite: Whether one that is there is replaced.
        path: The file; the one in the home by default.
        clock: Tells the time.

    Returns:
        The variable as it is kept; None if there is one and it was not to be replaced.
    """
    time = clock.now().isoformat()
    with writing(path, durable=True) as connection:
        known = connection.execute("SELECT tags FROM variables WHERE name = ?", (name,)).fetchone()
        if known is not None and not overwrite:
            return None
        labels = known[0] if tags is None and known is not None else json.dumps(sorted(set(tags or ())))
        connection.execute(
            f"INSERT INTO variables ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
            " ON CONFLICT (name) DO UPDATE"
            " SET value = excluded.value, tags = excluded.tags, updated = excluded.updated",
            (name, value, labels, time, time),
        )
        row = connection.execute(f"SELECT {_COLUMNS} FROM variables WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return _variable(row)


def delete_variable(name: str, *, path: Path | None = None) -> bool:
    """Remove a variable; return whether there was one."""
    with reading(path or default_path()) as connection:
        if connection is None:
            return False
    with writing(path, durable=True) as connection:
        return connection.execute("DELETE FROM variables WHERE name = ?", (name,)).rowcount > 0


def _variable(row: sqlite3.Row | tuple[str, str, str, str, str]) -> StoredVariable:
    name, value, tags, created, updated = row
    return StoredVariable(
        name,
        json.loads(value),
        tuple(json.loads(tags)),
        datetime.fromisoformat(created),
        datetime.fromisoformat(updated),
    )
