"""Who is told what happens to runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from entrepot._frozen import quick

__all__ = ["ArtifactKept", "Heartbeat", "LogLine", "Recorder", "RunCreated", "RunEvent", "RunKind", "RunTransition"]

RunKind: TypeAlias = Literal["flow", "task"]


@quick
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
        process: What tells that process from every other: a UUID, as text; "" where it is not known.
        root_run_id: For flows: the first run of a line of runs that resume one another; None for itself.
        version: The user's own version of the flow or task, or None.
        entrypoint: For flows: where another process finds it, `folder/file.py:name` or `package.module:name`; or None.
        upstream: The runs whose results it took.
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
    process: str = ""
    root_run_id: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    upstream: Sequence[str] = ()


@quick
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


@dataclass(frozen=True, slots=True)
class LogLine:
    """A run wrote a line to its log.

    Attributes:
        run_id: Which run.
        timestamp: When, in UTC.
        level: As of `logging`: 20 is INFO.
        logger: The name of the logger.
        message: The formatted line with its traceback, secrets masked.
        flow_run_id: The flow run that it is part of (itself, where it is one), or None.
    """

    run_id: str
    timestamp: datetime
    level: int
    logger: str
    message: str
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactKept:
    """A run made an artifact, or changed it: of one id, what was said last counts; an empty description changes none.

    Attributes:
        artifact_id: A UUID, as text.
        type: "table", "markdown", "link", "image" or "progress".
        data: JSON.
        timestamp: When, in UTC.
        key: The name that versions of it share (`a-z`, `0-9`, `-`), or None.
        description: For people, in Markdown.
        run_id: The run whose code made it, or None.
        flow_run_id: The flow run that it is part of, or None.
    """

    artifact_id: str
    type: str
    data: str
    timestamp: datetime
    key: str | None = None
    description: str = ""
    run_id: str | None = None
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A process that runs flows lives.

    Attributes:
        process: What tells it from every other: a UUID, as text.
        process_id: Its number on its host.
        host: The host's name.
        started: When it began to run flows, in UTC.
        timestamp: When it said so, in UTC.
    """

    process: str
    process_id: int
    host: str
    started: datetime
    timestamp: datetime


RunEvent: TypeAlias = RunCreated | RunTransition | LogLine | ArtifactKept | Heartbeat


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
