"""What log lines look like in a terminal."""

import logging
import os
import sys
from time import localtime
from typing import Final, TextIO

from entrepot._secrets import mask
from entrepot.logging.lines import say_failure, source_of, text_of

__all__ = ["COLOURS", "RESET", "TerminalFormatter", "TerminalHandler", "in_colour"]

COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
RESET: Final = "\x1b[0m"


class TerminalFormatter(logging.Formatter):
    """`12:34:56.123 | INFO    | Task run 'extract-1' (3f2a1b9c) - message`, in local time, secrets masked."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback where there is one."""
        text = mask(f"{source_of(record)} - {text_of(record)}")
        at = localtime(record.created)
        clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}.{int(record.msecs):03}"
        return f"{clock} | {record.levelname:<7} | {text}"


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
            colour = COLOURS.get(record.levelno)
            if colour is not None and in_colour(stream):
                line = f"{colour}{line}{RESET}"
            stream.write(line + "\n")
            stream.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  logging never breaks a program
            say_failure(self, record)


def in_colour(stream: TextIO) -> bool:
    """Return whether a person reads a stream who wants colours; https://no-color.org: set and not empty means none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
