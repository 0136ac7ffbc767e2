"""Context variables that threads take over from the code that starts them.

Python's own do not: a new thread begins with none (before 3.14, and there by default still). So `Thread.start` and
`ThreadPoolExecutor.submit` are wrapped, once: they note on the thread what our variables hold where they are called.
Where a variable has no value of its own, it looks there. Nothing else is copied, and nothing runs in a new thread.

What is noted of a variable made `weak` is a weak reference. A thread that outlives what it was started in neither
keeps that alive nor takes itself for a part of it.
"""

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, Generic, ParamSpec, TypeVar

__all__ = ["InheritedVar", "carrying", "inherit_in_threads", "stop_inheriting"]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_UNSET: Final[Any] = object()
_NOTE: Final = "_entrepot_inherited"  # the attribute of a thread
_OURS: Final = "entrepot-"  # how the names of our own threads begin: they serve the process, or are given a context

_variables: "list[InheritedVar[Any]]" = []
_threads_have_notes = False  # until the first does, which one this is need not be asked


def _put(thread: threading.Thread, notes: object) -> None:
    global _threads_have_notes  # noqa: PLW0603  said once in a process, and never taken back
    _threads_have_notes = True
    setattr(thread, _NOTE, notes)


class InheritedVar(Generic[T]):
    """A `ContextVar` that threads inherit.

    Args:
        name: As of a `ContextVar`.
        default: What it holds where nothing was set and nothing inherited.
        weak: Whether threads only refer to its value, which then must take weak references.
    """

    __slots__ = ("_default", "_var", "_weak", "reset", "set")

    def __init__(self, name: str, *, default: T, weak: bool = False) -> None:
        self._var: ContextVar[T] = ContextVar(name)
        self._default = default
        self._weak = weak
        self.set: Callable[[T], Token[T]] = self._var.set
        self.reset: Callable[[Token[T]], None] = self._var.reset
        _variables.append(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._var.name!r}>"

    def get(self) -> T:
        """Return its value: the one set in this context, else the one inherited by this thread, else the default."""
        value: T = self._var.get(_UNSET)
        if value is not _UNSET:
            return value
        if not _threads_have_notes:
            return self._default
        notes = getattr(threading.current_thread(), _NOTE, None)
        if notes is None:
            return self._default
        return self.noted(notes.get(self, _UNSET))

    def note(self) -> object:
        """Return what a thread keeps of its value here, or `_UNSET` if that is the default."""
        value = self.get()
        if value is self._default:
            return _UNSET
        return weakref.ref(value) if self._weak else value

    def noted(self, note: Any) -> T:
        """Return the value that a note stands for; the default where that is no more."""
        if note is _UNSET:
            return self._default
        value = note() if self._weak else note
        return self._default if value is None else value


def carrying(call: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does what `call` does, with what our variables hold now, wherever it is called.

    Of a weak variable whose value is gone by then, it sees the default.
    """
    noted = {variable: variable.note() for variable in _variables}

    @functools.wraps(call, updated=())
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        tokens = [(variable, variable.set(variable.noted(note))) for variable, note in noted.items()]
        try:
            return call(*args, **kwargs)
        finally:
            for variable, token in tokens:
                variable.reset(token)

    return carried


def _notes() -> dict[InheritedVar[Any], object] | None:
    notes = None
    for variable in _variables:
        noted = variable.note()
        if noted is not _UNSET:
            notes = notes or {}
            notes[variable] = noted
    return notes


def _with(notes: object, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    thread = threading.current_thread()
    before = getattr(thread, _NOTE, None)
    _put(thread, notes)
    try:
        return call(*args, **kwargs)
    finally:
        setattr(thread, _NOTE, before)


# --- the two wrapped methods ------------------------------------------------------------------------------------------


class _Hiring(threading.local):
    now = False


_hiring = _Hiring()  # while a pool starts a thread: that is for the work of whoever comes
_lock = threading.Lock()
_wrapped: list[tuple[type, str, Any, Any]] = []  # class, name, what was there, what is there now


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def inherit_in_threads() -> None:
    """Let threads inherit from now on; a second call does nothing."""
    if _wrapped:
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  this module is loaded with the first import

    with _lock:
        if not _wrapped:
            _wrap(threading.Thread, "start", _starting)
            _wrap(ThreadPoolExecutor, "submit", _submitting)


def stop_inheriting() -> None:
    """Undo `inherit_in_threads`; what somebody else has wrapped meanwhile stays, and only passes on."""
    with _lock:
        for owner, name, before, ours in _wrapped:
            if getattr(owner, name) is ours:
                setattr(owner, name, before)
        _wrapped.clear()


def _wrap(owner: type, name: str, maker: Callable[[Any], Any]) -> None:
    before = getattr(owner, name)
    ours = functools.wraps(before)(maker(before))
    setattr(owner, name, ours)
    _wrapped.append((owner, name, before, ours))


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def wrapper(self: threading.Thread) -> None:
        if _wrapped and not _hiring.now and not str(getattr(self, "_name", "")).startswith(_OURS):
            notes = _notes()
            if notes is not None:
                _put(self, notes)
        start(self)

    return wrapper


def _is_of_interpreters(pool: object) -> bool:
    """Return whether a pool gives its work to other interpreters (new in Python 3.14): nothing of ours can go there."""
    module: Any = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)


def _submitting(submit: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        notes = _notes() if _wrapped else None
        before, _hiring.now = _hiring.now, True
        try:
            if notes is None or _is_of_interpreters(self):
                return submit(self, fn, *args, **kwargs)
            return submit(self, _with, notes, fn, *args, **kwargs)
        finally:
            _hiring.now = before

    return wrapper
