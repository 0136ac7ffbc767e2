"""Submitted runs: started when what they need is there, whatever thread that happens in; no thread waits for it."""

import contextvars
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from entrepot._clock import Clock
from entrepot._stops import Abandoned, Region, StopRun, current_guard
from entrepot._watch import stop
from entrepot.context import CURRENT, TRANSACTION, TaskRunContext
from entrepot.engine import inputs
from entrepot.engine.calls import outlasted, timed_out
from entrepot.engine.children import Children, aside
from entrepot.engine.core import call_hooks, run_steps
from entrepot.engine.drive import drive
from entrepot.engine.effects import Outcome, Steps
from entrepot.engine.outcomes import is_interrupt
from entrepot.engine.run import Run
from entrepot.engine.stray import stray_children
from entrepot.errors import NotReadyError, TimedOutError
from entrepot.futures import EntrepotFuture
from entrepot.states import State, StateType
from entrepot.task_runners import ThreadPoolTaskRunner

__all__ = ["make_room", "submit"]

T = TypeVar("T")

_making = threading.Lock()


def _after_fork_in_child() -> None:
    global _making  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def submit(run: Run) -> EntrepotFuture[Any]:
    """Let a task or flow run in the task runner of the run that submits it, and return its future.

    It goes to the runner when everything is over that it needs. If something did not complete, it ends as `NotReady`.
    """
    guard = current_guard()
    mode = guard.enter()
    try:
        return _submit(run)
    finally:
        guard.leave(mode)


def _submit(run: Run) -> EntrepotFuture[Any]:
    leaves = inputs.leaves_of((run.parameters, run.wait_for) if run.wait_for else run.parameters)
    upstream = inputs.upstream_of(leaves) if leaves else []
    waits_for = [found for found in upstream if isinstance(found, EntrepotFuture)]
    children = _children()
    run.submitted = True
    run.state = State(StateType.PENDING, "Pending", "", run.created)  # its future shows it
    run.trace(inputs.run_ids_of(upstream))
    if run.definition.validator is None and not (
        leaves and run.definition.run_name
    ):  # else: not all is known of it yet
        run.take_name()
        run.tell_created()
    future: EntrepotFuture[Any] = EntrepotFuture(run.id, run.name, partial(_state_of, run))
    submission = Submission(run, future, children, leaves)
    children.adopt(submission)
    transaction = TRANSACTION.get()
    if transaction is not None:
        transaction.unit.adopt(future)
    try:
        _when_done(waits_for, partial(contextvars.copy_context().run, submission.launch))
    except BaseException:
        # An interrupt, here or in a task that runs in this thread. Nobody may wait for what never comes.
        submission.cancel(None)
        raise
    return future


def make_room() -> None:
    """Wait while what runs here has submitted very much that is not over; but never in an event loop's thread."""
    context = CURRENT.get()
    children = stray_children() if context is None else context.engine.children
    asyncio = sys.modules.get("asyncio")
    if children is None or (asyncio is not None and asyncio._get_running_loop() is not None):  # noqa: SLF001  the quiet way to ask
        return
    children.make_room()


def _what(run: Run) -> str:
    return f"{run.definition.kind.title()} run"


def _state_of(run: Run) -> State[Any] | None:
    return run.state


def _children() -> Children:
    """Return where what is submitted here goes: to the run around, which waits for it."""
    context = CURRENT.get()
    if context is None or context.engine.state is None:  # a thread may outlive the run that it was started in
        return stray_children()
    run: Run = context.engine
    with _making:
        if run.children is None:
            flow = context.flow_run_context if isinstance(context, TaskRunContext) else context
            runner = None if flow is None else flow.engine.definition.task_runner
            own, timeout = run.until != run.around_until, run.definition.timeout
            run.children = Children(
                ThreadPoolTaskRunner() if runner is None else runner.duplicate(),
                run.id,
                run.until,
                partial(timed_out, run.definition.kind, run.id, timeout) if own and timeout else outlasted,
            )
        return run.children


