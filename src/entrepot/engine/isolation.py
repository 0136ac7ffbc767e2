"""The code of a task in another process: packed with what it finds around it, and what it says on the way brought back.

Everything but the function stays here: states, retries, the cache, hooks. There, the code finds its run as it would
here; what it logs, and what runs inside it do, is sent back and goes on from here.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import cloudpickle

from entrepot._clock import Clock
from entrepot._secrets import remember_secret
from entrepot._stops import StopRun
from entrepot.context import TAGS, FlowRun, FlowRunContext, RunContext, TaskRun, TaskRunContext
from entrepot.engine.effects import Call, Outcome, raised
from entrepot.engine.keeping import NOTHING_SAID
from entrepot.engine.past import Past
from entrepot.engine.remote import EVENT, LOG, MASKED, Around, Part, run_there
from entrepot.engine.run import Run
from entrepot.errors import CrashedRunError, SerializationError, TimedOutError
from entrepot.protocols.recorder import Recorder, RunCreated, RunEvent, RunTransition
from entrepot.protocols.task_runner import Place
from entrepot.runs import process_token
from entrepot.states import FINAL_TYPES, StateType, new_id
from entrepot.task_runners.serving import RemoteTraceback
from entrepot.task_runners.workers import Worker

__all__ = ["ONE_SHOT", "call_there"]

_LARGEST = 65_536  # bytes of a pickled parameter of the flow that tasks in other processes still get to see
_plain = frozenset({type(None), bool, int, float, str, bytes})


class _OneShot:
    """A `Place`: a process for each call."""

    def call(self, work: Callable[..., Any], timeout: float | None, hear: Callable[[Any], object], /) -> Any:
        """Call a function in a fresh process; see `Place.call`."""
        worker = Worker()
        try:
            return worker.call(work, timeout, hear)
        finally:
            worker.close()


ONE_SHOT: Final[Place] = _OneShot()


def call_there(effect: Call, place: Place, limit: tuple[float, BaseException] | None) -> Outcome:
    """Call the code of a task run in another process, and return its outcome.

    Args:
        effect: The call.
        place: Brings it there.
        limit: When its time is over, as of `time.monotonic`, and what it is then said to have raised.
    """
    seconds = None if limit is None else max(0.0, limit[0] - monotonic())
    run = effect.context.engine
    ear = _Ear(run.world.recorder, run.world.clock)
    try:
        return place.call(_Work(effect), seconds, ear.hear), None
    except BaseException as error:  # noqa: BLE001  the core decides
        if isinstance(error.__cause__, RemoteTraceback):
            return raised(error)  # of the code itself
        meant = _meant(error, effect, limit)
        ear.end_what_is_open(meant)
        return raised(error) if meant is error else (None, meant)


def _meant(error: BaseException, effect: Call, limit: tuple[float, BaseException] | None) -> BaseException:
    """Return what an error of the place means to the run."""
    run = effect.context.engine
    if isinstance(error, TimedOutError) and limit is not None:
        return limit[1]
    if isinstance(error, CrashedRunError):
        what = f"{run.definition.kind.title()} run {run.name!r}"
        return CrashedRunError(f"{what} crashed: {error}", run_id=run.id)
    if isinstance(error, SerializationError):
        label = run.definition.label
        return SerializationError(
            f"{label} cannot run in another process: {error}", serializer=error.serializer, path=error.path
        )
    return error


class _Work:
    """A call of a task's function, to be pickled here and called there.

    Args:
        effect: The call.
    """

    def __init__(self, effect: Call) -> None:
        self._effect = effect

    def __call__(self, emit: Callable[[object], object]) -> Any:
        """Call it here: for places that are no other process."""
        restore, arguments = self.__reduce__()
        return restore(*arguments)(emit)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        effect = self._effect
        code, whole = _code_of(effect)
        return run_there, (code, whole, effect.args, effect.kwargs, _around(effect.context))


def _code_of(effect: Call) -> tuple[bytes, bool]:
    """Return the pickled task, and True; where it has options that cannot be pickled, only its function, and False."""
    try:
        return cloudpickle.dumps(effect.context.engine.owner, protocol=5), True
    except Exception:  # noqa: BLE001  whatever its options do when they are pickled: they are not needed there
        return cloudpickle.dumps(effect.fn, protocol=5), False


def _around(context: RunContext) -> Around:
    flow = context.flow_run_context if isinstance(context, TaskRunContext) else context
    return Around(
        task=_part(
            context, context.task_run if isinstance(context, TaskRunContext) else context.flow_run, context.parameters
        ),
        flow=None if flow is None or flow is context else _flow_part(flow),
        ambient_tags=TAGS.get(),
        level=_lowest_level(),
    )


def _standing_of(run: Run) -> str:
    from entrepot.engine.standing import standing_of  # noqa: PLC0415  it loads what keys are made with

    return standing_of(run)


def _past_of(run: Run) -> Past | None:
    return None if run.past is None else replace(run.past, claim=None)


def _flow_part(context: FlowRunContext) -> Part:
    view, parameters = context.flow_run, _small(context.parameters)
    view = FlowRun(
        view.id,
        view.name,
        view.flow_name,
        view.run_count,
        view.start_time,
        parameters=parameters,
        tags=view.tags,
        parent_run_id=view.parent_run_id,
    )
    return _part(context, view, parameters)


def _part(context: RunContext, view: TaskRun | FlowRun, parameters: Mapping[str, Any]) -> Part:
    run = context.engine
    return Part(
        view=view,
        name=run.definition.name,
        key=run.definition.key,
        parameters=parameters,
        start_time=context.start_time,
        log_prints=context.log_prints,
        root_id=run.root_id,
        attempt=run.attempt,
        inherited=_if_picklable(run.inherited, NOTHING_SAID),
        standing=_standing_of(run),
        past=_past_of(run),
    )


def _small(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a flow that cost little to send along; its tasks were given what they need."""
    return {name: value for name, value in parameters.items() if type(value) in _plain or _is_small(value)}


