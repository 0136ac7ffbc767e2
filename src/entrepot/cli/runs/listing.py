"""`entrepot runs`, `entrepot runs show`: which runs there were, and what one of them did."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from rich.text import Text

from entrepot._clock import SYSTEM_CLOCK
from entrepot.cli.artifacts import artifacts_of
from entrepot.cli.options import AsJson
from entrepot.cli.output import fact, print_json, show, span, state_text, table, when
from entrepot.cli.runs.topic import app
from entrepot.cli.runs.tree import tree
from entrepot.engine.past import SNAPSHOTS
from entrepot.errors import OptionError
from entrepot.protocols.recorder import RunKind
from entrepot.runs import RunDetails, RunHistory, RunSummary, default_path, default_recorder
from entrepot.runs.lines import heartbeat_of, keeps_something, line_of
from entrepot.runs.liveness import FOLDER, Life, life_of
from entrepot.runs.outline import FOLD, Outline, RunNode, read_outline
from entrepot.runs.sweeping import sweep

_STATES = (
    *("Pending", "Running", "Completed", "Failed", "Cancelled", "Crashed", "Paused", "Scheduled", "Cached", "Retrying"),
    *("AwaitingRetry", "TimedOut", "NotReady", "Suspended", "Resumed"),
)

_LABEL = 10  # characters

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
OfFlow = Annotated[str | None, typer.Option("--flow", help="Only runs of the flow (or task) of this name.")]
OfState = Annotated[str | None, typer.Option("--state", help="Only runs in this state: failed, running, cached, ...")]
OfKind = Annotated[str, typer.Option("--kind", help="flow, task or all.")]


@app.callback()
def runs(
    ctx: typer.Context,
    *,
    limit: Limit = 20,
    flow: OfFlow = None,
    state: OfState = None,
    kind: OfKind = "flow",
    as_json: AsJson = False,
) -> None:
    """List the newest flow runs, or show one."""
    if ctx.invoked_subcommand is None:
        ls(limit=limit, flow=flow, state=state, kind=kind, as_json=as_json)


@app.command()
def ls(
    *,
    limit: Limit = 20,
    flow: OfFlow = None,
    state: OfState = None,
    kind: OfKind = "flow",
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    kinds: Mapping[str, RunKind | None] = {"flow": "flow", "task": "task", "all": None}
    if kind not in kinds:
        raise OptionError(f"--kind {kind} is none; use flow, task or all", option="kind")
    sweep(default_path(), default_recorder())
    found = RunHistory(default_path()).list(limit=limit, kind=kinds[kind], state=state, flow=flow)
    if as_json:
        print_json([_facts(run) for run in found])
        return
    if not found:
        typer.echo(f"no runs{' like that' if flow or state else ''} in {default_path()}{_near(flow, state)}", err=True)
        return
    retried = any(run.epoch > 1 for run in found)
    rows = [
        (
            run.run_id[:8],
            run.name,
            run.definition,
            _state(run),
            when(run.created),
            span(run.duration),
            *([run.epoch if run.epoch > 1 else ""] if retried else []),
        )
        for run in found
    ]
    of = "Flow" if kind == "flow" else "Of"
    headings = ("Id", "Name", of, "State", "Created", "Took", *(["Attempts"] if retried else []))
    show(table(headings, rows, keep=("Id", "Name", "State", "Created", "Took")))


@app.command(name="show")
def show_(
    run: Annotated[str, typer.Argument(help="An id, the beginning of one, or the name of a run.")],
    *,
    unfold: Annotated[bool, typer.Option("--all", help="Show every run, however many there are of one task.")] = False,
    depth: Annotated[
        int | None, typer.Option("--depth", min=0, help="At most so many floors below the run.", show_default="all")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: its states, its parameters, and everything that ran inside it."""
    history = RunHistory(default_path())
    meant = history.find(run)
    if not meant.is_terminal and meant.process:
        sweep(default_path(), default_recorder(), processes={meant.process})
    if as_json:
        print_json(_details(history.get(run)))
        return
    outline = read_outline(history, run, fold=None if unfold else FOLD, depth=depth)
    found = outline.run
    facts: list[tuple[str, object]] = [
        ("Run", f"{found.name} ({found.run_id})"),
        (found.kind.title(), found.definition),
        ("State", _state(found)),
        ("Created", when(found.created)),
        ("Took", span(found.duration) or "-"),
        ("Attempts", found.epoch),
        ("Tags", ", ".join(found.tags) or "-"),
        ("Process", found.process_id),
        *[(f"  {name}", value) for name, value in found.parameters.items()],
        *[("Result", one.result_location) for one in outline.past if one.result_location][-1:],
        *_hints(outline),
    ]
    if found.message:
        facts.insert(3, ("Message", found.message))
    for name, value in facts:
        fact(name, value, _LABEL)
    show("")
    show(
        table(
            ("Time", "Attempt", "State", "Message"),
            [
                (
                    when(one.timestamp, exact=True),
                    one.epoch,
                    state_text(one.state_type, one.state_name),
                    one.message,
                )
                for one in outline.past
            ],
            keep=("Time", "State"),
        )
    )
    artifacts = artifacts_of(found.run_id)
    if artifacts:
        show("", artifacts)
    if outline.top.branches or outline.top.inside:
        show("", tree(outline.top, _state))


