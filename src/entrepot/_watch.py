"""Who is to stop and when: one thread watches deadlines, and urges those who do not listen."""

import logging
import os
import threading
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from entrepot._stops import Bell, Guard, Region, StopRun
from entrepot._strikes import settle

__all__ = ["GRACE", "keep_time", "stop", "stop_keeping_time"]

GRACE = 1.0
"""Seconds that code has to stop once it was told; after that it counts as stuck."""

_log = logging.getLogger("entrepot")

_FIRST_PAUSE, _NEXT_PAUSE = 0.005, 0.05  # seconds until somebody is urged again who could not be told
_SECOND_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds until somebody is who was told


class _Timer:
    """What happens to a region in time.

    Attributes:
        at: When something is due, as of `time.monotonic`.
        why: Why it is stopped then.
        stuck: Called in a thread of its own if it has not ended some time after that.
        rang: Whether it was told to stop.
    """

    __slots__ = ("at", "rang", "stuck", "why")

    def __init__(self, at: float, why: StopRun, stuck: Callable[[], object] | None) -> None:
        self.at = at
        self.why = why
        self.stuck = stuck
        self.rang = False


class _Watch:
    """The thread that watches, started by the first who needs it."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._bell = Bell()
        self._timers: dict[Region, _Timer] = {}
        self._urged: dict[Guard, tuple[float, float]] = {}  # when next, and how long after that
        self._asleep_until = 0.0
        self._thread: threading.Thread | None = None

    def add(self, region: Region, timer: _Timer) -> None:
        with self._lock:
            self._timers[region] = timer
        self._wake_for(timer.at)

    def discard(self, region: Region) -> None:
        with self._lock:
            self._timers.pop(region, None)

    def urge(self, guard: Guard) -> None:
        at = monotonic() + _FIRST_PAUSE
        with self._lock:
            self._urged[guard] = (at, _FIRST_PAUSE)
        self._wake_for(at)

    def _wake_for(self, at: float) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._watch, name="entrepot-watch", daemon=True)
                    with suppress(RuntimeError):  # at the end of the process nothing is stopped any more
                        thread.start()
                        self._thread = thread
        elif at < self._asleep_until:
            self._bell.ring()

    def _watch(self) -> None:
        while True:
            try:
                self._act()
            except Exception:  # noqa: BLE001  without this thread nothing is ever stopped
                _log.exception("Somebody could not be stopped; others still are")
                self._bell.wait(_NEXT_PAUSE)
            with self._lock:
                times = [timer.at for timer in self._timers.values()]
                times += [at for at, _ in self._urged.values()]
                self._asleep_until = min(times, default=float("inf"))
            wait = self._asleep_until - monotonic()
            if not settle(after=_NEXT_PAUSE):
                wait = min(wait, _NEXT_PAUSE)
            if wait > 0:
                self._bell.wait(wait)

    def _act(self) -> None:
        """Do what is due, in a function of its own: the thread holds nobody's work while it waits."""
        now = monotonic()
        with self._lock:
            timers = [found for found in self._timers.items() if found[1].at <= now]
            urged = [(guard, pause) for guard, (at, pause) in self._urged.items() if at <= now]
        for region, timer in timers:
            self._ring(region, timer, now)
        for guard, pause in urged:
            self._urge_again(guard, now, pause)

    def _ring(self, region: Region, timer: _Timer, now: float) -> None:
        if not timer.rang:
            timer.rang = True
            timer.at = now + GRACE
            stop(region, timer.why)
            if timer.stuck is not None:
                return
        elif timer.stuck is not None and not region.closed:
            with suppress(RuntimeError):
                threading.Thread(target=timer.stuck, name="entrepot-task", daemon=True).start()
        self.discard(region)

    def _urge_again(self, guard: Guard, now: float, pause: float) -> None:
        if guard.wanted is None:
            with self._lock:
                self._urged.pop(guard, None)
            return
        # Who was told, and has not ended so far, is told less and less often. Who could not be told, soon again.
        pause = min(max(2 * pause, _SECOND_PAUSE), _LONGEST_PAUSE) if guard.urge() else min(1.5 * pause, _NEXT_PAUSE)
        with self._lock:
            self._urged[guard] = (now + pause, pause)


_watch = _Watch()


def _after_fork_in_child() -> None:
    global _watch  # noqa: PLW0603  threads stay with the parent, and so does what they watch
    _watch = _Watch()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def stop(region: Region, why: StopRun) -> bool:
    """Let a region end, from any thread; return whether it was not over. The first reason counts.

    The code in it gets a `StopRun`, and another one from time to time as long as it does not end.
    """
    guard = region.guard
    with guard.lock:
        if region.closed:
            return False
        if region.why is None:
            region.why = why
            guard.look()
    guard.urge()
    _watch.urge(guard)
    return True


def keep_time(region: Region, deadline: float, why: StopRun, stuck: Callable[[], object] | None = None) -> None:
    """Stop a region when its time is over.

    Args:
        region: Of this thread.
        deadline: When, as of `time.monotonic`.
        why: Why it is stopped then.
        stuck: Called in a thread of its own where the region has not ended some time after that.
    """
    region.deadline = deadline
    _watch.add(region, _Timer(deadline, why, stuck))


def stop_keeping_time(region: Region) -> None:
    """Undo `keep_time`: the region is over."""
    _watch.discard(region)