def _is_small(value: Any) -> bool:
    try:
        return len(cloudpickle.dumps(value)) <= _LARGEST
    except Exception:  # noqa: BLE001  whatever it does when it is pickled
        return False


def _if_picklable(value: Any, otherwise: Any) -> Any:
    return value if value is otherwise or _is_small(value) else otherwise


def _lowest_level() -> int:
    """Return the level from which some logger here takes notice; below it, nothing needs to be sent."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    levels = [logger.level for logger in loggers if isinstance(logger, logging.Logger) and logger.level]
    return max(min(levels, default=logging.WARNING), logging.root.manager.disable + 1)


class _Ear:
    """Hears what comes back on the way.

    Args:
        recorder: Is told of runs inside the code.
        clock: Tells when the last of them ended.
    """

    def __init__(self, recorder: Recorder | None, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._open: dict[str, int] = {}  # runs that began there and have not ended, and their attempts

    def hear(self, message: Any) -> None:
        """Pass a message on."""
        kind, content = message
        if kind == LOG:
            record = logging.makeLogRecord(content)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        elif kind == MASKED:
            remember_secret(content)
        elif kind == EVENT:
            if isinstance(content, RunCreated):  # it lives as long as this process does, which sees to its end
                content = replace(content, process=process_token())
            self._note(content)
            self._record(content)

    def _note(self, event: RunEvent) -> None:
        if isinstance(event, RunCreated):
            self._open[event.run_id] = 1
        elif isinstance(event, RunTransition):
            self._open[event.run_id] = event.epoch
            if event.state_type in FINAL_TYPES or event.state_name == "NotReady":
                del self._open[event.run_id]

    def end_what_is_open(self, error: BaseException) -> None:
        """Say that the runs in there are over, which their process can say no more."""
        crashed = isinstance(error, CrashedRunError) or (isinstance(error, StopRun) and error.crashed)
        end = StateType.CRASHED if crashed else StateType.CANCELLED
        for run_id, epoch in self._open.items():
            message = f"The process that it was in was ended: {error}"
            self._record(
                RunTransition(new_id(), run_id, epoch, end.value, end.value.title(), self._clock.now(), message)
            )

    def _record(self, event: RunEvent) -> None:
        if self._recorder is not None:
            self._recorder.record(event)
