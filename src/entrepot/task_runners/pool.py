"""A pool of threads that never keep a process from ending, and of which one may be lost."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from entrepot._stops import Bell, current_guard, wait_until

__all__ = ["DaemonPool"]

T = TypeVar("T")


class _Item:
    """A call, and what becomes of it."""

    __slots__ = ("call", "context", "future")

    def __init__(self, call: Callable[[], Any], context: contextvars.Context, future: Future[Any]) -> None:
        self.call = call
        self.context = context
        self.future = future

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            value = self.context.run(self.call)
        except BaseException as error:  # noqa: BLE001  it belongs to whoever asks the future
            self.settle(error, None)
        else:
            self.settle(None, value)

    def settle(self, error: BaseException | None, value: Any) -> None:
        if self.future.done():
            return  # the thread was abandoned
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(value)


class DaemonPool:
    """Threads that are started while there is work and none is idle.

    They are daemons: a task that cannot be stopped does not keep the process. One whose thread is abandoned (see
    `Guard.abandon`) leaves its place to another.

    Args:
        size: How many threads there are at most.
        name: What they are called.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._queued = 0  # calls that no thread has taken
        self._waiting = 0  # threads that wait for one, or will as soon as they have started
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._started = 0
        self._closed = False
        self._bell = Bell()  # of who waits for the last one to leave

    def submit(self, call: Callable[[], T], context: contextvars.Context) -> Future[T]:
        """Run a call in a thread, in these context variables.

        Raises:
            RuntimeError: If the pool was closed, or no thread can be started.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("this pool of threads was closed")
            self._queue.put(_Item(call, context, future))
            self._queued += 1
            self._hire()
        return future

    def close(self, *, cancel: bool) -> None:
        """Wait for what was submitted, or cancel what has not started; return when every thread has left.

        Threads that were abandoned are not waited for.
        """
        with self._lock:
            self._closed = True
            if cancel:
                self._cancel_waiting()
            for _ in self._threads:
                self._queue.put(None)
        wait_until(lambda: not self._threads, self._bell)

    def _cancel_waiting(self) -> None:
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()  # threads take from it meanwhile: there may be nothing to wait for
                if item is not None:
                    self._queued -= 1
                    item.future.cancel()

    def _hire(self) -> None:
        """Start a thread if there is work for one; under the lock."""
        if self._queued <= self._waiting or len(self._threads) >= self._size:
            return
        self._started += 1
        thread = threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # too many, or too late in the life of the process
            self._threads.discard(thread)
            if not self._threads:
                raise
        else:
            self._waiting += 1

    def _work(self) -> None:
        guard = current_guard()
        guard.enter()
        thread = threading.current_thread()
        try:
            while True:
                item = self._queue.get()
                with self._lock:
                    self._waiting -= 1
                    if item is None:
                        return
                    self._queued -= 1
                guard.released = lambda item=item: self._lose(thread, item)
                item.run()
                guard.released = item = None
                if guard.abandoned:
                    return
                with self._lock:
                    self._waiting += 1
        finally:
            guard.wanted = None  # nobody urges a thread that is gone
            self._leave(thread)

    def _lose(self, thread: threading.Thread, item: _Item) -> None:
        """Do without a thread that is stuck."""
        item.settle(None, None)
        self._leave(thread)

    def _leave(self, thread: threading.Thread) -> None:
        """Do without a thread; one that was abandoned may leave calls behind that no other one is to take."""
        with self._lock:
            self._threads.discard(thread)
            try:
                self._hire()
            except RuntimeError:  # nobody is left, and nobody comes
                self._cancel_waiting()
        self._bell.ring()
