"""Locks for all processes of this machine, in the file that they share."""

import os
import threading
from pathlib import Path

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import default_path
from entrepot.coordination.heartbeat import Held, hold, let_go
from entrepot.coordination.locks import LEASE_SECONDS, lock_holder, try_lock, unlock
from entrepot.locking.polling import PollingLockManager

__all__ = ["SharedLockManager"]


class SharedLockManager(PollingLockManager):
    """A `LockManager` for all processes with the same home.

    A lock without a `hold_timeout` is a lease: it is renewed while its process lives, free at once when that is dead,
    and free after some 30 seconds when it is stopped. `is_lock_holder` says whether it was lost.

    Args:
        path: The file; the one in the home by default.
        clock: Tells the time.
    """

    def __init__(self, path: Path | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(clock=clock)
        self._given = path

    def __repr__(self) -> str:
        return "SharedLockManager()" if self._given is None else f"SharedLockManager({str(self._given)!r})"

    def _try(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        path = self._path()
        taken = try_lock(path, key, holder, hold_timeout, clock=self._clock)
        if taken:
            _renew(path, key, holder, hold_timeout)
        return taken

    def _release(self, key: str, holder: str) -> bool:
        path = self._path()
        _renew_no_more(path, key, holder)
        return unlock(path, key, holder, clock=self._clock)

    def _holder(self, key: str) -> str | None:
        return lock_holder(self._path(), key, clock=self._clock)

    def _path(self) -> Path:
        return default_path() if self._given is None else self._given


_lock = threading.Lock()
_held: dict[tuple[Path, str, str], Held] = {}  # what this process has to renew, whichever manager took it


def _renew(path: Path, key: str, holder: str, hold_timeout: float | None) -> None:
    _renew_no_more(path, key, holder)  # what was a lease may have a time now, or the other way round
    if hold_timeout is None:
        held = Held(path, key, LEASE_SECONDS, f"the lock {key!r}", holder, granted=True)
        with _lock:
            _held[path, key, holder] = held
        hold(held)


def _renew_no_more(path: Path, key: str, holder: str) -> None:
    with _lock:
        held = _held.pop((path, key, holder), None)
    if held is not None:
        held.granted = False
        let_go(held)


def _after_fork_in_child() -> None:
    """Renew nothing: the locks are the parent's."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
