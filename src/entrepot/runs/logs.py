"""Reading the log lines of a run and of everything in it: in the order in which they were kept, also while it runs."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from entrepot.protocols.recorder import RunKind
from entrepot.runs.database import reading
from entrepot.runs.history import RunHistory

__all__ = ["RunLine", "RunLogs"]

_AT_ONCE: Final = 500  # lines: any SQLite allows 999 variables in one statement
_PATIENCE: Final = 10  # looks at a line whose run nobody has described yet; its description is written right after it

_INSIDE: Final = (
    "WITH RECURSIVE inside(run_id) AS (SELECT ? UNION SELECT runs.run_id FROM runs JOIN inside"
    " ON coalesce(runs.parent_run_id, runs.flow_run_id) = inside.run_id) "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One line that a run wrote to its log.

    Attributes:
        number: Its place in the history; of two lines of one process, the earlier has the smaller one.
        run_id: Which run.
        run_name: The run's name; empty where only its lines were told so far.
        run_kind: "flow" or "task", or None where that was not told.
        flow_run_id: The flow run that it is part of (itself, where it is one), or None.
        timestamp: When, in UTC.
        level: As of `logging`: 20 is INFO.
        logger: The name of the logger.
        message: The formatted line with its traceback, secrets masked.
    """

    number: int
    run_id: str
    run_name: str
    run_kind: RunKind | None
    flow_run_id: str | None
    timestamp: datetime
    level: int
    logger: str
    message: str


class RunLogs:
    """The log lines of one run.

    Args:
        history: Where they are.
        run_id: The whole id of the run.
        children: Whether the lines of everything that ran inside it are among them.
        level: Only lines of this level and above.
    """

    def __init__(self, history: RunHistory, run_id: str, *, children: bool = True, level: int = 0) -> None:
        self._history = history
        self._run_id = run_id
        self._children = children
        self._level = level
        self._inside = {run_id: True}  # runs, and whether they belong to it
        self._seen = 0  # no line up to this number is given again
        self._looks = 0  # at a line that stands in the way of those behind it

    def read(self, *, limit: int | None = None, tail: bool = False) -> Iterator[RunLine]:
        """Yield the lines that there are. What is written afterwards is for `read_new`.

        Args:
            limit: At most so many; None for all.
            tail: Whether those are the last ones, and not the first.

        Raises:
            EntrepotError: If the file cannot be read.
        """
        yield from self._lines(self._numbers(limit, tail=tail))

    def read_new(self) -> Sequence[RunLine]:
        """Return the lines that were written since the last call of this or of `read`.

        Raises:
            EntrepotError: If the file cannot be read.
        """
        with reading(self._history.path) as connection:
            if connection is None:
                return ()
            numbers = []
            query = "SELECT number, run_id, flow_run_id, level FROM logs WHERE number > ? ORDER BY number"
            for number, run_id, flow_run_id, level in connection.execute(query, (self._seen,)):
                belongs = self._belongs(connection, run_id, flow_run_id)
                if belongs is None:
                    if self._looks < _PATIENCE:
                        self._looks += 1
                        break
                    self._inside[run_id] = False
                self._looks = 0
                self._seen = number
                if belongs and level >= self._level:
                    numbers.append(number)
        return tuple(self._lines(numbers))

    # --- which lines --------------------------------------------------------------------------------------------------

    def _numbers(self, limit: int | None, *, tail: bool) -> list[int]:
        """Return the numbers of the lines that there are; the lines are fetched at the speed of who reads them."""
        with reading(self._history.path) as connection:
            if connection is None:
                return []
            (self._seen,) = connection.execute("SELECT coalesce(max(number), 0) FROM logs").fetchone()
            # The file is read by run, so that it may hold any number of other runs.
            query = (
                f"{_INSIDE if self._children else ''}SELECT number FROM logs WHERE level >= ? AND run_id"  # noqa: S608  our own texts
                f" {'IN (SELECT run_id FROM inside)' if self._children else '= ?'}"
                f" ORDER BY number {'DESC' if tail else 'ASC'} LIMIT ?"
            )
            given = (self._run_id, self._level) if self._children else (self._level, self._run_id)
            rows = connection.execute(query, (*given, -1 if limit is None else limit))
            numbers = [number for (number,) in rows]
            return numbers[::-1] if tail else numbers

    def _belongs(self, connection: sqlite3.Connection, run_id: str, flow_run_id: str | None) -> bool | None:
        """Return whether a run is this one or inside it; None where that was not told yet."""
        if not self._children:
            return run_id == self._run_id
        climbed: list[str] = []
        answer = self._inside.get(run_id)
        if answer is None and flow_run_id != run_id and self._inside.get(flow_run_id or ""):
            answer = True
        current = run_id
        while answer is None:
            climbed.append(current)
            query = "SELECT kind, coalesce(parent_run_id, flow_run_id) FROM runs WHERE run_id = ?"
            kind, caller = connection.execute(query, (current,)).fetchone() or (None, None)
            if kind is None:
                return None
            if caller is None or caller in climbed:  # a damaged file may say that a run called itself
                answer = False
            else:
                answer = self._inside.get(caller)
                current = caller
        self._inside.update(dict.fromkeys([run_id, *climbed], answer))
        return answer

    # --- the lines themselves -----------------------------------------------------------------------------------------

    def _lines(self, numbers: Sequence[int]) -> Iterator[RunLine]:
        left = iter(numbers)
        while some := list(islice(left, _AT_ONCE)):
            with reading(self._history.path) as connection:
                if connection is None:
                    return
                query = (
                    "SELECT logs.number, logs.run_id, coalesce(runs.name, ''), runs.kind, logs.flow_run_id,"  # noqa: S608  marks only
                    " logs.timestamp, logs.level, logs.logger, logs.message"
                    " FROM logs LEFT JOIN runs ON runs.run_id = logs.run_id"
                    f" WHERE logs.number IN ({', '.join('?' * len(some))}) ORDER BY logs.number"
                )
                rows = connection.execute(query, some).fetchall()
            for number, run_id, name, kind, flow_run_id, timestamp, level, logger, message in rows:
                yield RunLine(
                    number=number,
                    run_id=run_id,
                    run_name=name,
                    run_kind=kind,
                    flow_run_id=flow_run_id,
                    timestamp=datetime.fromisoformat(timestamp),
                    level=level,
                    logger=logger,
                    message=message,
                )