class Submission:
    """A submitted run, until it is over.

    Args:
        run: The run.
        future: Its future.
        children: What it counts among.
        leaves: The futures and states among its arguments.
    """

    __slots__ = ("_children", "_future", "_leaves", "_region", "_release", "_run", "_steps", "_unclaimed")

    def __init__(self, run: Run, future: EntrepotFuture[Any], children: Children, leaves: list[Any]) -> None:
        self._run = run
        self._future = future
        self._children = children
        self._leaves = leaves
        self._unclaimed = [None]  # taken by who runs it, or by who says that it never will
        self._steps: Steps[State[Any]] | None = None
        self._region: Region | None = None  # of the thread that runs it
        self._release: Callable[[], object] | None = None  # gives its place back, whose thread was left behind

    def launch(self) -> None:
        """Give the run to its task runner; everything that it needs is over."""
        if self._future.done():
            return
        children = self._children
        if children.closed and self._claim():
            message = f"{_what(self._run)} did not start: the run that submitted it ended"
            self._end(StateType.CANCELLED, "Cancelled", message)
            return
        try:
            inputs.check(self._leaves)
        except NotReadyError as error:
            if self._claim():
                self._end(StateType.PENDING, "NotReady", str(error), error)
            return
        try:
            given = children.submit(self)
        except Exception as error:  # noqa: BLE001  of any runner; whoever waits for the future must hear of it
            if self._claim():
                kind = StateType.CANCELLED if children.closed else StateType.CRASHED
                why = "the run that submitted it ended" if children.closed else f"its task runner raised {error!r}"
                self._end(kind, kind.value.title(), f"{_what(self._run)} did not start: {why}", error)
            return
        given.add_done_callback(self._check)

    def __call__(self) -> None:
        """Run it to its end; called by the task runner."""
        if self._children.closed:
            self.cancel(self._children.stopping)
            return
        if not self._claim():
            return
        run = self._run
        if run.definition.kind == "task":
            run.place = self._children.place
        self._steps = run_steps(run)
        self._work(None)

    def _claim(self) -> bool:
        try:
            self._unclaimed.pop()
        except IndexError:
            return False
        return True

    def _work(self, first: Outcome | None) -> None:
        """Drive the run in this thread, which it has to itself, from what came of its last effect."""
        run, steps, clock = self._run, self._steps, self._run.world.clock
        assert steps is not None  # noqa: S101  set by who calls this
        guard = current_guard()
        mode, outer = guard.enter(), guard.host
        self._region = region = guard.open()
        guard.host = self
        if self._children.stopping is not None:
            self.stop(self._children.stopping)  # whoever stopped the others came too early for this one
        try:
            state = _driven(steps, clock, first, is_async=run.definition.is_async)
        except Abandoned:
            raise
        except BaseException as error:
            if run.state is not None and run.state.is_final():  # an interrupt came through its last hook
                self._finish(run.state)
            else:
                self._end(StateType.CRASHED, "Crashed", f"{_what(run)} was lost: {error!r}", error)
            raise
        finally:
            guard.close(region)
            guard.host = outer
            guard.restore(mode)
        self._finish(state)
        if is_interrupt(state.data):
            raise state.data  # type: ignore[misc]  # an interrupt; in the flow's own thread it must end the flow

    def _check(self, given: Future[Any]) -> None:
        """See that the future ends even if the runner never started the run, or lost it."""
        if self._future.done():
            return
        run = self._run
        if given.cancelled():
            self.cancel(None)
            return
        error = given.exception()
        if error is not None and self._region is None and self._claim():
            self._end(StateType.CRASHED, "Crashed", f"{_what(run)} was lost by its task runner: {error!r}", error)

    # --- how it ends ------------------------------------------------------------------------------------------------

    def cancel(self, why: StopRun | None) -> bool:
        """End it if it has not started; return whether that was so."""
        if self._future.done() or not self._claim():
            return False
        kind = StateType.CRASHED if why is not None and why.crashed else StateType.CANCELLED
        reason = "" if why is None else f": {why.message}"
        self._end(kind, kind.value.title(), f"{_what(self._run)} was cancelled before it started{reason}")
        return True

    def stop(self, why: StopRun) -> None:
        """Let it end, in whatever thread it runs."""
        region = self._region
        if region is not None:
            stop(region, why)

    def abandon(self, why: StopRun) -> None:
        """Let it end without its thread, which is stuck; in another one, where its hooks may take their time."""
        message = f"{why.message} (its thread was stuck, and left behind)"
        stopped = StopRun(message, crashed=why.crashed, until=why.until)
        aside(partial(self.leave_behind, stopped), "entrepot-task")

    def leave_behind(self, error: BaseException) -> None:
        """Go on in this thread without the one that is stuck, as if the code that it runs had raised an error."""
        region = self._region
        if region is None:
            return
        guard = region.guard
        driven = list(guard.driven.items())
        if driven and driven[0][0] is not self._steps:
            return  # the thread is not its own
        if not guard.abandon(region):
            return
        if guard.released is not None:
            self._release = guard.released
        if isinstance(error, TimedOutError):
            self._run.log(
                logging.WARNING,
                "Its code could not be stopped, and goes on in its thread until it comes back from where it is stuck;"
                " with isolation='process' it would have been ended",
            )
        try:
            self._go_on(driven, error)
        except BaseException:  # noqa: BLE001  the run is over, or goes on elsewhere; nobody is above here
            return
        finally:
            # Whichever thread ends it: the ones before may be stuck in earlier attempts for long.
            release, self._release = self._release, None
            if release is not None:
                release()

    def _go_on(self, driven: list[tuple[Steps[Any], tuple[Clock, bool]]], error: BaseException) -> None:
        """Drive to its end, in this thread, what another one was left behind with: from the innermost run out."""
        state = self._run.state
        if not driven and state is not None and state.is_final():
            self._finish(state)  # it is over; it is its event loop that is not
        elif not driven:
            self.lose(StopRun(str(error)))  # it has not begun
        else:
            for steps, (clock, is_async) in reversed(driven[1:]):
                _driven(steps, clock, (None, StopRun("the run around it was stopped")), is_async=is_async)
            self._work((None, error))

    def lose(self, why: StopRun) -> None:
        """Say that it ended, whatever it still does."""
        if not self._future.done():
            kind = StateType.CRASHED if why.crashed else StateType.CANCELLED
            message = f"{_what(self._run)} was stopped, and could not be waited for: {why.message}"
            self._end(kind, kind.value.title(), message)

    def _end(self, kind: StateType, name: str, message: str, error: BaseException | None = None) -> None:
        """End a run that the core did not end."""
        run = self._run
        run.tell_created()
        state = run.enter(kind, name, message, *(() if error is None else (error,)))
        run.log_end(state)
        drive(call_hooks(run, state), run.world.clock)
        self._finish(state)

    def _finish(self, state: State[Any]) -> None:
        self._future.finish(state, self._run.kept)
        self._run.let_go()
        self._children.let_go(self)


