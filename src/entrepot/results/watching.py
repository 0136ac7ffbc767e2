"""What a run makes of what is in the place of a record: whether somebody computes that, and is to be waited for."""

import enum
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from entrepot.coordination.liveness import is_proven_dead
from entrepot.errors import EntrepotError, IntegrityError, ObjectNotFoundError, UnknownKeyError
from entrepot.protocols.storage import SwapsConditionally
from entrepot.results.claims import MAX_CLAIM_SIZE, Claim, is_claim, open_claim, standing_in
from entrepot.results.leases import is_being_given_back
from entrepot.results.patience import ENOUGH
from entrepot.results.record import MAX_RECORD_SIZE, Record, Versioned, open_record
from entrepot.results.store import ResultStore

__all__ = ["NOTHING", "Next", "Sight", "Watch", "told_of"]

_STRANGER: Final = "?"  # the holder, where a newer version signed the claim
_MOST: Final = 1000  # places of which it is remembered
_seen: dict[tuple[str, str], tuple[str, int, float]] = {}  # holder, beat, and when that was first seen


class Next(enum.Enum):
    """What comes after a look at the place of a record."""

    CLAIM = enum.auto()
    WAIT = enum.auto()
    COMPUTE = enum.auto()  # without a claim
    LEAVE_TO_CALLER = enum.auto()  # the same: a run around this one has the key
    ALL_COMPUTE = enum.auto()  # the same, and so does who waits for this run in its process


@dataclass(frozen=True, slots=True)
class Sight:
    """What is in the place of a record.

    Attributes:
        data: All of it; b"" if there is nothing.
        tag: Its tag.
        claim: What it says, if it is the claim of a run.
        problem: Why a claim is not believed.
        record: What counts of it, if that verifies: the record itself, or what is below a claim.
        standing: The bytes of that.
    """

    data: bytes
    tag: str | None
    claim: Claim | None
    problem: EntrepotError | None
    record: Record | Versioned | None
    standing: bytes

    @property
    def has_more(self) -> bool:
        """Whether there is more than a claim that verifies."""
        return bool(self.data) and (self.claim is None or bool(standing_in(self.data)))


NOTHING: Final = Sight(b"", None, None, None, None, b"")


