"""Stopping code that runs: in whatever thread it does, without ever striking our own code.

Python can raise an exception in another thread (`PyThreadState_SetAsyncExc`), at any instruction. Code that is not
written for that can be left in any state by it: a lock that is held for ever, an event that is never told. So each
thread has a `Guard`, which knows whether the user's code or ours runs there now. The user's code is stopped by such an
exception. Ours is not: it looks by itself whether it is to stop, where it waits and where it goes back to the user's.
"""

import os
import signal
import threading
from _thread import allocate_lock
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Final

from entrepot._strikes import frame_of, is_delicate, raise_in, runs_a_loop, takes_a_lock

__all__ = [
    "ENGINE",
    "OPEN",
    "SHIELDED",
    "Abandoned",
    "Bell",
    "Guard",
    "Region",
    "StopRun",
    "current_guard",
    "hear_urges",
    "ignore_urges",
    "wait_until",
]

ENGINE: Final = 0
"""Our own code runs: nothing is raised in it."""
SHIELDED: Final = 1
"""The user's code runs after a stop, to clean up: it is not stopped again."""
OPEN: Final = 2
"""The user's code runs, and may be stopped at any instruction."""

_PATIENCE = 1.0  # seconds that code is spared which is better left to its end
_AGAIN = 0.5  # seconds until code is struck again that is where it was: it has caught the first, or is stuck
_LOOP_PATIENCE = 0.5  # seconds that an event loop has for ending by itself what was cancelled
_LOOK = 0.5  # seconds that the main thread waits in one go: see `wait_until`
_SIGNAL = signal.SIGURG  # ignored by default, and used by next to nobody; SIGALRM may be the user's own


