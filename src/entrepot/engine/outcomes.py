"""How an attempt ended, as a state: what was returned, what was raised, what was interrupted."""

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from entrepot._sentinels import MISSING
from entrepot._stops import StopRun
from entrepot.engine import inputs, signals
from entrepot.errors import CrashedRunError, PausedRunError, TimedOutError
from entrepot.futures import EntrepotFuture
from entrepot.states import State, StateType

__all__ = ["Ending", "answer_of", "is_interrupt", "of_error", "of_value"]


_COLLECTIONS = (list, tuple, set, frozenset)


class Ending(NamedTuple):
    """What the state will be that an attempt ends in."""

    type: StateType
    name: str
    message: str = ""
    data: Any = MISSING


def of_error(error: BaseException, what: str, run_id: str = "") -> Ending:
    """Return how an attempt ended that raised.

    Args:
        error: What it raised.
        what: "Flow" or "Task".
        run_id: Of the run, which the errors of its own timeout and of its lost process name.
    """
    if isinstance(error, PausedRunError):
        return Ending(StateType.PAUSED, "Suspended", str(error), error)
    if isinstance(error, Exception):
        if run_id and getattr(error, "run_id", "") == run_id:
            if isinstance(error, TimedOutError):
                return Ending(StateType.FAILED, "TimedOut", str(error), error)
            if isinstance(error, CrashedRunError):
                return Ending(StateType.CRASHED, "Crashed", str(error), error)
        shown = str(error)
        return Ending(
            StateType.FAILED,
            "Failed",
            f"{what} run encountered an exception: {type(error).__name__}{': ' if shown else ''}{shown}",
            error,
        )
    crash = _crash_of(error)
    if crash is not None:
        return Ending(StateType.CRASHED, "Crashed", f"{what} run was ended from outside: {crash}", error)
    reason = ": interrupted (Ctrl-C)" if isinstance(error, KeyboardInterrupt) else ""
    if isinstance(error, StopRun) and error.message:
        reason = f": {error.message}"
    return Ending(StateType.CANCELLED, "Cancelled", f"{what} run was cancelled{reason}", error)


def of_value(value: Any, *, submitted: bool) -> Ending:
    """Return how an attempt ended that returned.

    A state that is returned decides, and so do the states in a list, tuple or set of nothing but states and futures.
    Futures anywhere in the value decide too, and are replaced by their results. All others are results.

    Args:
        value: What the function returned.
        submitted: Whether the run submitted something, so that there can be futures in the value; all are over.
    """
    if isinstance(value, State):
        return _of_state(value)
    states = list(_states_of(value)) if isinstance(value, _COLLECTIONS) else []
    if submitted or states or isinstance(value, EntrepotFuture):
        states = states or [found.state for found in inputs.find(value) if isinstance(found, EntrepotFuture)]
    if not states:
        return Ending(StateType.COMPLETED, "Completed", "", value)
    bad = [state for state in states if not state.is_completed()]
    if not bad:
        message = "" if isinstance(value, EntrepotFuture) else "All states completed."
        return Ending(StateType.COMPLETED, "Completed", message, inputs.replaced(value, _result))
    kind = StateType.CANCELLED if any(state.is_cancelled() for state in bad) else StateType.FAILED
    message = bad[0].message if len(states) == 1 else f"{len(bad)}/{len(states)} states did not complete."
    return Ending(kind, kind.value.title(), message, bad)


def is_interrupt(data: object) -> bool:
    """Return whether the data of a state is what must go on up, whatever the caller asked for."""
    return isinstance(data, BaseException) and not isinstance(data, Exception)


def answer_of(state: State[Any], *, return_state: bool) -> Any:
    """Return what a caller gets: the state, or what the run returned; or raise what it raised.

    Args:
        state: The run's last.
        return_state: Whether the caller asked for it. An interrupt goes on up in either case.

    Raises:
        BaseException: The run's own, the very object.
    """
    data = state.data
    if return_state and not is_interrupt(data):
        return state
    if state.type is StateType.COMPLETED or not isinstance(data, BaseException):
        return state.result()
    try:
        raise data
    finally:
        del data, state  # this frame is in the traceback, and would hold the error that holds it


def _result(found: EntrepotFuture[Any] | State[Any]) -> Any:
    return found.state.result() if isinstance(found, EntrepotFuture) else found


def _states_of(value: Iterable[Any]) -> Iterable[State[Any]]:
    """Yield the states of a collection of states and futures; none if there is anything else in it."""
    for kind in set(map(type, value)):
        if kind is not State and kind is not EntrepotFuture:
            return
    for member in value:
        yield member.state if isinstance(member, EntrepotFuture) else member


def _of_state(state: State[Any]) -> Ending:
    if not state.is_final():
        message = f"the function returned the state {state!r}, in which no run can end"
        return Ending(StateType.FAILED, "Failed", message, state)
    nothing = state.is_completed() and state.data is MISSING
    return Ending(state.type, state.name, state.message, None if nothing else state.data)


def _crash_of(error: BaseException) -> str | None:
    """Return what ended a run from outside, if an interrupt counts as that; None for a cancellation."""
    if isinstance(error, StopRun):
        return error.message if error.crashed else None
    if isinstance(error, KeyboardInterrupt):
        return None
    asyncio = sys.modules.get("asyncio")  # where it was never loaded, nothing is its error
    if asyncio is not None and isinstance(error, asyncio.CancelledError):
        return signals.received()
    return type(error).__name__
