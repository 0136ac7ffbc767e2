"""What the first run of a program, and each whose settings differ, does to logging."""

import logging
import os
import threading
from typing import Final

from entrepot._inherited import inherit_in_threads
from entrepot.logging.attached import ATTACHED, Attachment, attach_loggers
from entrepot.logging.history import HistoryHandler, UnlockedHandler
from entrepot.logging.lines import mask_record
from entrepot.logging.loggers import FLOW_RUNS, ROOT, TASK_RUNS
from entrepot.logging.terminal import TerminalHandler
from entrepot.settings import Settings

__all__ = ["set_up_logging", "show_logs"]


class _MaskingHandler(UnlockedHandler):
    """Masks what any logger below ours says, before handlers of the program get it; a filter sees one logger only."""

    def emit(self, record: logging.LogRecord) -> None:
        """Mask one record, in place."""
        mask_record(record)


_MASKING: Final = _MaskingHandler()
_HISTORY: Final = HistoryHandler()

_lock = threading.RLock()
_last: Settings | None = None
_shown_level: str | None = None
_extra: Attachment | None = None


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def set_up_logging(settings: Settings) -> None:
    """Let logs be as the settings say; called by every run that no other run called, and quick where nothing changed.

    Lines are shown, and kept in the history; threads belong to the runs that start them; secrets are masked.
    """
    global _last, _extra  # noqa: PLW0603  what we set last; logging is global too
    root = logging.getLogger(ROOT)
    in_place = _MASKING in root.handlers and settings.logging_to_history is (_HISTORY in root.handlers)
    if settings is _last and in_place:  # `dictConfig` removes handlers
        return
    with _lock:
        inherit_in_threads()
        show_logs(settings.logging_level)
        if _MASKING not in root.handlers:
            root.handlers.insert(0, _MASKING)  # the first: the others shall get what it has masked
        if settings.logging_to_history:
            root.addHandler(_HISTORY)
        else:
            root.removeHandler(_HISTORY)
        ATTACHED.to_history = settings.logging_to_history
        for logger in (FLOW_RUNS, TASK_RUNS):
            logger.addFilter(mask_record)  # a second time it does nothing
        if _last is None or _last.logging_extra_loggers != settings.logging_extra_loggers:
            if _extra is not None:
                _extra.detach()
            _extra = attach_loggers(*settings.logging_extra_loggers) if settings.logging_extra_loggers else None
        _last = settings


def show_logs(level: str) -> None:
    """Let our log lines be seen in the terminal, from `level` on.

    A program that gave the logger `entrepot` handlers or a level of its own keeps them.
    """
    global _shown_level  # noqa: PLW0603  as above
    if level == _shown_level:
        return
    logger = logging.getLogger(ROOT)
    with _lock:
        if all(handler in {_HISTORY, _MASKING} for handler in logger.handlers):
            logger.addHandler(TerminalHandler())
        ours = logging.NOTSET if _shown_level is None else logging.getLevelName(_shown_level)
        if logger.level == ours:
            logger.setLevel(level)
        _shown_level = level