def _driven(steps: Steps[T], clock: Clock, first: Outcome | None, *, is_async: bool) -> T:
    """Drive a run to its end in this thread."""
    if not is_async:
        return drive(steps, clock, first)
    from entrepot.engine.drive_async import drive_async, run_to_end  # noqa: PLC0415  asyncio only for async tasks

    return run_to_end(drive_async(steps, clock, first))


# --- callbacks in turn ------------------------------------------------------------------------------------------------


class _Turns(threading.local):
    """What is to be called in this thread, one after another.

    A future that ends may end those that wait for it, and they others: as nested calls, a long chain of tasks would be
    too deep for the stack.
    """

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        self.busy = False


_turns = _Turns()


def _in_turn(action: Callable[[], object]) -> None:
    _turns.waiting.append(action)
    if _turns.busy:
        return
    _turns.busy = True
    try:
        while _turns.waiting:
            _turns.waiting.popleft()()
    finally:
        _turns.busy = False


def _when_done(futures: list[EntrepotFuture[Any]], action: Callable[[], object]) -> None:
    """Call `action` once, when all futures are done."""
    if all(future.done() for future in futures):
        action()
        return
    lock = threading.Lock()
    left = len(futures)

    def one_done(_: EntrepotFuture[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            _in_turn(action)

    for future in futures:
        future.add_done_callback(one_done)
