"""The asynchronous driver: does what the core asks for, and lets the loop run meanwhile."""

import asyncio
import contextvars
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar, cast

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._stops import (
    ENGINE,
    OPEN,
    SHIELDED,
    Bell,
    Guard,
    Region,
    StopRun,
    current_guard,
    wait_until,
)
from entrepot._strikes import BOUNDARIES, let_go_of_logging
from entrepot._watch import GRACE, stop
from entrepot.context import CURRENT
from entrepot.engine import signals
from entrepot.engine.calls import call_elsewhere, call_here, limit_of
from entrepot.engine.effects import NOTHING, Call, Do, Effect, Outcome, Sleep, Steps, raised
from entrepot.task_runners.pool import DaemonPool

__all__ = ["drive_async", "run_to_end"]

T = TypeVar("T")


async def drive_async(steps: Steps[T], clock: Clock, first: Outcome | None = None) -> T:
    """Act out the core's decisions, and return what it returns.

    What may block goes to a thread. When the coroutine itself is thrown away (`GeneratorExit`), nothing can be awaited
    any more; what is left to do is then done at once.

    Args:
        steps: From the core.
        clock: Waits; one that is not the system's is a test's, and is not waited for.
        first: What came of the effect that the core asked for last, where somebody else drove until now.
    """
    guard = current_guard()
    guard.driven[steps] = (clock, True)
    task = _current_task()
    outermost = task is not None and CURRENT.get() is None and signals.begin_async(task)
    closing, outcome = False, first
    try:
        while True:
            # The core's own code is not struck, whatever the loop runs besides.
            mode = guard.enter()
            try:
                effect = next(steps) if outcome is None else steps.send(outcome)
            finally:
                guard.restore(mode)
            outcome = first = None
            try:
                outcome = await _act(effect, clock, guard, blocking=closing)
            except GeneratorExit as error:  # the coroutine was closed: what it awaits was closed first
                closing, outcome = True, (None, error)
    except StopIteration as end:
        # This frame lives as long as a traceback that leads through it.
        outcome = first = None
        return cast("T", end.value)
    finally:
        guard.driven.pop(steps, None)
        if outermost:
            signals.end_async(task)


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # somebody drives the coroutine by hand


async def _act(effect: Effect, clock: Clock, guard: Guard, *, blocking: bool) -> Outcome:
    try:
        if type(effect) is Call:
            token = CURRENT.set(effect.context)
            try:
                limit = limit_of(effect, None)
                if effect.place is not None:
                    there = partial(call_elsewhere, effect, effect.place, limit)
                    value, error = await _in_thread(there, stops=True)
                    return (None, error) if value is None else value
                if limit is not None:
                    return await _in_time(effect, *limit)
                value = effect.fn(*effect.args, **effect.kwargs)
                return await value if inspect.isawaitable(value) else value, None
            finally:
                CURRENT.reset(token)
        if type(effect) is Do:
            return (effect.action(), None) if blocking else await _in_thread(effect.action)
        if isinstance(effect, Sleep) and clock is SYSTEM_CLOCK and not blocking:
            await asyncio.sleep(effect.seconds)
        elif isinstance(effect, Sleep):
            clock.sleep(effect.seconds)
    except BaseException as error:  # noqa: BLE001  the core decides, about interrupts too
        del effect  # it leads to the run, and so to the error, whose traceback leads through here
        return raised(_told(error, guard))
    return NOTHING


BOUNDARIES.add(_act.__code__)


def _told(error: BaseException, guard: Guard) -> BaseException:
    """Return a cancellation as the stop that it came from, if it did."""
    wanted = guard.wanted
    if wanted is None or wanted.why is None or not isinstance(error, StopRun | asyncio.CancelledError):
        return error
    let_go_of_logging()
    return wanted.why.again().with_traceback(error.__traceback__)


