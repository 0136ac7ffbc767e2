"""How long a run waits for others that compute its result, and what it says meanwhile."""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["ENOUGH", "Patience"]

ENOUGH: Final = 3
"""Computations that come to nothing while a run waits; then it waits for no more.

Else of many callers of what always fails, each would wait for all before it. One that was done, and whose result could
not be kept or used, counts for all of them: the next one would not keep its result either.
"""

_FIRST_WORD: Final = 10.0  # seconds; then after twice as many, and so on


class Patience:
    """The patience of one run.

    Args:
        say: Takes what the users should know: as of `logging`, a level, a text and its arguments.
        seconds: How long it waits in all; None for ever.
        over: Returns what is raised when that is over, given whom it waited for.
    """

    def __init__(
        self,
        say: Callable[..., None],
        *,
        seconds: float | None = None,
        over: Callable[[str], Exception] = TimeoutError,
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._over = over
        self._began: float | None = None
        self._next = _FIRST_WORD

    def most(self, seconds: float | None = None) -> float:
        """Return for how long to wait before `look` is called, at most `seconds`. The first call begins the wait."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        waited = now - self._began
        left = self._next - waited
        if self._seconds is not None:
            left = min(left, self._seconds - waited)
        return max(0.0, left if seconds is None else min(left, seconds))

    def look(self, whom: str) -> None:
        """Say for whom it waits, if it is time for a word.

        Raises:
            Exception: What `over` returns, if it has waited long enough.
        """
        waited = 0.0 if self._began is None else time.monotonic() - self._began
        if self._seconds is not None and waited >= self._seconds:
            raise self._over(whom)
        if waited >= self._next:
            while waited >= self._next:
                self._next *= 2
            self._say(logging.INFO, "It has waited for %.0f seconds for %s, which computes the same", waited, whom)
