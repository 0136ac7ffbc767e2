"""When a failed run is tried again, and how long that waits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from entrepot.errors import OptionError

__all__ = ["RetryDelay", "RetryPolicy", "exponential_backoff", "retry_policy"]

RetryDelay: TypeAlias = float | Sequence[float] | Callable[[int], float | Sequence[float]]
"""Seconds before each retry, or a function of the number of retries that returns them."""


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Return a delay that doubles with each retry: factor x 1, 2, 4, 8, ... seconds.

    Args:
        backoff_factor: Seconds before the first retry.
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2.0**retry for retry in range(retries)]

    return delays


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed run is tried again.

    Attributes:
        retries: How many times.
        delays: Seconds before each retry; the last one counts for all later ones.
        jitter: How far the delay is moved at random, as a part of it; 0 for not at all.
        condition: Called with task, task run and failed state; says whether to try again.
    """

    retries: int = 0
    delays: tuple[float, ...] = (0.0,)
    jitter: float = 0.0
    condition: Callable[..., Any] | None = None

    def delay(self, retry: int, chance: Callable[[], float]) -> float:
        """Return the seconds before a retry.

        With jitter j, the delay d becomes uniform between max(0, 1 - j) d and (1 + j) d, so that runs that failed
        together do not all come back together. For j <= 1 its mean stays d. (Compare the "full jitter" of M. Brooker,
        "Exponential Backoff and Jitter", AWS Architecture Blog, 2015, which is uniform between 0 and d.)

        Args:
            retry: Which one, from 1.
            chance: Returns a random number from 0 up to 1.
        """
        base = self.delays[min(retry, len(self.delays)) - 1]
        if not self.jitter:
            return base
        low, high = max(0.0, 1.0 - self.jitter), 1.0 + self.jitter
        return base * (low + (high - low) * chance())


def retry_policy(retries: object, delay: object, jitter: object, condition: object, *, what: str) -> RetryPolicy:
    """Return the policy that options describe.

    Args:
        retries: The option `retries`.
        delay: The option `retry_delay_seconds`.
        jitter: The option `retry_jitter_factor`.
        condition: The option `retry_condition_fn`.
        what: Whose options these are, for messages.

    Raises:
        OptionError: If one of them cannot be that.
    """
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise OptionError(f"{what}: retries is a whole number from 0, not {retries!r}", option="retries")
    if jitter is not None and not _is_seconds(jitter):
        raise OptionError(
            f"{what}: retry_jitter_factor is a number from 0, not {jitter!r}", option="retry_jitter_factor"
        )
    if condition is not None and not callable(condition):
        raise OptionError(
            f"{what}: retry_condition_fn is a function of (task, task_run, state), not {condition!r}",
            option="retry_condition_fn",
        )
    given = delay(retries) if callable(delay) else delay
    delays = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    if not delays and retries == 0:
        delays = (0.0,)  # exponential_backoff(...) of no retries
    if not delays or not all(_is_seconds(seconds) for seconds in delays):
        raise OptionError(
            f"{what}: retry_delay_seconds is a number of seconds from 0, a list of them, or a function that returns one"
            f" of these for a number of retries (exponential_backoff(backoff_factor=10)), not {given!r}",
            option="retry_delay_seconds",
        )
    return RetryPolicy(retries, tuple(map(float, delays)), float(jitter or 0.0), condition)  # type: ignore[arg-type]


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
