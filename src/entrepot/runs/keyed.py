"""Which cache keys runs had, according to the history."""

from pathlib import Path
from typing import Final

from entrepot.runs.database import reading

__all__ = ["key_of", "recent_keys"]

_LOOKED_AT: Final = 20_000  # runs, the newest: no index leads from a task to its runs


def recent_keys(path: Path, task_key: str, *, limit: int) -> list[str]:
    """Return the cache keys of the newest runs of a task, the newest first, each once.

    Args:
        path: The file of the history.
        task_key: The stable identity of the task or flow.
        limit: Of runs.

    Raises:
        EntrepotError: If the file cannot be read.
    """
    with reading(path) as connection:
        if connection is None:
            return []
        runs = connection.execute(
            "SELECT run_id FROM (SELECT run_id, key FROM runs ORDER BY number DESC LIMIT ?) WHERE key = ? LIMIT ?",
            (_LOOKED_AT, task_key, limit),
        ).fetchall()
        found: dict[str, None] = {}
        for (run_id,) in runs:
            for (key,) in connection.execute(
                "SELECT cache_key FROM transitions WHERE run_id = ? AND cache_key IS NOT NULL ORDER BY number DESC",
                (run_id,),
            ):
                found[key] = None
        return list(found)


def key_of(path: Path, run_id: str) -> tuple[str, str] | None:
    """Return the cache key of a run and where its result was then, for people; None where it had none.

    Raises:
        EntrepotError: If the file cannot be read.
    """
    with reading(path) as connection:
        if connection is None:
            return None
        row = connection.execute(
            "SELECT cache_key, coalesce(result_location, '') FROM transitions"
            " WHERE run_id = ? AND cache_key IS NOT NULL ORDER BY number DESC LIMIT 1",
            (run_id,),
        ).fetchone()
        return None if row is None else (row[0], row[1])
