"""What a run has submitted: the task runner that it goes to, and when all of it is over."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from entrepot.futures import EntrepotFuture
from entrepot.protocols.task_runner import TaskRunner
from entrepot.task_runners import ThreadPoolTaskRunner

__all__ = ["Children", "stray_children"]

T = TypeVar("T")


class Children:
    """What one attempt of one run has submitted.

    Each run that submits has a task runner of its own. So no task ever waits for a place that is held by a task that
    waits for it.

    Args:
        runner: Entered here, left by `close`.
    """

    __slots__ = ("_changed", "_closed", "_left", "_runner", "_under_way")

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner.__enter__()
        self._under_way = 0
        self._closed = False
        self._left = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether tasks that have not started are to be cancelled."""
        return self._closed

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run a call in the task runner, in the caller's context variables."""
        return self._runner.submit(call)

    def adopt(self, future: EntrepotFuture[Any]) -> None:
        """Count a future until it is over: also those that wait for others, which no runner knows yet."""
        with self._changed:
            self._under_way += 1
        future.add_done_callback(self._let_go)

    def _let_go(self, _: EntrepotFuture[Any]) -> None:
        with self._changed:
            self._under_way -= 1
            if self._under_way == 0:
                self._changed.notify_all()

    def close(self, error: BaseException | None) -> None:
        """Wait for everything submitted and leave the runner; after an error, cancel what has not started."""
        try:
            if error is not None:
                self._closed = True
                self._leave(error)
            with self._changed:
                self._changed.wait_for(lambda: self._under_way == 0)
        except BaseException as interrupt:
            self._closed = True
            if error is None:
                self._leave(interrupt)
            raise
        if error is None:
            self._leave(None)

    def _leave(self, error: BaseException | None) -> None:
        with self._changed:
            if self._left:
                return
            self._left = True
        self._runner.__exit__(None if error is None else type(error), error, None)


_stray: Children | None = None
_stray_lock = threading.Lock()


def stray_children() -> Children:
    """Return where tasks go that are submitted outside runs. What runs when the process ends is finished first."""
    global _stray  # noqa: PLW0603  one for each process, made on first need
    with _stray_lock:
        if _stray is None:
            _stray = Children(ThreadPoolTaskRunner())
        return _stray


def _forget_stray_children() -> None:
    """Begin anew in a forked child: threads stay with the parent."""
    global _stray, _stray_lock  # noqa: PLW0603  as above
    _stray = None
    _stray_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_stray_children)
