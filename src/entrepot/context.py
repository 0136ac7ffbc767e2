"""Which run the current code is part of, and which tags runs get here.

Code in a thread is part of the run that started the thread, or that gave the work to a `ThreadPoolExecutor`: until
that run is over, and unless it is the code of a run of its own. For other ways into another thread there is `inherit`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, TypeAlias, TypeVar

from entrepot._frozen import quick
from entrepot._inherited import InheritedVar, carrying
from entrepot.errors import MissingContextError, OptionError

__all__ = [
    "CURRENT",
    "TAGS",
    "TRANSACTION",
    "FlowRun",
    "FlowRunContext",
    "RunContext",
    "TaskRun",
    "TaskRunContext",
    "get_run_context",
    "inherit",
    "tags",
]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FlowRun:
    """What code inside a flow run may know of it.

    Attributes:
        id: A UUID, as text.
        name: `brave-otter`.
        flow_name: The name of its flow.
        run_count: The attempt, from 1.
        start_time: When this attempt began, in UTC.
        parameters: As the flow function got them.
        tags: Sorted.
        parent_run_id: The run that called it, or None.
    """

    id: str
    name: str
    flow_name: str
    run_count: int
    start_time: datetime
    parameters: Mapping[str, Any] = field(repr=False)
    tags: Sequence[str] = ()
    parent_run_id: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class TaskRun:
    """What code inside a task run may know of it.

    Attributes:
        id: A UUID, as text.
        name: `extract-3`.
        task_key: The stable identity of its task: module and qualified name.
        run_count: The attempt, from 1.
        start_time: When this attempt began, in UTC.
        tags: Sorted.
        flow_run_id: The flow run that it is part of, or None.
        parent_run_id: The run that called it, or None.
    """

    id: str
    name: str
    task_key: str
    run_count: int
    start_time: datetime
    tags: Sequence[str] = ()
    flow_run_id: str | None = None
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FlowRunContext:
    """The surroundings of the code of a flow.

    Attributes:
        flow: The flow.
        flow_run: Its run.
        parameters: As the flow function got them.
        start_time: When this attempt began, in UTC.
        log_prints: Whether `print` goes to the run's log.
        engine: The engine's own notes on the run; not for others.
    """

    flow: Any
    flow_run: FlowRun
    parameters: Mapping[str, Any] = field(repr=False)
    start_time: datetime
    log_prints: bool = False
    engine: Any = field(default=None, repr=False)

    @classmethod
    def get(cls) -> "FlowRunContext | None":
        """Return the context of the nearest enclosing flow run, or None."""
        context = CURRENT.get()
        return context.flow_run_context if isinstance(context, TaskRunContext) else context


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TaskRunContext:
    """The surroundings of the code of a task.

    Attributes:
        task: The task.
        task_run: Its run.
        parameters: As the task function got them.
        start_time: When this attempt began, in UTC.
        flow_run_context: The context of the flow run that it is part of, or None.
        log_prints: Whether `print` goes to the run's log.
        engine: The engine's own notes on the run; not for others.
    """

    task: Any
    task_run: TaskRun
    parameters: Mapping[str, Any] = field(repr=False)
    start_time: datetime
    flow_run_context: FlowRunContext | None = None
    log_prints: bool = False
    engine: Any = field(default=None, repr=False)

    @classmethod
    def get(cls) -> "TaskRunContext | None":
        """Return the context of the task run whose own code this is, or None."""
        context = CURRENT.get()
        return context if isinstance(context, TaskRunContext) else None


RunContext: TypeAlias = FlowRunContext | TaskRunContext

CURRENT: InheritedVar[RunContext | None] = InheritedVar("entrepot_run", default=None, weak=True)
"""The innermost run's context; the engine's drivers set it around user code."""


def get_run_context() -> RunContext:
    """Return the context of the run whose code this is: that of the innermost task or flow.

    Raises:
        MissingContextError: Outside runs.
    """
    context = CURRENT.get()
    if context is None:
        raise MissingContextError("no flow or task is running here; call this from the code of a flow or a task")
    return context


def inherit(call: Callable[P, R]) -> Callable[P, R]:
    """Return a function that is a part of the run that is current now, whatever thread it is called in.

    Threads and `ThreadPoolExecutor`s do this by themselves; this is for callbacks that a library calls from threads of
    its own::

        consumer.subscribe(on_message=inherit(handle))

    When the run is over, the function is called as outside of runs.
    """
    return carrying(call)


TAGS: InheritedVar[frozenset[str]] = InheritedVar("entrepot_tags", default=frozenset())
"""The tags that runs created here get, beside their definition's own."""


TRANSACTION: InheritedVar[Any] = InheritedVar("entrepot_transaction", default=None, weak=True)
"""The innermost `Transaction` that the current code is part of, or None."""


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Give tags to every run that is created in the body of the `with`.

    Args:
        *names: The tags; they are added to those of an enclosing `tags(...)`.

    Raises:
        OptionError: If one of them is no text.
    """
    if not all(isinstance(name, str) and name for name in names):
        raise OptionError(f"tags are texts, not {names!r}; write tags('nightly', 'eu')", option="tags")
    token = TAGS.set(TAGS.get().union(names))
    try:
        yield TAGS.get()
    finally:
        TAGS.reset(token)
