"""What a run may do next: one pure function, for the local recorder now and for a server later.

The laws, which the tests hold to:

1. Said twice is said once: a transition whose id is known changes nothing.
2. Terminal states absorb: nothing leaves them, in any attempt.
3. Attempts only count up: what an older attempt says after a newer one began is refused.
4. Within an attempt only the edges below are legal. An attempt may begin in any state, from any that is not terminal:
   it was scheduled, is pending, runs, or ended at once (its result was found, its upstream failed, its process died).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["EDGES", "TERMINAL", "Intent", "Reason", "Rejection", "RunView", "Transition", "decide"]

TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})

EDGES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        # Scheduled -> Late, Scheduled -> AwaitingRetry and the like only change the name.
        "SCHEDULED": frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}) | TERMINAL,
        "PENDING": frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}) | TERMINAL,
        # Running -> AwaitingRetry is SCHEDULED. Running -> Running is no edge: only a new attempt starts again.
        "RUNNING": frozenset({"SCHEDULED", "PAUSED", "CANCELLING"}) | TERMINAL,
        "PAUSED": frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}) | TERMINAL,
        # What was told to stop may be done before it hears of it.
        "CANCELLING": frozenset({"CANCELLING"}) | TERMINAL,
        **dict.fromkeys(TERMINAL, frozenset[str]()),
    }
)
"""From the type of a state to the types that may follow in the same attempt."""


@dataclass(frozen=True, slots=True)
class RunView:
    """What is known of a run.

    Attributes:
        epoch: The newest attempt that began; 0 before the first transition.
        state_type: The type of the state that it is in, or None before the first transition.
        known: Ids of transitions that were taken, at least those that might be said again.
    """

    epoch: int = 0
    state_type: str | None = None
    known: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Intent:
    """What a run wants to do next.

    Attributes:
        transition_id: Made by the author, once for each transition however often it is said.
        epoch: The attempt that says it, from 1.
        state_type: `RUNNING`, `COMPLETED`, ...
    """

    transition_id: str
    epoch: int
    state_type: str


@dataclass(frozen=True, slots=True)
class Transition:
    """The run does it.

    Attributes:
        epoch: The attempt that the run is in now.
        state_type: The type of the state that the run is in now.
        begins_attempt: Whether this is the first word of a new attempt.
    """

    epoch: int
    state_type: str
    begins_attempt: bool


class Reason(StrEnum):
    """Why a run may not do it."""

    REPEATED = "repeated"
    UNKNOWN_STATE = "unknown state"
    TERMINAL = "terminal"
    OLDER_ATTEMPT = "older attempt"
    ILLEGAL = "illegal"


@dataclass(frozen=True, slots=True)
class Rejection:
    """The run does not do it, and stays as it is.

    Attributes:
        reason: Which law says so.
        message: The same, for people.
    """

    reason: Reason
    message: str


def decide(run: RunView, intent: Intent) -> Transition | Rejection:
    """Return what becomes of an intent; nothing else is read, and nothing is changed.

    Args:
        run: What is known of the run.
        intent: What it wants to do next.
    """
    if intent.transition_id in run.known:
        return Rejection(Reason.REPEATED, "it was said before, and taken then")
    if intent.state_type not in EDGES or intent.epoch < 1:
        return Rejection(
            Reason.UNKNOWN_STATE,
            f"attempt {intent.epoch} in state {intent.state_type!r} is none; attempts count from 1, and states are "
            + ", ".join(EDGES),
        )
    if run.state_type in TERMINAL:
        return Rejection(Reason.TERMINAL, f"the run ended as {run.state_type}, which nothing leaves")
    if intent.epoch < run.epoch:
        return Rejection(
            Reason.OLDER_ATTEMPT, f"attempt {intent.epoch} speaks, but attempt {run.epoch} has begun since"
        )
    begins = intent.epoch > run.epoch
    if not begins and run.state_type is not None and intent.state_type not in EDGES[run.state_type]:
        return Rejection(
            Reason.ILLEGAL, f"{intent.state_type} does not follow {run.state_type} in attempt {intent.epoch}"
        )
    return Transition(intent.epoch, intent.state_type, begins)
