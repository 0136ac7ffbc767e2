"""What the topics `result` and `cache` share: how a store is opened, and how its results are found and shown.

Looking at results runs no code that they choose: bytes are verified and shown as text, and a pickle stays closed unless
the person asks for its value.
"""

import json
import pprint
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.text import Text

from entrepot import settings
from entrepot.cli.output import clean, cut, ok, pretty, print_json, show, told, when
from entrepot.engine.places import result_store
from entrepot.engine.world import World
from entrepot.errors import MissingResultError, PluginError, StorageError
from entrepot.protocols.storage import Buffer
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer

__all__ = ["StorageOption", "facts", "find", "open_store", "row", "show_result", "size_text"]

_WIDTH: Final = 100
_KIBI: Final = 1024
_SHOWN: Final = 20_000  # characters of a value that are shown unasked
_NEAR: Final = 5
_NAMING: Final = ("result_storage_key", "cache_key_fn", "transaction")  # parts of a key that the user wrote
_STYLES: Final = {Outcome.HIT: "green", Outcome.EXPIRED: "yellow"}

StorageOption = Annotated[
    str | None,
    typer.Option("--storage", "-s", help="A folder, a URL, or a saved block (s3/prod); by default what is set."),
]


def show_result(store: ResultStore, key: str, *, value: bool, as_json: bool, notes: bool = False) -> None:
    """Print one result.

    Args:
        store: Where it is.
        key: The key, or the beginning of one.
        value: Print its value and nothing else.
        as_json: Print JSON.
        notes: Print what its record notes besides, too: its flow, its tags, the digests of the parts of its inputs.

    Raises:
        EntrepotError: If there is no such result, or it cannot be read.
    """
    found = find(store, key)
    record = found.record
    if record is None:
        if found.error is not None:
            raise found.error
        raise MissingResultError(f"{store.location}/{found.path}: {found.detail}")
    if value:
        text = _value(store, record)
        typer.echo(clean(text) if sys.stdout.isatty() else text)
        return
    seen, why_not = _preview(store, record)
    if as_json:
        print_json(facts(found, store, notes=notes) | {"value": _parsed(seen)})
        return
    for name, fact in _lines(found, record, store, notes=notes):
        show(Text(f"{name:<12} ", style="dim").append_text(fact if isinstance(fact, Text) else told(fact)))
    show("")
    if seen is None:
        ok(why_not)
        return
    text = pretty(seen)
    show(told(text[:_SHOWN]))
    if len(text) > _SHOWN:
        ok(f"... and {len(text) - _SHOWN} characters more; --value prints all")


# --- finding ----------------------------------------------------------------------------------------------------------


def open_store(spec: str | None) -> ResultStore:
    """Return the store that an option names, or that of the settings.

    Raises:
        StorageError: If it is a folder that is not there: mostly a slip.
    """
    store = result_store(spec, World(settings.current()))
    if spec is not None and store.location.startswith("/") and not Path(store.location).is_dir():
        raise StorageError(f"there is no folder {store.location}", location=store.location)
    return store


def find(store: ResultStore, wanted: str) -> Lookup:
    """Return the one result that is meant."""
    exact = store.describe(wanted)  # one read; the whole key is what people copy
    if exact.outcome is not Outcome.MISS:
        return exact
    near: list[Lookup] = []
    for found in store.records():
        names = [found.path.rpartition("/")[2]]
        if found.record is not None:
            names += [found.record.key, *(found.record.parts.get(part, "") for part in _NAMING)]
        if any(name.startswith(wanted) for name in names):
            near.append(found)
    named = [one for one in near if one.record is not None and wanted in map(one.record.parts.get, _NAMING)]
    for one in (near, named):
        if len(one) == 1:
            return one[0]
    if not near:
        raise MissingResultError(
            f"no result with the key {wanted!r} in {store.location}; `entrepot result ls` lists them"
        )
    shown = ", ".join(sorted(repr(_key(one)) for one in near)[:_NEAR])
    more = ", ..." if len(near) > _NEAR else ""
    raise MissingResultError(f"{len(near)} results in {store.location} begin with {wanted!r}: {shown}{more}; say more")


def _key(found: Lookup) -> str:
    return found.path if found.record is None else found.record.key


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


# --- values -----------------------------------------------------------------------------------------------------------


def _preview(store: ResultStore, record: Record) -> tuple[str | None, str]:
    """Return the value as text; or None, and why it is not shown."""
    try:
        serializer = get_serializer(record.serializer)
    except PluginError as error:
        return None, str(error)
    if serializer.is_text:
        return _raw(store, record), ""
    if serializer.reads_code:
        return None, f"the value is kept as {record.serializer}, which can run code when it is opened; --value opens it"
    return pprint.pformat(store.load_record(record), width=_WIDTH), ""


def _value(store: ResultStore, record: Record) -> str:
    """Return the value as text, whatever that takes."""
    if get_serializer(record.serializer).is_text:
        return _raw(store, record)
    return pprint.pformat(store.load_record(record), width=_WIDTH)


def _raw(store: ResultStore, record: Record) -> str:
    """Return the verified bytes of a value, which are text; nothing opens them."""
    raw = store.load_record(record, serializer=_Raw(record.serializer))
    return bytes(cast("bytes", raw)).decode(errors="backslashreplace")


# --- what is shown ----------------------------------------------------------------------------------------------------


def row(found: Lookup) -> tuple[object, ...]:
    """Return the cells of a result in a list."""
    state = told(found.outcome.value if found.outcome is not Outcome.HIT else "good", _STYLES.get(found.outcome, "red"))
    record = found.record
    if record is None:
        return (found.path, "", "", "", "", "", state)
    return (
        record.key,
        record.task.get("name", ""),
        when(record.created),
        when(record.expires),
        size_text(record.size),
        record.serializer,
        state,
    )


def _lines(found: Lookup, record: Record, store: ResultStore, *, notes: bool) -> Iterator[tuple[str, object]]:
    yield "Key", record.key
    yield "State", row(found)[-1]
    if found.detail:
        yield "Detail", found.detail
    yield "Of", " ".join(filter(None, [record.task.get("kind"), record.task.get("name")]))
    yield "Run", " ".join(filter(None, [record.run.get("name"), record.run.get("id")]))
    if record.transaction is not None:
        yield "Transaction", record.transaction
    yield "Created", when(record.created)
    yield "Expires", when(record.expires) or "never"
    yield "Size", size_text(record.size)
    yield "Serializer", record.serializer
    yield "Digest", record.digest
    yield "Where", store.locate(record)
    for name, part in record.parts.items():
        yield f"  {name}", cut(part, _WIDTH)
    if notes:
        for title, some in (("Notes", record.about), ("Details", record.details)):
            yield title, f"{len(some)}" if some else "none"
            for name, part in some.items():
                yield f"  {name}", cut(part, _WIDTH)


def facts(found: Lookup, store: ResultStore, *, notes: bool = False) -> dict[str, Any]:
    """Return what is known of a result, for programs."""
    record = found.record
    said: dict[str, Any] = {"state": found.outcome.value, "path": found.path, "detail": found.detail}
    for name in ("key", "parts", "task", "run", "serializer", "size", "digest", "created", "expires"):
        said[name] = None if record is None else getattr(record, name)
    if notes:
        said |= {name: None if record is None else getattr(record, name) for name in ("about", "details")}
    return said | {"location": None if record is None else store.locate(record)}


def _parsed(text: str | None) -> object:
    try:
        return text if text is None else json.loads(text)
    except ValueError:
        return text


def size_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIBI:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIBI
    return f"{amount:.1f} GiB"
