"""Submitted tasks: started when what they need is there, whatever thread that happens in; no thread waits."""

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from entrepot.context import CURRENT, TRANSACTION, TaskRunContext
from entrepot.engine import inputs
from entrepot.engine.children import Children, stray_children
from entrepot.engine.core import call_hooks, run_steps
from entrepot.engine.drive import drive
from entrepot.engine.outcomes import is_interrupt
from entrepot.engine.run import Run
from entrepot.errors import NotReadyError
from entrepot.futures import EntrepotFuture
from entrepot.states import State, StateType
from entrepot.task_runners import ThreadPoolTaskRunner

__all__ = ["submit"]

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
    leaves = inputs.leaves_of((run.parameters, run.wait_for) if run.wait_for else run.parameters)
    waits_for = [found for found in inputs.upstream_of(leaves) if isinstance(found, EntrepotFuture)] if leaves else []
    children = _children()
    run.submitted = True
    run.trace(future.task_run_id for future in waits_for)
    if run.definition.validator is None and not (
        leaves and run.definition.run_name
    ):  # else: not all is known of it yet
        run.take_name()
        run.tell_created()
    future: EntrepotFuture[Any] = EntrepotFuture(run.id, run.name, partial(_state_of, run))
    launch = partial(_launch, run, future, children, leaves)
    children.adopt(future)
    transaction = TRANSACTION.get()
    if transaction is not None:
        transaction.unit.adopt(future)
    try:
        _when_done(waits_for, partial(contextvars.copy_context().run, launch))
    except BaseException:
        # An interrupt, here or in a task that runs in this thread. Nobody may wait for what never comes.
        if not future.done():
            _end(run, future, StateType.CANCELLED, "Cancelled", f"{_what(run)} was cancelled before it started")
        raise
    return future


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
            run.children = Children(ThreadPoolTaskRunner() if runner is None else runner.duplicate())
        return run.children


def _launch(run: Run, future: EntrepotFuture[Any], children: Children, leaves: list[Any]) -> None:
    """Give a run to its task runner; everything that it needs is over."""
    try:
        inputs.check(leaves)
    except NotReadyError as error:
        _end(run, future, StateType.PENDING, "NotReady", str(error), error)
        return
    try:
        given = children.submit(partial(_execute, run, future))
    except Exception as error:  # noqa: BLE001  of any runner; whoever waits for the future must hear of it
        if not future.done():
            kind = StateType.CANCELLED if children.closed else StateType.CRASHED
            why = "the run that submitted it ended" if children.closed else f"its task runner raised {error!r}"
            _end(run, future, kind, kind.value.title(), f"{_what(run)} did not start: {why}", error)
        return
    given.add_done_callback(partial(_check, run, future))


def _execute(run: Run, future: EntrepotFuture[Any]) -> None:
    """Run a task to its end; called by the task runner."""
    if future.done():
        return
    steps, clock = run_steps(run), run.world.clock
    try:
        if run.definition.is_async:
            from entrepot.engine.drive_async import drive_async, run_to_end  # noqa: PLC0415  asyncio only for async tasks

            state = run_to_end(drive_async(steps, clock))
        else:
            state = drive(steps, clock)
    except BaseException as error:
        _end(run, future, StateType.CRASHED, "Crashed", f"{_what(run)} was lost: {error!r}", error)
        raise
    future.finish(state)
    run.let_go()
    if is_interrupt(state.data):
        raise state.data  # type: ignore[misc]  # an interrupt; in the flow's own thread it must end the flow


def _check(run: Run, future: EntrepotFuture[Any], given: Future[Any]) -> None:
    """See that a future ends even if its runner never started the run, or lost it."""
    if given.cancelled():
        _end(run, future, StateType.CANCELLED, "Cancelled", f"{_what(run)} was cancelled before it started")
        return
    error = given.exception()
    if error is not None and not future.done():
        _end(run, future, StateType.CRASHED, "Crashed", f"{_what(run)} was lost by its task runner: {error!r}", error)


def _end(
    run: Run, future: EntrepotFuture[Any], kind: StateType, name: str, message: str, error: BaseException | None = None
) -> None:
    """End a run that the core did not end."""
    run.tell_created()
    state = run.enter(kind, name, message, *(() if error is None else (error,)))
    run.log_end(state)
    drive(call_hooks(run, state), run.world.clock)
    future.finish(state)
    run.let_go()


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
