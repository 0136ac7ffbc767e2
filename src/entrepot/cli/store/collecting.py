"""`entrepot store gc`: removes what nobody needs any more."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from entrepot import settings
from entrepot._amounts import SPANS, bytes_of, seconds_of
from entrepot.cli.known import KnownNames
from entrepot.cli.options import AsJson, Yes
from entrepot.cli.output import ok, print_json, show, table, warn
from entrepot.cli.records import StorageOption, open_store, size_text
from entrepot.cli.store.topic import app, progress_bar
from entrepot.engine.tidying import Tidied, tidy
from entrepot.errors import OptionError
from entrepot.results.collect import GRACE, Collector, Report, Rules

__all__: list[str] = []

_T = TypeVar("_T")


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot store gc --dry-run                     look first\n"
        "  entrepot store gc                               what has expired or is past its own policy, and leftovers\n"
        "  entrepot store gc --yes                         the same, unasked\n"
        "  entrepot store gc --older-than 30d --tag daily  also results with a tag that are a month old\n"
        "  entrepot store gc --keep-last 3 --flow report   also all but the latest three of each task in a flow\n"
        "  entrepot store gc --max-size 50GB --json        also the least recently used; for programs\n"
    )
)
def gc(
    *,
    storage: StorageOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be removed; remove nothing.")
    ] = False,
    older_than: Annotated[str | None, typer.Option(help=f"Also results that were made longer ago: {SPANS}.")] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=1, help="Also all but the latest so many results of each task.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Also the least recently used, until so much is left: 500MB, 50GB.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only results of this task.")] = None,
    flow: Annotated[str | None, typer.Option(help="Only results of this flow, and of tasks in it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only results with this tag; may be given again.")] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            help="How long what has expired, and payloads without a record, are left; by default 1d. Not less than the"
            " longest transaction takes; under 20m only while nobody writes."
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove results that have expired or are past their policy, payloads that no result needs, and leftovers.

    Without --storage and a selection, also what runs that are over have left in the home folder.

    Flows may go on meanwhile: nothing that they need is removed. It can be stopped at any moment, and run again. At a
    terminal it says what would go, and asks; in scripts and with --yes or --json it does not.
    """
    current = settings.current()
    filtered = task is not None or flow is not None or bool(tag)
    size = _read(bytes_of, max_size, "max_size")
    rules = Rules(
        keep=current.results_keep,
        older_than=_read(seconds_of, older_than, "older_than"),
        keep_last=keep_last,
        max_size=current.results_max_size if size is None and not filtered else size,
        task=task,
        flow=flow,
        tags=tuple(tag or ()),
    )
    seconds = _read(seconds_of, grace, "grace")
    store = open_store(storage)
    grace_seconds = GRACE if seconds is None else seconds

    def collect(*, is_dry: bool) -> Report:
        with progress_bar() as told:
            collector = Collector(store, rules, grace=grace_seconds, progress=told)
            return collector.preview() if is_dry else collector.run()

    # What runs leave in the home is no store's: it goes with the default one, and with no selection of results.
    tidies = storage is None and not filtered
    asked = False
    if not dry_run and not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        planned = collect(is_dry=True)
        in_home = tidy(current.home, is_dry=True) if tidies else Tidied()
        if planned.records or planned.payloads or planned.leftovers or in_home != Tidied():
            asked = True
            _show(planned, store.location)
            _show_tidied(in_home, current.home, "would free")
            if not typer.confirm("Remove this?", err=True):
                ok("nothing was removed")
                raise typer.Exit(1)
    report = collect(is_dry=dry_run)
    tidied = tidy(current.home, is_dry=dry_run) if tidies else Tidied()
    if as_json:
        print_json(_facts(report, store.location) | {"home": dataclasses.asdict(tidied)})
        return
    _show(report, store.location, in_full=not asked)
    _show_tidied(tidied, current.home, "would free" if dry_run else "freed")
    if not report.records and filtered:
        known = KnownNames()
        for _ in known.noted(store.records()):
            pass
        hint = known.hint(task=task, flow=flow, tags=rules.tags)
        if hint:
            ok(hint)


def _read(parse: Callable[[str], _T], text: str | None, option: str) -> _T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise OptionError(f"--{option.replace('_', '-')}: {error}", option=option) from None


def _facts(report: Report, location: str) -> dict[str, Any]:
    return {"store": location, **dataclasses.asdict(report)}


def _show(report: Report, location: str, *, in_full: bool = True) -> None:
    if report.shares and in_full:
        waits = any(share.waiting_size for share in report.shares)
        rows = [
            (
                share.task or "-",
                share.reason,
                share.records,
                size_text(share.payload_size),
                size_text(share.size),
                *([size_text(share.waiting_size)] if waits else []),
            )
            for share in report.shares
        ]
        headings = ("Task", "Why", "Results", "Payloads", "In all", *(["After grace"] if waits else []))
        show(table(headings, rows, keep=headings[1:]))
    done = "would free" if report.is_dry else "freed"
    ok(
        f"{done} {size_text(report.size)} in {location}: {_some(report.records, 'result')},"
        f" {_some(report.payloads, 'payload')}, {_some(report.leftovers, 'leftover')};"
        f" {_some(report.kept, 'result')} {'stays' if report.kept == 1 else 'stay'}"
    )
    for left in report.left:
        ok(f"  {left.count} {left.kind} ({size_text(left.size)})")
    if report.waiting:
        ok(
            f"{_some(report.waiting, 'payload')} ({size_text(report.waiting_size)}) that no result needs"
            f" {'is' if report.waiting == 1 else 'are'} younger than the grace (--grace, by default 1d), and left for a"
            " later collection: whoever wrote them may be about to keep their results"
        )
    if report.changed:
        ok(f"{_some(report.changed, 'result')} became others meanwhile, and stay")
    if report.is_blind:
        warn(
            "there are results that cannot be read under the keys of this ring, so no payload was removed; collect with"
            " a ring that has all keys"
        )


def _show_tidied(tidied: Tidied, home: Path, done: str) -> None:
    kinds = {
        "snapshots of runs that are over": tidied.snapshots,
        "answers to questions of such runs": tidied.answers,
        "unfinished writes": tidied.unfinished,
    }
    if any(kinds.values()):
        ok(f"{done} {size_text(tidied.size)} in {home}:")
    for kind, count in kinds.items():
        if count:
            ok(f"  {count} {kind}")


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
