"""A collection: reads the whole store, judges each record, removes those that are to go, then what nothing needs.

Records go before payloads, so that no record is ever without its payload. Whatever is about to be deleted is named
first where writers look (`results.condemned`). Killed at any moment, it leaves a store that is right, and the next
collection goes on.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from entrepot.errors import ObjectNotFoundError
from entrepot.protocols.storage import DeletesIf
from entrepot.results.claims import is_claim
from entrepot.results.collect.lease import Lease
from entrepot.results.collect.leftovers import Leftovers, is_left_behind
from entrepot.results.collect.policy import Rules, Share, judge, orphans, shares
from entrepot.results.collect.survey import Survey, surveying
from entrepot.results.condemned import PATIENCE, notice_folder
from entrepot.results.seen import read_record
from entrepot.results.store import ResultStore

__all__ = ["GRACE", "Collector", "Left", "Progress", "Report"]

GRACE: Final = 86_400.0
"""Seconds that a payload without a record is left: longer than any transaction between its work and its commit."""

Progress: TypeAlias = Callable[[str, int, int | None], object]
"""Told what is being done, how much of it is, and of how much, where that is known."""

_BATCH: Final = 1000  # names in one notice
_CANDIDATES: Final = """
CREATE TABLE candidate (
    path TEXT PRIMARY KEY, size INTEGER, modified REAL, notice TEXT, gone INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Left:
    """Leftovers of one kind.

    Attributes:
        kind: What they are, for people: "unfinished writes".
        count: How many.
        size: Their bytes.
    """

    kind: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a collection has removed, or would.

    Attributes:
        shares: By task and reason, the largest first.
        records: How many records.
        payloads: How many payloads.
        leftovers: How many other objects: notices, markers, evidence, unfinished writes, claims that nobody holds.
        left: The same by kind.
        size: Bytes, of all of it.
        waiting: Payloads that no record needs, but are too young to be removed.
        waiting_size: Their bytes.
        changed: Records that were to go, but became others, or a transaction's, meanwhile: they stay.
        kept: Records that stay.
        is_blind: Whether records could not be read under the keys of this ring, so that no payload was removed.
        is_dry: Whether nothing was removed.
    """

    shares: tuple[Share, ...]
    records: int
    payloads: int
    leftovers: int
    left: tuple[Left, ...]
    size: int
    waiting: int
    waiting_size: int
    changed: int
    kept: int
    is_blind: bool
    is_dry: bool


class Collector:
    """Collects in one result store.

    Args:
        store: Which.
        rules: What is to go, besides what has expired or is past what its own record says.
        grace: Seconds that payloads without a record, and expired records, are left. With less than 20 minutes, nobody
            may write to the store meanwhile; with less than the longest transaction takes, that fails.
        progress: Told how far it is.
    """

    def __init__(
        self,
        store: ResultStore,
        rules: Rules | None = None,
        *,
        grace: float = GRACE,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._rules = Rules() if rules is None else rules
        self._grace = grace
        self._progress: Progress = progress if progress is not None else _nobody
        self._changed = 0
        self._notices = 0

    def preview(self) -> Report:
        """Return what would be removed; nothing is written.

        Raises:
            StorageError: If the store cannot be read.
        """
        now = self._store.clock.now().timestamp()
        with surveying(self._store, None, lambda what, count: self._progress(what, count, None)) as survey:
            survey.read()
            judge(survey.database, self._rules, now=now, grace=self._grace)
            leftovers = Leftovers(self._store, survey, now)
            left = _by_kind(leftovers.found())
            before = None if self._grace <= 0 else now - self._grace
            freed = iter(()) if survey.is_blind else orphans(survey.database, is_done=False, before=before)
            return self._report(survey, freed, left=left, is_dry=True, now=now)

    def run(self) -> Report:
        """Collect.

        Raises:
            CollectionError: If another collection is at work in the store, or this one was held up for too long.
            StorageError: If the store cannot be read or written. What was removed until then is right to be gone.
        """
        with Lease(self._store.storage, self._store.clock) as lease:

            def tick(what: str, count: int) -> None:
                lease.renew()
                self._progress(what, count, None)

            now = lease.began if lease.began is not None else self._store.clock.now().timestamp()
            with surveying(self._store, lease.began, tick) as survey:
                survey.read()
                judge(survey.database, self._rules, now=self._store.clock.now().timestamp(), grace=self._grace)
                self._delete_records(survey, lease)
                self._delete_payloads(survey, lease, None if self._grace <= 0 else now - self._grace)
                leftovers = Leftovers(self._store, survey, now, lease)
                left = _by_kind(leftovers.remove())
                freed = survey.database.execute("SELECT path, size, modified FROM candidate WHERE gone = 1")
                return self._report(survey, freed, left=left, is_dry=False, now=now)

    # --- records ------------------------------------------------------------------------------------------------------

    def _delete_records(self, survey: Survey, lease: Lease) -> None:
        """Delete the condemned records; each only if it is still the one that was judged."""
        database = survey.database
        (total,) = database.execute("SELECT count(*) FROM record WHERE verdict IS NOT NULL").fetchone()
        done, after = 0, ""
        while True:
            rows = database.execute(
                "SELECT path, sha, state FROM record WHERE verdict IS NOT NULL AND path > ? ORDER BY path LIMIT ?",
                (after, _BATCH),
            ).fetchall()
            rows = [row for row in rows if notice_folder(row[0]) == notice_folder(rows[0][0])]
            if not rows:
                return
            lease.renew()
            notice = self._give_notice(lease, [path for path, *_ in rows])
            for path, sha, state in rows:
                lease.renew()
                if self._delete_record(path, sha, state, lease.began):
                    database.execute("UPDATE record SET gone = 1 WHERE path = ?", (path,))
                else:
                    self._changed += 1
                done += 1
                self._progress("deleting records", done, total)
            self._store.storage.delete(notice)
            after = rows[-1][0]

    def _delete_record(self, path: str, sha: bytes, state: str, now: float | None) -> bool:
        """Delete a record if it is the one that was judged.

        Object stores cannot do that in one step. There, who replaces a record sees our notice, and waits a while until
        we are done; so we do not delete what we looked at longer ago than that.
        """
        storage, clock = self._store.storage, self._store.clock
        while True:
            looked = clock.monotonic()
            seen = read_record(self._store, path)
            if seen is None:
                return True
            if (seen.sha, seen.state) != (sha, state):
                return False  # it is another one
            if is_claim(seen.data) and not is_left_behind(self._store, path, seen.data, now):
                return False  # a run is about to replace it
            if isinstance(storage, DeletesIf):
                return storage.delete_if(path, seen.data)
            if clock.monotonic() - looked < PATIENCE / 2:
                storage.delete(path)
                return True

    def _give_notice(self, lease: Lease, paths: list[str]) -> str:
        self._notices += 1
        names = [path.rpartition("/")[2] for path in paths]
        return self._store.condemned.give_notice(notice_folder(paths[0]), f"{lease.id}-{self._notices}", names)

    # --- payloads -----------------------------------------------------------------------------------------------------

    def _delete_payloads(self, survey: Survey, lease: Lease, before: float | None) -> None:
        """Delete the payloads that no record needs: named first, then looked for in all records again."""
        database = survey.database
        database.executescript(_CANDIDATES)
        if survey.is_blind:
            return
        database.executemany(
            "INSERT INTO candidate (path, size, modified) VALUES (?, ?, ?)",
            orphans(database, is_done=True, before=before),
        )
        if database.execute("SELECT 1 FROM candidate LIMIT 1").fetchone() is None:
            return
        self._name_candidates(survey, lease)
        survey.read_changes()
        if not survey.is_blind:
            database.execute(
                "DELETE FROM candidate WHERE EXISTS (SELECT 1 FROM ref LEFT JOIN record AS owner ON owner.path ="
                " ref.owner WHERE ref.payload = candidate.path AND coalesce(owner.gone, 0) = 0)"
            )
        (total,) = database.execute("SELECT count(*) FROM candidate").fetchone()
        done = 0
        for (notice,) in database.execute("SELECT path FROM notice").fetchall():
            rows = database.execute("SELECT path, modified FROM candidate WHERE notice = ?", (notice,)).fetchall()
            for path, modified in [] if survey.is_blind else rows:
                lease.renew()
                if self._delete_payload(path, modified):
                    database.execute("UPDATE candidate SET gone = 1 WHERE path = ?", (path,))
                done += 1
                self._progress("deleting payloads", done, total)
            self._store.storage.delete(notice)

    def _name_candidates(self, survey: Survey, lease: Lease) -> None:
        database = survey.database
        database.execute("CREATE TABLE notice (path TEXT)")
        after = ""
        while True:
            rows = database.execute(
                "SELECT path FROM candidate WHERE path > ? ORDER BY path LIMIT ?", (after, _BATCH)
            ).fetchall()
            paths = [path for (path,) in rows if notice_folder(path) == notice_folder(rows[0][0])]
            if not paths:
                return
            lease.renew()
            notice = self._give_notice(lease, paths)
            database.execute("INSERT INTO notice VALUES (?)", (notice,))
            database.execute(
                "UPDATE candidate SET notice = ? WHERE path BETWEEN ? AND ?", (notice, paths[0], paths[-1])
            )
            after = paths[-1]

    def _delete_payload(self, path: str, modified: float | None) -> bool:
        with suppress(ObjectNotFoundError):
            info = self._store.storage.stat(path)
            if (None if info.modified is None else info.modified.timestamp()) != modified:
                return False  # written again since
            self._store.storage.delete(path)
        return True

    # --- what it says -------------------------------------------------------------------------------------------------

    def _report(
        self,
        survey: Survey,
        freed: Iterator[tuple[str, int, float]],
        *,
        left: tuple[Left, ...],
        is_dry: bool,
        now: float,
    ) -> Report:
        database = survey.database
        went, waits = _Sum(), _Sum()
        late: Iterator[tuple[str, int, float]] = iter(())
        if not survey.is_blind and self._grace > 0:
            young = now - self._grace
            late = (
                row for row in orphans(database, is_done=not is_dry, before=None) if row[2] is None or row[2] > young
            )
        found = shares(database, went.counted(freed), waits.counted(late), is_done=not is_dry)
        gone = "gone = 1" if not is_dry else "verdict IS NOT NULL"
        (records, kept) = database.execute(
            f"SELECT coalesce(sum({gone}), 0), coalesce(sum(NOT ({gone})), 0) FROM record"  # noqa: S608  a text of ours
        ).fetchone()
        return Report(
            tuple(found),
            records,
            went.count,
            sum(one.count for one in left),
            left,
            sum(share.size for share in found) + sum(one.size for one in left),
            waits.count,
            waits.size,
            self._changed,
            kept,
            survey.is_blind,
            is_dry,
        )


def _by_kind(found: Iterator[tuple[str, int]]) -> tuple[Left, ...]:
    counts: dict[str, tuple[int, int]] = {}
    for kind, size in found:
        count, total = counts.get(kind, (0, 0))
        counts[kind] = count + 1, total + size
    return tuple(Left(kind, *counted) for kind, counted in counts.items())


class _Sum:
    """Counts payloads as they are gone through."""

    def __init__(self) -> None:
        self.count = self.size = 0

    def counted(self, rows: Iterator[tuple[str, int, float]]) -> Iterator[tuple[str, int, float]]:
        for row in rows:
            self.count += 1
            self.size += row[1]
            yield row


def _nobody(what: str, count: int, total: int | None) -> None:
    pass
