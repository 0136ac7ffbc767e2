"""`entrepot cache ls` and `entrepot cache show`."""

from collections.abc import Iterable
from heapq import nlargest
from typing import Annotated

import typer

from entrepot.cli.cache.filters import Wanted, filtered, watched
from entrepot.cli.cache.topic import app
from entrepot.cli.known import KnownNames
from entrepot.cli.listed import Lines
from entrepot.cli.output import ok, print_json_line, show
from entrepot.cli.records import StorageOption, facts, open_store
from entrepot.cli.shown import add_show
from entrepot.results.lookup import Lookup

__all__ = ["ls"]


@app.command()
@filtered
def ls(
    wanted: Wanted,
    *,
    storage: StorageOption = None,
    newest: Annotated[int | None, typer.Option("--newest", "-n", min=1, help="Only so many, the newest first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")] = False,
) -> None:
    """List results as they are found, in no order: nothing is held, however many there are.

    Every record is read and verified, no value is. A key that is shown short can be given so to other commands.
    """
    store = open_store(storage)
    known = KnownNames()
    found: Iterable[Lookup] = (one for one in known.noted(store.records()) if wanted.takes(one))
    if newest is not None:
        found = nlargest(newest, watched(found, "looking through records"), key=_age)
    lines = Lines()
    count = 0
    for count, one in enumerate(found, start=1):
        if as_json:
            print_json_line(facts(one, store, notes=True))
            continue
        if count == 1:
            show(lines.heading(), unbroken=True)
        show(lines.line(one), unbroken=True)
    if not count and not as_json:
        such = "" if wanted.is_anything else "such "
        ok(f"no {such}results in {store.location}{wanted.hint(known)}")


add_show(
    app,
    "cache",
    "Show what a record says: parts of the key, notes, digests of the parts of inputs"
    ", files; and the value where that is safe.",
)


def _age(found: Lookup) -> float:
    return 0.0 if found.record is None else found.record.created.timestamp()
