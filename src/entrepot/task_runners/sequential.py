"""Submitted tasks one after another, in the thread that submits them."""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

__all__ = ["SequentialTaskRunner"]

T = TypeVar("T")


class SequentialTaskRunner:
    """Runs each submitted task at once, to its end: good for tasks that share what they must not touch together."""

    name = "sequential"

    def __init__(self) -> None:
        self._entered = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return True if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(type(self))

    def duplicate(self) -> Self:
        """Return a fresh runner, not entered."""
        return type(self)()

    def __enter__(self) -> Self:
        """Start."""
        if self._entered:
            raise RuntimeError("this task runner is entered already; use runner.duplicate() for another run")
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Let go; whatever was submitted is over."""
        self._entered = False

    def submit(self, call: Callable[[], T], /) -> Future[T]:
        """Run `call` now, in a copy of the caller's context variables, and return its finished future.

        Raises:
            RuntimeError: If the runner was not entered or was left.
        """
        if not self._entered:
            raise RuntimeError("this task runner takes no tasks: it was not entered, or its run is over")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(contextvars.copy_context().run(call))
        except Exception as error:  # noqa: BLE001  it belongs to whoever asks the future
            future.set_exception(error)
        return future
