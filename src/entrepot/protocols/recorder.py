"""Who is told what happens to runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

__all__ = ["Recorder", "RunCreated", "RunEvent", "RunKind", "RunTransition"]

RunKind: TypeAlias = Literal["flow", "task"]


@dataclass(frozen=True, slots=True)
class RunCreated:
    """A run came into being.

    Attributes:
        run_id: A UUID, as text.
        kind: "flow" or "task".
        name: The run's own name (`brave-otter`, `extract-3`).
        definition: The name of its flow or task.
        key: The stable identity of its flow or task (module and qualified name).
        flow_run_id: The flow run that it is part of, or None.
        parent_run_id: The run that called it, or None.
        parameters: Short printable forms of its parameters; secrets masked.
        tags: Sorted.
        created: When, in UTC.
        process_id: The process that runs it.
    """

    run_id: str
    kind: RunKind
    name: str
    definition: str
    key: str
    created: datetime
    flow_run_id: str | None = None
    parent_run_id: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    process_id: int = 0


@dataclass(frozen=True, slots=True)
class RunTransition:
    """A run entered a state.

    Attributes:
        transition_id: Made by the author, so that saying it twice changes nothing.
        run_id: Which run.
        epoch: The attempt, from 1; what an older attempt says after a newer one began is refused.
        state_type: `RUNNING`, `COMPLETED`, ...
        state_name: `Running`, `Cached`, `Retrying`, ...
        timestamp: When, in UTC.
        message: For people; secrets masked.
        cache_key: The key that the result was found or kept under, or None.
        result_location: Where the result lies, for people, or None.
    """

    transition_id: str
    run_id: str
    epoch: int
    state_type: str
    state_name: str
    timestamp: datetime
    message: str = ""
    cache_key: str | None = None
    result_location: str | None = None


RunEvent: TypeAlias = RunCreated | RunTransition


class Recorder(Protocol):
    """Keeps the history of runs. `record` is on the hot path: it must not wait for a disk or a network, nor raise."""

    def record(self, event: RunEvent) -> None:
        """Take note; the event is written soon, in the order given."""
        ...

    def flush(self) -> bool:
        """Wait until every event recorded so far is durable; return whether it is. Never raises."""
        ...

    def close(self) -> None:
        """Flush and let go of files and threads. Events recorded afterwards open it again."""
        ...
