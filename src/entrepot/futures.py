"""Results that are still being computed: futures of submitted tasks, and waiting for several of them."""

import logging
import os
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, overload

from entrepot._stops import Bell, wait_until
from entrepot.results.lazy import InStore, Lazy
from entrepot.states import State

__all__ = ["DoneAndNotDone", "EntrepotFuture", "FutureList", "as_completed", "wait"]

R = TypeVar("R")

_log = logging.getLogger("entrepot.futures")
_lock = allocate_lock()  # of all futures, held for a few instructions: a lock each would be most of their memory


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _lock = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class EntrepotFuture(Generic[R]):
    """The result of a submitted task.

    Args:
        task_run_id: The run's id.
        task_run_name: The run's name.
        peek: Returns the run's state as it is now; None once `finish` was called.

    Attributes:
        asked: Whether somebody has looked how the run ended, and so knows if it failed, and may have its result.
    """

    __slots__ = ("__weakref__", "_callbacks", "_final", "_kept", "_peek", "asked", "task_run_id", "task_run_name")

    def __init__(self, task_run_id: str, task_run_name: str, peek: Callable[[], State[R] | None]) -> None:
        self.task_run_id = task_run_id
        self.task_run_name = task_run_name
        self._peek: Callable[[], State[R] | None] | None = peek
        self._final: State[R] | None = None
        self._kept: InStore | None = None
        self._callbacks: list[Callable[[EntrepotFuture[R]], object]] | None = None
        self.asked = False

    def __repr__(self) -> str:
        return f"<EntrepotFuture {self.task_run_name!r} {self.peek().name}>"

    @property
    def state(self) -> State[R]:
        """The run's state as it is now; once the run is over, its last."""
        if self._final is not None:
            self.asked = True
        return self.peek()

    def peek(self) -> State[R]:
        """Return what `state` is; it does not count as having asked."""
        while True:
            final, peek = self._final, self._peek
            now = peek() if final is None and peek is not None else final
            if now is not None:
                return now

    def done(self) -> bool:
        """Return whether the run is over."""
        return self._final is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over, or until `timeout` seconds have passed; return whether it is over."""
        if self._final is not None:
            return True
        bell = Bell()
        ring = bell.ring
        self.add_done_callback(ring)
        try:
            return wait_until(self.done, bell, timeout)
        finally:
            self._forget(ring)

    @overload
    def result(self, timeout: float | None = ..., raise_on_failure: bool = ..., *, lazy: Literal[False] = ...) -> R: ...  # noqa: FBT001  as `State.result`
    @overload
    def result(self, timeout: float | None = ..., raise_on_failure: bool = ..., *, lazy: Literal[True]) -> Lazy[R]: ...  # noqa: FBT001  as `State.result`
    def result(self, timeout: float | None = None, raise_on_failure: bool = True, *, lazy: bool = False) -> R | Lazy[R]:  # noqa: FBT001, FBT002  as `State.result`
        """Wait for the run, and return what it returned or raise what it raised.

        Args:
            timeout: How many seconds to wait; None for ever.
            raise_on_failure: Whether to raise; if not, the exception itself is returned.
            lazy: Whether to return a `Lazy` instead of what it returned. A large result that is kept is then not held
                here any longer: who asks for it again, in whatever way, reads it.

        Raises:
            TimeoutError: If the run is not over in time; it goes on.
            Exception: As `State.result`.
        """
        if not self.wait(timeout):
            raise TimeoutError(
                f"task run {self.task_run_name!r} was not over after {timeout} seconds; it is {self.state.name}"
            )
        self.asked = True
        state = self.peek()
        try:
            if lazy and state.is_completed():
                return self._lazy(state)
            return state.result(raise_on_failure)
        finally:
            del self, state  # this frame may be in a traceback, and would hold the error that holds it

    def add_done_callback(self, callback: "Callable[[EntrepotFuture[R]], object]") -> None:
        """Call `callback` with this future when the run is over, or now if it is; in whatever thread ends the run.

        What a callback raises is logged.
        """
        with _lock:
            if self._final is None:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        self._call(callback)

    def finish(self, state: State[R], kept: InStore | None = None) -> None:
        """Set the run's last state; the engine calls this. Only the first one counts.

        Args:
            state: The state.
            kept: Where the result is, if it is large and kept.
        """
        with _lock:
            if self._final is not None:
                return
            self._final = state
            self._kept = kept
            callbacks, self._callbacks, self._peek = self._callbacks, None, None
        for callback in callbacks or ():
            self._call(callback)

    def _lazy(self, state: State[R]) -> Lazy[R]:
        if type(state.data) is Lazy:
            return state.data
        if self._kept is None:
            return Lazy(state.result(), self.task_run_id)
        lazy: Lazy[R] = Lazy(self._kept, self.task_run_id)
        self._final = replace(state, data=cast("R", lazy))  # the same state, by its id
        return lazy

    def _call(self, callback: "Callable[[EntrepotFuture[R]], object]") -> None:
        try:
            callback(self)
        except Exception:  # noqa: BLE001  one's trouble is no reason not to call the others
            _log.exception("a callback of task run %r raised", self.task_run_name)

    def _forget(self, callback: "Callable[[EntrepotFuture[R]], object]") -> None:
        with _lock:
            if self._callbacks is not None and callback in self._callbacks:
                self._callbacks.remove(callback)


class FutureList(list[EntrepotFuture[R]]):
    """Futures of one kind, in order; what `.map()` returns."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all runs are over, or until `timeout` seconds have passed; return whether all are over."""
        return not wait(self, timeout).not_done

    @overload
    def result(
        self,
        timeout: float | None = ...,
        raise_on_failure: bool = ...,  # noqa: FBT001  as `State.result`
        *,
        lazy: Literal[False] = ...,
    ) -> list[R]: ...
    @overload
    def result(
        self,
        timeout: float | None = ...,
        raise_on_failure: bool = ...,  # noqa: FBT001  as `State.result`
        *,
        lazy: Literal[True],
    ) -> list[Lazy[R]]: ...
    def result(
        self,
        timeout: float | None = None,
        raise_on_failure: bool = True,  # noqa: FBT001, FBT002  as `State.result`
        *,
        lazy: bool = False,
    ) -> list[R] | list[Lazy[R]]:
        """Wait for all runs and return what they returned, in order, or raise what the first failed one raised.

        Args:
            timeout: How many seconds to wait for all of them; None for ever.
            raise_on_failure: Whether to raise; if not, exceptions stand in the places of results.
            lazy: Whether to return a `Lazy` for each result.

        Raises:
            TimeoutError: If not all are over in time.
            Exception: As `State.result`.
        """
        if not self.wait(timeout):
            late = sum(not future.done() for future in self)
            raise TimeoutError(f"{late} of {len(self)} task runs were not over after {timeout} seconds; they go on")
        futures = iter(self)
        del self  # as above
        if lazy:
            return [future.result(raise_on_failure=raise_on_failure, lazy=True) for future in futures]
        return [future.result(raise_on_failure=raise_on_failure) for future in futures]


