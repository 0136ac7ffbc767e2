"""Results that are kept until their flow run ends (`keep="run"`): removed when it is completed.

A run that failed leaves them, so that it can be resumed; a collection removes them after a week.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from entrepot.engine.run import Run
from entrepot.errors import EntrepotError
from entrepot.results.ending import remove_result
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.states import State, StateType

__all__ = ["note", "remove"]


@dataclass(frozen=True, slots=True)
class _Passing:
    """One of them: where it is, and when it was made."""

    store: ResultStore
    path: str
    created: datetime


def note(run: Run, store: ResultStore, record: Record) -> None:
    """Remember a result that was kept or found, if it is kept until the top-level flow run around it ends."""
    if record.about.get("keep") != "run":
        return
    top = run
    while top.enclosing is not None:
        top = top.enclosing.engine
    if top.definition.kind == "flow":
        if top.passing is None:
            top.passing = []
        top.passing.append(_Passing(store, record.path, record.created))


def remove(run: Run, state: State[object]) -> None:
    """Remove what was kept until a run ends, if it is completed. What cannot be removed is left to a collection."""
    passing, run.passing = run.passing, None
    if state.type is not StateType.COMPLETED:
        return
    for one in passing or ():
        try:
            remove_result(one.store, one.path, one.created)
        except EntrepotError as error:
            run.log(
                logging.WARNING,
                "Results that were kept until its end are still in %s (%s); a collection removes them after a week",
                one.store.location,
                error,
            )
            return
