"""The synchronous driver: does what the core asks for, in the caller's thread."""

from typing import TypeVar, cast

from entrepot._clock import Clock
from entrepot.context import CURRENT
from entrepot.engine.effects import NOTHING, Call, Do, Effect, Outcome, Sleep, Steps, raised

__all__ = ["drive"]

T = TypeVar("T")


def drive(steps: Steps[T], clock: Clock) -> T:
    """Act out the core's decisions, and return what it returns.

    Args:
        steps: From the core.
        clock: Waits.
    """
    try:
        effect = next(steps)
        while True:
            # No outcome is kept in a variable: this frame lives as long as a traceback that leads through it.
            effect = steps.send(_act(effect, clock))
    except StopIteration as end:
        return cast("T", end.value)


def _act(effect: Effect, clock: Clock) -> Outcome:
    try:
        if type(effect) is Call:
            token = CURRENT.set(effect.context)
            try:
                return effect.fn(*effect.args, **effect.kwargs), None
            finally:
                CURRENT.reset(token)
        if type(effect) is Do:
            return effect.action(), None
        if isinstance(effect, Sleep):
            clock.sleep(effect.seconds)
    except BaseException as error:  # noqa: BLE001  the core decides, about interrupts too
        del effect  # it leads to the run, and so to the error, whose traceback leads through here
        return raised(error)
    return NOTHING
