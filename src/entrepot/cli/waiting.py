"""Bars and counters for work that may take long: what is over at once shows none."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Final

from rich.progress import Progress

__all__ = ["PATIENCE", "shown_after"]

PATIENCE: Final = 0.5  # seconds that work takes before it is shown how far it is


@contextmanager
def shown_after(progress: Progress, seconds: float = PATIENCE) -> Iterator[Progress]:
    """Show a display from so many seconds on, if the work inside takes as long; take it away at the end.

    Args:
        progress: Not started; one that is disabled is never shown.
        seconds: With 0 it is shown at once.
    """
    timer = Timer(seconds, progress.start)
    timer.daemon = True
    if seconds <= 0:
        progress.start()
    elif not progress.disable:
        timer.start()
    try:
        yield progress
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()  # it may be about to start what is stopped here
        if progress.live.is_started:
            progress.stop()
