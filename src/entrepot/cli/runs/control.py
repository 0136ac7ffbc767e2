"""`entrepot runs resume`, `rerun`, `sweep`: what was not finished, or is to be done again from some task on."""

import json
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from entrepot import settings
from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, show, table
from entrepot.cli.runs.topic import app
from entrepot.errors import NotResumableError, OptionError, RunNotFoundError
from entrepot.runs import RunDetails, RunHistory, RunSummary, default_path, default_recorder

_SHORTEST = 4  # characters of an id, as in the history

Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", metavar="NAME=VALUE", help="Give a parameter anew: JSON, or else a text. Repeatable."
    ),
]


@app.command(
    epilog="\b\nExamples:\n  entrepot runs resume 3f2a\n  entrepot runs resume brave-otter --param 'day=\"2026-01-02\"'"
)
def resume(
    run: Annotated[
        str, typer.Argument(help="A flow run that did not complete: its id, the beginning of it, or a name.")
    ],
    *,
    param: Parameters = None,
    as_json: AsJson = False,
) -> None:
    """Resume a flow run that was killed, failed or was cancelled: what it completed and kept is not run again.

    The flow is loaded from its file, and runs here, with the parameters that it had and in the folder in which it ran.
    """
    from entrepot.engine.resuming import resume as past_of  # noqa: PLC0415  the engine, only where something is run

    def take_over(found: str, key: str) -> Any:
        return past_of(found, key, default_path().parent, default_recorder())

    _call_again(_whole_id(run), take_over, param or [], as_json=as_json)


@app.command(epilog="\b\nExamples:\n  entrepot runs rerun 3f2a\n  entrepot runs rerun 3f2a --from transform-1")
def rerun(
    run: Annotated[
        str,
        typer.Argument(
            help="A flow run that is over and kept its parameters: its id, the beginning of it, or its name."
        ),
    ],
    *,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TASK", help="A task run or subflow run in it: its name, or its id."),
    ] = None,
    param: Parameters = None,
    as_json: AsJson = False,
) -> None:
    """Run a flow again as it ran, whole or from one of its task runs on.

    With --from, what had completed before that task run began is used again; the rest is computed anew, and replaces
    what was kept. Without it, this is one more run of the flow with the same parameters.
    """
    from entrepot.engine.resuming import rerun as past_of  # noqa: PLC0415  as above

    history = RunHistory(default_path())
    whole = history.find(run)
    if whole.kind != "flow" or whole.flow_run_id or whole.parent_run_id:
        raise NotResumableError(
            f"{whole.name} ({whole.run_id}) is part of another run; give that one, and this with --from",
            run_id=whole.run_id,
        )
    begins = None if start is None else _inside(history.get(whole.run_id), start).run_id

    def take_over(_: str, key: str) -> Any:
        return None if begins is None else past_of(begins, key, default_path().parent, default_recorder())

    _call_again(whole.run_id, take_over, param or [], as_json=as_json)


@app.command()
def sweep(*, as_json: AsJson = False) -> None:
    """Find the runs whose process ended without a word, and mark them as crashed.

    Other commands and every flow that starts do the same, for what they come across.
    """
    from entrepot.runs.sweeping import sweep as look  # noqa: PLC0415  it needs the database

    marked = look(default_path(), default_recorder(), thorough=True)
    history = RunHistory(default_path())
    runs = [history.find(run_id) for run_id in marked]
    if as_json:
        print_json([{"run_id": run.run_id, "kind": run.kind, "name": run.name, "message": run.message} for run in runs])
        return
    if not runs:
        ok("nothing to mark: no run that goes on in the history belongs to a process that ended")
        return
    show(table(("Id", "Kind", "Name", "Message"), [(run.run_id[:8], run.kind, run.name, run.message) for run in runs]))


# --- running a flow in this process -----------------------------------------------------------------------------------


def _call_again(run_id: str, take_over: Callable[[str, str], Any], param: list[str], *, as_json: bool) -> None:
    """Run the flow of a run here, with the parameters that were kept of it; exit with 1 if it does not complete."""
    from entrepot.engine import loading, resuming, snapshots  # noqa: PLC0415  the engine, only where something is run
    from entrepot.engine.world import World, use_world  # noqa: PLC0415  as above

    snapshot = snapshots.load(default_path().parent, run_id)
    if snapshot is None:
        found = RunHistory(default_path()).find(run_id)
        take_over(run_id, found.key)  # there may be a better reason
        over = found.state_type == "COMPLETED"
        raise NotResumableError(
            f"nothing was kept of run {run_id} that another process could start it with; call its flow in your own"
            f" code, with its parameters{'' if over else f' and resume={run_id!r}'}. (Parameters are kept where the"
            " flow has persist_result=True; or where one of its tasks keeps its result, if they are texts, numbers,"
            " and lists and dicts of them.)",
            run_id=run_id,
        )
    given = _given(param)
    past = take_over(run_id, snapshot.key)  # before the user's code is loaded: it may be refused
    flow = loading.load_flow(snapshot)
    world = World(replace(settings.current(), **snapshot.settings), default_recorder())
    with use_world(world):
        run, state = resuming.call_again(flow, snapshot.parameters() | given, past)
    if isinstance(state.data, Exception) and not state.is_paused():
        traceback.print_exception(state.data)
    if as_json:
        print_json(
            {
                "run_id": run.id,
                "name": run.name,
                "state_type": state.type.value,
                "state_name": state.name,
                "message": state.message,
                "after": run_id,
            }
        )
    else:
        ok(f"{run.name} ({run.id}) ended as {state.name}")
    if not state.is_completed():
        raise typer.Exit(1)


def _given(param: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in param:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionError(f"--param takes NAME=VALUE, not {text!r}", option="param")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _whole_id(wanted: str) -> str:
    """Return the id of a run; one that is whole is taken for what it is, since the history may have lost the run."""
    try:
        return RunHistory(default_path()).find(wanted).run_id
    except RunNotFoundError:
        from entrepot.engine.snapshots import has_snapshot  # noqa: PLC0415  as above

        if has_snapshot(default_path().parent, wanted):
            return wanted
        raise


def _inside(run: RunDetails, wanted: str) -> RunSummary:
    """Return the run inside another that is meant: by its id, the beginning of it, or its name."""
    waiting, found = [*run.children], []
    while waiting:
        one = waiting.pop()
        waiting.extend(one.children)
        if wanted in {one.run_id, one.name} or (len(wanted) >= _SHORTEST and one.run_id.startswith(wanted)):
            found.append(one)
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{one.name} ({one.run_id[:8]})" for one in found) or "none"
    raise RunNotFoundError(
        f"{wanted!r} is {'more than one run' if found else 'no run'} inside {run.name} ({run.run_id}): {shown};"
        f" `entrepot runs show {run.run_id[:8]}` draws all of them",
        run_id=wanted,
    )
