"""Single flight: of equal calls at one moment, one computes, and the others wait for what it keeps.

In one process they find each other in a table (see `meetings`), and wait for an event. Processes and machines find each
other by a claim in the place of the record (see `claims`), and look again and again, sooner at first. A claim is taken,
renewed, replaced by the record, and taken over by conditional writes only.
"""

import logging
import os
import random
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from entrepot._stops import wait_until
from entrepot.coordination.liveness import process_token
from entrepot.errors import (
    EntrepotError,
    IntegrityError,
    ObjectChangedError,
    ObjectExistsError,
)
from entrepot.protocols.storage import SwapsConditionally
from entrepot.results.claims import Claim, seal_claim, standing_in
from entrepot.results.evidence import keep_evidence
from entrepot.results.leases import Lease, give_back, renew_from_now_on
from entrepot.results.lookup import Lookup
from entrepot.results.meetings import Seat
from entrepot.results.patience import ENOUGH, Patience
from entrepot.results.prepared import Prepared
from entrepot.results.record import Record, record_path
from entrepot.results.store import ResultStore
from entrepot.results.watching import NOTHING, Next, Sight, Watch, told_of

__all__ = ["Flight", "Terms"]

_logger = logging.getLogger("entrepot.results")

_FIRST, _LONGEST = 0.01, 1.0  # seconds between two looks at a claim; longer where an answer takes long
_FIRST_ANSWERS, _LONGEST_ANSWERS = 5, 50  # the same in answers
_SLOWEST: Final = 2.0  # seconds, however long answers take
_LONGEST_NAME: Final = 100  # characters of a run's name in a claim


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a key is claimed across processes.

    Attributes:
        seconds: How long a claim may stay as it is before it counts as left behind.
        home: Where processes of this machine see whether others live.
    """

    seconds: float
    home: Path


_told: set[str] = set()  # of which places it was said that they cannot do it


class Flight:
    """One run's part in the computation of one key: it finds the result, waits for it, or is the one that computes it.

    Args:
        store: Where the result is kept.
        key: The cache key.
        run_id: Of the run.
        run_name: Of the run.
        around: The ids of the runs around it. It does not wait for one of those: that waits for it.
        terms: On what terms other processes are kept from computing the same; None if they are not.
        patience: For how long it waits.
        say: Takes what the users should know of it: as of `logging`, a level, a text and its arguments.

    Attributes:
        spare: What was found and can still be used, where it is computed again before it expires.
        defers: Whether a run around this one computes the same, and is to keep it.
        computed: To be set when the work is done: if its result is not kept, the next one's would not be either.
    """

    def __init__(
        self,
        store: ResultStore,
        key: str,
        *,
        run_id: str,
        run_name: str = "",
        around: Collection[str] = (),
        terms: Terms | None = None,
        patience: Patience | None = None,
        say: Callable[..., None] = _logger.log,
    ) -> None:
        self._store = store
        self._path = record_path(key)
        self._run_id = run_id
        self._run_name = run_name
        self._around = around
        self._terms = terms
        self._say = say
        self._patience = Patience(say) if patience is None else patience
        self._seat = Seat((store.location, self._path), run_id, self._who)
        self._works = False
        self._lease: Lease | None = None
        self._holder = uuid.uuid4().hex if terms is not None else ""
        self._pause = 0.0
        self._has_warned = False
        self.spare: Lookup | None = None
        self.defers = False
        self.computed = False

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
            UnknownKeyError: If a run computes the result that signs under a key that the ring lacks.
            EntrepotError: What `find` and the store raise.
            Exception: What patience raises when it ends.
        """
        seat = self._seat
        while True:
            ended = seat.enter()
            found = find()
            if _is_fine(found, is_early):
                seat.leave()
                return found
            leader = None if found is None and self._has_had_enough(seat.vain) else seat.lead()
            if leader is not seat:
                if leader is not None and found is None and not self._is_around(leader):
                    seat.wait(leader, self._patience)
                    if not seat.is_off:
                        continue
                seat.leave()
                return found  # if there is one, another one sees to it
            if seat.ended != ended:
                found = find()  # somebody may have kept it between our look and our turn
            if not _is_fine(found, is_early):
                found = self._claim(find, found, is_early)
            if found is not None:
                seat.end()
            return found

    def _is_around(self, leader: Seat) -> bool:
        if leader.run_id not in self._around:
            return False
        self._say_own()
        return True

    def _has_had_enough(self, vain: int) -> bool:
        if vain < ENOUGH:
            return False
        self._say_enough()
        return True

    def _who(self) -> str:
        name = repr(self._run_name[:_LONGEST_NAME]) if self._run_name else ""
        since = self._store.clock.now().isoformat(timespec="seconds")
        return f"run {name} ({self._run_id}) on {os.uname().nodename}, process {os.getpid()}, since {since}"

    def _say_own(self) -> None:
        self.defers = True
        self._say(
            logging.WARNING,
            "It has the cache key of a run around it, which waits for it: it does not wait for that, computes the same,"
            " and leaves it to that run to keep it",
        )

    def _say_enough(self) -> None:
        self._say(
            logging.INFO,
            "It has waited for others that computed the same and failed, or did not keep it: it computes now without"
            " waiting, as all do that wait with it",
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
            self._works = True
            return None
        watch = Watch(self._store, self._path, around=self._around, home=terms.home)
        is_first = found is None  # then most often nothing is there: a write tells as well as a look
        while not self._seat.is_off:
            asked = time.monotonic()
            try:
                sight = NOTHING if is_first else watch.look(storage)
            except IntegrityError:  # it holds nobody up, and what is computed replaces it
                self.spare = found = find()
                self._works = not _is_fine(found, is_early)
                return None if self._works else found
            is_first = False
            if sight.claim is not None and sight.claim.holder == self._holder:  # the answer to our write was lost
                self._hold(storage, sight.claim, sight.tag or "", sight.standing)
                break
            # Also where nothing changed: what is there may be a transaction's, which is committed elsewhere.
            if sight.has_more:
                self.spare = found = find()
                if _is_fine(found, is_early):
                    return found
            step, why = watch.judge(sight, vain=self._seat.vain, has_spare=found is not None)
            if step is Next.WAIT and found is not None:
                return found  # another one sees to it
            if step is not Next.WAIT and self._goes(step, why, storage, sight, terms):
                break
            self._wait(sight, time.monotonic() - asked)
        return None

    def _goes(self, step: Next, why: str, storage: SwapsConditionally, sight: Sight, terms: Terms) -> bool:
        """Take the next step; return whether this run computes then."""
        if step is Next.ALL_COMPUTE:
            self._say_enough()
            self._seat.end(ENOUGH)
            return True
        if step is Next.LEAVE_TO_CALLER:
            self._say_own()
            return True
        if step is Next.CLAIM:
            if sight.problem is not None:
                self._warn_of(sight.problem, sight)
            if why and sight.claim is not None:
                self._say(
                    logging.INFO, "The %s was computing the same, and %s: it is taken over", told_of(sight.claim), why
                )
            if not self._take(storage, sight, terms):
                return False
        self._works = True
        return True

    def _wait(self, sight: Sight, answer: float) -> None:
        """Wait until it is time to look again, as far as patience goes.

        Args:
            sight: What was there.
            answer: How many seconds the store took to say so.
        """
        if sight.claim is not None:
            self._seat.who = told_of(sight.claim)
        longest = min(max(_LONGEST, _LONGEST_ANSWERS * answer), _SLOWEST)
        self._pause = min(max(_FIRST, _FIRST_ANSWERS * answer, 1.5 * self._pause), longest)
        # So that those who wait do not wait in step.
        most = self._patience.most(self._pause * random.uniform(0.5, 1))  # noqa: S311  the same
        wait_until(lambda: self._seat.is_off, self._seat.bell, most, heeds=True)
        self._patience.look(self._seat.who)

    def _take(self, storage: SwapsConditionally, sight: Sight, terms: Terms) -> bool:
        """Put a claim in the place of what is there; return False if another one was faster."""
        fence, vain = (1, 0) if sight.claim is None else (sight.claim.fence + 1, sight.claim.vain)
        token = process_token(terms.home)
        claim = Claim(self._holder, fence, 0, terms.seconds, token, self._run_id, vain, self._who())
        sealed = seal_claim(claim, self._store.keys(), path=self._path, standing=sight.standing)
        try:
            self._hold(storage, claim, storage.swap(self._path, sealed, sight.tag), sight.standing)
        except (ObjectExistsError, ObjectChangedError):
            return False
        except BaseException:  # it may be there
            give_back(self._leased(storage, claim, None, sight.standing))
            raise
        return True

    def _warn_of(self, problem: EntrepotError, sight: Sight) -> None:
        """Say that a claim does not verify; once, and not where `find` has said so of all that is there."""
        if self._has_warned or (sight.record is None and standing_in(sight.data)):
            return
        self._has_warned = True
        kept = keep_evidence(self._store.storage, self._path)
        self._say(
            logging.WARNING,
            "What says that another run computes the same was not written by one: it is not waited for, and replaced"
            " (%s). %s",
            problem,
            f"What was found is kept in {kept}." if kept else "No copy of it could be kept.",
        )

    def _hold(self, storage: SwapsConditionally, claim: Claim, tag: str, standing: bytes) -> None:
        self._works, self._seat.who = True, claim.who
        self._lease = lease = self._leased(storage, claim, tag, standing)
        # First this, then the look; `let_go` does it the other way round: one of both sees the other.
        (give_back if self._seat.is_off else renew_from_now_on)(lease)

    def _leased(self, storage: SwapsConditionally, claim: Claim, tag: str | None, standing: bytes) -> Lease:
        keys, restores = self._store.keys, self.spare is not None
        return Lease(storage, self._path, claim, tag, standing=standing, keys=keys, restores=restores)

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
        self._seat.close()
        lease, vain = self._lease, 0
        if self._works and not (lease is not None and lease.lost):  # else another one has it already
            vain = ENOUGH if self.computed or (lease is not None and lease.done) else 1
        if lease is not None:
            lease.vain = vain
            give_back(lease)
        self._seat.end(vain)


def _is_fine(found: Lookup | None, is_early: Callable[[Record], bool] | None) -> bool:
    """Return whether what is found is to be used, and not to be computed again."""
    return found is not None and (is_early is None or found.record is None or not is_early(found.record))


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
