"""`entrepot cache invalidate`: results are taken back, so that they are computed again."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer

from entrepot.cli.cache.filters import Wanted, filtered, watched
from entrepot.cli.cache.topic import app
from entrepot.cli.known import KnownNames
from entrepot.cli.options import Yes
from entrepot.cli.output import ok
from entrepot.cli.records import StorageOption, find, open_store
from entrepot.errors import OptionError
from entrepot.results.lookup import Lookup
from entrepot.results.store import ResultStore

__all__ = ["invalidate"]


@app.command()
@filtered
def invalidate(
    wanted: Wanted,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys, or beginnings of some.")] = None,
    *,
    storage: StorageOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All results of the store.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the keys that it would take back.")] = False,
    yes: Yes = False,
) -> None:
    """Delete the records of results: the next call with such a key computes again, whoever makes it.

    What is computed while this works is left alone. Payloads stay until they are collected.
    """
    store = open_store(storage)
    now = store.clock.now()
    if bool(keys) + (not wanted.is_anything) + everything != 1:
        raise OptionError(
            "say which results: keys, or filters such as --task and --older-than, or --all; not several of these",
            option="keys",
        )
    meant = [find(store, key) for key in keys] if keys else None
    known = KnownNames()
    if dry_run:
        count = 0
        for one in _meant(known.noted(store.records()), meant, wanted, now):
            typer.echo(_name(one))
            count += 1
        ok(f"would take back {_results(count)} in {store.location}{'' if count else wanted.hint(known)}")
        return
    if not yes:
        count = sum(1 for _ in watched(_meant(known.noted(store.records()), meant, wanted, now), "counting results"))
        if not count:
            ok(f"there are no such results in {store.location}{wanted.hint(known)}")
            return
        _ask(count, store)
    count = 0
    for one in watched(_meant(known.noted(store.records()), meant, wanted, now), "deleting records"):
        store.storage.delete(one.path)
        count += 1
    ok(f"took back {_results(count)} in {store.location}{'' if count else wanted.hint(known)}")


def _meant(looks: Iterable[Lookup], found: list[Lookup] | None, wanted: Wanted, now: datetime) -> Iterator[Lookup]:
    """Yield the results that are meant; of those that filters choose, none that was kept after the command began."""
    if found is not None:
        yield from found
        return
    limit = now if wanted.until is None else min(now, wanted.until)
    bounded = wanted if wanted.is_anything else replace(wanted, until=limit)
    for one in looks:
        if bounded.takes(one) and (one.record is None or one.record.created < limit):
            yield one


def _ask(count: int, store: ResultStore) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{_results(count)} would be taken back, but there is nobody to ask; --yes says so"
        raise OptionError(message, option="--yes")
    if not typer.confirm(f"Take back {_results(count)} in {store.location}?", err=True):
        ok("nothing was taken back")
        raise typer.Exit(1)


def _results(count: int) -> str:
    return f"{count:,} result{'' if count == 1 else 's'}"


def _name(found: Lookup) -> str:
    return found.path if found.record is None else found.record.key
