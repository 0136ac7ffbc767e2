"""The loggers of runs: their lines say of which run they are."""

import logging
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from entrepot import settings
from entrepot._sentinels import MISSING, Missing
from entrepot.context import CURRENT, FlowRun, RunContext, TaskRun, TaskRunContext
from entrepot.errors import MissingContextError
from entrepot.protocols.recorder import Recorder

__all__ = [
    "FLOW_RUNS",
    "ROOT",
    "TASK_RUNS",
    "RunLogger",
    "context_facts",
    "disable_run_logger",
    "flow_run_logger",
    "get_logger",
    "get_run_logger",
    "recorder_of",
    "run_facts",
    "speak_for",
    "task_run_logger",
]

ROOT: Final = "entrepot"

FLOW_RUNS: Final = logging.getLogger("entrepot.flow_runs")
TASK_RUNS: Final = logging.getLogger("entrepot.task_runs")


def get_logger(name: str | None = None) -> logging.Logger:
    """Return the logger `entrepot`, or one below it. What it is told inside a run belongs to that run's log.

    Args:
        name: Of the logger; `entrepot.` is put before it where it is missing.
    """
    if name is None or name == ROOT or name.startswith(ROOT + "."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that says of which run each line is.

    Records carry `run_kind`, `run_name` and `run_id`, and `flow_run_id` where there is one. It holds nothing else of
    the run: it can be kept for as long as one likes, given to threads and pickled.

    Args:
        logger: Where records go.
        extra: What they carry.
        recorder: Who keeps the run's history, where that is known.
    """

    def __init__(
        self, logger: logging.Logger, extra: Mapping[str, object], recorder: Recorder | Missing | None = MISSING
    ) -> None:
        super().__init__(logger, extra)
        self._recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_recorder": MISSING}  # another process has its own

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be the same logger in another process, where there may be no run whose start has set up logging."""
        from entrepot.logging.setup import set_up_logging  # noqa: PLC0415  that is built on this

        self.__dict__.update(state)
        set_up_logging(settings.current())

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to what the caller gave as `extra`; what the run says of itself wins."""
        facts = self.extra or {}
        if self._recorder is not MISSING:
            speak_for(str(facts.get("run_id")), self._recorder)
        extra = kwargs.get("extra")
        kwargs["extra"] = {**extra, **facts} if extra else facts
        return msg, kwargs


# --- of which run -----------------------------------------------------------------------------------------------------


def run_facts(kind: str, name: str, run_id: str, flow_run_id: str | None) -> dict[str, object]:
    """Return what log records say of a run."""
    return {"run_kind": kind, "run_name": name, "run_id": run_id, "flow_run_id": flow_run_id}


def context_facts(context: RunContext) -> dict[str, object]:
    """Return what log records say of the run of a context."""
    if isinstance(context, TaskRunContext):
        run = context.task_run
        return run_facts("task", run.name, run.id, run.flow_run_id)
    flow_run = context.flow_run
    return run_facts("flow", flow_run.name, flow_run.id, flow_run.id)


class _Speaker(threading.local):
    said: tuple[str, Recorder | Missing | None] = ("", MISSING)


_speaker = _Speaker()


def speak_for(run_id: str, recorder: Recorder | Missing | None) -> None:
    """Say who keeps the history of the run that this thread is about to log a line of.

    Not on the record, where it would be in the way of whoever pickles records or prints all that they carry.
    """
    _speaker.said = (run_id, recorder)


def recorder_of(run_id: str, context: RunContext | None) -> Recorder | Missing | None:
    """Return who keeps the history of a run; None for nobody, MISSING where that is not known.

    Args:
        run_id: Of a line that is being logged.
        context: Of the run that is current where it is logged.
    """
    said = _speaker.said
    if said[0] == run_id:
        return said[1]
    return MISSING if context is None else _recorder_in(context)


def _recorder_in(context: RunContext) -> Recorder | Missing | None:
    world = getattr(context.engine, "world", None)
    return MISSING if world is None else world.recorder


# --- for users --------------------------------------------------------------------------------------------------------


class _Silence:
    """Who wants the logs of runs to be silent; the last of them lets them be as they were."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.before = (False, False)


_silence = _Silence()
_SILENT: Final = logging.Logger("entrepot.silent", logging.CRITICAL + 1)  # noqa: LOG001  in no tree, so that it stays so


def get_run_logger(context: RunContext | None = None, **extra: object) -> RunLogger:
    """Return the logger of the run whose code this is: also in threads that the run started.

    Args:
        context: Another run's context.
        **extra: Further attributes of each record.

    Raises:
        MissingContextError: Outside runs, and in a thread whose run is over; but not under `disable_run_logger`.
    """
    context = CURRENT.get() if context is None else context
    if context is None:
        if _silence.users:
            return RunLogger(_SILENT, extra)
        raise MissingContextError(
            "get_run_logger() was called outside runs, or in a thread whose run is over; call it inside a flow or"
            " task, or use entrepot.logging.get_logger() elsewhere"
        )
    logger = TASK_RUNS if isinstance(context, TaskRunContext) else FLOW_RUNS
    return RunLogger(logger, extra | context_facts(context), _recorder_in(context))


def flow_run_logger(flow_run: FlowRun, **extra: object) -> RunLogger:
    """Return the logger of a flow run, for code outside it: a hook, say.

    Args:
        flow_run: As the flow's code sees it.
        **extra: Further attributes of each record.
    """
    return RunLogger(FLOW_RUNS, extra | run_facts("flow", flow_run.name, flow_run.id, flow_run.id))


def task_run_logger(task_run: TaskRun, **extra: object) -> RunLogger:
    """Return the logger of a task run, for code outside it: a hook, say.

    Args:
        task_run: As the task's code sees it.
        **extra: Further attributes of each record.
    """
    return RunLogger(TASK_RUNS, extra | run_facts("task", task_run.name, task_run.id, task_run.flow_run_id))


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Silence the logs of runs, in every thread, in the body of the `with`.

    There, `get_run_logger()` works outside runs, too: for tests that call the function of a task, `my_task.fn()`.
    """
    with _silence.lock:
        if not _silence.users:
            _silence.before = (FLOW_RUNS.disabled, TASK_RUNS.disabled)
            FLOW_RUNS.disabled = TASK_RUNS.disabled = True
        _silence.users += 1
    try:
        yield
    finally:
        with _silence.lock:
            _silence.users -= 1
            if not _silence.users:
                FLOW_RUNS.disabled, TASK_RUNS.disabled = _silence.before
