"""`entrepot result`: what tasks returned, and where it is kept. `entrepot cache` filters and explains them."""

import heapq
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from entrepot.cli.listed import Lines
from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import ok, print_json, show
from entrepot.cli.records import StorageOption, facts, open_store
from entrepot.cli.shown import add_show
from entrepot.results.lookup import Lookup

__all__ = ["app"]

_OLDEST: Final = datetime.min.replace(tzinfo=UTC)

app = topic(
    "What tasks returned, kept and used again.",
    examples=(
        "  entrepot result ls                                the newest results of the default store\n"
        "  entrepot result ls --storage s3/prod --limit 5    of a saved block, a folder or a URL\n"
        "  entrepot result show fn/flows:extract/2026        by key, or by the beginning of one\n"
        "  entrepot result show report-2026                  by what a result_storage_key made\n"
        "  entrepot result show fn/flows:extract/2026 --value > value.json\n"
        "  entrepot result show report-2026 --payload -o report.parquet\n"
    ),
)


@app.command()
def ls(
    *,
    storage: StorageOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List results, newest first. Every record is read and verified, no value is."""
    store = open_store(storage)
    found = list(store.records()) if not limit else heapq.nlargest(limit, store.records(), key=_age)
    found.sort(key=_age, reverse=True)
    if as_json:
        print_json([facts(one, store) for one in found])
        return
    if not found:
        ok(f"no results in {store.location}")
        return
    lines = Lines()
    show(lines.heading(), *map(lines.line, found), unbroken=True)


add_show(app, "result", "Show one result: what it is of, how it is kept, and its value where that is safe.")


def _age(found: Lookup) -> datetime:
    return _OLDEST if found.record is None else found.record.created
