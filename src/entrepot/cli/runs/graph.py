"""`entrepot runs graph`: a run as a picture, a timeline and a graph of dependencies."""

import re
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from entrepot._clock import SYSTEM_CLOCK
from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, warn
from entrepot.cli.runs.listing import is_orphan
from entrepot.cli.runs.topic import app
from entrepot.errors import EntrepotError, OptionError
from entrepot.runs import RunHistory, RunSummary, default_path
from entrepot.runs.graph import FOLD, GraphNode, RunGraph, read_graph

_NAME: Final = 100  # characters of a file's name
_HEAD: Final = 1024  # characters of a picture in which it says what it shows


@app.command()
def graph(
    run: Annotated[str, typer.Argument(help="An id, the beginning of one, or the name of a run.")],
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Where the picture goes; - for stdout.", show_default="NAME-OF-RUN.svg"),
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file whatever it is.")] = False,
    fold: Annotated[
        int, typer.Option("--fold", min=1, help="More runs than so many of one task become one row.")
    ] = FOLD,
    as_json: AsJson = False,
) -> None:
    """Draw one run as an SVG picture: what ran when and waited for what, and who took whose results.

    A file that is there is replaced only if it is a picture of the same run.
    """
    if opened and (as_json or output == "-"):
        raise OptionError("--open shows a file; leave out --json and --output -", option="open")
    history = RunHistory(default_path())
    found = history.find(run)
    drawn = read_graph(history, found.run_id, fold=fold, now=None if is_orphan(found) else SYSTEM_CLOCK.now())
    if as_json:
        print_json(_data(drawn))
        return
    from entrepot.cli.graph import picture  # noqa: PLC0415  the other commands of the topic do not draw

    text = picture(drawn)
    if output == "-":
        typer.echo(text, nl=False)
        return
    path = Path(output) if output else Path(_file_name(found))
    _write(path, text, found, force=force)
    ok(f"{path} shows {found.name or found.run_id}")
    if opened and not webbrowser.open(path.resolve().as_uri()):
        warn(f"no browser was found; open {path} yourself")


def _file_name(run: RunSummary) -> str:
    """Return the name of the file for a run, whose own name may be anything."""
    plain = re.sub(r"[^\w.-]+", "-", run.name, flags=re.ASCII).strip(".-")[:_NAME]
    return f"{plain or run.run_id[:8]}.svg"


def _write(path: Path, text: str, run: RunSummary, *, force: bool) -> None:
    from entrepot.cli.graph import shows  # noqa: PLC0415  as above

    try:
        if path.is_file() and not force:
            with path.open(encoding="utf-8", errors="replace") as file:
                if not shows(file.read(_HEAD), run.run_id):
                    raise EntrepotError(
                        f"{path} is there, and is no picture of this run; use --force to replace it, or --output for"
                        " another name",
                        location=str(path),
                    )
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EntrepotError(
            f"{path} cannot be written: {error.strerror or error}; use --output for another place", location=str(path)
        ) from None


def _data(graph: RunGraph) -> dict[str, Any]:
    run = graph.run
    return {
        "run_id": run.run_id,
        "name": run.name,
        "definition": run.definition,
        "until": graph.until,
        "nodes": [_node(node) for node in graph.nodes],
        "edges": [{"source": edge.source, "target": edge.target, "times": edge.times} for edge in graph.edges],
    }


def _node(node: GraphNode) -> dict[str, Any]:
    return {
        "id": node.id,
        "parent": node.parent,
        "kind": node.kind,
        "name": node.name,
        "definition": node.definition,
        "runs": node.runs,
        "state_type": node.state_type,
        "state_name": node.state_name,
        "states": [
            {"state_type": state_type, "state_name": state_name, "runs": many}
            for (state_type, state_name), many in node.counts.items()
        ],
        "message": node.message,
        "attempts": node.attempts,
        "created": node.created,
        "started": node.started,
        "ended": node.ended,
        "seconds": node.duration,
        "spans": [
            {
                "kind": one.kind,
                "start": one.start,
                "end": one.end,
                "attempt": one.attempt,
                "outcome": one.outcome,
            }
            for one in node.spans
        ],
        "activity": node.activity,
    }
