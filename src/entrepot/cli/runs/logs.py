"""`entrepot runs logs`: what a run and everything in it wrote to its log, also while it runs."""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Annotated, Final

import typer

from entrepot._clock import SYSTEM_CLOCK
from entrepot.cli.output import clean, ok, warn, when
from entrepot.cli.runs.listing import is_orphan
from entrepot.cli.runs.topic import app
from entrepot.errors import OptionError
from entrepot.logging.terminal import COLOURS, RESET, in_colour
from entrepot.runs import RunHistory, RunLine, RunLogs, RunSummary, default_path

_PAUSE: Final = 0.25  # seconds between looks at the history
_OWN_LOGGERS: Final = frozenset({"entrepot.flow_runs", "entrepot.task_runs"})
_INTERRUPTED: Final = 130  # as a shell says of a program that Ctrl-C has ended


@app.command()
def logs(
    run: Annotated[str, typer.Argument(help="An id, the beginning of one, or the name of a run.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on, until the run has ended.")
    ] = False,
    level: Annotated[str, typer.Option("--level", help="Only lines of this level and above: warning, error, ...")] = "",
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="At most so many of the first lines.")
    ] = None,
    tail: Annotated[bool, typer.Option("--tail", "-t", help="With --limit: the last lines, not the first.")] = False,
    children: Annotated[
        bool, typer.Option("--children/--no-children", help="With the lines of what ran inside it, or without.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")] = False,
) -> None:
    """Show the log of a run and of everything that ran inside it.

    With --follow, --limit means the last lines of those that are there already.
    """
    history = RunHistory(default_path())
    found = history.find(run)
    lines = RunLogs(history, found.run_id, children=children, level=_level(level))
    try:
        shown = _print(lines.read(limit=limit, tail=tail or follow), as_json=as_json)
        if follow:
            _follow(history, found, lines, as_json=as_json)
        elif not shown:
            ok(f"no {'such ' if level else ''}log lines of {found.name or found.run_id} in {history.path}")
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _level(given: str) -> int:
    if not given:
        return 0
    number = int(given) if given.isdecimal() else logging.getLevelNamesMapping().get(given.upper())
    if number is None:
        raise OptionError(f"--level {given} is none; use debug, info, warning, error or critical", option="level")
    return number


def _follow(history: RunHistory, run: RunSummary, lines: RunLogs, *, as_json: bool) -> None:
    """Print new lines until the run has ended, or nobody is left to end it."""
    over = False
    while True:
        _print(lines.read_new(), as_json=as_json)
        if over:
            break
        run = history.find(run.run_id)
        # The last line is written right after the last state, so there is one more look after that.
        over = run.is_terminal or (is_orphan(run) and run.state_type != "PAUSED")
        SYSTEM_CLOCK.sleep(_PAUSE)
    name = run.name or run.run_id
    if run.is_terminal:
        ok(f"{name} has ended: {run.state_name}")
    else:
        warn(f"{name} is {run.state_name or 'new'} and will not go on: its process {run.process_id} is gone")


def _print(lines: Iterable[RunLine], *, as_json: bool) -> int:
    """Print lines to stdout; return how many there were."""
    write = sys.stdout.write  # as it is: a line must not be broken where the terminal ends
    colour = in_colour(sys.stdout)
    count = 0
    for line in lines:
        write(_json(line) if as_json else _text(line, colour=colour))
        count += 1
    sys.stdout.flush()
    return count


def _text(line: RunLine, *, colour: bool) -> str:
    source = line.run_name or line.run_id[:8]
    if line.logger not in _OWN_LOGGERS:
        source = f"{source} [{line.logger}]"
    level = logging.getLevelName(line.level)
    text = clean(f"{when(line.timestamp, exact=True)} | {level:<7} | {source} - {line.message}")
    code = COLOURS.get(line.level) if colour else None
    return f"{text}\n" if code is None else f"{code}{text}{RESET}\n"


def _json(line: RunLine) -> str:
    facts = {
        "run_id": line.run_id,
        "run_name": line.run_name,
        "kind": line.run_kind,
        "flow_run_id": line.flow_run_id,
        "timestamp": line.timestamp.isoformat(),
        "level": line.level,
        "level_name": logging.getLevelName(line.level),
        "logger": line.logger,
        "message": line.message,
    }
    return json.dumps(facts) + "\n"
