"""Raising an exception in a thread from outside, and where that does no harm."""

import gc
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Final

__all__ = [
    "BOUNDARIES",
    "frame_of",
    "is_delicate",
    "let_go_of_logging",
    "raise_in",
    "runs_a_loop",
    "settle",
    "takes_a_lock",
]

BOUNDARIES: Final[set[CodeType]] = set()
"""The code of the functions of ours that call the user's."""

_DEPTH: Final = 200  # frames that are looked at

_set_async_exception: Callable[..., None] | None = None
_unsettled = False  # whether something was raised since `settle`
_raised_at = 0.0  # when the last time, as of `time.monotonic`


def raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Let an exception be raised in a thread at its next instruction; None takes one back that was not raised yet."""
    global _set_async_exception, _unsettled, _raised_at  # noqa: PLW0603  found on first need; and of the whole process
    if _set_async_exception is None:
        import ctypes  # noqa: PLC0415  only who stops a thread pays for it

        function = ctypes.pythonapi.PyThreadState_SetAsyncExc
        function.argtypes = [ctypes.c_ulong, ctypes.py_object]
        function.restype = ctypes.c_int
        null = ctypes.py_object()

        def set_async_exception(thread: int, kind: type[BaseException] | None) -> None:
            function(thread, null if kind is None else ctypes.py_object(kind))

        _set_async_exception = set_async_exception
    _unsettled, _raised_at = True, monotonic()
    _set_async_exception(thread, kind)
    if kind is None:
        settle()


class _NothingError(BaseException):
    """Is raised to be caught at once."""


def settle(after: float = 0.0) -> bool:
    """Let Python know that no thread has an exception to raise any more.

    Up to 3.12, it goes on looking for one that was taken back, or whose thread ended first, or is stuck: at every jump
    of every thread, and for ever where `sys.settrace` is used, by a debugger, say. Only an exception that is raised
    ends that, so one is raised here. A thread that is still to raise one does so a little later then.

    Args:
        after: How many seconds a thread is given to raise one before.

    Returns:
        Whether that is so now.
    """
    global _unsettled  # noqa: PLW0603  of the whole process
    if not _unsettled or _set_async_exception is None:
        return True
    if monotonic() - _raised_at < after:
        return False
    _unsettled = False
    if sys.version_info >= (3, 13):
        return True
    try:
        _set_async_exception(threading.get_ident(), _NothingError)
        for _ in range(1_000_000):  # it is raised at one of the next jumps
            pass
    except _NothingError:
        pass
    return True


_STDLIB = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120  compared with file names as texts
_LOOP_FILES = (_STDLIB + "asyncio" + os.sep, _STDLIB + "selectors.py")
_LOGGING_FILES = _STDLIB + "logging" + os.sep
_IMPORT_FILES = "<frozen importlib."
_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120  as above
_TESTS = _PACKAGE + "testing" + os.sep  # the code that our contracts run is as good as the user's
_LOCKING = frozenset({"acquire", "__enter__", "_acquire_restore", "_get_module_lock"})


def let_go_of_logging() -> None:
    """Release the locks of logging that this thread still holds, because it was struck while it logged.

    All threads need these. Up to Python 3.12 there is a moment between taking one and seeing to its release.
    """
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return
    handlers = [reference() for reference in list(logging._handlerList)]  # noqa: SLF001  nobody else knows them all
    for lock in (logging._lock, *(getattr(handler, "lock", None) for handler in handlers)):  # noqa: SLF001  as above
        while getattr(lock, "_is_owned", bool)():
            lock.release()


_frames_lock = threading.RLock()  # a signal handler may come here amid it
_collection_paused = False  # by `frame_of`


def frame_of(thread: int) -> FrameType | None:
    """Return the innermost frame of a thread, or None where there is no such thread."""
    global _collection_paused  # noqa: PLW0603  of the whole process
    if sys.version_info >= (3, 12):
        return sys._current_frames().get(thread)  # noqa: SLF001  the one way to see it
    # Up to 3.11, Python lists the frames under its lock of all threads, and may collect garbage amid that. Where that
    # runs a callback of the collector or a finalizer, another thread gets its turn, which waits for that lock and keeps
    # the interpreter's: all hang (https://github.com/python/cpython/issues/106883).
    with _frames_lock:
        pauses = gc.isenabled()
        try:
            if pauses:
                _collection_paused = True
                gc.disable()
            return sys._current_frames().get(thread)  # noqa: SLF001  as above
        finally:
            if pauses:
                gc.enable()
                _collection_paused = False


def _after_fork_in_child() -> None:
    global _frames_lock, _collection_paused  # noqa: PLW0603  who held it in another thread is not here to go on
    _frames_lock = threading.RLock()
    if _collection_paused:
        _collection_paused = False
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def takes_a_lock(frame: FrameType | None) -> bool:
    """Return whether code of Python's own runs that may just have taken a lock, and not yet seen to its release.

    To strike there would leave a lock held for ever, and others waiting for it. The locks of logging are let go in any
    case, by `let_go_of_logging`.
    """
    if frame is None or frame.f_code.co_name not in _LOCKING:
        return False
    file = frame.f_code.co_filename
    return file.startswith((_STDLIB, _IMPORT_FILES)) and not file.startswith(_LOGGING_FILES)


def is_delicate(frame: FrameType | None) -> bool:
    """Return whether code runs that is better left to its end: an import, something of ours that the user called."""
    if frame is not None and frame.f_code in BOUNDARIES:
        return True  # it has just left the user's code, or the user's code is written in C
    for _ in range(_DEPTH):
        if frame is None or frame.f_code in BOUNDARIES:
            return False
        file = frame.f_code.co_filename
        if file.startswith(_IMPORT_FILES) or (file.startswith(_PACKAGE) and not file.startswith(_TESTS)):
            return True
        frame = frame.f_back
    return False


def runs_a_loop(frame: FrameType) -> bool:
    """Return whether an event loop itself runs, and no code of a task in it."""
    return frame.f_code.co_filename.startswith(_LOOP_FILES)
