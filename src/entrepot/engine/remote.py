"""A task's code in another process than its run: what it finds there, and how what it says gets back."""

import inspect
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from entrepot import settings
from entrepot._secrets import telling_of_secrets
from entrepot.context import CURRENT, TAGS, FlowRun, FlowRunContext, TaskRun, TaskRunContext
from entrepot.engine.definition import Definition
from entrepot.engine.keeping import Inherited, KeepingOptions
from entrepot.engine.names import Counter
from entrepot.engine.origins import Origins
from entrepot.engine.parameters import Binder
from entrepot.engine.past import Past
from entrepot.engine.retries import RetryPolicy
from entrepot.engine.run import Run
from entrepot.engine.world import World
from entrepot.logging import captured_prints, mask_record
from entrepot.protocols.recorder import RunEvent, RunKind
from entrepot.states import State, StateType

__all__ = ["EVENT", "LOG", "MASKED", "Around", "Part", "run_there"]

LOG: Final = "log"
MASKED: Final = "masked"
EVENT: Final = "event"


@dataclass(frozen=True, slots=True)
class Part:
    """One run around the code.

    Attributes:
        view: What user code may know of it.
        name: Of its flow or task.
        key: Of its flow or task.
        parameters: As its function got them; of a flow, those that are small.
        start_time: When the attempt began.
        log_prints: Whether `print` goes to its log.
        root_id: As of the run.
        attempt: As of the run.
        inherited: As of the run.
        standing: Where the run stands below its root.
        past: As of the run, without its claim.
    """

    view: FlowRun | TaskRun
    name: str
    key: str
    parameters: Mapping[str, Any]
    start_time: datetime
    log_prints: bool
    root_id: str
    attempt: int
    inherited: Inherited
    standing: str
    past: Past | None


@dataclass(frozen=True, slots=True)
class Around:
    """What the code of a task finds around it.

    Attributes:
        task: Its own run.
        flow: The flow run that it is part of, or None.
        ambient_tags: The tags that runs inside it get.
        level: The lowest level that some logger of the other process takes notice of.
    """

    task: Part
    flow: Part | None
    ambient_tags: frozenset[str]
    level: int


class run_there:  # noqa: N801  it is pickled as a call of itself
    """A call of a task's function, there.

    Args:
        code: The pickled task, or its function.
        whole: Whether it is the task.
        args: What the function is called with.
        kwargs: The same, by name.
        around: What it finds around it.
    """

    def __init__(
        self,
        code: bytes,
        whole: bool,  # noqa: FBT001  as pickled
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        around: Around,
    ) -> None:
        owner = pickle.loads(code)  # noqa: S301  from the process that started this one
        self._owner = owner if whole else None
        self._fn: Callable[..., Any] = owner.fn if whole else owner
        self._args = args
        self._kwargs = kwargs
        self._around = around

    def __call__(self, emit: Callable[[object], object]) -> Any:
        """Call it; what is logged, and what runs inside it do, is emitted."""
        around = self._around
        context = _context_of(self._owner, around, World(settings.current(), _Forwarding(emit)))
        forwarder = _Forwarder(emit)
        logging.root.addHandler(forwarder)
        logging.root.setLevel(around.level)
        tokens = CURRENT.set(context), TAGS.set(around.ambient_tags)
        try:
            # What this code has in its hands, the other process masks in what it shows of it.
            with (
                telling_of_secrets(lambda secret: emit((MASKED, secret))),
                captured_prints() if context.log_prints else nullcontext(),
            ):
                return self._called(context.engine)
        finally:
            CURRENT.reset(tokens[0])
            TAGS.reset(tokens[1])
            logging.root.removeHandler(forwarder)

    def _called(self, run: Run) -> Any:
        failed: BaseException | None = None
        try:
            value = self._fn(*self._args, **self._kwargs)
            return _awaited(value) if inspect.isawaitable(value) else value
        except BaseException as error:
            failed = error
            raise
        finally:
            if run.children is not None:
                run.children.close(failed)
            failed = None