def _hints(outline: Outline) -> list[tuple[str, object]]:
    """Return what else there is to see of a run, and what to do about it."""
    run, hints = outline.run, list[tuple[str, object]]()
    if outline.log_lines:
        lines = f"{outline.log_lines:,} line{'' if outline.log_lines == 1 else 's'}"
        hints.append(("Log", f"{lines} (entrepot runs logs {run.run_id[:8]})"))
    if run.root_run_id:
        hints.append(("Resumes", run.root_run_id))
    if how := _how_to_resume(run):
        hints.append(("Resume it", how))
    return hints


def _state(run: RunSummary | RunNode) -> Text:
    text = state_text(run.state_type, run.state_name)
    return text.append(" (its process is gone)", style="red") if is_orphan(run) else text


def is_orphan(run: RunSummary | RunNode) -> bool:
    """Return whether a run that has not ended never will: its process ended without a word."""
    if run.is_terminal or not run.process:
        return False
    heard = heartbeat_of(RunHistory(default_path()), run.process)
    return life_of(default_path().parent / FOLDER, run.process, heard, SYSTEM_CLOCK.now()) is Life.ENDED


def _how_to_resume(run: RunSummary) -> str:
    """Return what continues a run that did not complete, or "" where nothing was kept that it could go on with."""
    if run.kind != "flow" or run.parent_run_id or run.flow_run_id or run.state_type in {"COMPLETED", "RUNNING", None}:
        return ""
    if run.state_name == "Resumed":  # another run has taken over
        return ""
    history = RunHistory(default_path())
    line = line_of(history, run.root_run_id or run.run_id)
    if any(one.state_type == "COMPLETED" or not (one.is_terminal or one.state_name == "Suspended") for one in line):
        return ""
    if (default_path().parent / SNAPSHOTS / run.run_id).is_file():
        return f"entrepot runs resume {run.run_id[:8]}"
    return f"call its flow again with resume={run.run_id!r}" if keeps_something(history, run.run_id) else ""


def _near(flow: str | None, state: str | None) -> str:
    """Return what may have been meant where nothing was found."""
    hints = []
    if state is not None and state.lower() not in {name.lower() for name in _STATES}:
        hints.append(f"states are {', '.join(_STATES)}")
    if flow is not None:
        known = {run.definition for run in RunHistory(default_path()).list(limit=1000, kind=None)}
        if flow not in known:
            near = get_close_matches(flow, known, n=1)
            hints.append(f"no {flow!r} was run{f'; did you mean {near[0]!r}?' if near else ''}")
    return f" ({'; '.join(hints)})" if hints else ""


def _facts(run: RunSummary) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "name": run.name,
        "definition": run.definition,
        "key": run.key,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "message": run.message,
        "attempts": run.epoch,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "seconds": run.duration,
        "parameters": run.parameters,
        "tags": run.tags,
        "flow_run_id": run.flow_run_id,
        "parent_run_id": run.parent_run_id,
        "process_id": run.process_id,
    }


def _details(run: RunDetails) -> dict[str, Any]:
    return _facts(run) | {
        "transitions": [
            {
                "transition_id": one.transition_id,
                "attempt": one.epoch,
                "state_type": one.state_type,
                "state_name": one.state_name,
                "timestamp": one.timestamp,
                "message": one.message,
                "cache_key": one.cache_key,
                "result_location": one.result_location,
            }
            for one in run.transitions
        ],
        "children": [_details(child) for child in run.children],
    }
