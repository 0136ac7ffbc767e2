"""One result on the screen: what its record says, its value as far as that is safe, and what else opens it.

Looking at results runs no code that they choose: bytes are verified and shown as text, and a pickle stays closed unless
the person asks for its value.
"""

import json
import operator
import pprint
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from entrepot.cli.listed import state_of
from entrepot.cli.opening import how_to_open
from entrepot.cli.options import AsJson
from entrepot.cli.output import clean, cut, fact, ok, pretty, print_json, show, table, told, when
from entrepot.cli.payload import write_payload_of
from entrepot.cli.records import StorageOption, facts, find, kept_until, open_store, size_text
from entrepot.errors import DamagedResultError, MissingResultError, OptionError, PluginError
from entrepot.protocols.storage import Buffer
from entrepot.results.chunks import STREAM
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.references import UNCHANGED, reference_states
from entrepot.results.store import ResultStore
from entrepot.results.streams import Stream
from entrepot.serializers import Serializer, get_serializer

__all__ = ["add_show"]

_WIDTH: Final = 100
_SHOWN: Final = 20_000  # characters of a value that are shown unasked
_ITEMS: Final = 10  # of a stream, that are
_LARGEST: Final = 256 << 20  # bytes of a value that is opened unasked
_DIGEST: Final = 64  # digits
_DIGITS: Final = 12  # of them, that are shown
_LABEL: Final = 12  # characters
_LONGEST_LABEL: Final = 30  # of those that others are put under


def add_show(app: typer.Typer, topic: str, what: str) -> None:
    """Give a topic the command `show`.

    Args:
        app: Of the topic.
        topic: What it is called: "cache" prints what records note besides, too.
        what: What the command shows, for its help.
    """

    def show_(
        key: Annotated[
            str,
            typer.Argument(
                help="The key, or what a result_storage_key or cache_key_fn made; the beginning of one, or of a"
                " record's file name, will do. Or the name of a task: its newest result, then."
            ),
        ],
        *,
        storage: StorageOption = None,
        value: Annotated[
            bool, typer.Option("--value", help="Print the value and nothing else; a pickle is opened for it.")
        ] = False,
        payload: Annotated[
            bool,
            typer.Option(
                "--payload", help="Write the value's bytes as they are kept, verified, to stdout or --output."
            ),
        ] = False,
        output: Annotated[Path | None, typer.Option("--output", "-o", help="Where --payload writes to.")] = None,
        as_json: AsJson = False,
    ) -> None:
        _show_result(key, storage=storage, value=value, payload=payload, output=output, as_json=as_json, topic=topic)

    show_.__doc__ = (
        f"{what}\n\nOpening a pickle can run code; it was signed under your keys, but --value is yours to say."
    )
    app.command(name="show")(show_)


def _show_result(
    key: str,
    *,
    storage: str | None,
    value: bool,
    payload: bool,
    output: Path | None,
    as_json: bool,
    topic: str,
) -> None:
    """Print one result, as the commands `show` do.

    Args:
        key: The key, or the beginning of one.
        storage: Where it is, as of the option.
        value: Print its value and nothing else.
        payload: Write its bytes and nothing else.
        output: Where to.
        as_json: Print JSON.
        topic: Of the command: "cache" prints what its record notes besides, too.

    Raises:
        EntrepotError: If there is no such result, or it cannot be read.
    """
    if value + payload + as_json > 1:
        raise OptionError("--value, --payload and --json: give one of them", option="--payload")
    if output is not None and not payload:
        raise OptionError("--output says where --payload writes to; give both", option="--output")
    store = open_store(storage)
    found = find(store, key, listed_by=f"entrepot {topic} ls", by_task=True)
    record = found.record
    if record is None:
        if found.error is not None:
            raise found.error
        raise MissingResultError(f"{store.location}/{found.path}: {found.detail}")
    if payload:
        write_payload_of(store, record, output)
    elif value:
        _print_value(store, record)
    elif as_json:
        seen, _ = _preview(store, record)
        print_json(facts(found, store, notes=topic == "cache") | {"value": _parsed(seen)})
    else:
        _show(found, record, store, storage=storage, topic=topic)


def _show(found: Lookup, record: Record, store: ResultStore, *, storage: str | None, topic: str) -> None:
    seen, why_not, damage = None, "", None
    try:
        seen, why_not = _preview(store, record)
    except DamagedResultError as error:
        found, damage = replace(found, outcome=Outcome.DAMAGED, detail=""), error
    for name, said in _lines(found, record, store):
        fact(name, said, _LABEL)
    opened_by = "" if damage is not None else how_to_open(store, record, storage=storage, topic=topic)
    if opened_by:
        fact("Opened by", opened_by, _LABEL)
    _show_parts(record.parts)
    if topic == "cache":
        _show_notes(record)
    _show_files(record)
    if damage is not None:
        raise damage
    show("")
    if seen is None:
        ok(why_not)
        return
    text = pretty(seen)
    show(told(text[:_SHOWN]))
    if len(text) > _SHOWN:
        ok(f"... and {len(text) - _SHOWN} characters more; --value prints all")
    elif why_not:
        ok(why_not)


# --- values -----------------------------------------------------------------------------------------------------------


