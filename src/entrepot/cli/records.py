"""What the topics `result`, `cache` and `store` share: how a store is opened, and how its results are found."""

import shlex
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from entrepot import settings
from entrepot.cli.known import nearest_names
from entrepot.cli.output import ok
from entrepot.engine.places import result_store
from entrepot.engine.world import World
from entrepot.errors import MissingResultError, StorageError
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.references import changed_reference
from entrepot.results.store import ResultStore

__all__ = ["StorageOption", "facts", "find", "kept_until", "open_store", "own_names", "size_text"]

_KIBI: Final = 1024
_NEAR: Final = 5
_MOST: Final = 10_000  # names that are remembered for a hint

_NAMING: Final = ("result_storage_key", "cache_key_fn", "transaction")  # parts of a key that the user wrote

StorageOption = Annotated[
    str | None,
    typer.Option("--storage", "-s", help="A folder, a URL, or a saved block (s3/prod); by default what is set."),
]


def open_store(spec: str | None) -> ResultStore:
    """Return the store that an option names, or that of the settings.

    Raises:
        StorageError: If it is a folder that is not there: mostly a slip.
    """
    store = result_store(spec, World(settings.current()))
    if spec is not None and store.location.startswith("/") and not Path(store.location).is_dir():
        raise StorageError(f"there is no folder {store.location}", location=store.location)
    return store


def find(store: ResultStore, wanted: str, *, listed_by: str = "entrepot cache ls", by_task: bool = False) -> Lookup:
    """Return the one result that is meant.

    Args:
        store: Where it is.
        wanted: Its key, the beginning of it or of its record's file name, or the text of the user that it is made of.
        listed_by: The command that lists results here.
        by_task: Whether the name of a task stands for its newest result; which one that is, is said on stderr.

    Raises:
        MissingResultError: If there is no such result, or there are several; the message says which are near.
    """
    exact = store.describe(wanted)  # one read; the whole key is what people copy
    if exact.outcome is not Outcome.MISS:
        return exact
    seen = _look_for(store, wanted)
    if by_task and seen.newest is not None and seen.is_only_task(wanted):
        if seen.of_task > 1:
            ok(f"the newest of {seen.of_task:,} results of the task {wanted!r}; `{listed_by}` lists them")
        return _now(seen.newest)
    for one in (seen.near, seen.named(wanted)):
        if len(one) == 1:
            return _now(one[0])
    if not seen.near:
        message = f"no result with the key {wanted!r} in {store.location}"
        if seen.of_task:
            several = "are results" if seen.of_task > 1 else "is a result"
            message += f"; there {several} of the task {wanted!r}: {listed_by}"
            message += f" --task {shlex.quote(wanted)}" if listed_by.endswith("cache ls") else " lists them"
        else:
            message += f"{nearest_names(wanted, seen.own)}; `{listed_by}` lists them"
        raise MissingResultError(message)
    shown = ", ".join(sorted(repr(_key(one)) for one in seen.near)[:_NEAR])
    more = ", ..." if len(seen.near) > _NEAR else ""
    raise MissingResultError(
        f"{len(seen.near)} results in {store.location} begin with {wanted!r}: {shown}{more}; say more"
    )


@dataclass(slots=True)
class _Seen:
    """What was found in a store for a text.

    Attributes:
        near: What begins with it: keys, file names of records, texts of the user.
        own: Texts of the user, for a hint.
        of_task: How many results there are of the task that it names.
        newest: The newest of them.
    """

    near: list[Lookup] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    of_task: int = 0
    newest: Lookup | None = None

    def named(self, wanted: str) -> list[Lookup]:
        """Return those that the user called exactly this."""
        return [one for one in self.near if one.record is not None and wanted in own_names(one.record)]

    def is_only_task(self, wanted: str) -> bool:
        """Tell whether a text is the name of a task, and not also what a result can be asked for by."""
        others = [one for one in self.near if one.record is None or one.record.task.get("name") != wanted]
        return not others and len(self.named(wanted)) != 1


def _look_for(store: ResultStore, wanted: str) -> _Seen:
    seen = _Seen()
    for found in store.records():
        names = [found.path.rpartition("/")[2]]
        record = found.record
        if record is not None:
            names += [record.key, *own_names(record)]
            if len(seen.own) < _MOST:
                seen.own.update(own_names(record)[:1])
            if record.task.get("name") == wanted:
                seen.of_task += 1
                newest = None if seen.newest is None else seen.newest.record
                if newest is None or record.created > newest.created:
                    seen.newest = found
        if any(name.startswith(wanted) for name in names):
            seen.near.append(found)
    return seen


def own_names(record: Record) -> list[str]:
    """Return what a result can be asked for by that the user wrote: a text, and the same behind the name of the task.

    Several tasks may make the same text, a day, say; so it is the longer one that tells results apart.
    """
    text = next((record.parts[part] for part in _NAMING if part in record.parts), "")
    if not text or text.startswith("sha256:"):
        return []
    name = record.task.get("name", "")
    return [text, f"{name}/{text}"] if name and "transaction" not in record.parts else [text]


def _now(found: Lookup) -> Lookup:
    """Return what is to be said of a result that was found in a list, where nobody looked at the files behind it."""
    changed = "" if found.record is None or found.outcome is not Outcome.HIT else changed_reference(found.record.about)
    return replace(found, outcome=Outcome.EXPIRED, detail=changed, is_outdated=True) if changed else found


def _key(found: Lookup) -> str:
    return found.path if found.record is None else found.record.key


def facts(found: Lookup, store: ResultStore, *, notes: bool = False) -> dict[str, Any]:
    """Return what is known of a result, for programs."""
    record = found.record
    said: dict[str, Any] = {"state": found.outcome.value, "path": found.path, "detail": found.detail}
    for name in ("key", "parts", "task", "run", "serializer", "size", "digest", "created", "expires"):
        said[name] = None if record is None else getattr(record, name)
    said["kept_until"] = None if record is None else kept_until(record)
    if notes:
        said |= {name: None if record is None else getattr(record, name) for name in ("about", "details")}
    return said | {"location": None if record is None else store.locate(record)}


def kept_until(record: Record) -> datetime | None:
    """Return from when on a collection removes a result by its own `keep=`; None if that names no time."""
    keep = record.about.get("keep", "")
    return record.created + timedelta(seconds=int(keep)) if keep.isdecimal() else None


def size_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _KIBI:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIBI
    return f"{amount:.1f} TiB"
