"""`entrepot store verify` and `entrepot store stats`: whether all is whole, and what takes room."""

import dataclasses
from collections import Counter
from typing import Annotated

import typer

from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, show, table
from entrepot.cli.records import StorageOption, open_store
from entrepot.cli.store.topic import amount, app, progress_bar
from entrepot.results.statistics import Count, Statistics, statistics
from entrepot.results.verify import Problem, verify

__all__: list[str] = []


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
    with progress_bar() as told:
        for found in verify(store, readers=readers):
            checked, size = checked + 1, size + found.size
            if found.problem is not None:
                problems.append(found.problem)
            told("verifying", checked)
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
            rows = [(one.kind.value, one.task, one.path, one.detail) for one in problems]
            show(table(("What", "Task", "Path", "Detail"), rows, keep=("What",)))
        said = ", ".join(f"{count} with {_an(kind)}" for kind, count in sorted(counts.items())) or "all is well"
        ok(f"{checked} results ({amount(size)}) in {store.location}: {said}")
    if problems:
        raise typer.Exit(1)


@app.command(epilog=("\b\nExamples:\n  entrepot store stats\n  entrepot store stats --storage s3/prod --json\n"))
def stats(*, storage: StorageOption = None, as_json: AsJson = False) -> None:
    """Show what is in a store: counts and bytes by task, serializer and age; what is shared, orphaned or damaged."""
    store = open_store(storage)
    with progress_bar() as told:
        found = statistics(store, tick=told)
    if as_json:
        print_json({"store": store.location, **dataclasses.asdict(found)})
        return
    _show(found, store.location)


def _show(found: Statistics, location: str) -> None:
    rows = [
        ("records", found.records, amount(found.record_size)),
        *((f"  {count.name}", count.records, "") for count in found.states),
        ("payloads", found.payloads, amount(found.payload_size)),
        ("  saved by sharing", "", amount(found.saved)),
        ("  that no result needs", found.orphans, amount(found.orphan_size)),
        ("evidence of damage", found.evidence, amount(found.evidence_size)),
    ]
    show(table((location, "Count", "Size"), rows, keep=("Count", "Size")))
    for title, counts in (("Task", found.tasks), ("Serializer", found.serializers), ("Age", found.ages)):
        show("", table((title, "Results", "Size"), [_row(count) for count in counts], keep=("Results", "Size")))
    if found.largest:
        largest = [(large.key, large.task, amount(large.size)) for large in found.largest]
        show("", table(("Largest", "Task", "Size"), largest, keep=("Size",)))


def _row(count: Count) -> tuple[str, int, str]:
    return count.name or "-", count.records, amount(count.size)


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
