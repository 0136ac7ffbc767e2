"""How long a writer tries again that others were faster than."""

import itertools
import random
from collections.abc import Iterator
from typing import Final

from entrepot._clock import Clock

__all__ = ["PATIENCE_SECONDS", "turns"]

PATIENCE_SECONDS: Final = 120.0
_LEAST: Final = 20
_SHORTEST: Final = 0.002
_LONGEST: Final = 2.0


def turns(clock: Clock) -> Iterator[None]:
    """Yield once for each try: at least 20 times, and for `PATIENCE_SECONDS` where tries take long.

    Each try that fails means that another one succeeded, so that many writers come to an end one after another. Between
    tries it waits for a random time that grows: writers that wait equally long would meet again.
    """
    end = clock.monotonic() + PATIENCE_SECONDS
    for turn in itertools.count(1):
        yield
        if turn >= _LEAST and clock.monotonic() >= end:
            return
        clock.sleep(random.uniform(0, min(_LONGEST, _SHORTEST * 2 ** min(turn, _LEAST))))  # noqa: S311  no secret
