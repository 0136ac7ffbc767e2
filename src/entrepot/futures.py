"""Results that are still being computed: futures of submitted tasks, and waiting for several of them."""

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from entrepot.states import State

__all__ = ["DoneAndNotDone", "EntrepotFuture", "FutureList", "as_completed", "wait"]

R = TypeVar("R")

_log = logging.getLogger("entrepot.futures")


class EntrepotFuture(Generic[R]):
    """The result of a submitted task.

    Args:
        task_run_id: The run's id.
        task_run_name: The run's name.
        peek: Returns the run's state as it is now; None once `finish` was called.

    Attributes:
        asked: Whether somebody has looked how the run ended, and so knows if it failed.
    """

    __slots__ = ("__weakref__", "_callbacks", "_final", "_peek", "asked", "task_run_id", "task_run_name")

    def __init__(self, task_run_id: str, task_run_name: str, peek: Callable[[], State[R] | None]) -> None:
        self.task_run_id = task_run_id
        self.task_run_name = task_run_name
        self._peek: Callable[[], State[R] | None] | None = peek
        self._final: concurrent.futures.Future[State[R]] = concurrent.futures.Future()
        self._callbacks: list[Callable[[EntrepotFuture[R]], object]] = []
        self.asked = False

    def __repr__(self) -> str:
        return f"<EntrepotFuture {self.task_run_name!r} {self.peek().name}>"

    @property
    def state(self) -> State[R]:
        """The run's state as it is now; once the run is over, its last."""
        if self._final.done():
            self.asked = True
        return self.peek()

    def peek(self) -> State[R]:
        """Return what `state` is; it does not count as having asked."""
        peek = None if self._final.done() else self._peek
        now = None if peek is None else peek()
        return self._final.result() if now is None else now

    def done(self) -> bool:
        """Return whether the run is over."""
        return self._final.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over, or until `timeout` seconds have passed; return whether it is over."""
        return not concurrent.futures.wait([self._final], timeout).not_done

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:  # noqa: FBT001, FBT002  as `State.result`
        """Wait for the run, and return what it returned or raise what it raised.

        Args:
            timeout: How many seconds to wait; None for ever.
            raise_on_failure: Whether to raise; if not, the exception itself is returned.

        Raises:
            TimeoutError: If the run is not over in time; it goes on.
            Exception: As `State.result`.
        """
        if not self.wait(timeout):
            raise TimeoutError(
                f"task run {self.task_run_name!r} was not over after {timeout} seconds; it is {self.state.name}"
            )
        self.asked = True
        state = self._final.result()
        try:
            return state.result(raise_on_failure)
        finally:
            del self, state  # this frame may be in a traceback, and would hold the error that holds it

    def add_done_callback(self, callback: "Callable[[EntrepotFuture[R]], object]") -> None:
        """Call `callback` with this future when the run is over, or now if it is; in whatever thread ends the run.

        What a callback raises is logged.
        """
        self._callbacks.append(callback)
        if self._final.done():
            self._call_back()

    def finish(self, state: State[R]) -> None:
        """Set the run's last state; the engine calls this. Only the first one counts."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self._final.set_result(state)
        self._peek = None
        self._call_back()

    def _call_back(self) -> None:
        # Taken off one by one, which is one step each: two threads never call the same, and nothing is held for ever
        # (callbacks hold what waits for this run, with its arguments).
        while True:
            try:
                callback = self._callbacks.pop(0)
            except IndexError:
                return
            try:
                callback(self)
            except Exception:  # noqa: BLE001  one's trouble is no reason not to call the others
                _log.exception("a callback of task run %r raised", self.task_run_name)


class FutureList(list[EntrepotFuture[R]]):
    """Futures of one kind, in order; what `.map()` returns."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all runs are over, or until `timeout` seconds have passed; return whether all are over."""
        return not wait(self, timeout).not_done

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:  # noqa: FBT001, FBT002  as `State.result`
        """Wait for all runs and return what they returned, in order, or raise what the first failed one raised.

        Args:
            timeout: How many seconds to wait for all of them; None for ever.
            raise_on_failure: Whether to raise; if not, exceptions stand in the places of results.

        Raises:
            TimeoutError: If not all are over in time.
            Exception: As `State.result`.
        """
        if not self.wait(timeout):
            late = sum(not future.done() for future in self)
            raise TimeoutError(f"{late} of {len(self)} task runs were not over after {timeout} seconds; they go on")
        futures = iter(self)
        del self  # as above
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
    concurrent.futures.wait([future._final for future in known], timeout)  # noqa: SLF001  the same module
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
    by_final = {future._final: future for future in futures}  # noqa: SLF001  the same module
    for final in concurrent.futures.as_completed(by_final, timeout):
        yield by_final[final]
