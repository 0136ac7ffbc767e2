"""Single flight: of equal calls at one moment, one computes, and the others wait for what it keeps.

In one process they find each other in a table, and wait for an event. Processes and machines find each other by a
claim in the place of the record (see `claims`), and look again and again, sooner at first. A claim is taken, renewed,
replaced by the record, and taken over by conditional writes only.
"""

import enum
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from entrepot._stops import Bell, wait_until
from entrepot.coordination.liveness import is_proven_dead, process_token
from entrepot.errors import EntrepotError, ObjectChangedError, ObjectExistsError, ObjectNotFoundError
from entrepot.protocols.storage import SwapsConditionally
from entrepot.results.claims import MAX_CLAIM_SIZE, Claim, is_claim, open_claim, seal_claim, standing_in
from entrepot.results.leases import Lease, give_back, renew_from_now_on
from entrepot.results.lookup import Lookup
from entrepot.results.prepared import Prepared
from entrepot.results.record import MAX_RECORD_SIZE, Record, Versioned, open_record, record_path
from entrepot.results.store import ResultStore

__all__ = ["Flight", "Terms"]

_logger = logging.getLogger("entrepot.results")

_FIRST, _LONGEST = 0.01, 1.0  # seconds between two looks at a claim; longer where an answer takes long
_FIRST_ANSWERS, _LONGEST_ANSWERS = 5, 50  # the same in answers
_SLOWEST: Final = 2.0  # seconds, however long answers take


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a key is claimed across processes.

    Attributes:
        seconds: How long a claim may stay as it is before it counts as left behind.
        home: Where processes of this machine see whether others live.
    """

    seconds: float
    home: Path


class _Entry:
    """One key that somebody in this process looks at."""

    __slots__ = ("bells", "ended", "leader", "users")

    def __init__(self) -> None:
        self.users = 0
        self.ended = 0  # how many flights
        self.leader: Flight | None = None
        self.bells: list[Bell] = []


_lock = threading.Lock()  # guards the table, and what is in it
# By what a place is called. Two threads may have opened it each for itself; and where two places have one name, to wait
# for an equal call in the other one costs time, and nothing else.
_entries: dict[tuple[str, str], _Entry] = {}

_told: set[str] = set()  # of which places it was said that they cannot do it


class _Next(enum.Enum):
    """What comes after a look at the place of a record."""

    CLAIM = enum.auto()
    WAIT = enum.auto()
    COMPUTE = enum.auto()  # without a claim


class Flight:
    """One run's part in the computation of one key: it finds the result, waits for it, or is the one that computes it.

    Args:
        store: Where the result is kept.
        key: The cache key.
        run_id: Of the run.
        around: The ids of the runs around it. It does not wait for one of those: that waits for it.
        terms: On what terms other processes are kept from computing the same; None if they are not.
        say: Takes what the users should know of it: as of `logging`, a level, a text and its arguments.

    Attributes:
        spare: What was found and can still be used, where it is computed again before it expires.
        defers: Whether a run around this one computes the same, and is to keep it.
    """

    def __init__(
        self,
        store: ResultStore,
        key: str,
        *,
        run_id: str,
        around: Collection[str] = (),
        terms: Terms | None = None,
        say: Callable[..., None] = _logger.log,
    ) -> None:
        self._store = store
        self._path = record_path(key)
        self._place = (store.location, self._path)
        self._run_id = run_id
        self._around = around
        self._terms = terms
        self._say = say
        self._entry: _Entry | None = None
        self._lease: Lease | None = None
        self._holder = uuid.uuid4().hex if terms is not None else ""
        self._off = False
        self._bell = Bell()
        self._seen: tuple[str | None, float] = (None, 0.0)  # the tag of a claim, and since when
        self.spare: Lookup | None = None
        self.defers = False

    # --- before the work ----------------------------------------------------------------------------------------------

    def look(
        self, find: Callable[[], Lookup | None], *, is_early: Callable[[Record], bool] | None = None
    ) -> Lookup | None:
        """Return what is found, waiting for whoever computes it; None if this run is to compute it.

        Whatever it returns or raises, `let_go` is to be called in the end.

        Args:
            find: Returns the result if it is kept and can be used.
            is_early: Says whether a result that can be used is to be computed again all the same, by one run, while
                the others use it.

        Raises:
            EntrepotError: What `find` and the store raise.
        """
        while True:
            ended = self._enter()
            found = find()
            is_wanted = found is None or _wants(found, is_early)
            if not is_wanted:
                self._leave()
                return found
            leader = self._lead()
            if leader is not self:
                if found is not None:
                    self._leave()
                    return found  # another one sees to it
                if leader is not None and leader._run_id in self._around:  # noqa: SLF001  its own kind
                    self._say_own()
                    self._leave()
                    return None
                self._wait()
                if self._off:
                    return None
                continue
            if self._entry is not None and self._entry.ended != ended:
                found = find()  # somebody may have kept it between our look and our turn
                if found is not None and not _wants(found, is_early):
                    self._end()
                    return found
            found = self._claim(find, found, is_early)
            if found is not None:
                self._end()
            return found

    def _enter(self) -> int:
        """Note that this run looks at the key; return how many flights have ended since somebody did."""
        with _lock:
            if self._off:
                return 0
            if self._entry is None:
                entry = _entries.setdefault(self._place, _Entry())
                entry.users += 1
                self._entry = entry
            return self._entry.ended

    def _lead(self) -> "Flight | None":
        """Be the one in this process, unless there is one; return who is."""
        with _lock:
            entry = self._entry
            if entry is None or self._off:
                return None
            if entry.leader is None:
                entry.leader = self
            elif entry.leader is not self:
                entry.bells.append(self._bell)
            return entry.leader

    def _wait(self) -> None:
        entry = self._entry
        if entry is not None:
            wait_until(lambda: self._off or self._bell not in entry.bells, self._bell, heeds=True)

    def _end(self) -> None:
        """Lead no more, and tell those who wait."""
        with _lock:
            entry = self._entry
            if entry is not None and entry.leader is self:
                entry.leader = None
                entry.ended += 1
                bells, entry.bells = entry.bells, []
                for bell in bells:
                    bell.ring()
        self._leave()

    def _leave(self) -> None:
        with _lock:
            entry, self._entry = self._entry, None
            if entry is None:
                return
            if self._bell in entry.bells:
                entry.bells.remove(self._bell)
            entry.users -= 1
            if entry.users == 0 and _entries.get(self._place) is entry:
                del _entries[self._place]

    def _say_own(self) -> None:
        self.defers = True
        self._say(
            logging.WARNING,
            "It has the cache key of a run around it, which waits for it: it does not wait for that, computes the same,"
            " and leaves it to that run to keep it",
        )

    # --- across processes ---------------------------------------------------------------------------------------------

    def _claim(
        self, find: Callable[[], Lookup | None], found: Lookup | None, is_early: Callable[[Record], bool] | None
    ) -> Lookup | None:
        """Claim the key; return what is to be used instead, or None if this run computes it."""
        self.spare = found
        terms = self._terms
        storage = None if terms is None else _swapping(self._store)
        if terms is None or storage is None:
            return None
        data, tag = b"", None
        is_first = found is None  # then most often nothing is there: a write tells as well as a look
        pause = 0.0
        while not self._off:
            asked = time.monotonic()
            if not is_first:
                data, tag = self._read(storage)
            is_first = False
            claim = self._opened(data)
            if claim is not None and claim.holder == self._holder:  # the answer to our write was lost
                self._hold(storage, claim, tag or "", standing_in(data))
                return None
            if data and (claim is None or standing_in(data)):
                self.spare = found = find()
                if found is not None and not _wants(found, is_early):
                    return found
            step = self._step(data, tag, claim, terms)
            if step is _Next.COMPUTE or (step is _Next.CLAIM and self._take(storage, data, tag, claim, terms)):
                return None
            if step is _Next.WAIT and found is not None:
                return found  # another one sees to it
            answer = time.monotonic() - asked
            longest = min(max(_LONGEST, _LONGEST_ANSWERS * answer), _SLOWEST)
            pause = min(max(_FIRST, _FIRST_ANSWERS * answer, 1.5 * pause), longest)
            # So that those who wait do not wait in step.
            wait_until(lambda: self._off, self._bell, pause * random.uniform(0.5, 1), heeds=True)  # noqa: S311
        return None

    def _read(self, storage: SwapsConditionally) -> tuple[bytes, str | None]:
        try:
            content, tag = storage.get_tagged(self._path)
        except ObjectNotFoundError:
            return b"", None
        return bytes(content), tag

    def _take(self, storage: SwapsConditionally, data: bytes, tag: str | None, old: Claim | None, terms: Terms) -> bool:
        """Put a claim in the place of what is there; return False if another one was faster."""
        fence = 1 if old is None else old.fence + 1
        claim = Claim(self._holder, fence, 0, terms.seconds, process_token(terms.home), self._run_id)
        standing = standing_in(data) if is_claim(data) else data if self._record_in(data) is not None else b""
        sealed = seal_claim(claim, self._store.keys(), path=self._path, standing=standing)
        try:
            self._hold(storage, claim, storage.swap(self._path, sealed, tag), standing)
        except (ObjectExistsError, ObjectChangedError):
            return False
        except BaseException:  # it may be there
            give_back(Lease(storage, self._path, claim, None, standing=standing, keys=self._store.keys))
            raise
        return True

    def _opened(self, data: bytes) -> Claim | None:
        if not is_claim(data):
            return None
        keys, where = self._store.keys(), self._store.location
        # Who cannot be understood is waited for all the same, as long as there are signs of life.
        return open_claim(data, keys, path=self._path, location=where) or Claim("?")

    def _step(self, data: bytes, tag: str | None, claim: Claim | None, terms: Terms) -> _Next:
        """Decide what comes next, where the result is not to be used as it is."""
        if claim is None:
            return _Next.CLAIM if not data or self._may_replace(data) else _Next.COMPUTE
        if not claim.holder:
            return _Next.CLAIM
        if claim.run and claim.run in self._around:
            self._say_own()
            return _Next.COMPUTE
        seen, since = self._seen
        if seen != tag:
            self._seen = tag, time.monotonic()
        elif time.monotonic() - since >= claim.seconds:
            return self._take_over(claim, f"gave no sign of life for {claim.seconds:g} seconds")
        if claim.process and is_proven_dead(terms.home, claim.process):
            return self._take_over(claim, "is dead")
        return _Next.WAIT

    def _may_replace(self, data: bytes) -> bool:
        """Return whether a claim may stand in for what is there. The records of transactions say more than that."""
        found = self._record_in(data)
        if found is None:
            return True  # damaged: `find` has kept the evidence
        return isinstance(found, Record) and found.transaction is None and len(data) + MAX_CLAIM_SIZE <= MAX_RECORD_SIZE

    def _record_in(self, data: bytes) -> Record | Versioned | None:
        try:
            return open_record(data, self._store.keys(), path=self._path, location=self._store.location)
        except EntrepotError:
            return None

    def _take_over(self, claim: Claim, why: str) -> _Next:
        self._say(logging.INFO, "The run %s was computing the same, and %s: it is taken over", claim.run, why)
        return _Next.CLAIM

    def _hold(self, storage: SwapsConditionally, claim: Claim, tag: str, standing: bytes) -> None:
        lease = Lease(storage, self._path, claim, tag, standing=standing, keys=self._store.keys)
        with _lock:
            self._lease = lease
            is_off = self._off
        (give_back if is_off else renew_from_now_on)(lease)

    # --- after it -----------------------------------------------------------------------------------------------------

    @property
    def is_claimed(self) -> bool:
        """Whether its record goes in the place of a claim, and nowhere else."""
        return self._lease is not None

    def commit(self, prepared: Prepared) -> Record | None:
        """Put a record in the place of the claim.

        Returns:
            The record, or another one that is there and can be used; None where the claim was lost to another run,
            which has not kept its result yet: this run's is not kept.

        Raises:
            StorageError: If the store does not answer; it can be tried again.
        """
        lease = cast("Lease", self._lease)
        if not lease.commit(prepared.sealed):
            return self._store.usable(prepared.record)
        if lease.standing:  # a collection may have been about to delete that
            self._store.condemned.put_back(prepared.record.path, prepared.sealed)
        return self._store.settle(prepared)

    def let_go(self) -> None:
        """Have nothing to do with the key any more; what this run did not keep, another one computes.

        It does not wait for the store.
        """
        with _lock:
            self._off = True
            lease = self._lease
        self._bell.ring()
        if lease is not None:
            give_back(lease)
        self._end()


def _wants(found: Lookup, is_early: Callable[[Record], bool] | None) -> bool:
    return is_early is not None and found.record is not None and is_early(found.record)


def _swapping(store: ResultStore) -> SwapsConditionally | None:
    """Return the storage, if it can replace an object only if it is still the one that was read; else say so, once."""
    storage = store.storage
    if isinstance(storage, SwapsConditionally):
        return storage if storage.can_swap() else None  # it has said so itself
    if storage.location not in _told:
        _told.add(storage.location)
        _logger.warning(
            "%s cannot replace an object only if it is still the one that was read: equal calls in several processes do"
            " not wait for each other there",
            storage.location,
        )
    return None


def _after_fork_in_child() -> None:
    """Wait for nobody who stayed in the parent."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _entries.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
