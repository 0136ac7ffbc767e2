"""How lock managers wait: they try again and again, sooner at first."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.errors import LeaseLostError

__all__ = ["PollingLockManager"]

_FIRST, _LONGEST = 0.005, 0.25  # seconds between tries
_NEVER: Final = float("inf")


class PollingLockManager(ABC):
    """Waits for locks that others say how to take. See `protocols.locking` for what its methods promise.

    Args:
        clock: Tells the time.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock

    @abstractmethod
    def _try(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        """Take a lock if it is free, or the holder's already; return whether it is the holder's now."""

    @abstractmethod
    def _release(self, key: str, holder: str) -> bool:
        """Give a lock back; return whether it was the holder's."""

    @abstractmethod
    def _holder(self, key: str) -> str | None:
        """Return who holds a lock, or None."""

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for a lock, and take it."""
        undo = self._undoing(key, holder)
        try:
            return self._wait(partial(self._try, key, holder, hold_timeout), acquire_timeout)
        except BaseException:
            undo()
            raise

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """As `acquire_lock`; the loop runs on meanwhile."""
        from entrepot.coordination.worker import on_worker  # noqa: PLC0415  only who awaits has loaded asyncio

        undo = await on_worker(partial(self._undoing, key, holder))
        try:
            return await self._await(partial(self._try, key, holder, hold_timeout), acquire_timeout)
        except GeneratorExit:  # the coroutine is thrown away: it cannot await any more
            undo()
            raise
        except BaseException:
            await on_worker(undo)
            raise

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back."""
        if not self._release(key, holder):
            raise LeaseLostError(
                f"{holder!r} does not hold the lock {key!r}: it was never taken, was released, or its time was over",
                name=key,
            )

    async def arelease_lock(self, key: str, holder: str) -> None:
        """As `release_lock`; a cancellation meanwhile is put off until it is done."""
        from entrepot.coordination.worker import on_worker  # noqa: PLC0415  as above

        await on_worker(partial(self.release_lock, key, holder))

    def is_locked(self, key: str) -> bool:
        """Return whether anybody holds a lock."""
        return self._holder(key) is not None

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Return whether this holder holds a lock."""
        return self._holder(key) == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds a lock; return whether it is free."""
        return self._wait(lambda: not self.is_locked(key), timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:  # noqa: ASYNC109  as in Prefect
        """As `wait_for_lock`; the loop runs on meanwhile."""
        return await self._await(lambda: not self.is_locked(key), timeout)

    def _wait(self, attempt: Callable[[], bool], timeout: float | None) -> bool:
        for pause in self._pauses(timeout):
            if attempt():
                return True
            if pause > 0:
                self._clock.sleep(pause)
        return False

    async def _await(self, attempt: Callable[[], bool], seconds: float | None) -> bool:
        import asyncio  # noqa: PLC0415  only who awaits has loaded it

        from entrepot.coordination.worker import on_worker  # noqa: PLC0415  the same

        for pause in self._pauses(seconds):
            if await on_worker(attempt):
                return True
            if pause > 0:
                await asyncio.sleep(pause)
        return False

    def _pauses(self, timeout: float | None) -> Iterator[float]:
        """Yield how long to wait after each try; the last time it is 0."""
        deadline = _NEVER if timeout is None else self._clock.monotonic() + timeout
        longest = _FIRST
        while (left := deadline - self._clock.monotonic()) > 0:
            yield min(longest * random.uniform(0.5, 1), left)  # noqa: S311  so that those who wait do not wait in step
            longest = min(2 * longest, _LONGEST)
        yield 0

    def _undoing(self, key: str, holder: str) -> Callable[[], object]:
        """Return what gives back a lock that the holder does not have yet, and may get just before an interrupt."""
        if self.is_lock_holder(key, holder):
            return lambda: None
        return partial(self._release, key, holder)
