"""Reading artifacts: what runs left for people to look at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from entrepot.errors import ArtifactNotFoundError
from entrepot.runs.database import reading

__all__ = ["ArtifactHistory", "KeptArtifact"]

_COLUMNS: Final = "artifact_id, type, key, description, data, run_id, flow_run_id, created, updated"
_NEWEST: Final = "ORDER BY updated DESC, number DESC"
_SHORTEST_PREFIX: Final = 4  # as of the ids of runs


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptArtifact:
    """One artifact.

    Attributes:
        artifact_id: A UUID, as text.
        type: "table", "markdown", "link", "image" or "progress".
        key: The name that versions of it share, or None.
        description: For people, in Markdown; may be empty.
        data: A table as a list of rows or a dict of columns, a text in Markdown, `{"link": ..., "text": ...}`,
            `{"url": ...}` or `{"progress": 0 to 100}`.
        run_id: The run whose code made it, or None.
        flow_run_id: The flow run that it is part of, or None.
        created: When it was made, in UTC.
        updated: When it was last changed, in UTC.
    """

    artifact_id: str
    type: str
    key: str | None
    description: str
    data: Any = field(repr=False)
    run_id: str | None
    flow_run_id: str | None
    created: datetime
    updated: datetime


class ArtifactHistory:
    """The artifacts in the history that a `LocalRecorder` keeps.

    Args:
        path: Its file. Where there is none, there are no artifacts.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)

    def list(
        self,
        *,
        run_id: str | None = None,
        key: str | None = None,
        type: str | None = None,  # noqa: A002  as the attribute is called
        limit: int | None = 20,
    ) -> Sequence[KeptArtifact]:
        """Return artifacts, the ones that changed last first.

        Args:
            run_id: Only those of this run, and of what is part of it where it is a flow's.
            key: Only those of this key.
            type: Only those of this type.
            limit: At most so many; None for all.

        Raises:
            EntrepotError: If the file cannot be read.
        """
        conditions: dict[str, object] = {}
        if run_id is not None:
            conditions["? IN (run_id, flow_run_id)"] = run_id
        if key is not None:
            conditions["key = ?"] = key
        if type is not None:
            conditions["type = ?"] = type
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT {_COLUMNS} FROM artifacts {where} {_NEWEST} LIMIT ?"  # noqa: S608  our own texts
        with reading(self._path) as connection:
            if connection is None:
                return []
            rows = connection.execute(query, (*conditions.values(), -1 if limit is None else limit))
            return [_artifact(row) for row in rows]

    def get(self, wanted: str) -> KeptArtifact:
        """Return one artifact.

        Args:
            wanted: Its id, its key (then the newest of that key), or the beginning of its id (if no other begins so).

        Raises:
            ArtifactNotFoundError: If there is none, or more than one; the message says which are near.
            EntrepotError: If the file cannot be read.
        """
        wanted = wanted.encode(errors="replace").decode()  # a command line may hold what is no text
        select = f"SELECT {_COLUMNS} FROM artifacts WHERE"  # noqa: S608  our own texts
        with reading(self._path) as connection:
            if connection is None:
                raise _missing(wanted, f"; no run was recorded in {self._path} yet")
            row = connection.execute(f"{select} artifact_id = ?", (wanted,)).fetchone()
            if row is None:
                row = connection.execute(f"{select} key = ? {_NEWEST} LIMIT 1", (wanted,)).fetchone()
            if row is None and len(wanted) >= _SHORTEST_PREFIX:
                found = connection.execute(
                    f"{select} artifact_id >= ? AND artifact_id < ? LIMIT 2", (wanted, wanted + "\U0010ffff")
                ).fetchall()
                if len(found) > 1:
                    raise _missing(wanted, ": the ids of several begin so; say more of it")
                row = found[0] if found else None
            if row is None:
                keys = [key for (key,) in connection.execute("SELECT DISTINCT key FROM artifacts WHERE key NOT NULL")]
                near = get_close_matches(wanted, keys, n=3)
                hint = f"; near: {', '.join(near)}" if near else ""
                raise _missing(wanted, f"{hint}; `entrepot artifact ls` lists them")
            return _artifact(row)


def _missing(wanted: str, more: str) -> ArtifactNotFoundError:
    return ArtifactNotFoundError(f"no artifact {wanted!r}{more}", key=wanted)


def _artifact(row: Sequence[Any]) -> KeptArtifact:
    artifact_id, kind, key, description, data, run_id, flow_run_id, created, updated = row
    return KeptArtifact(
        artifact_id=artifact_id,
        type=kind,
        key=key,
        description=description,
        data=json.loads(data),
        run_id=run_id,
        flow_run_id=flow_run_id,
        created=datetime.fromisoformat(created),
        updated=datetime.fromisoformat(updated),
    )
