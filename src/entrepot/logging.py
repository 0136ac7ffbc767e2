"""Loggers of runs, what they look like in a terminal, and `print` as a log line."""

import builtins
import logging
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from time import localtime
from typing import Any, TextIO

from entrepot.context import CURRENT, RunContext, TaskRunContext
from entrepot.errors import MissingContextError

__all__ = [
    "FLOW_RUNS",
    "TASK_RUNS",
    "RunLogger",
    "captured_prints",
    "get_logger",
    "get_run_logger",
    "run_facts",
    "show_logs",
]

ROOT = "entrepot"

FLOW_RUNS = logging.getLogger("entrepot.flow_runs")
TASK_RUNS = logging.getLogger("entrepot.task_runs")

_COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_RESET = "\x1b[0m"


def get_logger(name: str | None = None) -> logging.Logger:
    """Return the logger `entrepot`, or one below it.

    Args:
        name: Of the logger; `entrepot.` is put before it where it is missing.
    """
    if name is None or name == ROOT or name.startswith(ROOT + "."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that says of which run each line is.

    Records carry `run_kind`, `run_name` and `run_id`, and `flow_run_id` where there is one.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to what the caller gave as `extra`."""
        extra = kwargs.get("extra")
        kwargs["extra"] = {**(self.extra or {}), **extra} if extra else self.extra
        return msg, kwargs


def run_facts(kind: str, name: str, run_id: str, flow_run_id: str | None) -> dict[str, object]:
    """Return what log records say of a run."""
    return {"run_kind": kind, "run_name": name, "run_id": run_id, "flow_run_id": flow_run_id}


def get_run_logger(context: RunContext | None = None, **extra: object) -> RunLogger:
    """Return the logger of the run whose code this is.

    Args:
        context: Another run's context.
        **extra: Further attributes of each record.

    Raises:
        MissingContextError: Outside runs.
    """
    context = CURRENT.get() if context is None else context
    if context is None:
        raise MissingContextError(
            "get_run_logger() was called outside runs; call it inside a flow or task,"
            " or use entrepot.logging.get_logger() elsewhere"
        )
    if isinstance(context, TaskRunContext):
        run = context.task_run
        facts = run_facts("task", run.name, run.id, run.flow_run_id)
        return RunLogger(TASK_RUNS, facts | extra)
    flow_run = context.flow_run
    return RunLogger(FLOW_RUNS, run_facts("flow", flow_run.name, flow_run.id, flow_run.id) | extra)


# --- in the terminal -------------------------------------------------------------------------------------------------


class TerminalFormatter(logging.Formatter):
    """`12:34:56.123 | INFO    | Task run 'extract-1' - message`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback where there is one."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            text = f"{text}\n{self.formatStack(record.stack_info)}"
        run = getattr(record, "run_name", None)
        kind = getattr(record, "run_kind", "")
        source = record.name if run is None else f"{kind.title()} run {run!r}"
        at = localtime(record.created)
        clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}.{int(record.msecs):03}"
        return f"{clock} | {record.levelname:<7} | {source} - {text}"


class TerminalHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the moment, in colour where a person reads it.

    It is silent while the root logger has handlers: then the program has its own logging, and gets our records there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TerminalFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if logging.root.handlers:
            return
        stream = sys.stderr
        if stream is None:  # pythonw, daemons
            return
        try:
            line = self.format(record)
            colour = _COLOURS.get(record.levelno)
            if colour is not None and _in_colour(stream):
                line = f"{colour}{line}{_RESET}"
            stream.write(line + "\n")
            stream.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  logging never breaks a program: the base class decides what to do
            self.handleError(record)


def _in_colour(stream: TextIO) -> bool:
    # https://no-color.org: set and not empty means no colour.
    return not os.environ.get("NO_COLOR") and stream.isatty()


_setup_lock = threading.Lock()
_shown_level: str | None = None


def show_logs(level: str) -> None:
    """Let our log lines be seen in the terminal, from `level` on.

    A program that gave the logger `entrepot` handlers or a level of its own keeps them.
    """
    global _shown_level  # noqa: PLW0603  what we set last; logging is global too
    if level == _shown_level:
        return
    logger = logging.getLogger(ROOT)
    with _setup_lock:
        if not logger.handlers:
            logger.addHandler(TerminalHandler())
        ours = logging.NOTSET if _shown_level is None else logging.getLevelName(_shown_level)
        if logger.level == ours:
            logger.setLevel(level)
        _shown_level = level


# --- prints ----------------------------------------------------------------------------------------------------------

_print_lock = threading.Lock()
_printing = threading.local()
_print_users = 0
_real_print = builtins.print


def _print(
    *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
) -> None:
    """Log what the code of a run with `log_prints` prints to the terminal; print everything else."""
    context = CURRENT.get()
    elsewhere = file is not None and file is not sys.stdout  # what goes to stderr is no output, but a message already
    if context is None or not context.log_prints or elsewhere or getattr(_printing, "now", False):
        _real_print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    _printing.now = True  # a log handler that prints prints: its line must not become a line
    try:
        # As an argument: a text with a % in it is no format.
        get_run_logger(context).info("%s", (" " if sep is None else sep).join(map(str, values)).removesuffix("\n"))
    finally:
        _printing.now = False


@contextmanager
def captured_prints() -> Iterator[None]:
    """While this is entered, `print` in the code of runs with `log_prints` writes log lines.

    `builtins.print` is replaced once, however many runs are inside, and put back by the last one.
    """
    global _print_users, _real_print  # noqa: PLW0603  builtins are global too
    with _print_lock:
        if _print_users == 0:
            _real_print = builtins.print
            builtins.print = _print
        _print_users += 1
    try:
        yield
    finally:
        with _print_lock:
            _print_users -= 1
            if _print_users == 0 and builtins.print is _print:  # somebody else's replacement is theirs to undo
                builtins.print = _real_print
