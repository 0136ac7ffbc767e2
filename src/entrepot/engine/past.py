"""What a run may take over from runs before it: those that it resumes, or the one that it does again in part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

__all__ = ["SNAPSHOTS", "Held", "Past", "Reuse"]

SNAPSHOTS: Final = "snapshots"
"""The folder in the home with what another process needs to resume each flow run."""


class Held(Protocol):
    """Something that is held until it is released."""

    def release(self) -> None:
        """Let others have it."""
        ...


@dataclass(frozen=True, slots=True)
class Reuse:
    """What is taken over of a run that is done again from one of its tasks on: what had completed before that began.

    Attributes:
        root_id: The root of that run.
        task_run_id: The task run, or subflow run, from which on all is computed anew.
        keys: The keys of the results that had been found or kept by then.
        until: When it began: what was kept under one of the keys later is another result.
    """

    root_id: str
    task_run_id: str
    keys: Collection[str]
    until: datetime

    def allows(self, key: str, created: datetime, kept_by: Mapping[str, str], root_id: str) -> bool:
        """Return whether a result may be used by a run of the line `root_id`.

        Args:
            key: What it is kept under.
            created: When it was kept.
            kept_by: What its record says of the run that kept it.
            root_id: The line of the run that wants it.
        """
        return kept_by.get("root") == root_id or (key in self.keys and created <= self.until)


@dataclass(frozen=True, slots=True)
class Past:
    """What a top-level flow run, and every run below it, takes over.

    Attributes:
        root_id: The root of the line of runs that it continues; None where it begins one.
        resumes: The run that it resumes, or None.
        reuse: Of a run that does another one again in part, what it takes over; else None.
        claim: Held until the run ends, so that no other process resumes the same; or None.
    """

    root_id: str | None = None
    resumes: str | None = None
    reuse: Reuse | None = None
    claim: Held | None = None
