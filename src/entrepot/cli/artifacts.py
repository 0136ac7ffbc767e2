"""`entrepot artifact`: what runs left for people to look at."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import clean, cut, print_json, show, table, told, when
from entrepot.runs import RunHistory, default_path
from entrepot.runs.artifacts import ArtifactHistory, KeptArtifact

__all__ = ["app", "artifacts_of"]

_SHORT: Final = 60  # characters of an artifact in a list
_URL: Final = 2000  # characters: one may hold the image itself
_ROWS: Final = 200  # of a table; --json has all

app = topic(
    "What runs left for people to look at: tables, notes, links, images, progress.",
    examples=(
        "  entrepot artifact ls                       the newest ones\n"
        "  entrepot artifact ls --run brave-otter     those of one run, and of its tasks\n"
        "  entrepot artifact ls --key daily-means     all versions of one\n"
        "  entrepot artifact show daily-means         the newest version\n"
    ),
)


@app.command()
def ls(
    *,
    run: Annotated[str | None, typer.Option("--run", help="Only those of this run: an id, or a name.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only those of this key.")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Only those of this type: table, markdown, link, image, progress.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List artifacts, the ones that changed last first."""
    run_id = None if run is None else RunHistory(default_path()).get(run).run_id
    found = ArtifactHistory(default_path()).list(run_id=run_id, key=key, type=kind, limit=limit)
    if as_json:
        print_json([_facts(one) for one in found])
        return
    if not found:
        chosen = run is not None or key is not None or kind is not None
        typer.echo(f"no artifacts{' like that' if chosen else ''} in {default_path()}", err=True)
        return
    show(_listed(found))


@app.command(name="show")
def show_(
    artifact: Annotated[str, typer.Argument(help="A key, an id, or the beginning of an id.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one artifact; of a key, the newest."""
    found = ArtifactHistory(default_path()).get(artifact)
    if as_json:
        print_json(_facts(found))
        return
    facts = [
        ("Artifact", found.artifact_id),
        ("Type", found.type),
        ("Key", found.key or "-"),
        ("Run", found.run_id or "-"),
        ("Created", when(found.created)),
        ("Updated", when(found.updated)),
    ]
    for name, value in facts:
        show(Text(f"{name:<10} ", style="dim").append_text(told(value)))
    show("")
    if found.description:
        show(_markdown(found.description), "")
    show(_drawn(found))


def artifacts_of(run_id: str) -> Table | None:
    """Return the list of a run's artifacts (a flow run's: of its tasks, too), or None if there are none."""
    found = ArtifactHistory(default_path()).list(run_id=run_id, limit=50)
    return _listed(found) if found else None


def _listed(found: Any) -> Table:
    return table(
        ("Id", "Type", "Key", "Run", "Updated", "What"),
        [
            (one.artifact_id[:8], one.type, one.key, (one.run_id or "")[:8], when(one.updated), _in_short(one))
            for one in found
        ],
        keep=("Id", "Type", "Key", "Run", "Updated"),
    )


def _in_short(one: KeptArtifact) -> str:
    if one.description:
        return cut(one.description, _SHORT)
    data = one.data
    if one.type == "table":
        names, rows = _grid(data)
        return f"{len(rows)} rows: {cut(', '.join(names), _SHORT - 12)}"
    if one.type == "progress" and isinstance(data, Mapping):
        return f"{data.get('progress', 0):g} %"
    if isinstance(data, Mapping):
        data = data.get("text") or data.get("url") or ""
    return cut(str(data), _SHORT)


def _drawn(one: KeptArtifact) -> RenderableType:
    """Return an artifact as it is looked at; what is not as its type wants it, as JSON."""
    data = one.data
    if one.type == "table":
        return _table(data)
    if one.type == "markdown" and isinstance(data, str):
        return _markdown(data)
    if one.type == "progress" and isinstance(data, Mapping):
        percent = float(data.get("progress", 0))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=100, completed=percent, width=40), told(f"{percent:g} %"))
        return bar
    if isinstance(data, Mapping) and "link" in data:
        text, link = str(data.get("text", "")), str(data["link"])
        return told(link if text == link else f"{text}: {link}")
    if isinstance(data, Mapping) and "url" in data:
        return told(cut(str(data["url"]), _URL))
    return told(json.dumps(data, indent=2))


def _table(data: Any) -> RenderableType:
    names, rows = _grid(data)
    drawn = table([clean(name) for name in names], [[_cell(cell) for cell in row] for row in rows[:_ROWS]])
    if len(rows) <= _ROWS:
        return drawn
    return Group(drawn, told(f"... and {len(rows) - _ROWS} rows more; --json has all"))


def _grid(data: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns and the rows of a table, whatever its shape; short rows are filled up."""
    if isinstance(data, Mapping):
        columns = [column if isinstance(column, list) else [column] for column in data.values()]
        length = max(map(len, columns), default=0)
        return list(data), [[column[at] if at < len(column) else None for column in columns] for at in range(length)]
    rows = data if isinstance(data, list) else [data]
    if all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return names, [[row.get(name) for name in names] for row in rows]
    listed = [row if isinstance(row, list) else [row] for row in rows]
    width = max(map(len, listed), default=0)
    return [str(number) for number in range(1, width + 1)], [row + [None] * (width - len(row)) for row in listed]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _markdown(text: str) -> RenderableType:
    """Return Markdown as a terminal shows it; elsewhere as it was written."""
    if not sys.stdout.isatty():
        return told(text)
    # Without links as the terminal's own: what they lead to would be hidden behind their text.
    return Markdown(clean(text), hyperlinks=False)


def _facts(one: KeptArtifact) -> dict[str, Any]:
    return {
        "artifact_id": one.artifact_id,
        "type": one.type,
        "key": one.key,
        "description": one.description,
        "run_id": one.run_id,
        "flow_run_id": one.flow_run_id,
        "created": one.created,
        "updated": one.updated,
        "data": one.data,
    }