class Watch:
    """One run's eye on one place. It decides, and does nothing.

    Args:
        store: Where the result is kept.
        path: Of its record.
        around: The ids of the runs around the run.
        home: Where processes of this machine see whether others live.
    """

    def __init__(self, store: ResultStore, path: str, *, around: Collection[str], home: Path) -> None:
        self._store = store
        self._path = path
        self._where = f"{store.location.rstrip('/')}/{path}"
        self._around = around
        self._home = home
        self._beats: dict[str, int] = {}  # of each holder that was seen, the last sign of life
        self._silent_since = 0.0
        self._vain_from: int | None = None  # what the first claim said
        self._under: bytes | None = None  # the record below the claim that is waited for

    def look(self, storage: SwapsConditionally) -> Sight:
        """Return what is there now.

        Raises:
            IntegrityError: If nobody of ours wrote it: it is too large, or does not decrypt.
            StorageError: If the store does not answer.
        """
        try:
            content, tag = storage.get_tagged(self._path, limit=MAX_RECORD_SIZE)
        except ObjectNotFoundError:
            return NOTHING
        data = bytes(content)
        claim, problem = self._claim_in(data) if is_claim(data) else (None, None)
        record = self._record_in(data)
        # What does not verify is not to be kept below a claim that does.
        standing = b"" if record is None else standing_in(data) if is_claim(data) else data
        return Sight(data, tag, claim, problem, record, standing)

    def _claim_in(self, data: bytes) -> tuple[Claim | None, EntrepotError | None]:
        try:
            claim = open_claim(data, self._store.keys(), path=self._path, location=self._where)
        except IntegrityError as error:
            return None, error
        except UnknownKeyError as error:
            return None, UnknownKeyError(
                f"{self._where} says that a run computes this result which signs under a key that is not known here, so"
                f" that its result could not be used: it is neither waited for nor replaced: {error}",
                key_id=error.key_id,
                location=self._where,
            )
        return claim or Claim(_STRANGER), None  # who has the keys, and cannot be understood, is waited for all the same

    def _record_in(self, data: bytes) -> Record | Versioned | None:
        try:
            return open_record(data, self._store.keys(), path=self._path, location=self._where)
        except EntrepotError:
            return None

    def judge(self, sight: Sight, *, vain: int, has_spare: bool) -> tuple[Next, str]:
        """Decide what comes next, where the result is not to be used as it is.

        Args:
            sight: What is there.
            vain: For how many computations those count that came to nothing in this process meanwhile.
            has_spare: Whether there is a result that can be used all the same.

        Returns:
            That, and why a claim is to be taken over.

        Raises:
            UnknownKeyError: If whoever computes it signs under a key that the ring lacks, and there is no spare.
        """
        claim = sight.claim
        if isinstance(sight.problem, UnknownKeyError):
            if has_spare:
                return Next.WAIT, ""
            raise sight.problem
        if claim is None:
            return self._without_claim(sight), ""
        if claim.holder and is_being_given_back(claim.holder):
            return Next.WAIT, ""  # by this process, in a moment
        why = self._left_behind(claim, sight.tag, stays=not has_spare) if claim.holder else ""
        self._vain_from = claim.vain if self._vain_from is None else min(claim.vain, self._vain_from)
        if not has_spare and vain + claim.vain - self._vain_from >= ENOUGH:
            step = Next.ALL_COMPUTE
        elif claim.holder and claim.run and claim.run in self._around:
            step = Next.LEAVE_TO_CALLER
        elif claim.holder and not why:
            self._under = sight.standing
            step = Next.WAIT
        else:
            step = Next.CLAIM
        return step, why

    def _without_claim(self, sight: Sight) -> Next:
        record = sight.record
        if record is None:
            return Next.CLAIM  # nothing, or damaged, or the claim of a stranger
        if not isinstance(record, Record) or record.transaction is not None:
            return Next.COMPUTE  # the records of transactions say more than a claim could stand in for
        if self._under is not None and sight.data != self._under:
            return Next.ALL_COMPUTE  # what this run waited for is there, and of no use to it, nor to the others
        return Next.CLAIM if len(sight.data) + MAX_CLAIM_SIZE <= MAX_RECORD_SIZE else Next.COMPUTE

    def _left_behind(self, claim: Claim, tag: str | None, *, stays: bool) -> str:
        """Return why nobody computes any more who has a claim; "" while somebody may.

        Args:
            claim: The claim.
            tag: Of what is there.
            stays: Whether this run looks again if somebody may. Else it looks only once, and the next run of this
                process goes on from what this one saw.
        """
        holder = f"{tag}" if claim.holder == _STRANGER else claim.holder
        # To put an old claim back is no sign of life: who cannot sign makes nobody wait for long.
        now = time.monotonic()
        if claim.beat > self._beats.get(holder, -1):
            self._beats[holder] = claim.beat
            place = (self._store.location, self._path)
            self._silent_since = now if stays else _first_seen(place, holder, claim.beat, now)
        if now - self._silent_since >= claim.seconds:
            return f"gave no sign of life for {claim.seconds:g} seconds"
        return "is dead" if claim.process and is_proven_dead(self._home, claim.process) else ""


def _first_seen(place: tuple[str, str], holder: str, beat: int, now: float) -> float:
    """Return when a run of this process that did not stay has first seen this sign of life; now, if none has."""
    known = _seen.get(place)
    if known is None or known[0] != holder or beat > known[1]:
        if len(_seen) >= _MOST:
            _seen.clear()  # one step, whatever other threads do
        _seen[place] = known = (holder, beat, now)
    return known[2]


def told_of(claim: Claim) -> str:
    """Return whose a claim is, for people."""
    return claim.who or f"run {claim.run or 'of a newer version'}"
