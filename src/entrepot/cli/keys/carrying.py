"""`entrepot keys export|import|join|adopt`: a keyring under a passphrase, and from one keyring to another."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from entrepot import home, settings
from entrepot._text import counted
from entrepot.blocks._rings import of_another
from entrepot.blocks.shared import own_documents
from entrepot.blocks.stores import Store, stores
from entrepot.cli.block_listing import InStore
from entrepot.cli.keys.topic import PassphraseFile, app, ask, ask_passphrase
from entrepot.cli.options import Yes
from entrepot.cli.output import ok, warn, warn_together
from entrepot.cli.store.topic import progress_bar
from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, KeyringError, KeyringMissingError, OptionError, UnknownKeyError
from entrepot.keys import carrying, rotating
from entrepot.keys.usage import usage_of

__all__: list[str] = []


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys export keys.sealed                                asks for a passphrase, twice\n"
        "  entrepot keys export keys.sealed --passphrase-file secret.txt\n"
    ),
)
def export(
    file: Annotated[Path, typer.Argument(help="A new file.")], *, passphrase_file: PassphraseFile = None
) -> None:
    """Write a copy of the whole keyring to a file, sealed under a passphrase (Argon2id, AES-256-GCM).

    A passphrase of under 12 characters, or under 6 different ones, is refused. No file is written over.
    """
    provider = home.key_provider()
    if provider.read() is None:
        raise KeyringMissingError(f"there is no keyring at {provider.location} to export", location=provider.location)
    carrying.check_new(file)
    ring = home.ring()
    carrying.write_export(file, carrying.export_ring(ring, ask_passphrase(passphrase_file, again=True)))
    ok(f"keyring {ring.ring_id}, epoch {ring.epoch}, is in {file}; export it again after each rotation")


@app.command(
    name="import",
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys import keys.sealed\n"
        "  entrepot keys import keys.sealed --passphrase-file secret.txt\n"
    ),
)
def import_(
    file: Annotated[Path, typer.Argument(help="What `entrepot keys export` wrote.")],
    *,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Although no block here was sealed under it.")] = False,
) -> None:
    """Bring a keyring from an export, or add to the one that is here the keys that it lacks.

    Nothing that is here is lost. Another keyring is never written over: then this is refused. Where there is none, and
    all blocks need another one than this, it is refused, too, but with --force.
    """
    _import(carrying.open_export(file, lambda: ask_passphrase(passphrase_file, again=False)), file, force=force)


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys join team.sealed                       asks for its passphrase, and for another one\n"
        "  entrepot keys join team.sealed --keep mine.sealed\n"
    ),
)
def join(
    file: Annotated[Path, typer.Argument(help="What `entrepot keys export` wrote where the other keyring is.")],
    *,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="A new file for the keyring that is here, sealed; by default one in the home."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Although shared stores here are not under it.")] = False,
) -> None:
    """Go over to another keyring, that of a team say, with the blocks that are saved here.

    The keyring that is here is exported first, under a passphrase of its own (with --passphrase-file, under that one).
    Then the other one takes its place, and the blocks in the home that were sealed under the old one are sealed again
    under the new one. Results are computed again. Let no other program use this home meanwhile. If it is stopped
    half-way, `entrepot keys adopt` with the exported file goes on.
    """
    known = None if passphrase_file is None else ask_passphrase(passphrase_file, again=False)  # a pipe is read once
    theirs = carrying.open_export(
        file, lambda: known or ask_passphrase(None, again=False, prompt=f"Passphrase of {file}")
    )
    provider = home.key_provider()
    ours = home.ring() if provider.read() is not None else None
    if ours is None or ours.ring_id == theirs.ring_id:
        _import(theirs, file, force=force)
        for path in sorted(home.home_path().glob("keyring-*.sealed")):
            ok(f"to go on where an earlier one was stopped: entrepot keys adopt {shlex.quote(str(path))}")
        return
    kept = keep or _free(home.home_path() / f"keyring-{ours.ring_id}")
    carrying.check_new(kept)
    for place in stores():
        if place.documents.is_shared and not force:
            _check_that_it_is_shared(theirs, place, f"{file} holds")
    prompt = f"A passphrase for {kept}, the keyring that is here now"
    carrying.write_export(kept, carrying.export_ring(ours, known or ask_passphrase(None, again=True, prompt=prompt)))
    carrying.exchange_ring(provider, ours, theirs)
    ok(f"keyring {theirs.ring_id} is at {provider.location} now, and {ours.ring_id}, which was there, is in {kept}")
    if known is not None:
        warn(f"{kept} opens with the passphrase of {passphrase_file}: keep it from those who know that one, too")
    try:
        is_whole = _adopt(ours, Store("local", own_documents(settings.current())))
    except BaseException:
        warn(f"not all is sealed again; to go on: entrepot keys adopt {shlex.quote(str(kept))}")
        raise
    ok("results of before are computed again; runs that wait since before cannot be resumed")
    if not is_whole:
        raise typer.Exit(1)


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys adopt mine.sealed\n"
        "  entrepot keys adopt theirs.sealed --store team      what a colleague saved there under another keyring\n"
    ),
)
def adopt(
    file: Annotated[Path, typer.Argument(help="An export of the other keyring.")],
    *,
    store: InStore = None,
    passphrase_file: PassphraseFile = None,
    yes: Yes = False,
) -> None:
    """Seal again, under the keyring that is here, what another one has sealed among the saved blocks.

    All versions stay, with their numbers and history. It can be stopped at any moment, and run again. Looked at are the
    home's own folder and the store that is saved to, or the one that --store says. If others share that, you are asked.
    """
    prompt = f"Passphrase of {file}"
    other = carrying.open_export(file, lambda: ask_passphrase(passphrase_file, again=False, prompt=prompt))
    ring = home.ring()
    if other.ring_id == ring.ring_id:
        raise OptionError(
            f"{file} is an export of the keyring that is here, {ring.ring_id}: entrepot keys import FILE", option="FILE"
        )
    found = stores(store or "local")[:1]
    if store is None:
        found.insert(0, Store("local", own_documents(settings.current())))
    whole = []
    for place in {each.documents.store.location: each for each in found}.values():
        if place.documents.is_shared and _has_sealed(other, place):
            _check_that_it_is_shared(ring, place, "here is")
            if not yes:
                ask(
                    f"The blocks in {place.documents.store.location} are shared: who has keyring {other.ring_id} alone"
                    f" can open nothing there any more that it has sealed; {ring.ring_id} opens it. Seal it again?",
                    "nothing was sealed again there",
                )
        whole.append(_adopt(other, place))
    if not all(whole):
        raise typer.Exit(1)


def _has_sealed(ring: Keyring, place: Store) -> bool:
    """Say whether anything in a store is of a ring."""
    return any(theirs.ring_id == ring.ring_id for theirs in usage_of(home.ring(), [place], []).foreign)


def _free(path: Path) -> Path:
    """Return a name for an export that is not taken: what an earlier, failed one wrote may be all that is left."""
    found, number = path.with_name(f"{path.name}.sealed"), 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}.sealed")
    return found


def _check_that_it_is_shared(ring: Keyring, place: Store, which: str) -> None:
    """Refuse a keyring that is not that of those who share a store."""
    theirs = of_another(ring, place.documents.store)
    if theirs is not None:
        raise UnknownKeyError(
            f"{which} keyring {ring.ring_id}, and the blocks in {place.documents.store.location} are under"
            f" {theirs[1]} ({theirs[0]}, say): nothing was changed. Get an export of that keyring from those who share"
            " the store: entrepot keys join FILE",
            location=ring.location,
            key_id=theirs[2],
        )


def _adopt(other: Keyring, place: Store) -> bool:
    """Seal again what another ring has sealed in a store; return whether all of it could be."""
    with progress_bar() as told:
        found = rotating.rewrap(
            place.documents,
            lambda count, total: told("sealing", count, total),
            answers=place.kind == "local",
            other=other,
        )
    warn_together(found.problems, "stays as it is", "stay as they are")
    location = place.documents.store.location
    ok(f"{found.done} documents of keyring {other.ring_id} are under key {found.key_id} now: {location}")
    return not found.problems


def _import(theirs: Keyring, file: Path, *, force: bool) -> None:
    provider = home.key_provider()
    if not force and provider.read() is None:
        _check_that_it_fits(theirs, file)
    done = carrying.import_ring(provider, theirs)
    for note in done.notes:
        ok(note)
    if done.is_new:
        ok(f"keyring {done.ring.ring_id} is at {done.ring.location} now")
    else:
        added = counted(len(done.added), "key")
        ok(f"{added} added to keyring {done.ring.ring_id}, which is of epoch {done.ring.epoch} now")
        ok("next, so that an older key can go: entrepot keys rewrap seals what is saved here under the newest")


def _check_that_it_fits(theirs: Keyring, file: Path) -> None:
    """Refuse a keyring under which nothing that is here was sealed: the right one could not be imported over it.

    Raises:
        KeyringError: If there is something, and none of it was.
    """
    try:
        usage = usage_of(theirs, stores("local"), [])
    except EntrepotError:
        return  # what cannot be looked at, such as a store that a block describes, may be the reason for the import
    needed = carrying.needs_another(theirs, usage)
    if needed:
        raise KeyringError(
            f"{file} holds keyring {theirs.ring_id}, and no block here was sealed under it: {needed} needs another one."
            " Nothing was imported; look for the export of that one, or say --force",
            location=str(file),
        )
