"""What the command line prints: tables and trees for people, JSON for programs; data on stdout, the rest on stderr.

Nothing that was stored (names, messages, values) can send control sequences to the terminal: they are spelled out.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TextIO

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from entrepot._text import clean, cut, span

__all__ = [
    "clean",
    "columns_of",
    "cut",
    "fact",
    "fitting",
    "ok",
    "pretty",
    "print_json",
    "print_json_line",
    "show",
    "span",
    "state_text",
    "table",
    "told",
    "warn",
    "warn_together",
    "when",
]

_READABLE: Final = 20  # columns, below which nothing is wrapped
_UNBREAKABLE: Final = re.compile(r"^\S+$|/\S+/\S{20}")  # what people copy: a digest, a path, a command line with one
_USUAL: Final = 80  # columns of a terminal that does not say how many it has
_UNLIMITED: Final = 100_000  # columns where nobody looks at the lines: programs want them whole
_STATES: Final = {
    "COMPLETED": "green",
    "RUNNING": "cyan",
    "FAILED": "red",
    "CRASHED": "red",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
}


def columns_of(stream: TextIO) -> int | None:
    """Return how many columns lines may have: what COLUMNS says, else what the terminal has; None elsewhere, for any.

    Where COLUMNS says none (0, as some terminals set it), nothing is taken from it: rich would print nothing.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and len(given) < len(str(_UNLIMITED)) and int(given):
        return int(given)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError):  # it says that it is a terminal, and is none of this system
        return _USUAL


def show(*parts: RenderableType, unbroken: bool = False, err: bool = False) -> None:
    """Print to stdout (or stderr): in colour on a terminal (unless NO_COLOR is set), plain elsewhere.

    Elsewhere lines are as long as they need to be, unless COLUMNS is set.

    Args:
        parts: What to print.
        unbroken: Whether lines that are too long are left to the terminal, so that who copies one gets it whole.
        err: Whether it is for the person at the terminal, not data.
    """
    stream = sys.stderr if err else sys.stdout
    terminal = stream.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    console = Console(
        file=stream,
        force_terminal=terminal,
        color_system=None if plain else "auto",
        no_color=plain,
        width=columns_of(stream) or _UNLIMITED,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=unbroken,
    )
    for part in parts:
        console.print(part)


def fact(name: str, value: object, width: int) -> None:
    """Print a name and what there is to say: sentences under one another, paths and digests in one piece.

    Args:
        name: Printed in so many characters, or more.
        value: A `Text`, or anything with a plain string form.
        width: Characters.
    """
    line = Text(f"{name:<{width}} ", style="dim")
    said = value if isinstance(value, Text) else told(value)
    indent = len(line)
    room = (columns_of(sys.stdout) or _UNLIMITED) - indent
    if len(said) <= room or room < _READABLE or _UNBREAKABLE.search(said.plain):
        show(line.append_text(said), unbroken=True)
        return
    rows = said.wrap(Console(width=room), room)
    show(line.append_text(Text(f"\n{'':<{indent}}").join(rows)))


def fitting(*tables: Table) -> Table:
    """Return the first of some tables that there is room for, else the last.

    Args:
        tables: The same in fewer and fewer columns.
    """
    columns = columns_of(sys.stdout)
    if columns is None:
        return tables[0]
    console = Console(width=_UNLIMITED)
    return next((one for one in tables if console.measure(one).maximum <= columns), tables[-1])


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    keep: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Table:
    """Return a table.

    Args:
        columns: Their headings.
        rows: Texts, or anything with a plain string form; None is shown as nothing.
        keep: Columns that are never cut into lines: ids, names that are typed again.
        without: Columns that are left out, with their cells. Where no column has a heading, there is no heading row.
    """
    shown = [number for number, column in enumerate(columns) if column not in without]
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=any(columns))
    for number in shown:
        made.add_column(columns[number], no_wrap=columns[number] in keep, overflow="fold")
    for row in rows:
        cells = [row[number] for number in shown]
        made.add_row(*[cell if isinstance(cell, Text) else told(cell) for cell in cells])
    return made


def told(value: object, style: str = "") -> Text:
    """Return a value as text without markup or control characters."""
    return Text("" if value is None else clean(str(value)), style=style)


def state_text(state_type: str | None, state_name: str | None) -> Text:
    """Return the name of a state in its colour."""
    return told(state_name or "-", _STATES.get(state_type or "", ""))


def pretty(text: str) -> str:
    """Return text; where it is JSON, indented."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def print_json(value: object) -> None:
    """Print one JSON document: times as ISO 8601, times spans in seconds, everything else that is no JSON as text."""
    # ASCII only: what is escaped needs no guess at the reader's encoding, and cannot steer a terminal.
    typer.echo(json.dumps(value, indent=2, default=_plain))


def print_json_line(value: object) -> None:
    """Print one JSON document on one line, as `print_json` writes it: for lists that are printed as they are found."""
    typer.echo(json.dumps(value, separators=(",", ":"), default=_plain))


def _plain(value: Any) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    return str(value)


def when(moment: datetime | None, *, exact: bool = False) -> str:
    """Return a time of day here: to the second, or if `exact` to the millisecond."""
    if moment is None:
        return ""
    text = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")
    return text[:-3] if exact else text[:-7]


def ok(message: str) -> None:
    """Say on stderr that something was done."""
    typer.echo(clean(message), err=True)


def warn(message: str) -> None:
    """Say on stderr that something is not as it should be."""
    typer.echo(f"warning: {clean(message)}", err=True)


def warn_together(problems: Mapping[str, str], one: str, several: str) -> None:
    """Warn of things that are not as they should be: in one sentence, with a count, of those with the same trouble.

    Args:
        problems: What is wrong, by the thing, whose name may stand in it.
        one: What that means, of one thing.
        several: The same of several.
    """
    alike: dict[str, list[str]] = {}
    for thing, problem in problems.items():
        alike.setdefault(problem.replace(thing, "it"), []).append(thing)
    for problem, things in alike.items():
        if len(things) == 1:
            warn(f"{things[0]} {one}: {problem}")
        else:
            warn(f"{things[0]} and {len(things) - 1} more {several}: {problem}")