class StopRun(BaseException):
    """Ends the code of a run that is to end; `except Exception` does not see it, `finally` and `with` do their work.

    Args:
        message: Why, for people.
        crashed: Whether that counts as a crash; else it is a cancellation.
        until: When all that the run runs is to be over, as of `time.monotonic`.
    """

    def __init__(self, message: str = "", *, crashed: bool = False, until: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.crashed = crashed
        self.until = until

    def again(self) -> "StopRun":
        """Return another one for the same reason: each place where one is raised has its own, with its traceback."""
        return StopRun(self.message, crashed=self.crashed, until=self.until)

    def take_reason(self, reason: "StopRun") -> None:
        """Say why, where it was raised without a word."""
        self.args = (reason.message,)
        self.message, self.crashed, self.until = reason.message, reason.crashed, reason.until


class Abandoned(BaseException):
    """Ends a thread whose work somebody else has taken over: it was stuck, and has now come back."""


class Bell:
    """Wakes a thread that waits for it. What rings before the wait, or twice, wakes it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def ring(self, *_: object) -> None:
        """Wake who waits, or who will."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # it rings already

    def wait(self, seconds: float | None) -> None:
        """Wait until it rings, or until the time is over."""
        if seconds is None:
            self._lock.acquire()
        else:
            self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


class Region:
    """A stretch of a thread's work that can be stopped as a whole. Made by `Guard.open`, stopped by `_watch.stop`.

    Attributes:
        guard: Of its thread.
        why: Why it is to stop; None while it is not.
        closed: Whether it is over.
        deadline: When it is to stop by itself, as of `time.monotonic`; None for never.
    """

    __slots__ = ("closed", "deadline", "guard", "why")

    def __init__(self, guard: "Guard") -> None:
        self.guard = guard
        self.why: StopRun | None = None
        self.closed = False
        self.deadline: float | None = None


class Guard:
    """What stands between a thread and those that want to stop it. Its thread calls all but `urge` and `abandon`.

    Attributes:
        thread: The thread's identity.
        lock: Guards the rest against those who stop; what only the thread itself writes is read without it.
        mode: Whose code runs.
        regions: Those open, the outermost first.
        wanted: The outermost one that is to stop, or None.
        owed: An interrupt of the process that came while our code ran, to be raised where that ends.
        waker: Wakes the thread where our code waits; None where it does not.
        canceller: Cancels what an event loop runs in this thread; None where there is none of ours.
        cancelled: When that was done last, as of `time.monotonic`, or None.
        closing: Whether it is stopping what a run has submitted.
        driven: The runs that are driven in it, the outermost first: their steps, with what else belongs to them.
        host: What has the thread to itself for a run that was submitted, or None.
        released: Called when the thread was abandoned, by whoever did; its owner needs another one then.
        abandoned: Whether somebody else goes on with its work.
    """

    __slots__ = (
        "abandoned",
        "cancelled",
        "canceller",
        "closing",
        "driven",
        "host",
        "lock",
        "mode",
        "owed",
        "regions",
        "released",
        "sent",
        "since",
        "struck",
        "struck_at",
        "thread",
        "waker",
        "wanted",
    )

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.lock = threading.RLock()
        self.mode = OPEN
        self.regions: list[Region] = []
        self.wanted: Region | None = None
        self.owed: BaseException | None = None
        self.waker: Callable[[], object] | None = None
        self.canceller: Callable[[], object] | None = None
        self.cancelled: float | None = None
        self.closing = False
        self.driven: dict[Any, Any] = {}
        self.host: Any = None
        self.struck_at: tuple[int, int] | None = None  # the frame and the instruction
        self.struck = 0.0  # when, as of `time.monotonic`
        self.released: Callable[[], object] | None = None
        self.abandoned = False
        self.sent = False  # whether an exception may be on its way into this thread
        self.since: float | None = None  # when it was first to be told and could not be

    # --- in its own thread ------------------------------------------------------------------------------------------

    def enter(self) -> int:
        """Begin with our own code; return whose ran until now. From here on nothing is raised in it from outside.

        Raises:
            Abandoned: If the work of this thread is no longer its own.
        """
        mode = self.mode
        if mode == ENGINE:
            return mode
        while True:
            try:
                # First the mode, then the look. Who stops does it the other way round: one of both sees the other.
                self.mode = ENGINE
                if self.sent:
                    with self.lock:
                        raise_in(self.thread, None)  # what has not struck yet never will
                        self.sent = False
                break
            except StopRun:  # it struck here, where it can do no harm
                while self.lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  as threading.Condition asks
                    self.lock.release()
        if self.abandoned:
            self.go_if_abandoned()
        return mode

    def leave(self, mode: int) -> None:
        """Go back to whose code ran before.

        Raises:
            StopRun: If that is to stop.
            BaseException: What is owed to it.
        """
        self.mode = mode
        if mode == OPEN and (self.wanted is not None or self.owed is not None):
            self.enter()
            self.settle()

    def restore(self, mode: int) -> None:
        """Go back to whose code ran before, and let it run even if it is to stop."""
        self.mode = mode

    def open(self) -> Region:
        """Begin a region, inside those that are open."""
        region = Region(self)
        with self.lock:
            self.regions.append(region)
        return region

    def close(self, region: Region) -> None:
        """End a region, and what is still open inside it."""
        with self.lock:
            region.closed = True
            if region in self.regions:
                index = self.regions.index(region)
                for inner in self.regions[index:]:
                    inner.closed = True
                del self.regions[index:]
            self.look()

    def look(self) -> None:
        """See which region is to stop; under the lock."""
        self.wanted = next((region for region in self.regions if region.why is not None), None)
        if self.wanted is None:
            self.since = None

    def is_called(self) -> bool:
        """Return whether its thread is to end what it does."""
        return self.wanted is not None or self.owed is not None

    def settle(self) -> None:
        """Raise what is owed, or the reason to stop, if there is one; for our own code, where that is welcome."""
        owed, self.owed = self.owed, None
        if owed is not None:
            raise owed
        wanted = self.wanted
        if wanted is not None and wanted.why is not None:
            raise wanted.why.again()

    def go_if_abandoned(self) -> None:
        """See whether the work of this thread is still its own; where it waited in our code, it may be so no longer.

        Raises:
            Abandoned: If it is not.
        """
        with self.lock:  # who abandons a thread may think better of it
            if not self.abandoned:
                return
        raise Abandoned

    # --- from other threads -------------------------------------------------------------------------------------------

    def urge(self) -> bool:
        """Tell the thread that it is to stop, however it can be told now; return whether it was told.

        Where it waits in our code it is woken. The user's code gets an exception. Imports, and what it called of ours,
        are spared for a second; places where it may just have taken a lock are always spared.
        """
        waker, canceller = self.waker, self.canceller
        if waker is not None:
            waker()
            return True
        if canceller is not None:
            return self._urge_loop(canceller)
        if self.mode != OPEN:
            return False  # it looks by itself
        if self.thread == threading.main_thread().ident and signal.getsignal(_SIGNAL) == _on_urge:
            signal.pthread_kill(self.thread, _SIGNAL)  # it also ends what the thread waits for in the system
            return True
        return self._strike(frame_of(self.thread))

    def _urge_loop(self, canceller: Callable[[], object]) -> bool:
        """Cancel what an event loop runs; code in it that holds the loop up is struck as any other."""
        now = monotonic()
        if self.cancelled is None:
            self.cancelled = now
            canceller()
        elif now - self.cancelled > _LOOP_PATIENCE:
            canceller()  # it may have swallowed the first
            frame = frame_of(self.thread)
            if frame is not None and not runs_a_loop(frame):
                return self._strike(frame)
        return False

    def _strike(self, frame: FrameType | None) -> bool:
        with self.lock:
            if self.wanted is None or self.mode != OPEN or not self.may_strike(frame):
                return False
            place = None if frame is None else (id(frame), frame.f_lasti)
            now = monotonic()
            if self.sent and place is not None and place == self.struck_at and now - self.struck < _AGAIN:
                return True  # it may not have come back from where it was struck, and will find out there
            self.sent = True
            if self.mode != OPEN:  # see `enter`
                return False
            raise_in(self.thread, StopRun)
            self.struck_at, self.struck = place, now
            if takes_a_lock(frame_of(self.thread)):  # it ran on since the first look
                raise_in(self.thread, None)
                return False
            return True

    def may_strike(self, frame: FrameType | None, *, waits: bool = False) -> bool:
        """Return whether the code that runs may be struck: it is not delicate, or was spared for long enough.

        Args:
            frame: The innermost.
            waits: Whether, where it takes a lock, it surely waits for it after so long, and can be woken.
        """
        if self.since is None:
            self.since = monotonic()
        spared = monotonic() - self.since > _PATIENCE
        if takes_a_lock(frame):
            return spared and waits
        return spared or not is_delicate(frame)

    def abandon(self, region: Region) -> bool:
        """Take its work away from a thread that is stuck in the user's code, or waits; return whether that worked.

        Args:
            region: Its outermost one, which is what is taken over.
        """
        with self.lock:
            if region.closed or self.abandoned or not self.regions or self.regions[0] is not region:
                return False
            self.abandoned = True
            if self.mode == ENGINE and self.waker is None:
                self.abandoned = False  # it moves, and will see by itself
                return False
            return True


# --- the threads ------------------------------------------------------------------------------------------------------


class _Local(threading.local):
    def __init__(self) -> None:
        self.guard = Guard()


_local = _Local()


def _after_fork_in_child() -> None:
    guard = _local.guard
    guard.lock = threading.RLock()  # another thread may have held it, and is not here to give it back
    guard.sent = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def current_guard() -> Guard:
    """Return the guard of this thread."""
    return _local.guard


def wait_until(ready: Callable[[], bool], bell: Bell, timeout: float | None = None, *, heeds: bool = False) -> bool:
    """Wait until something is so, or until `timeout` seconds have passed; return whether it is.

    Args:
        ready: Says whether it is so.
        bell: Rings when it may have become so.
        timeout: Seconds; None for ever.
        heeds: Whether a stop ends the wait though our own code waits. One that the user's code asked for always ends.

    Raises:
        StopRun: If the code that waits is to stop.
    """
    guard = current_guard()
    mode = guard.enter()
    heeds = heeds or mode == OPEN
    # Python looks for signals before it waits for a lock, and not between: one that comes just then, or to another
    # thread, is handled when the wait is over.
    most = _LOOK if guard.thread == threading.main_thread().ident else None
    until = None if timeout is None else monotonic() + timeout
    try:
        guard.waker = bell.ring
        while not (ready() or (heeds and guard.is_called())):
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                break
            bell.wait(left if most is None else most if left is None else min(left, most))
    finally:
        guard.waker = None
        if guard.abandoned:
            guard.go_if_abandoned()
        if heeds:
            guard.settle()
        guard.restore(mode)
    return ready()


# --- the main thread --------------------------------------------------------------------------------------------------


def _on_urge(_: int, frame: FrameType | None) -> None:
    """Stop the main thread's code, if it is to stop and may be struck here."""
    guard = current_guard()
    wanted = guard.wanted
    if wanted is not None and wanted.why is not None and guard.mode == OPEN and guard.may_strike(frame, waits=True):
        raise wanted.why.again()


def hear_urges() -> bool:
    """Let the main thread be stopped by a signal, which also ends its waits in the system.

    Returns:
        Whether `ignore_urges` is to be called when that is over. False in other threads, and where the user's program
        uses the signal itself; then it can only be stopped between two instructions.
    """
    if threading.get_ident() != threading.main_thread().ident or signal.getsignal(_SIGNAL) != signal.SIG_DFL:
        return False
    try:
        signal.signal(_SIGNAL, _on_urge)
    except ValueError:  # an interpreter within this one
        return False
    return True


def ignore_urges() -> None:
    """Undo `hear_urges`."""
    if signal.getsignal(_SIGNAL) == _on_urge:
        signal.signal(_SIGNAL, signal.SIG_DFL)
