"""`print` as a log line."""

import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from entrepot.context import CURRENT
from entrepot.logging.loggers import get_run_logger

__all__ = ["captured_prints"]

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
