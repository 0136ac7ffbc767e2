"""`entrepot store verify` and `entrepot store stats`: whether all is whole, and what takes room."""

import dataclasses
import shlex
import sys
from collections import Counter
from typing import Annotated, Final

import typer

from entrepot.cli.listed import shortened
from entrepot.cli.options import AsJson
from entrepot.cli.output import fact, ok, print_json, show, table, told
from entrepot.cli.records import StorageOption, open_store, size_text
from entrepot.cli.store.topic import app, progress_bar
from entrepot.results.statistics import Count, Statistics, statistics
from entrepot.results.verify import Kind, Problem, verify

__all__: list[str] = []

_LABEL: Final = 8  # characters
_DIGITS: Final = 12  # of a record's file name, by which no other begins


@app.command(
    name="verify",
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot store verify                       exits with 1 if anything is wrong\n"
        "  entrepot store verify -s s3/prod --readers 32\n"
        "  entrepot store verify --json\n"
    ),
)
def verify_(
    *,
    storage: StorageOption = None,
    readers: Annotated[int, typer.Option(min=1, max=256, help="How many objects are read at a time.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Read every result again, and report what does not verify. Nothing is changed.

    A damaged result is never used: whoever needs it computes it again, and a copy is kept under damaged/.
    """
    store = open_store(storage)
    checked, size = 0, 0
    problems: list[Problem] = []
    with progress_bar() as tell:
        for found in verify(store, readers=readers):
            checked, size = checked + 1, size + found.size
            if found.problem is not None:
                problems.append(found.problem)
            tell("verifying", checked)
    counts = Counter(problem.kind.value for problem in problems)
    if as_json:
        print_json(
            {
                "store": store.location,
                "results": checked,
                "size": size,
                "counts": counts,
                "problems": [dataclasses.asdict(problem) | {"kind": problem.kind.value} for problem in problems],
            }
        )
    else:
        if problems:
            for one in problems:
                show(told(one.kind.value, "red").append_text(told(f" of {one.task}" if one.task else "")))
                if one.key:
                    fact("  Key", one.key, _LABEL)
                fact("  Path", one.path, _LABEL)
                fact("  Detail", one.detail.removeprefix(f"{store.location.rstrip('/')}/{one.path} "), _LABEL)
                if one.kind is not Kind.UNKNOWN_KEY:
                    fact("  Next", _next(one, storage), _LABEL)
        said = ", ".join(f"{count} with {_an(kind)}" for kind, count in sorted(counts.items())) or "all is well"
        ok(f"{checked} results ({size_text(size)}) in {store.location}: {said}")
    if problems:
        raise typer.Exit(1)


def _next(problem: Problem, storage: str | None) -> str:
    """Return what becomes of a damaged result, and what removes it. A key is in its record, if that can be read."""
    meant = problem.key or problem.path.rpartition("/")[2][:_DIGITS]
    where = "" if storage is None else f" --storage {shlex.quote(storage)}"
    return f"the next call computes it again; or remove it: entrepot cache invalidate {shlex.quote(meant)}{where}"


@app.command(epilog=("\b\nExamples:\n  entrepot store stats\n  entrepot store stats --storage s3/prod --json\n"))
def stats(*, storage: StorageOption = None, as_json: AsJson = False) -> None:
    """Show what is in a store: counts and bytes by task, serializer and age; what is shared, orphaned or damaged."""
    store = open_store(storage)
    with progress_bar() as tell:
        found = statistics(store, tick=tell)
    if as_json:
        print_json({"store": store.location, **dataclasses.asdict(found)})
        return
    _show(found, store.location)


def _show(found: Statistics, location: str) -> None:
    rows = [
        ("records", found.records, size_text(found.record_size)),
        *((f"  {count.name}", count.records, "") for count in found.states),
        ("payloads", found.payloads, size_text(found.payload_size)),
        ("  saved by sharing", "", size_text(found.saved)),
        ("  that no result needs", found.orphans, size_text(found.orphan_size)),
        ("evidence of damage", found.evidence, size_text(found.evidence_size)),
    ]
    show(table((location, "Count", "Size"), rows, keep=("Count", "Size")))
    # What cannot be read says neither whose it is nor how it was written.
    nameless = "(cannot be read)" if {count.name for count in found.states} & {"damaged", "unknown"} else "-"
    for title, counts in (("Task", found.tasks), ("Serializer", found.serializers), ("Age", found.ages)):
        rows = [_row(count, nameless) for count in counts]
        show("", table((title, "Results", "Size"), rows, keep=("Results", "Size")))
    if found.largest:
        is_seen = sys.stdout.isatty()
        largest = [
            (shortened(large.key) if is_seen else large.key, large.task, size_text(large.size))
            for large in found.largest
        ]
        show("", table(("Largest", "Task", "Size"), largest, keep=("Size",)))


def _row(count: Count, nameless: str) -> tuple[str, int, str]:
    return count.name or nameless, count.records, size_text(count.size)


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
