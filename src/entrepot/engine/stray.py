"""Runs that are submitted outside runs: they belong to the process, which finishes them before it ends."""

import atexit
import os
import sys
import threading

from entrepot.engine.children import Children
from entrepot.task_runners import ThreadPoolTaskRunner

__all__ = ["stray_children"]

_stray: Children | None = None
_stray_lock = threading.Lock()


def stray_children() -> Children:
    """Return where tasks go that are submitted outside runs. What is under way when the process ends is finished."""
    global _stray  # noqa: PLW0603  one for each process, made on first need
    with _stray_lock:
        if _stray is None:
            _stray = Children(ThreadPoolTaskRunner())
            atexit.register(_finish, _stray)  # its threads keep no process
        return _stray


def _finish(children: Children) -> None:
    if children is not _stray:
        return  # a forked child's parent's
    try:
        children.close(_interrupt())
    except KeyboardInterrupt as error:
        children.close(error)


def _interrupt() -> KeyboardInterrupt | None:
    """Return the interrupt that ended the program, if one did: who pressed Ctrl-C is not to press it again here."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)  # the second up to Python 3.11
    is_session = hasattr(sys, "ps1")  # that was then one of its lines
    return error if isinstance(error, KeyboardInterrupt) and not is_session else None


def _after_fork_in_child() -> None:
    """Begin anew: threads stay with the parent."""
    global _stray, _stray_lock  # noqa: PLW0603  as above
    _stray = None
    _stray_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
