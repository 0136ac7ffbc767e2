"""The asynchronous driver: does what the core asks for, and lets the loop run meanwhile."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.context import CURRENT
from entrepot.engine.effects import NOTHING, Call, Do, Effect, Outcome, Sleep, Steps, raised

__all__ = ["drive_async", "run_to_end"]

T = TypeVar("T")


async def drive_async(steps: Steps[T], clock: Clock) -> T:
    """Act out the core's decisions, and return what it returns.

    What may block goes to a thread. When the coroutine itself is thrown away (`GeneratorExit`), nothing can be awaited
    any more; what is left to do is then done at once.

    Args:
        steps: From the core.
        clock: Waits; one that is not the system's is a test's, and is not waited for.
    """
    closing = False
    try:
        effect = next(steps)
        while True:
            try:
                outcome = await _act(effect, clock, blocking=closing)
            except GeneratorExit as error:  # the coroutine was closed: what it awaits was closed first
                closing, outcome = True, (None, error)
            effect, outcome = steps.send(outcome), NOTHING
    except StopIteration as end:
        # This frame lives as long as a traceback that leads through it.
        outcome = NOTHING
        return cast("T", end.value)


async def _act(effect: Effect, clock: Clock, *, blocking: bool) -> Outcome:
    try:
        if type(effect) is Call:
            token = CURRENT.set(effect.context)
            try:
                value = effect.fn(*effect.args, **effect.kwargs)
                return await value if inspect.isawaitable(value) else value, None
            finally:
                CURRENT.reset(token)
        if type(effect) is Do:
            return effect.action() if blocking else await asyncio.to_thread(effect.action), None
        if isinstance(effect, Sleep) and clock is SYSTEM_CLOCK and not blocking:
            await asyncio.sleep(effect.seconds)
        elif isinstance(effect, Sleep):
            clock.sleep(effect.seconds)
    except BaseException as error:  # noqa: BLE001  the core decides, about interrupts too
        del effect  # it leads to the run, and so to the error, whose traceback leads through here
        return raised(error)
    return NOTHING


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, in this thread, or in another one where a loop runs in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    context = contextvars.copy_context()
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(context.run(asyncio.run, coroutine))
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=body, name="entrepot-loop")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