class DoneAndNotDone(NamedTuple):
    """What `wait` returns."""

    done: set[EntrepotFuture[Any]]
    not_done: set[EntrepotFuture[Any]]


def wait(futures: Iterable[EntrepotFuture[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all runs are over, or until `timeout` seconds have passed.

    Args:
        futures: Which.
        timeout: How many seconds to wait; None for ever.
    """
    known = list(futures)
    deadline = None if timeout is None else monotonic() + timeout
    # From the last: what was submitted first is mostly over first, and so nearly all waits are for what is over.
    for future in reversed(known):
        if not future.done() and not future.wait(None if deadline is None else max(0.0, deadline - monotonic())):
            break
    done = {future for future in known if future.done()}
    return DoneAndNotDone(done, set(known) - done)


def as_completed(futures: Iterable[EntrepotFuture[R]], timeout: float | None = None) -> Iterator[EntrepotFuture[R]]:
    """Yield futures as their runs end.

    Args:
        futures: Which.
        timeout: How many seconds all of them may take from the first look; None for ever.

    Raises:
        TimeoutError: If not all are over in time.
    """
    left = dict.fromkeys(futures)
    deadline = None if timeout is None else monotonic() + timeout
    over: deque[EntrepotFuture[R]] = deque()
    bell = Bell()

    def tell(future: EntrepotFuture[R]) -> None:
        over.append(future)
        bell.ring()

    for future in left:
        future.add_done_callback(tell)
    try:
        while left:
            if not over:
                rest = None if deadline is None else max(0.0, deadline - monotonic())
                if not wait_until(lambda: bool(over), bell, rest):
                    raise TimeoutError(f"{len(left)} task runs were not over after {timeout} seconds; they go on")
            future = over.popleft()
            del left[future]
            yield future
    finally:
        for future in left:
            future._forget(tell)  # noqa: SLF001  the same module
