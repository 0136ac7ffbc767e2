"""Loggers of other libraries, whose lines belong to the runs that cause them."""

import logging
import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from entrepot import settings
from entrepot.context import CURRENT
from entrepot.errors import OptionError
from entrepot.logging.history import HistoryHandler, UnlockedHandler
from entrepot.logging.lines import mask_record, stamp
from entrepot.logging.loggers import ROOT
from entrepot.logging.terminal import TerminalHandler

__all__ = ["Attachment", "attach_loggers"]

_SEEN: Final = "_entrepot_attached"  # on a record that comes by twice: through a logger and through one above it


class _AttachedHandler(UnlockedHandler):
    """Gives what is logged inside a run to the terminal and to the history, as that run's; the rest it leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        self._terminal = TerminalHandler()
        self._history = HistoryHandler()
        self.to_history = True

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        context = CURRENT.get()
        if context is None or _SEEN in record.__dict__ or record.name.partition(".")[0] == ROOT:
            return
        record.__dict__[_SEEN] = True
        stamp(record, context)
        mask_record(record)  # the program's own handlers come later: they get it masked, too
        self._terminal.handle(record)
        if self.to_history:
            self._history.handle(record)


ATTACHED: Final = _AttachedHandler()
_lock = threading.Lock()
_users: dict[str, int] = {}


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Attachment:
    """Loggers that are attached until `detach`, or to the end of a `with`. Made by `attach_loggers`."""

    def __init__(self, names: Sequence[str], level: int | None) -> None:
        shown = _number(settings.current().logging_level)
        self._levels: list[tuple[logging.Logger, int, int]] = []
        self._names = names
        self._attached = True
        with _lock:
            for name in names:
                logger = logging.getLogger(name)
                before = logger.level
                if level is not None:
                    logger.setLevel(level)
                elif logger.getEffectiveLevel() > shown:
                    logger.setLevel(shown)
                self._levels.append((logger, before, logger.level))
                _users[name] = _users.get(name, 0) + 1
                if ATTACHED not in logger.handlers:
                    logger.addHandler(ATTACHED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.detach()

    def detach(self) -> None:
        """Let the loggers be as they were; a level that somebody else has set meanwhile stays."""
        with _lock:
            if not self._attached:
                return
            self._attached = False
            for name, (logger, before, ours) in zip(self._names, self._levels, strict=True):
                _users[name] -= 1
                if not _users[name]:
                    del _users[name]
                    logger.removeHandler(ATTACHED)
                if logger.level == ours:
                    logger.setLevel(before)


def attach_loggers(*names: str, level: int | str | None = None) -> Attachment:
    """Let loggers of other libraries, and all below them, speak in the runs that cause them to.

    Their lines are shown with the run's name and kept in its history, wherever a run is current; elsewhere nothing
    changes. It lasts until `detach` is called on what is returned, or as a `with` until its end::

        with attach_loggers("httpx", "botocore", level="DEBUG"):
            ...

    Args:
        *names: As of `logging.getLogger`: `httpx`, `sqlalchemy.engine`.
        level: What they log from now on, also to handlers of the program's own; by default at least what the setting
            `logging_level` asks for.

    Raises:
        OptionError: If there is no name, one is none, or the level is none.
    """
    for name in names or (None,):
        if not isinstance(name, str) or not name or name == "root":
            raise OptionError(
                f"attach_loggers takes the names of loggers, not {name!r}; write attach_loggers('httpx')",
                option="names",
            )
    return Attachment(names, None if level is None else _number(level))


def _number(level: int | str) -> int:
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int):
        raise OptionError(f"{level!r} is no level of logging; use 'DEBUG', 'INFO', 'WARNING', ...", option="level")
    return number
