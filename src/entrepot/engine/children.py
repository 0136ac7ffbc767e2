"""What a run has submitted: the task runner that it goes to, when all of it is over, and how it is stopped."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Final, Protocol, TypeVar

from entrepot._stops import Bell, StopRun, current_guard, wait_until
from entrepot.engine import signals
from entrepot.errors import TimedOutError
from entrepot.protocols.task_runner import Place, TaskRunner

__all__ = ["Child", "Children", "aside"]

T = TypeVar("T")

_PATIENCE: Final = 0.8  # seconds in which all that is stopped has to end
_PART: Final = 0.25  # seconds less for what is stopped by what is stopped
_LEAVING: Final = 0.5  # seconds in which a runner has to let go of what was abandoned
_ROOM: Final = 1000  # how many runs may be under way before mapping waits
_STALL: Final = 1.0  # seconds without an end after which mapping goes on nevertheless


class Child(Protocol):
    """A submitted run, as what submitted it sees it."""

    def cancel(self, why: StopRun | None) -> bool:
        """End it if it has not started; return whether that was so."""
        ...

    def stop(self, why: StopRun) -> None:
        """Let it end, wherever it is."""
        ...

    def abandon(self, why: StopRun) -> None:
        """Let it end without its thread, which is stuck."""
        ...

    def lose(self, why: StopRun) -> None:
        """Say that it ended, whatever it still does."""
        ...


class Children:
    """What one attempt of one run has submitted.

    Each run that submits has a task runner of its own. So no task ever waits for a place that is held by a task that
    waits for it.

    Args:
        runner: Entered here, left by `close`.
        run_id: Of the run.
        until: When the run's time is over, as of `time.monotonic`; None for never.
        outlasted: Makes the error of that.
    """

    __slots__ = (
        "_bells",
        "_closed",
        "_left",
        "_lock",
        "_more_room",
        "_outlasted",
        "_run_id",
        "_runner",
        "_stopping",
        "_under_way",
        "_until",
    )

    def __init__(
        self,
        runner: TaskRunner,
        run_id: str = "",
        until: float | None = None,
        outlasted: Callable[[], BaseException] = StopRun,
    ) -> None:
        self._runner = runner.__enter__()
        self._run_id = run_id
        self._until = until
        self._outlasted = outlasted
        self._under_way: dict[Child, None] = {}
        self._closed = False
        self._stopping: StopRun | None = None
        self._left = False
        self._lock = threading.Lock()
        self._bells: list[tuple[Bell, int]] = []  # of who waits, and until how few are under way
        self._more_room = 0

    @property
    def closed(self) -> bool:
        """Whether tasks that have not started are to be cancelled."""
        return self._closed

    @property
    def stopping(self) -> StopRun | None:
        """Why what runs is stopped; None while it is not."""
        return self._stopping

    @property
    def place(self) -> Place | None:
        """Where the runner calls the functions of tasks, if not in its own threads."""
        return getattr(self._runner, "place", None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run a call in the task runner, in the caller's context variables."""
        return self._runner.submit(call)

    def adopt(self, child: Child) -> None:
        """Count a child until it is over: also those that wait for others, which no runner knows yet."""
        with self._lock:
            self._under_way[child] = None

    def let_go(self, child: Child) -> None:
        """Count it no more; it is over."""
        with self._lock:
            self._under_way.pop(child, None)
            left = len(self._under_way)
            bells = [bell for bell, most in self._bells if left <= most] if self._bells else ()
        for bell in bells:
            bell.ring()

    # --- waiting ------------------------------------------------------------------------------------------------------

    def make_room(self) -> None:
        """Wait while very many are under way, so that a long list of work does not fill the memory.

        It never waits for good: what is under way may itself wait for what the caller does next. While nothing ends,
        there is more and more room.
        """
        room = max(_ROOM, 4 * getattr(self._runner, "max_workers", 0)) + self._more_room
        while len(self._under_way) >= room:
            before = len(self._under_way)
            # Some at a time: to wake up for each would cost more than the work.
            if not self._wait(room - room // 4, _STALL) and len(self._under_way) >= before:
                self._more_room += room
                room *= 2

    def _wait(self, most: int, timeout: float | None) -> bool:
        """Wait until at most so many are under way; return whether that is so."""
        entry = (Bell(), most)
        with self._lock:
            self._bells.append(entry)
        try:
            return wait_until(lambda: len(self._under_way) <= most, entry[0], timeout)
        finally:
            with self._lock:
                self._bells.remove(entry)

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, error: BaseException | None) -> None:
        """Wait for everything submitted and leave the runner.

        After an error what has not started is cancelled, and what runs is waited for. After a timeout of the run, or if
        the run was cancelled or interrupted, what runs is stopped as well: after some two seconds all of it is over, or
        abandoned.

        Args:
            error: What the run raised.

        Raises:
            TimedOutError: If the run's time is over before all of it is; it was stopped.
            StopRun: If the run itself is to stop; or the time of a run around it is over.
        """
        why = None if error is None else self._why(error)
        try:
            if why is not None:
                self._stop(why, error)
            elif error is not None:
                self._cancel_waiting(None)
            limit = None if self._closed else self._until
            left = None if limit is None else max(0.0, limit - monotonic())
            if not self._wait(0, left) or (limit is not None and monotonic() >= limit):
                raise self._outlasted()  # noqa: TRY301  as if the wait had raised it
        except BaseException as interrupt:
            reason = self._why(interrupt)
            if reason is not None:
                self._stop(reason, interrupt)
                self._leave_soon(interrupt)
            raise
        if why is None:
            self._leave(error)
        else:
            self._leave_soon(error)

    def _why(self, error: BaseException) -> StopRun | None:
        """Return why what runs is stopped after an error of the run; None if it is not."""
        until = monotonic() + _PATIENCE
        if isinstance(error, StopRun):
            until = until if error.until is None else min(until, error.until - _PART)
            return StopRun(error.message, crashed=error.crashed, until=until)
        if isinstance(error, TimedOutError) and getattr(error, "run_id", "") == self._run_id:
            return StopRun(f"the run around it exceeded its timeout of {error.seconds:g} seconds", until=until)
        if isinstance(error, Exception):
            return None
        signal = signals.received()
        if signal is not None:
            return StopRun(signal, crashed=True, until=until)
        return StopRun("the run around it was interrupted", until=until)

    def _cancel_waiting(self, why: StopRun | None) -> None:
        self._closed = True  # from here on none begins, whatever thread gets free meanwhile
        for child in list(self._under_way):
            child.cancel(why)

    def _stop(self, why: StopRun, error: BaseException | None) -> None:
        """End everything, with whatever that needs."""
        guard = current_guard()
        mode = guard.enter()
        guard.closing = isinstance(error, KeyboardInterrupt)  # another one then ends the process
        try:
            self._stopping = why
            self._cancel_waiting(why)
            for child in list(self._under_way):
                child.stop(why)
            until = why.until or monotonic()
            if self._wait(0, max(0.0, until - monotonic())):
                return
            for child in list(self._under_way):
                child.abandon(why)
            if self._wait(0, _PATIENCE / 2):
                return
            for child in list(self._under_way):
                child.lose(why)
        finally:
            guard.closing = False
            guard.restore(mode)

    def _leave(self, error: BaseException | None) -> None:
        with self._lock:
            if self._left:
                return
            self._left = True
        self._runner.__exit__(None if error is None else type(error), error, None)

    def _leave_soon(self, error: BaseException | None) -> None:
        """Leave the runner, and do not wait for it for long: it may wait for a thread that is stuck."""
        if self._left:
            return
        bell, gone = Bell(), threading.Event()

        def leave() -> None:
            try:
                self._leave(error)
            finally:
                gone.set()
                bell.ring()

        aside(leave, "entrepot-leaving")
        wait_until(gone.is_set, bell, _LEAVING)


def aside(work: Callable[[], object], name: str) -> None:
    """Do something in a thread that nobody waits for; here, where none can be started any more."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
