"""Spans of time and numbers of bytes as people write them: "7d", "90m", "50GB"."""

import re
from datetime import timedelta
from typing import Final

__all__ = ["SPANS", "bytes_of", "seconds_of"]

SPANS: Final = "90s, 15m, 12h, 7d, 2w"
"""Spans of time as people write them, for help and messages."""

_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*\Z", re.ASCII)
_SPANS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZES: Final = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_LONGEST: Final = 86_400 * 36_500  # a hundred years


def seconds_of(given: str | timedelta) -> int:
    """Return a span of time in whole seconds: "90s", "15m", "12h", "7d", "2w", or a `timedelta`.

    Raises:
        ValueError: If it is none, or longer than a hundred years.
    """
    if isinstance(given, timedelta):
        seconds = given.total_seconds()
    else:
        match = _AMOUNT.match(given)
        unit = None if match is None else _SPANS.get(match[2].lower())
        if match is None or unit is None:
            raise ValueError(f"{given!r} is no span of time; write it like {SPANS}")
        seconds = float(match[1]) * unit
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"{given!r} is no span of time between nothing and a hundred years")
    return int(seconds)


def bytes_of(given: str) -> int:
    """Return a number of bytes: "1000B", "512MiB", "50GB" (powers of ten; KiB, MiB, GiB, TiB are powers of two).

    Raises:
        ValueError: If it is none.
    """
    match = _AMOUNT.match(given)
    unit = None if match is None else _SIZES.get(match[2].lower())
    if match is None or unit is None:
        raise ValueError(f"{given!r} is no number of bytes; write it with its unit: 512MiB, 50GB, 1TB")
    return int(float(match[1]) * unit)
