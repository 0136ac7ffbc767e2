"""Runs as transactions: each attempt of a run inside a transaction is one, and each of a task with hooks for them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from entrepot._sentinels import MISSING
from entrepot.context import TRANSACTION
from entrepot.engine.effects import Steps
from entrepot.engine.outcomes import Ending, is_interrupt, of_error
from entrepot.engine.run import Run
from entrepot.engine.transactions import Transaction, active
from entrepot.engine.unit_of_work import Setting, reset
from entrepot.logging import get_run_logger
from entrepot.states import StateType

if TYPE_CHECKING:
    from entrepot.engine.persistence import Keeper

__all__ = ["Attempt", "as_transaction"]

Attempt: TypeAlias = "Callable[[Run, Keeper | None, Any], Steps[tuple[Ending, Any]]]"
"""Tries a run once; returns how that ended, and what was returned if it could not be kept."""


def as_transaction(attempt: Attempt) -> Attempt:
    """Return what tries a run in the same way, in a transaction of its own.

    What the attempt keeps, and the hooks of the task if it completed, go to the transaction around it, if there is one;
    else they are committed before the run is `Completed`, and if that fails the attempt has failed. Of a result that
    was known, no hooks are called. A failed attempt leaves nothing: it is not kept later without its work.
    """
    return partial(_try, attempt)


def _try(attempt: Attempt, run: Run, keeper: "Keeper | None", kept: Any) -> Steps[tuple[Ending, Any]]:
    what = run.definition.kind.title()
    around: Transaction | None = TRANSACTION.get()
    if around is not None and around.declines:
        message = f"{what} run did not start, since the transaction around it is rolled back"
        return Ending(StateType.CANCELLED, "Cancelled", message), MISSING
    transaction = Transaction()
    transaction.begin(active())
    if keeper is not None:
        keeper.unit = transaction.unit
    token = TRANSACTION.set(transaction)
    try:
        ending, _ = yield from attempt(run, keeper, kept)
    finally:
        reset(token)
    completed = ending.type is StateType.COMPLETED
    hooks = run.definition.hooks
    if completed and (keeper is None or not keeper.was_known):
        transaction.unit.add_hooks(transaction, hooks.on_commit, hooks.on_rollback)
    context = run.enter_context()
    setting = Setting(run.definition.is_async, context, get_run_logger(context))
    problem = yield from transaction.end(setting, failed=not completed, is_run=True)
    if problem is not None and (completed or is_interrupt(problem)) and not is_interrupt(ending.data):
        ending = of_error(problem, what)
    return ending, MISSING
