"""What a check of plugins finds."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["LONGEST", "Finding", "Outcome"]

Outcome: TypeAlias = Literal["passed", "failed", "skipped"]

LONGEST = 300
"""Characters of what a test or a process said that are kept."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        group: The entry point group; "" for what concerns the whole distribution.
        name: The plugin's name.
        check: What was looked at: "manifest", "loads", or the name of a test.
        outcome: "passed", "failed" or "skipped".
        detail: What was wrong, or why it was skipped.
    """

    group: str
    name: str
    check: str
    outcome: Outcome
    detail: str = ""
