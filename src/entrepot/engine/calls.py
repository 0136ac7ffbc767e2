"""How the user's code is called in this thread: so that it can be stopped, in time, and nothing of ours with it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from entrepot._stops import (
    OPEN,
    SHIELDED,
    Abandoned,
    Guard,
    StopRun,
    hear_urges,
    ignore_urges,
)
from entrepot._strikes import BOUNDARIES, let_go_of_logging
from entrepot._watch import keep_time, stop_keeping_time
from entrepot.engine.effects import Call, Outcome, raised
from entrepot.errors import TimedOutError
from entrepot.protocols.task_runner import Place

__all__ = ["call_elsewhere", "call_here", "call_in_time", "limit_of", "outlasted", "timed_out"]


_LAG = 0.1  # seconds that a run around has to end by itself, and with it what it runs, before that does so unasked


def call_here(
    guard: Guard, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, shielded: bool = False
) -> Outcome:
    """Call the user's code, and return its outcome. Called by our code, in which nothing strikes.

    Args:
        guard: Of this thread.
        fn: What to call.
        args: With what.
        kwargs: The same, by name.
        shielded: Whether it runs also after a stop. Without one it can be stopped in any case.
    """
    try:
        try:
            guard.leave(SHIELDED if shielded and guard.wanted is not None else OPEN)
            value = fn(*args, **kwargs)
            guard.enter()
            return value, None  # noqa: TRY300  nothing strikes here
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001  the core decides
            if guard.wanted is not None or not isinstance(error, Exception):
                let_go_of_logging()
            guard.enter()
            return raised(_told(error, guard))
    except Abandoned:
        raise
    except BaseException as late:  # noqa: BLE001  it struck between the user's code and `enter`
        let_go_of_logging()
        guard.enter()
        return raised(_told(late, guard))


BOUNDARIES.add(call_here.__code__)


def _told(error: BaseException, guard: Guard) -> BaseException:
    """Say why, where a stop was raised without a word."""
    wanted = guard.wanted
    if isinstance(error, StopRun) and not error.message and wanted is not None and wanted.why is not None:
        error.take_reason(wanted.why)
    return error


# --- in time ----------------------------------------------------------------------------------------------------------


def limit_of(effect: Call, guard: Guard | None) -> tuple[float, BaseException] | None:
    """Return when a call is to be stopped, and what it is then said to have raised; None for never.

    That is the run's own timeout, or that of a run around it which comes first.

    Args:
        effect: The call; its run notes when its time is over, for what it will call.
        guard: Of this thread, where a region that is open may see to the timeout around; None where there is no such.
    """
    if effect.shielded or effect.context is None:  # the end of a run, or what is in no run
        return None
    run = effect.context.engine
    around = run.around_until
    if effect.timeout is None:
        run.until = around
        if around is None or (guard is not None and _is_kept(guard, around)):
            return None
        return around + _LAG, outlasted()
    own = monotonic() + effect.timeout
    if around is not None and around < own:
        run.until = around
        return around + _LAG, outlasted()
    run.until = own
    return own, timed_out(run.definition.kind, run.id, effect.timeout)


def timed_out(kind: str, run_id: str, seconds: float) -> TimedOutError:
    """Return the error of a run whose own time is over."""
    return TimedOutError(
        f"{kind.title()} run exceeded its timeout of {seconds:g} seconds", seconds=seconds, run_id=run_id
    )


def outlasted() -> StopRun:
    """Return what ends a run when the time of a run around it is over."""
    return StopRun("the run around it exceeded its timeout")


def _is_kept(guard: Guard, deadline: float) -> bool:
    return any(region.deadline is not None and region.deadline <= deadline for region in guard.regions)


def call_in_time(guard: Guard, effect: Call, deadline: float, error: BaseException) -> Outcome:
    """Call the user's code, and stop it when its time is over; its outcome is then `error`, whatever it still did.

    Args:
        guard: Of this thread.
        effect: What to call.
        deadline: When its time is over, as of `time.monotonic`.
        error: What it is then said to have raised.
    """
    region = guard.open()
    heard = hear_urges()
    why = error if isinstance(error, StopRun) else StopRun(str(error))
    # Where a run has its thread to itself, its thread can be left behind where nothing else helps.
    host = guard.host if len(guard.driven) == 1 and len(guard.regions) == 2 else None  # noqa: PLR2004  the host's and ours
    keep_time(region, deadline, why, None if host is None else partial(host.leave_behind, error))
    try:
        outcome = call_here(guard, effect.fn, effect.args, effect.kwargs)
    finally:
        stop_keeping_time(region)
        guard.close(region)
        if heard:
            ignore_urges()
    if region.why is None:
        return outcome
    stopped = outcome[1]
    if stopped is None or isinstance(error, StopRun):
        return None, error if stopped is None else stopped
    return None, error.with_traceback(stopped.__traceback__)  # it shows where the code was


# --- elsewhere --------------------------------------------------------------------------------------------------------


def call_elsewhere(effect: Call, place: Place, limit: tuple[float, BaseException] | None) -> Outcome:
    """Call the user's code in another process, and return its outcome.

    Args:
        effect: What to call.
        place: Brings it there.
        limit: As of `limit_of`.
    """
    from entrepot.engine.isolation import call_there  # noqa: PLC0415  who uses no processes pays nothing for them

    return call_there(effect, place, limit)
