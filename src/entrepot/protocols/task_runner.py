"""Where submitted tasks run."""

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

__all__ = ["Place", "TaskRunner"]

T = TypeVar("T")


class Place(Protocol):
    """Where the function of a task is called, if not in the thread that drives its run: another process, say.

    Everything but the function stays with the driver: states, retries, the cache, hooks.
    """

    def call(self, work: Callable[..., Any], timeout: float | None, hear: Callable[[Any], object], /) -> Any:
        """Call `work` there, and return what it returns, or raise what it raises; called by the thread that drives.

        Args:
            work: The function with its arguments and its run's surroundings; `cloudpickle` can pickle it. It is called
                with one argument, a function that brings a picklable message back (log lines, what nested runs do).
            timeout: Seconds after which it is ended there, whatever it does; None for never.
            hear: To be called here with each of those messages, in the thread that called this.

        Raises:
            TimedOutError: If it was ended after `timeout` seconds.
            CrashedRunError: If the process ended without an answer.
            SerializationError: If it, its arguments or its result cannot go there and back.
        """
        ...


class TaskRunner(Protocol):
    """Runs calls, perhaps concurrently.

    A flow run enters its runner, submits, and leaves it; `duplicate` gives each run one of its own. The engine only
    submits calls that wait for nothing: what they depend on is done before.

    A runner may have two more attributes. `place`, a `Place` or None: where the functions of tasks are called, if not
    in the runner's own threads. `max_workers`, a number: how many calls run at a time; mapping waits while several
    times as many are under way.
    """

    name: str

    def duplicate(self) -> Self:
        """Return a fresh runner with the same options, not entered."""
        ...

    def __enter__(self) -> Self:
        """Start; after this `submit` works."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Wait for what was submitted, or cancel what has not started if an error comes through; then let go."""
        ...

    def submit(self, call: Callable[[], T], /) -> Future[T]:
        """Run `call` in the context variables of the caller at this moment, and return its future.

        Raises:
            RuntimeError: If the runner was not entered or was left.
        """
        ...