def _awaited(value: Any) -> Any:
    import asyncio  # noqa: PLC0415  only async tasks pay for it

    async def body() -> Any:
        return await value

    return asyncio.run(body())


# --- who runs ---------------------------------------------------------------------------------------------------------


def _context_of(owner: Any, around: Around, world: World) -> TaskRunContext:
    task = around.task
    outer: FlowRunContext | None = None
    counter = _Inside(task.view.name)
    if around.flow is not None:
        flow = around.flow
        engine = _run_of(flow, world, counter, None)
        if isinstance(flow.view, FlowRun):
            outer = FlowRunContext(None, flow.view, flow.parameters, flow.start_time, flow.log_prints, engine)
    engine = _run_of(task, world, counter, outer)
    if not isinstance(task.view, TaskRun):
        raise TypeError("only the code of tasks runs in other processes")
    return TaskRunContext(owner, task.view, task.parameters, task.start_time, outer, task.log_prints, engine)


def _run_of(part: Part, world: World, counter: Counter, flow: FlowRunContext | None) -> Run:
    """Return what stands here for a run of the other process: enough for runs inside it, and for its log."""
    run = object.__new__(Run)
    for slot in Run.__slots__:
        if slot != "__weakref__":
            setattr(run, slot, None)
    kind: RunKind = "flow" if isinstance(part.view, FlowRun) else "task"
    run.definition = _definition(kind, part)
    run.world = world
    run.id, run.name, run.tags = part.view.id, part.view.name, tuple(part.view.tags)
    run.args, run.kwargs, run.parameters, run.upstream = (), {}, part.parameters, ()
    run.attempt, run.created = part.attempt, part.start_time
    run.root_id, run.inherited = part.root_id, part.inherited
    run.standing, run.past = part.standing, part.past
    run.names = counter
    run.origins = Origins() if kind == "flow" else None
    run.flow_context = run.enclosing = flow
    run.state = State(StateType.RUNNING, "Running", "", part.start_time)
    run.submitted, run._told, run._named = False, True, True  # it was told of
    return run


def _nothing() -> None:
    """Stand in for a function that is in the other process."""


def _definition(kind: RunKind, part: Part) -> Definition:
    binder = Binder(_nothing, part.name)
    return Definition(kind, _nothing, part.name, part.key, binder, RetryPolicy(), KeepingOptions())


class _Inside(Counter):
    """Names the runs inside a task run that is in a process of its own, which other processes do not count with."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def name(self, task_name: str) -> str:
        """Return the next name: `extract-1/clean-1`."""
        return f"{self._prefix}/{super().name(task_name)}"


# --- what is sent back ------------------------------------------------------------------------------------------------


class _Forwarding:
    """A `Recorder` that lets the other process record."""

    def __init__(self, emit: Callable[[object], object]) -> None:
        self._emit = emit

    def record(self, event: RunEvent) -> None:
        self._emit((EVENT, event))

    def flush(self) -> bool:
        """Return True: the other process flushes at the end of the flow."""
        return True

    def close(self) -> None:
        """Do nothing: nothing is open."""


_OF_RECORDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _Forwarder(logging.Handler):
    """Sends log records back, with their text and traceback already made of what only this process has."""

    def __init__(self, emit: Callable[[object], object]) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        mask_record(record)  # arguments that do not fit it would be told on this process's standard error, as they are
        try:
            content = {name: value for name, value in vars(record).items() if name in _OF_RECORDS}
            content |= {name: _simple(value) for name, value in vars(record).items() if name not in _OF_RECORDS}
            content |= {
                "msg": self.format(record),
                "args": None,
                "exc_info": None,
                "exc_text": None,
                "stack_info": None,
            }
            self._emit((LOG, content))
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  logging never breaks a program: the base class decides what to do
            self.handleError(record)


def _simple(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