async def _in_time(effect: Call, deadline: float, error: BaseException) -> Outcome:
    """Call and await the user's code; when its time is over, cancel it, and say that it raised `error`."""
    outcome: Outcome
    scope = asyncio.timeout(max(0.0, deadline - monotonic()))
    try:
        async with scope:
            value = effect.fn(*effect.args, **effect.kwargs)
            outcome = (await value if inspect.isawaitable(value) else value), None
    except BaseException as caught:  # noqa: BLE001  the core decides
        outcome = raised(caught)
    stopped = outcome[1]
    if isinstance(stopped, asyncio.CancelledError):
        return outcome  # somebody else wanted it to end as well
    held_up = isinstance(stopped, StopRun) and monotonic() >= deadline  # by code that did not let the loop look
    if not scope.expired() and not held_up:
        return outcome
    where = stopped.__cause__ if isinstance(stopped, TimeoutError) and stopped.__cause__ is not None else stopped
    return None, error if where is None else error.with_traceback(where.__traceback__)


# --- what blocks ------------------------------------------------------------------------------------------------------

_threads: DaemonPool | None = None
_MANY = 100_000  # they wait for each other's work: there are always enough


def _after_fork_in_child() -> None:
    global _threads  # noqa: PLW0603  threads stay with the parent
    _threads = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


async def _in_thread(action: Callable[[], Any], *, stops: bool = False) -> Outcome:
    """Do something in a thread that nobody waits for when the loop or the process ends.

    Args:
        action: What.
        stops: Whether it is stopped when who waits for it is cancelled; else it goes on.
    """
    global _threads  # noqa: PLW0603  one for each process, made on first need
    if _threads is None:
        _threads = DaemonPool(_MANY, "entrepot-wait")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Outcome] = loop.create_future()
    regions: list[Region] = []

    def tell(outcome: Outcome) -> None:
        if not answer.done():  # else who waited was cancelled
            answer.set_result(outcome)

    def work() -> None:
        guard = current_guard()
        regions.append(guard.open())
        try:
            outcome = call_here(guard, action, (), {})
        finally:
            guard.close(regions[0])
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, outcome)

    _threads.submit(work, contextvars.copy_context())
    try:
        return await answer
    except asyncio.CancelledError:
        if stops and regions:
            stop(regions[0], StopRun("who waited for it was cancelled"))
        raise


# --- coroutines in sync code -----------------------------------------------------------------------------------------


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, in this thread, or in another one where a loop runs in this one.

    If this thread is to stop, what the loop runs is cancelled.
    """
    guard = current_guard()
    mode = guard.enter()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            return _in_own_loop(coroutine, guard, mode)
        finally:
            guard.enter()
            guard.restore(mode)
    try:
        return _in_other_thread(coroutine, heeds=mode != SHIELDED)
    finally:
        guard.restore(mode)


def _in_own_loop(coroutine: Coroutine[Any, Any, T], guard: Guard, mode: int) -> T:
    async def body() -> T:
        if guard.mode == OPEN:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            guard.cancelled = None
            guard.canceller = partial(_cancel_in, loop, task)
            if guard.wanted is not None:
                guard.canceller()
        try:
            return await coroutine
        finally:
            guard.canceller = None

    guard.restore(OPEN if mode == ENGINE else mode)
    return asyncio.run(body())


def _cancel_in(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        with suppress(RuntimeError):  # the loop was closed since who stops this looked
            loop.call_soon_threadsafe(task.cancel)


def _in_other_thread(coroutine: Coroutine[Any, Any, T], *, heeds: bool) -> T:
    context = contextvars.copy_context()
    bell = Bell()
    regions: list[Region] = []
    outcomes: list[Outcome] = []

    def body() -> None:
        guard = current_guard()
        guard.enter()
        regions.append(guard.open())
        try:
            outcomes.append((context.run(run_to_end, coroutine), None))
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            outcomes.append((None, error))
        guard.close(regions[0])
        bell.ring()

    threading.Thread(target=body, name="entrepot-loop", daemon=True).start()
    try:
        wait_until(lambda: bool(outcomes), bell, heeds=heeds)
    except BaseException as error:
        if regions:
            stop(
                regions[0],
                error.again() if isinstance(error, StopRun) else StopRun("who waited for it was interrupted"),
            )
            wait_until(lambda: bool(outcomes), bell, GRACE)
        raise
    value, raised_there = outcomes.pop()
    if raised_there is not None:
        raise raised_there
    return cast("T", value)
