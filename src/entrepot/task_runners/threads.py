"""Submitted tasks in a pool of threads."""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from entrepot.errors import OptionError
from entrepot.task_runners.pool import DaemonPool

__all__ = ["ConcurrentTaskRunner", "ThreadPoolTaskRunner"]

T = TypeVar("T")

_DEFAULT_WORKERS = 32  # tasks mostly wait for others; threads are started only while none is idle


class ThreadPoolTaskRunner:
    """Runs submitted tasks in threads: good for tasks that wait (network, disks, databases).

    Args:
        max_workers: How many tasks run at a time; 32 if not given.
    """

    name = "threads"

    def __init__(self, max_workers: int | None = None) -> None:
        workers = _DEFAULT_WORKERS if max_workers is None else max_workers
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise OptionError(f"max_workers is a whole number from 1, not {max_workers!r}", option="max_workers")
        self.max_workers = workers
        self._pool: DaemonPool | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"

    def __eq__(self, other: object) -> bool:
        return self.max_workers == other.max_workers if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self.max_workers))

    def duplicate(self) -> Self:
        """Return a fresh runner with the same options, not entered."""
        return type(self)(self.max_workers)

    def __enter__(self) -> Self:
        """Start; threads come with the work."""
        if self._pool is not None:
            raise RuntimeError("this task runner is entered already; use runner.duplicate() for another run")
        self._pool = DaemonPool(self.max_workers, "entrepot-task")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Wait for what was submitted; if an error comes through, cancel what has not started."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(cancel=kind is not None)

    def submit(self, call: Callable[[], T], /) -> Future[T]:
        """Run `call` in a thread, in the context variables of the caller at this moment.

        Raises:
            RuntimeError: If the runner was not entered or was left.
        """
        pool = self._pool
        if pool is None:
            raise RuntimeError("this task runner takes no tasks: it was not entered, or its run is over")
        return pool.submit(call, contextvars.copy_context())


ConcurrentTaskRunner = ThreadPoolTaskRunner
"""Its older name."""
