"""Submitted tasks in processes: for work that computes, all processors at a time."""

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from entrepot.errors import OptionError
from entrepot.protocols.task_runner import Place
from entrepot.task_runners.pool import DaemonPool

__all__ = ["ProcessPoolTaskRunner"]

T = TypeVar("T")


class ProcessPoolTaskRunner:
    """Runs the functions of submitted tasks in processes: good for tasks that compute in Python.

    Everything else of a run (states, retries, the cache, hooks) stays in this process, in a thread for each task that
    is under way. So do submitted subflows. Functions, arguments and results go from process to process as pickles;
    functions of scripts and notebooks, lambdas and closures do, too.

    Args:
        max_workers: How many processes there are at most; as many as this process may use processors if not given.
    """

    name = "processes"

    def __init__(self, max_workers: int | None = None) -> None:
        workers = _processors() if max_workers is None else max_workers
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise OptionError(f"max_workers is a whole number from 1, not {max_workers!r}", option="max_workers")
        self.max_workers = workers
        self._pool: DaemonPool | None = None
        self._place: _Workers | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"

    def __eq__(self, other: object) -> bool:
        return self.max_workers == other.max_workers if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self.max_workers))

    @property
    def place(self) -> Place | None:
        """Where functions are called: in one of the processes, which are started on need."""
        return self._place

    def duplicate(self) -> Self:
        """Return a fresh runner with the same options, not entered."""
        return type(self)(self.max_workers)

    def __enter__(self) -> Self:
        """Start; processes come with the work."""
        if self._pool is not None:
            raise RuntimeError("this task runner is entered already; use runner.duplicate() for another run")
        self._pool = DaemonPool(self.max_workers, "entrepot-process")
        self._place = _Workers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Wait for what was submitted, or cancel what has not started if an error comes through; end the processes."""
        pool, place, self._pool, self._place = self._pool, self._place, None, None
        try:
            if pool is not None:
                pool.close(cancel=kind is not None)
        finally:
            if place is not None:
                place.close()

    def submit(self, call: Callable[[], T], /) -> Future[T]:
        """Run `call` in a thread, in the context variables of the caller at this moment.

        What is to run in a process, the call itself brings there, by `place`.

        Raises:
            RuntimeError: If the runner was not entered or was left.
        """
        pool = self._pool
        if pool is None:
            raise RuntimeError("this task runner takes no tasks: it was not entered, or its run is over")
        return pool.submit(call, contextvars.copy_context())


class _Workers:
    """A `Place`: processes that stay for the next call. One that was lost or ended is replaced by another."""

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False

    def call(self, work: Callable[..., Any], timeout: float | None, hear: Callable[[Any], object], /) -> Any:
        """Call a function in one of the processes; see `Place.call`."""
        worker = self._take()
        try:
            return worker.call(work, timeout, hear)
        finally:
            self._give_back(worker)

    def close(self) -> None:
        """Let idle processes end, and others when they have answered."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()

    def _take(self) -> Any:
        from entrepot.task_runners.workers import Worker  # noqa: PLC0415  who uses no processes pays nothing for them

        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return Worker()
            if worker.is_well():
                return worker
            worker.end(kindly=True)

    def _give_back(self, worker: Any) -> None:
        if worker.closed:
            return
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.close()


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
