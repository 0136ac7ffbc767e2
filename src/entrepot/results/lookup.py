"""What a look-up can find."""

import enum
from dataclasses import dataclass

from entrepot._frozen import quick
from entrepot._sentinels import MISSING
from entrepot.errors import EntrepotError
from entrepot.results.record import Record

__all__ = ["Lookup", "Outcome"]


class Outcome(enum.Enum):
    """The six answers of a result store."""

    HIT = "hit"
    MISS = "miss"
    EXPIRED = "expired"
    DAMAGED = "damaged"
    UNKNOWN_KEY = "unknown key"
    UNREACHABLE = "unreachable"


@quick
@dataclass(frozen=True, slots=True)
class Lookup:
    """What was found under one key.

    Attributes:
        outcome: Which of the six.
        path: Where the record is or would be, below the root of the store.
        record: What is known of it; None where there is none, or none that verifies.
        value: The value of a hit, which may well be None; else MISSING.
        detail: Why, for people; "" for a hit.
        error: What stands behind damaged, unknown key and unreachable.
        is_outdated: Whether it counts as expired because a file or folder that it refers to has changed.
        evidence: Where a copy of what is damaged is kept, for people; "" where none was made.
    """

    outcome: Outcome
    path: str
    record: Record | None = None
    value: object = MISSING
    detail: str = ""
    error: EntrepotError | None = None
    is_outdated: bool = False
    evidence: str = ""
