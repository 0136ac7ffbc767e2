"""The synchronous driver: does what the core asks for, in the caller's thread."""

from typing import TypeVar

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._stops import OPEN, Abandoned, Bell, Guard, current_guard, wait_until
from entrepot.context import CURRENT
from entrepot.engine import signals
from entrepot.engine.calls import call_elsewhere, call_here, call_in_time, limit_of
from entrepot.engine.effects import NOTHING, Call, Do, Effect, Outcome, Sleep, Steps, raised

__all__ = ["drive"]

T = TypeVar("T")


def drive(steps: Steps[T], clock: Clock, first: Outcome | None = None) -> T:
    """Act out the core's decisions, and return what it returns.

    Args:
        steps: From the core.
        clock: Waits.
        first: What came of the effect that the core asked for last, where somebody else drove until now.
    """
    guard = current_guard()
    mode = guard.enter()
    guard.driven[steps] = (clock, False)
    outermost = CURRENT.get() is None and signals.begin(guard)
    try:
        effect = next(steps) if first is None else steps.send(first)
        first = None
        while True:
            # No outcome is kept in a variable: this frame lives as long as a traceback that leads through it.
            effect = steps.send(_act(effect, clock, guard))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # `cast` would be a call, and a variable would be kept
    finally:
        guard.driven.pop(steps, None)
        if outermost:
            signals.end()
        guard.leave(OPEN if outermost else mode)


def _act(effect: Effect, clock: Clock, guard: Guard) -> Outcome:
    try:
        if type(effect) is Call:
            token = CURRENT.set(effect.context)
            try:
                return _call(effect, guard)
            finally:
                CURRENT.reset(token)
        if type(effect) is Do:
            if effect.masked:
                return effect.action(), None
            return call_here(guard, effect.action, (), {}, shielded=effect.shielded)
        if isinstance(effect, Sleep):
            if clock is SYSTEM_CLOCK:
                wait_until(_never, Bell(), effect.seconds, heeds=True)
            else:
                clock.sleep(effect.seconds)
    except Abandoned:
        raise
    except BaseException as error:  # noqa: BLE001  the core decides, about interrupts too
        del effect  # it leads to the run, and so to the error, whose traceback leads through here
        return raised(error)
    return NOTHING


def _call(effect: Call, guard: Guard) -> Outcome:
    limit = limit_of(effect, guard)
    if effect.place is not None:
        return call_elsewhere(effect, effect.place, limit)
    if limit is None:
        return call_here(guard, effect.fn, effect.args, effect.kwargs, shielded=effect.shielded)
    return call_in_time(guard, effect, *limit)


def _never() -> bool:
    return False
