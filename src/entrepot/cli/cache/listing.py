"""`entrepot cache ls` and `entrepot cache show`."""

from collections.abc import Iterable
from heapq import nlargest
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from entrepot.cli.cache.filters import (
    FlowOption,
    LargerThan,
    NewerThan,
    OlderThan,
    SmallerThan,
    TagOption,
    TaskOption,
    Wanted,
    watched,
)
from entrepot.cli.cache.topic import app
from entrepot.cli.options import AsJson
from entrepot.cli.output import clean, cut, ok, print_json_line, show, told
from entrepot.cli.records import StorageOption, facts, open_store, row, show_result
from entrepot.results.lookup import Lookup

__all__ = ["ls", "show_"]

_KEY: Final = 68  # columns: the keys that policies make have 67 characters
_HEADINGS: Final = ("Key", "Of", "Created", "Expires", "Size", "Serializer", "State")
_WIDTHS: Final = (_KEY, 20, 19, 19, 10, 10, 11)


@app.command()
def ls(
    *,
    storage: StorageOption = None,
    task: TaskOption = None,
    flow: FlowOption = None,
    tag: TagOption = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    larger_than: LargerThan = None,
    smaller_than: SmallerThan = None,
    newest: Annotated[int | None, typer.Option("--newest", "-n", min=1, help="Only so many, the newest first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")] = False,
) -> None:
    """List results as they are found, in no order: nothing is held, however many there are.

    Every record is read and verified, no value is.
    """
    store = open_store(storage)
    wanted = Wanted.of_options(
        store.clock.now(),
        task=task,
        flow=flow,
        tag=tag,
        older_than=older_than,
        newer_than=newer_than,
        larger_than=larger_than,
        smaller_than=smaller_than,
    )
    found: Iterable[Lookup] = (one for one in store.records() if wanted.takes(one))
    if newest is not None:
        found = nlargest(newest, watched(found, "looking through records"), key=_age)
    count = 0
    for count, one in enumerate(found, start=1):
        if as_json:
            print_json_line(facts(one, store, notes=True))
            continue
        if count == 1:
            show(Text(_line(_HEADINGS), style="bold"))
        show(_row(one))
    if not count and not as_json:
        ok(f"no {'such ' if not wanted.is_anything else ''}results in {store.location}")


@app.command(name="show")
def show_(
    key: Annotated[
        str, typer.Argument(help="The key, the beginning of one, or the beginning of a record's file name.")
    ],
    *,
    storage: StorageOption = None,
    value: Annotated[
        bool, typer.Option("--value", help="Print the value and nothing else; a pickle is opened for it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a record says: parts of the key, notes, digests of the parts of inputs; and the value if it is text.

    Opening a pickle can run code; it was signed under your keys, but --value is yours to say.
    """
    show_result(open_store(storage), key, value=value, as_json=as_json, notes=True)


def _age(found: Lookup) -> float:
    return 0.0 if found.record is None else found.record.created.timestamp()


def _row(found: Lookup) -> Text:
    cells = row(found)
    state = cells[-1]
    line = Text(_line([clean(str(cell)) for cell in cells[:-1]]))
    return line.append_text(state if isinstance(state, Text) else told(state))


def _line(cells: Iterable[Any]) -> str:
    """Return cells in columns; a key is never cut, since it is typed again."""
    texts = map(str, cells)
    return "".join(
        f"{text if width == _KEY else cut(text, width):<{width}} " for text, width in zip(texts, _WIDTHS, strict=False)
    )
