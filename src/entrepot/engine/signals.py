"""Ctrl-C and SIGTERM while runs are under way: they end, are recorded with what they have, and only then the process.

Handlers are set while a top-level run is under way in the main thread, and only in the place of Python's own. A program
that handles a signal itself keeps its handler, and so does an event loop.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, Final, NoReturn

from entrepot._stops import ENGINE, Guard, StopRun, current_guard
from entrepot.engine.world import current_world

__all__ = ["begin", "begin_async", "end", "end_async", "received"]

_Handler = Any  # what `signal.getsignal` returns

_INTERRUPT: Final = signal.SIGINT
_TERMINATE: Final = signal.SIGTERM


class _State:
    """What is under way in the main thread.

    Attributes:
        sync: How many top-level runs without a loop, one inside the other.
        tasks: What drives the others, in event loops.
        received: The signal that ends the process when they are over, or None.
    """

    def __init__(self) -> None:
        self.sync = 0
        self.tasks: dict[Any, None] = {}
        self.received: signal.Signals | None = None


_state = _State()


def received() -> str | None:
    """Return the name of the signal that ends this process, or None."""
    return None if _state.received is None else _state.received.name


def begin(guard: Guard) -> bool:
    """Note that a top-level run begins in this thread; return whether `end` is to be called when it is over."""
    if guard.thread != threading.main_thread().ident:
        return False
    if _state.sync == 0:
        _handle(_INTERRUPT, signal.default_int_handler, _on_interrupt)
        if not _state.tasks:
            _handle(_TERMINATE, signal.SIG_DFL, _on_terminate)
    _state.sync += 1
    return True


def end() -> None:
    """Note that it is over: it was recorded, its hooks have run."""
    _state.sync -= 1
    if _state.sync == 0:
        _handle(_INTERRUPT, _on_interrupt, signal.default_int_handler)
        _rest()


def begin_async(task: Any) -> bool:
    """Note that a top-level run begins in an event loop; return whether `end_async` is to be called when it is over.

    Args:
        task: The loop's task that drives it.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    if not _state.sync and not _state.tasks:
        _handle(_TERMINATE, signal.SIG_DFL, _on_terminate)
    if task in _state.tasks:
        return False
    _state.tasks[task] = None
    return True


def end_async(task: Any) -> None:
    """Note that it is over."""
    _state.tasks.pop(task, None)
    _rest()


def _rest() -> None:
    if _state.sync or _state.tasks:
        return
    if _state.received is not None:
        recorder = current_world().recorder
        if recorder is not None:
            recorder.flush()
        _die(_state.received)
    _handle(_TERMINATE, _on_terminate, signal.SIG_DFL)


def _handle(number: signal.Signals, old: _Handler, new: _Handler) -> None:
    """Put one handler in the place of another, if that is the one that is set."""
    if signal.getsignal(number) == old:
        with suppress(ValueError):  # an interpreter within this one
            signal.signal(number, new)


def _on_interrupt(_: int, __: object) -> None:
    guard = current_guard()
    if guard.closing or guard.owed is not None:
        _die(_INTERRUPT)  # for the second time, while the first is seen to
    if guard.mode == ENGINE and guard.waker is None:
        guard.owed = KeyboardInterrupt()  # our own code goes on to where it can be interrupted
    else:
        raise KeyboardInterrupt


def _on_terminate(_: int, __: object) -> None:
    if _state.received is not None:
        _die(_TERMINATE)
    _state.received = _TERMINATE
    for task in list(_state.tasks):
        with suppress(RuntimeError):  # the loop is closed
            task.get_loop().call_soon_threadsafe(task.cancel)
    if _state.sync:
        guard = current_guard()
        stop = StopRun(_TERMINATE.name, crashed=True)
        if guard.mode == ENGINE and guard.waker is None:
            guard.owed = stop
        else:
            raise stop


def _die(number: signal.Signals) -> NoReturn:
    """End the process by a signal, so that whoever started it sees why."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # where the signal is blocked


def _after_fork_in_child() -> None:
    """Let a forked child be ended as any other: by its default. The runs are its parent's."""
    global _state  # noqa: PLW0603  one for each process
    if _state.sync or _state.tasks:
        _handle(_INTERRUPT, _on_interrupt, signal.default_int_handler)
        _handle(_TERMINATE, _on_terminate, signal.SIG_DFL)
        _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
