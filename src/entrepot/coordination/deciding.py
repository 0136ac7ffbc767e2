"""Who gets slots, decided by one pure function: from what is held, who waits, and what the time is.

A limit has so many slots. A claim wants some of one limit or of several, all or nothing. Who holds slots gives them
back at the end; what a rate limit gives comes back by itself, so many slots a second: `level` says how many are out.

Claims wait in the order in which they came. One that came later may go first only where it takes nothing from those
before it: where there is room for all of them, or where they wait (through however many others) for slots that the
code around the later claim itself holds. Insisting on the order would then be a deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Claim", "Limit", "Verdict", "decide"]

_DUST: Final = 1e-9  # slots: what adding and subtracting fractions may leave


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it is set, and how much of its rate is out.

    Attributes:
        name: Of the limit.
        slots: How many there are; 0 lets nobody in.
        decay: How many slots come back by themselves in a second; 0 where it is no rate limit.
        active: Whether it limits anything now.
        level: How many slots were out by its rate at `level_at`.
        level_at: Seconds of the monotonic clock.
    """

    name: str
    slots: int
    decay: float = 0.0
    active: bool = True
    level: float = 0.0
    level_at: float = 0.0

    def level_now(self, now: float) -> float:
        """Return how many slots are out by its rate.

        A clock that went back (the machine was started anew) counts as one that stood still: nothing comes back early.
        """
        return max(0.0, self.level - self.decay * max(0.0, now - self.level_at))

    def taken(self, slots: int, now: float) -> "Limit":
        """Return the limit after so many more slots were given out by its rate."""
        return replace(self, level=self.level_now(now) + slots, level_at=now)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody who waits for slots, or holds some.

    Attributes:
        claim_id: Tells it from every other.
        number: Its place: claims that came earlier have lower ones.
        wants: How many slots of which limits.
        granted: Whether it holds them.
        around: The claims that the code around it holds: they are not given back before it is through.
    """

    claim_id: str
    number: int
    wants: Mapping[str, int]
    granted: bool = False
    around: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim is told.

    Attributes:
        granted: Whether it gets its slots now.
        seconds: When there will be room, where only the rate of its limits is in the way; else None.
        short: The limits that have no room for it.
        ahead: How many came earlier and go first.
    """

    granted: bool
    seconds: float | None = None
    short: Sequence[str] = ()
    ahead: int = 0


def decide(claim: Claim, claims: Iterable[Claim], limits: Mapping[str, Limit], now: float) -> Verdict:
    """Decide whether a claim that waits gets its slots now.

    Args:
        claim: The claim.
        claims: All others that hold or wait; the claim itself may be among them.
        limits: All limits by name. A name that is not among them, or is not active, limits nothing.
        now: Seconds of the monotonic clock.
    """
    queue = _Queue([other for other in claims if other.claim_id != claim.claim_id], limits, now)
    ahead = queue.ahead(claim)
    lacking = {}
    for name in queue.limited(claim):
        wanted = claim.wants[name] + sum(other.wants.get(name, 0) for other in ahead)
        lack = queue.out[name] + wanted - limits[name].slots
        if lack > _DUST:
            lacking[name] = lack
    if not lacking:
        return Verdict(granted=True)
    by_rate = [lack / limits[name].decay for name, lack in lacking.items() if queue.is_only_rate(name)]
    seconds = max(by_rate) if len(by_rate) == len(lacking) else None
    return Verdict(granted=False, seconds=seconds, short=tuple(lacking), ahead=len(ahead))


class _Queue:
    """All claims at one moment.

    Attributes:
        out: How many slots of each limit are out.
    """

    def __init__(self, claims: Sequence[Claim], limits: Mapping[str, Limit], now: float) -> None:
        self._limits = limits
        self._waiting = [claim for claim in claims if not claim.granted]
        self._holding: dict[str, list[Claim]] = {}
        self.out = {name: limit.level_now(now) for name, limit in limits.items()}
        for claim in claims:
            if claim.granted:
                for name in self.limited(claim):
                    self._holding.setdefault(name, []).append(claim)
                    self.out[name] += claim.wants[name]

    def limited(self, claim: Claim) -> list[str]:
        """Return the names that limit a claim."""
        return [name for name in claim.wants if name in self._limits and self._limits[name].active]

    def is_only_rate(self, name: str) -> bool:
        """Return whether the slots of a limit that are out come back at a known time."""
        return self._limits[name].decay > 0 and not self._holding.get(name)

    def ahead(self, claim: Claim) -> list[Claim]:
        """Return who came before a claim, wants slots of the same limits, and goes first."""
        names = set(self.limited(claim))
        return [
            other
            for other in self._waiting
            if other.number < claim.number
            and not names.isdisjoint(other.wants)
            and self._can_be_served(other)
            and not self._waits_for(other, claim)
        ]

    def _can_be_served(self, claim: Claim) -> bool:
        """Return whether a claim can ever get what it wants: if not, it keeps nothing back for itself."""
        return all(claim.wants[name] <= self._limits[name].slots for name in self.limited(claim))

    def _waits_for(self, first: Claim, claim: Claim) -> bool:
        """Return whether one claim waits, through however many others, for slots that the code around another holds."""
        if not claim.around:
            return False
        seen: set[str] = set()
        to_see = [first]
        while to_see:
            waiting = to_see.pop()
            if waiting.claim_id in seen:
                continue
            seen.add(waiting.claim_id)
            for name in self.limited(waiting):
                to_see += [other for other in self._before(waiting) if name in other.wants]
                if self.out[name] + waiting.wants[name] <= self._limits[name].slots + _DUST:
                    continue  # no holder is in its way
                for holder in self._holding.get(name, ()):
                    if holder.claim_id in claim.around:
                        return True
                    to_see += [other for other in self._waiting if holder.claim_id in other.around]
        return False

    def _before(self, claim: Claim) -> list[Claim]:
        return [other for other in self._waiting if other.number < claim.number]