def _preview(store: ResultStore, record: Record) -> tuple[str | None, str]:
    """Return the value as text, or None; and what there is to say besides: why it is not shown, or how much more is."""
    try:
        serializer = get_serializer(record.serializer.removeprefix(STREAM))
    except PluginError as error:
        return None, str(error)
    if serializer.reads_code:
        kind = "items are" if record.serializer.startswith(STREAM) else "value is"
        return None, f"the {kind} kept as {serializer.name}, which can run code when it is opened; --value opens it"
    if record.serializer.startswith(STREAM):
        return _first_items(store, record, serializer)
    if record.size > _LARGEST:
        return None, f"the value has {size_text(record.size)}, too many to be opened unasked; --value prints it"
    return _value(store, record, serializer), ""


def _value(store: ResultStore, record: Record, serializer: Serializer) -> str:
    if serializer.is_text:  # its verified bytes; nothing opens them
        raw = store.load_record(record, serializer=_Raw(record.serializer))
        return bytes(cast("bytes", raw)).decode(errors="backslashreplace")
    return pprint.pformat(store.load_record(record), width=_WIDTH)


def _items(store: ResultStore, record: Record, serializer: Serializer) -> tuple[Iterator[str], int]:
    """Return the items of a stream as texts, which are read as they are asked for, and how many there are."""
    if serializer.is_text:
        raw = cast("Stream[bytes]", store.load_record(record, serializer=_Raw(serializer.name)))
        return (item.decode(errors="backslashreplace") for item in raw), operator.length_hint(raw)
    stream = cast("Stream[Any]", store.load_record(record))
    return (pprint.pformat(item, width=_WIDTH) for item in stream), operator.length_hint(stream)


def _first_items(store: ResultStore, record: Record, serializer: Serializer) -> tuple[str, str]:
    texts, count = _items(store, record, serializer)
    items = list(islice(texts, _ITEMS))
    more = f"... and {count - len(items):,} of {count:,} items more; --value prints all" if count > len(items) else ""
    return "\n".join(items) if items else "(a stream of no items)", more


def _print_value(store: ResultStore, record: Record) -> None:
    """Print the value, whatever that takes; of a stream, an item after the other."""
    serializer = get_serializer(record.serializer.removeprefix(STREAM))
    is_stream = record.serializer.startswith(STREAM)
    texts = _items(store, record, serializer)[0] if is_stream else iter([_value(store, record, serializer)])
    for text in texts:
        typer.echo(clean(text) if sys.stdout.isatty() else text)


@dataclass(slots=True)  # not frozen: the protocol's attributes are plain ones
class _Raw:
    """Reads bytes as they are, in the place of the serializer of this name."""

    name: str
    extension: str = "bin"
    is_text: bool = False
    reads_code: bool = False

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Refuse: it only reads."""
        raise TypeError(f"{type(value).__name__} cannot be written raw")

    def loads(self, data: memoryview) -> bytes:
        """Return the bytes."""
        return bytes(data)


def _parsed(text: str | None) -> object:
    try:
        return text if text is None else json.loads(text)
    except ValueError:
        return text


# --- what its record says ---------------------------------------------------------------------------------------------


def _lines(found: Lookup, record: Record, store: ResultStore) -> Iterator[tuple[str, object]]:
    yield "Key", record.key
    yield "State", state_of(found)
    if found.detail:
        yield "Detail", found.detail
    yield "Of", " ".join(filter(None, [record.task.get("kind"), record.task.get("name")]))
    yield "Run", " ".join(filter(None, [record.run.get("name"), record.run.get("id")]))
    if record.transaction is not None:
        yield "Transaction", record.transaction
    yield "Created", when(record.created)
    kept = _kept(record)
    if kept:
        yield "Kept", kept
    if record.expires is not None or not kept:
        yield "Expires", when(record.expires) or "never"
    yield "Size", size_text(record.size)
    yield "Serializer", record.serializer
    yield "Digest", record.digest
    yield "Where", store.locate(record)


def _kept(record: Record) -> str:
    """Return how long it is kept, as far as the record says so."""
    said = []
    keep, last = record.about.get("keep", ""), record.about.get("keep_last", "")
    if keep == "run":
        said.append("until the flow run that it is part of is completed")
    until = kept_until(record)
    if until is not None:
        said.append(f"until {when(until)}")
    if last.isdecimal():
        said.append(f"as long as it is among the latest {last} of its {record.task.get('kind') or 'task'}")
    return ", ".join(said)


def _short(part: str) -> str:
    """Return a part for people, who compare digests by their beginnings."""
    is_digest = len(part) == _DIGEST and not part.strip("0123456789abcdef")
    return f"{part[:_DIGITS]}..." if is_digest else cut(part, _WIDTH)


def _show_parts(parts: Mapping[str, str]) -> None:
    width = max([_LABEL, *(len(name) + 2 for name in parts if len(name) < _LONGEST_LABEL)])
    for name, part in parts.items():
        fact(f"  {name}", _short(part), width)


def _show_notes(record: Record) -> None:
    # What other lines say: how long it is kept, the files. And the index of a stream, which says nothing to people.
    hidden = ("keep", "keep_last", "stream")
    notes = {name: part for name, part in record.about.items() if name not in hidden and not name.startswith("files.")}
    for title, some in (("Notes", notes), ("Details", record.details)):
        fact(title, f"{len(some)}" if some else "none", _LABEL)
        _show_parts(some)


def _show_files(record: Record) -> None:
    """Show the files and folders that a result refers to, and whether they are what they were."""
    rows, relative = [], False
    for kind, path, state in reference_states(record.about):
        relative = relative or not Path(path).is_absolute()
        rows.append((kind, path, told(state, "green" if state == UNCHANGED else "red")))
    if rows:
        show("", table(("Refers to", "Path", "State"), rows, keep=("Refers to", "State")))
    if relative:
        ok(f"(paths that do not begin with / were looked up from {Path.cwd()})")
