"""Locks of one process: for its threads and its coroutines."""

import os
import threading

from entrepot.locking.polling import PollingLockManager

__all__ = ["MemoryLockManager"]

_lock = threading.Lock()
_held: dict[str, tuple[str, float]] = {}  # key -> (holder, when its time is over, in seconds of the monotonic clock)


class MemoryLockManager(PollingLockManager):
    """A `LockManager` in memory. All of a process's share their locks: two that are made apart exclude each other.

    Args:
        clock: Tells the time.
    """

    def __repr__(self) -> str:
        return "MemoryLockManager()"

    def _try(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        with _lock:
            if self._current(key) not in {None, holder}:
                return False
            _held[key] = (holder, self._clock.monotonic() + (float("inf") if hold_timeout is None else hold_timeout))
            return True

    def _release(self, key: str, holder: str) -> bool:
        with _lock:
            if self._current(key) != holder:
                return False
            del _held[key]
            return True

    def _holder(self, key: str) -> str | None:
        with _lock:
            return self._current(key)

    def _current(self, key: str) -> str | None:
        held = _held.get(key)
        if held is None:
            return None
        if held[1] <= self._clock.monotonic():
            del _held[key]
            return None
        return held[0]


def _after_fork_in_child() -> None:
    """Hold nothing: the locks are the parent's."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
