"""Which records a collection removes, and why: each gets its verdict in the table of the survey."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Rules", "Share", "judge", "orphans", "shares"]

_RUN_KEPT: Final = 7 * 86_400  # seconds that what was kept "until the run ends" waits for a failed run to be resumed
_STEP: Final = 1000  # rows


@dataclass(frozen=True, slots=True)
class Rules:
    """What is to go, besides what has expired or is past what its own record says.

    Attributes:
        keep: Seconds that results are kept which do not say so themselves; None for ever.
        older_than: Whatever was made longer ago than so many seconds.
        keep_last: All but the latest so many of each task.
        max_size: The least recently used, until the store has at most so many bytes.
        task: Only results of the task of this name, or key.
        flow: Only results of the flow of this name, or its runs.
        tags: Only results with all of these.
    """

    keep: int | None = None
    older_than: int | None = None
    keep_last: int | None = None
    max_size: int | None = None
    task: str | None = None
    flow: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """What is freed of one task, for one reason.

    Attributes:
        task: Its name; "" for what belongs to no record.
        reason: Why, in a word or two.
        records: How many.
        size: Bytes of records and payloads.
        payload_size: Those of payloads among them.
        waiting_size: Bytes of payloads that go with these records, but only once the grace is over.
    """

    task: str
    reason: str
    records: int
    size: int
    payload_size: int = 0
    waiting_size: int = 0


def judge(database: sqlite3.Connection, rules: Rules, *, now: float, grace: float) -> None:
    """Give a verdict to each record that is to go.

    Args:
        database: Of a `Survey`.
        rules: What is to go.
        now: The time, as a timestamp.
        grace: Seconds that an expired record is left.
    """
    where, given = _selected(rules)

    def condemn(reason: str, condition: str, *values: object) -> None:
        database.execute(
            f"UPDATE record SET verdict = ? WHERE verdict IS NULL AND gone = 0 AND {where} AND {condition}",  # noqa: S608  texts of ours
            (reason, *given, *values),
        )

    def condemn_ranked(reason: str, limit: str, *values: object) -> None:
        condemn(
            reason,
            f"""path IN (
                SELECT path FROM (
                    SELECT path, keep_last,
                        row_number() OVER (PARTITION BY task_key, task ORDER BY created DESC, path) AS place
                    FROM record WHERE state = 'live' AND verdict IS NULL AND gone = 0 AND {where}
                ) WHERE place > {limit}
            )""",  # noqa: S608  texts of ours
            *given,
            *values,
        )

    condemn("expired", "state = 'live' AND expires <= ?", now - grace)
    condemn("rolled back", "state = 'aborted'")
    condemn(
        "keep",
        "state = 'live' AND keep NOT IN ('run', '') AND created + CAST(keep AS INTEGER) <= ?",
        now,
    )
    condemn("run over", "state = 'live' AND keep = 'run' AND created <= ?", now - _RUN_KEPT)
    if rules.keep is not None:
        condemn("keep", "state = 'live' AND keep IS NULL AND created <= ?", now - rules.keep)
    condemn_ranked("keep_last", "keep_last")
    if rules.older_than is not None:
        condemn("older", "state = 'live' AND created <= ?", now - rules.older_than)
    if rules.keep_last is not None:
        condemn_ranked("keep_last", "?", rules.keep_last)
    if rules.max_size is not None:
        _condemn_least_used(database, where, given, rules.max_size)
    database.commit()


def orphans(database: sqlite3.Connection, *, is_done: bool, before: float | None) -> Iterator[tuple[str, int, float]]:
    """Yield path, size and time of payloads that no record needs, folder by folder.

    Args:
        database: Of a `Survey`.
        is_done: Whether condemned records are gone only where they have been removed; else all of them count as gone.
        before: Those that are older than this; None for all.
    """
    gone = "owner.gone = 1" if is_done else "(owner.gone = 1 OR owner.verdict IS NOT NULL)"
    condition = "" if before is None else "AND modified <= ?"
    after = ""
    while True:  # in steps, so that rows can be changed between them
        rows = database.execute(
            f"""SELECT path, size, modified FROM payload WHERE path > ? AND NOT EXISTS (
                SELECT 1 FROM ref LEFT JOIN record AS owner ON owner.path = ref.owner
                WHERE ref.payload = payload.path AND NOT coalesce({gone}, 0)
            ) {condition} ORDER BY path LIMIT {_STEP}""",  # noqa: S608  texts of ours
            (after,) if before is None else (after, before),
        ).fetchall()
        if not rows:
            return
        yield from rows
        after = rows[-1][0]


def shares(
    database: sqlite3.Connection,
    freed: Iterator[tuple[str, int, float]],
    waiting: Iterator[tuple[str, int, float]],
    *,
    is_done: bool,
) -> list[Share]:
    """Return what is freed, by task and reason; a payload counts for one of the records that needed it.

    Args:
        database: Of a `Survey`.
        freed: Path, size and time of the payloads that are.
        waiting: Of those that no record needs any more, but are too young.
        is_done: Whether it was done; else it would be.
    """
    gone = "gone = 1" if is_done else "verdict IS NOT NULL"

    def owner(path: str) -> tuple[str, str]:
        found = database.execute(
            f"SELECT coalesce(task, ''), verdict FROM ref JOIN record ON path = owner WHERE ref.payload = ? AND {gone}"  # noqa: S608  texts of ours
            " LIMIT 1",
            (path,),
        ).fetchone()
        return ("", "no record") if found is None else (found[0], found[1])

    sums: dict[tuple[str, str], list[int]] = {}
    for task, reason, count, size in database.execute(
        f"SELECT coalesce(task, ''), verdict, count(*), sum(size) FROM record WHERE {gone} GROUP BY 1, 2"  # noqa: S608  texts of ours
    ):
        sums[task, reason] = [count, size, 0, 0]
    for path, size, _ in freed:
        of_payload = sums.setdefault(owner(path), [0, 0, 0, 0])
        of_payload[1] += size
        of_payload[2] += size
    for path, size, _ in waiting:
        late = sums.get(owner(path))
        if late is not None:
            late[3] += size
    made = [Share(task, reason, *sum_) for (task, reason), sum_ in sums.items()]
    return sorted(made, key=lambda share: (-share.size, -share.waiting_size, share.task, share.reason))


def _selected(rules: Rules) -> tuple[str, list[Any]]:
    """Return the condition for the records that a collection looks at, and its values."""
    conditions, values = ["1"], []
    if rules.task is not None:
        conditions.append("(task = ? OR task_key = ?)")
        values += [rules.task, rules.task]
    if rules.flow is not None:
        conditions.append("flow = ?")
        values.append(rules.flow)
    for tag in rules.tags:
        conditions.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        values.append(tag)
    return " AND ".join(conditions), values


def _condemn_least_used(database: sqlite3.Connection, where: str, given: list[Any], limit: int) -> None:
    """Condemn the least recently used records until what is left has at most `limit` bytes."""
    database.execute(
        "CREATE TEMP TABLE need AS SELECT ref.payload AS payload, count(*) AS count FROM ref LEFT JOIN record AS owner"
        " ON owner.path = ref.owner WHERE owner.verdict IS NULL GROUP BY 1"
    )
    database.execute("CREATE UNIQUE INDEX temp.need_payload ON need (payload)")
    database.execute(
        f"CREATE TEMP TABLE line AS SELECT path, size FROM record WHERE state = 'live' AND verdict IS NULL AND gone = 0"  # noqa: S608  texts of ours
        f" AND {where} ORDER BY used, path",
        given,
    )
    (total,) = database.execute(
        "SELECT (SELECT coalesce(sum(size), 0) FROM record WHERE verdict IS NULL)"
        " + (SELECT coalesce(sum(size), 0) FROM payload WHERE path IN (SELECT payload FROM need))"
    ).fetchone()
    after = 0
    while total > limit:
        rows = database.execute(
            "SELECT rowid, path, size FROM line WHERE rowid > ? ORDER BY rowid LIMIT ?", (after, _STEP)
        ).fetchall()
        if not rows:
            break
        for after, path, size in rows:  # noqa: B007  the last one is where it goes on
            if total <= limit:
                break
            total -= size
            database.execute("UPDATE record SET verdict = 'least used' WHERE path = ?", (path,))
            for (payload,) in database.execute("SELECT payload FROM ref WHERE owner = ?", (path,)).fetchall():
                database.execute("UPDATE need SET count = count - 1 WHERE payload = ?", (payload,))
                total -= _freed(database, payload)
    database.execute("DROP TABLE temp.need")
    database.execute("DROP TABLE temp.line")


def _freed(database: sqlite3.Connection, payload: str) -> int:
    row = database.execute(
        "SELECT size FROM payload JOIN need ON need.payload = path WHERE path = ? AND count = 0", (payload,)
    ).fetchone()
    return 0 if row is None else int(row[0])
