"""What a running flow looks like at a terminal: counts by state, mapped groups as bars, failures first.

The display is a reader of the events that the engine tells its recorder, and knows nothing else of the engine.
"""

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from entrepot.protocols.recorder import Recorder

if TYPE_CHECKING:
    from entrepot.progress.live import Display

__all__ = ["observed"]

_display: "Display | None" = None
_CANNOT = frozenset({"dumb", "unknown"})  # terminals that move no cursor, by what they say in TERM


def observed(recorder: Recorder, progress: str = "auto") -> Recorder:
    """Return a recorder that keeps what this one keeps, and whose flows are shown; or this one, where nothing is shown.

    Args:
        recorder: Keeps the history.
        progress: The setting: "auto" shows flows where stderr is a terminal that a person looks at; "on" also where
            the variable CI is set; "off" never.
    """
    global _display  # noqa: PLW0603  a process has one terminal
    if progress == "off":
        return recorder
    stream = _terminal()
    if stream is None:
        return recorder
    if os.environ.get("TERM") in _CANNOT or (progress == "auto" and os.environ.get("CI")) or _is_child():
        return recorder
    from entrepot.progress.live import Display, Observed  # noqa: PLC0415  only who has a terminal pays for it

    display = _display
    if display is None or display.stream is not stream:
        if display is not None:
            display.stop()
        display = _display = Display(stream)
    return recorder if display.stopped else Observed(recorder, display)


def _terminal() -> TextIO | None:
    """Return the stream of the terminal that a person sees messages on, without what programs put around it."""
    stream = sys.stderr
    try:
        if stream is None or not stream.isatty():
            return None
        if not isinstance(stream, TextIOWrapper):
            stream = sys.__stderr__
        return stream if isinstance(stream, TextIOWrapper) and stream.isatty() else None
    except ValueError:  # it is closed
        return None


def _is_child() -> bool:
    """Return whether another process of this program has the terminal, and shows what it tells of its tasks."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None
