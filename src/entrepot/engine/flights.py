"""What a run's options say of single flight, and which runs it must not wait for."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from entrepot.context import TaskRunContext
from entrepot.engine.run import Run
from entrepot.errors import TimedOutError
from entrepot.results.flight import Flight, Terms
from entrepot.results.patience import Patience
from entrepot.results.record import Record
from entrepot.results.store import ResultStore

__all__ = ["earliness", "new_flight"]


def new_flight(run: Run, store: ResultStore, key: str) -> Flight | None:
    """Return what finds out whether others compute the result of a key now; None where that is not asked for."""
    options, settings = run.definition.keeping, run.world.settings
    asked = options.single_flight
    if asked is None:
        asked = options.refresh_early is not None or settings.results_single_flight
    if not asked:
        return None
    terms = Terms(settings.results_lease_seconds, settings.home)
    # The time of the run is that of its function; who takes over has all of it for that, however long it waited.
    patience = Patience(run.log, seconds=run.definition.timeout, over=partial(_timed_out, run))
    return Flight(
        store,
        key,
        run_id=run.id,
        run_name=run.name,
        around=_around(run),
        terms=terms,
        patience=patience,
        say=run.log,
    )


def _timed_out(run: Run, whom: str) -> TimedOutError:
    seconds = run.definition.timeout or 0.0
    return TimedOutError(
        f"{run.definition.kind.title()} run exceeded its timeout of {seconds:g} seconds: it waited for {whom}, which"
        " computes the same",
        seconds=seconds,
        run_id=run.id,
    )


def earliness(run: Run) -> Callable[[Record], bool] | None:
    """Return what says whether a result is about to expire; None where that makes no difference."""
    early = run.definition.keeping.refresh_early
    if early is None:
        return None
    now = run.world.clock.now()

    def is_early(record: Record) -> bool:
        if record.expires is None:
            return False
        before = early if isinstance(early, timedelta) else early * (record.expires - record.created)
        return now >= record.expires - before

    return is_early


def _around(run: Run) -> set[str]:
    """Return the ids of the runs that a run is called by, directly or not."""
    ids: set[str] = set()
    caller: Run | None = run
    while caller is not None:
        around = caller.enclosing
        if caller.parent_run_id is not None:
            ids.add(caller.parent_run_id)
        if isinstance(around, TaskRunContext) and around.task_run.parent_run_id is not None:
            ids.add(around.task_run.parent_run_id)  # in another process the chain is not whole
        caller = None if around is None else around.engine
    return ids
