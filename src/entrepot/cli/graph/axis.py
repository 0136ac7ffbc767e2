"""Where a time axis has ticks, and what stands there: how long after the beginning, and what the clock said here."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

__all__ = ["Tick", "ticks"]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12, 24)),
)


class Tick(NamedTuple):
    """One tick.

    Attributes:
        seconds: After the beginning.
        past: The same for people: `1 min 30 s`.
        clock: The local time there.
    """

    seconds: float
    past: str
    clock: str


def ticks(start: datetime, length: float, *, most: int = 8) -> Sequence[Tick]:
    """Return the ticks of an axis.

    Args:
        start: Its beginning.
        length: In seconds; more than 0.
        most: No more than so many steps.
    """
    step = _step(length / most)
    found = []
    for number in range(int(length / step + 1e-9) + 1):
        seconds = number * step
        found.append(Tick(seconds, _past(seconds, step), _clock(start + timedelta(seconds=seconds), step, length)))
    return found


def _step(least: float) -> float:
    """Return the smallest step that people count in, and that is no smaller than this."""
    if least <= _STEPS[0]:
        return _decimal(least)
    for step in _STEPS:
        if step >= least:
            return step
    return _decimal(least / _DAY) * _DAY


def _decimal(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... or their tenths that is no smaller than this."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _past(seconds: float, step: float) -> str:
    if seconds == 0:
        return "0"
    if seconds < 1 and step < 1:
        return f"{seconds * 1000:.{_decimals(step * 1000)}f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.{_decimals(step)}f} s"
    parts = []
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        count, seconds = divmod(seconds + 1e-9, unit)
        if count:
            parts.append(f"{count:.0f} {name}")
    if step < _MINUTE and (seconds > 1e-6 or not parts):  # noqa: PLR2004  what is left of adding up
        parts.append(f"{seconds:.{_decimals(step)}f} s")
    return " ".join(parts)


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _clock(moment: datetime, step: float, length: float) -> str:
    local = moment.astimezone()
    day = f"{local:%m-%d} " if length >= _DAY / 2 else ""
    if step >= _DAY:
        return f"{local:%Y-%m-%d}"
    if step >= _MINUTE:
        return f"{day}{local:%H:%M}"
    decimals = min(_decimals(step), 6)
    fraction = f".{local.microsecond:06}"[: decimals + 1] if decimals else ""
    return f"{day}{local:%H:%M:%S}{fraction}"
