"""`entrepot runs waiting`, `entrepot runs answer`: flow runs that wait for people, and telling them."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from entrepot.cli.options import AsJson
from entrepot.cli.output import cut, ok, print_json, show, table, warn, when
from entrepot.cli.runs.listing import is_orphan
from entrepot.cli.runs.topic import app
from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot.errors import InputError
from entrepot.runs import RunSummary

if TYPE_CHECKING:
    from entrepot.flow_runs.answering import Waiting

__all__: list[str] = []

_LOOK: Final = 0.1  # seconds between looks for what the flow makes of an answer


@app.command(name="waiting")
def waiting_(*, as_json: AsJson = False) -> None:
    """List the flow runs that wait for an answer, and what each waits for."""
    from entrepot.flow_runs import answering  # noqa: PLC0415  the seam: it loads pydantic and cryptography

    found = answering.waiting()
    if as_json:
        print_json([_facts(one) for one in found])
        return
    if not found:
        typer.echo("no flow run waits for an answer", err=True)
        return
    show(
        table(
            ("Id", "Run", "Flow", "Key", "Waits for", "Asked", "Until", ""),
            [
                (
                    one.pause.run_id[:8],
                    None if one.run is None else one.run.name,
                    None if one.run is None else one.run.definition,
                    one.pause.key,
                    cut(one.pause.message, 200),
                    when(one.pause.asked),
                    when(one.pause.deadline),
                    _where(one.run),
                )
                for one in found
            ],
            keep=("Id", "Run", "Key", "Asked", "Until"),
        )
    )


@app.command()
def answer(
    run: Annotated[str, typer.Argument(help="An id, the beginning of one, or the name of a run.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="The answer; what is left out is asked for.")
    ] = None,
    *,
    json_input: Annotated[
        str | None,
        typer.Option("--json-input", metavar="TEXT|@FILE|-", help="The whole answer as JSON; - reads it from stdin."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Which question, where a run asks several.")] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait to hear whether the flow took the answer.")
    ] = 5,
) -> None:
    """Answer a flow run that waits, so that it goes on.

    Without values it asks for each field. Secrets are asked for without echo, or read from a file or stdin as JSON.
    """
    from entrepot.cli.runs import forms  # noqa: PLC0415  as above
    from entrepot.flow_runs import answering  # noqa: PLC0415  as above

    found = answering.waiting_run(run, key)
    answering.give(found.pause, forms.read_answer(found, values or [], json_input))
    _tell(found, wait)


# --- saying what became of it -----------------------------------------------------------------------------------------


def _tell(found: "Waiting", wait: float) -> None:
    """Say what the flow made of the answer."""
    pause, what = found.pause, f"{found.pause.key} of flow run {found.name!r}"
    if _is_gone(found.run):
        ok(f"answered {what}; it waits in no process any more: `entrepot runs resume {pause.run_id}` continues it")
        return
    deadline = time.monotonic() + wait
    while True:
        now = pauses.find(pause.root_run_id, pause.key)
        if now is not None and now.refused is not None and now.answer is None:
            raise InputError(f"the flow refused the answer to {what}: {now.refused}; it waits for another", field="")
        if now is None or now.taken is not None or time.monotonic() >= deadline:
            break
        time.sleep(_LOOK)
    if now is None:
        warn(f"{what} was given up a moment ago: nobody took the answer")
    elif now.taken is not None:
        ok(f"answered {what}; it goes on")
    else:
        ok(f"answered {what}; it has not taken the answer yet")


def _is_gone(run: RunSummary | None) -> bool:
    """Return whether a run waits in no process: it was suspended, or its process died."""
    return run is not None and (run.is_terminal or run.state_name == "Suspended" or is_orphan(run))


def _where(run: RunSummary | None) -> str:
    if run is not None and run.state_name == "Suspended":
        return "suspended"
    return "its process is gone: answer, then resume" if _is_gone(run) else ""


def _facts(one: "Waiting") -> dict[str, Any]:
    pause = one.pause
    return {
        "run_id": pause.run_id,
        "root_run_id": pause.root_run_id,
        "name": None if one.run is None else one.run.name,
        "flow": None if one.run is None else one.run.definition,
        "key": pause.key,
        "message": pause.message,
        "asked": pause.asked,
        "deadline": pause.deadline,
        "refused": pause.refused,
        "process_is_gone": _is_gone(one.run),
        "form": _form(pause),
    }


def _form(pause: Pause) -> Any:
    try:
        return None if pause.schema is None else json.loads(pause.schema)
    except ValueError:  # somebody altered it; `answer` says so
        return None
