"""Which question of a line of runs this is: so that a run that is resumed finds its own answers, and no others.

A question is known by what is asked and by who asks: by the words and the schema (or the key that the code gives), by
the flow, and for a subflow by the subflows on the way to it with their parameters. It is not known by its number: after
a change of the code, or among subflows that run at once, the second pause may be another one than the last time.

Where one run asks the same twice, these are two questions; where a flow is tried again, they are those of the last try.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from entrepot.context import FlowRunContext, RunContext
from entrepot.coordination.pauses import Claim
from entrepot.engine.rendering import render_all
from entrepot.engine.run import Run
from entrepot.input.question import Question

__all__ = ["claimer", "identity", "root_run_id"]

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def root_run_id(run: Run) -> str:
    """Return the id of the first run of the line of runs that the outermost flow run around this one belongs to."""
    return _flows(run)[-1].root_id


def identity(run: Run, question: Question, key: str | None, kind: str) -> str:
    """Return what tells a question from the others of its line of runs.

    Args:
        run: The flow run that asks.
        question: What it asks.
        key: What its code calls the question; then the words do not count.
        kind: "pause" or "suspend".
    """
    way = [
        [flow.definition.key, {} if flow.flow_context is None else _parameters(flow)] for flow in reversed(_flows(run))
    ]
    asked = [key] if key is not None else [question.schema, question.message]
    return hashlib.sha256(json.dumps([kind, way, asked]).encode()).hexdigest()


def claimer(run: Run, key: str | None) -> Claim:
    """Return what decides whether a run may have a question that it finds, and notes that it does.

    It may not have one that is taken in this process by another run under the same outermost run, nor one that it took
    itself before in this attempt, unless its code gave it a key: then it is the same question again.
    """
    way = tuple(_way(run))
    taken = _taken.setdefault(_outermost(run), {})

    def claim(question: str, *, new: bool = False) -> bool:
        holder = taken.get(question)
        mine = dict(way)
        stale = holder is not None and any(mine.get(run_id, attempt) > attempt for run_id, attempt in holder)
        if new or holder is None or stale or (key is not None and holder == way):
            taken[question] = way
            return True
        return False

    return claim


# By the outermost run, as long as it lives: key of a question -> the run that took it and those around, each with its
# attempt then. No runs are held here: they would hold the key of their own entry.
_taken: WeakKeyDictionary[Run, dict[str, tuple[tuple[str, int], ...]]] = WeakKeyDictionary()


def _around(run: Run) -> Iterator[RunContext]:
    """Yield the contexts of the runs around one, the nearest first."""
    context = run.enclosing
    while context is not None:
        yield context
        context = context.engine.enclosing


def _way(run: Run) -> Iterator[tuple[str, int]]:
    yield run.id, run.attempt
    for context in _around(run):
        view = context.flow_run if isinstance(context, FlowRunContext) else context.task_run
        yield view.id, view.run_count


def _outermost(run: Run) -> Run:
    around: list[Run] = [context.engine for context in _around(run)]
    return around[-1] if around else run


def _flows(run: Run) -> list[Run]:
    """Return a flow run and the flow runs around it, the nearest first."""
    return [run, *(context.engine for context in _around(run) if isinstance(context, FlowRunContext))]


def _parameters(run: Run) -> dict[str, Any]:
    shown = render_all(run.parameters, run.definition.binder.secrets)
    return {name: _ADDRESS.sub("", text) for name, text in shown.items()}
