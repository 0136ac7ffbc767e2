"""`entrepot keys export` and `entrepot keys import`: a keyring under a passphrase."""

from pathlib import Path
from typing import Annotated

import typer

from entrepot import home
from entrepot.blocks.stores import stores
from entrepot.cli.keys.topic import PassphraseFile, app, ask_passphrase
from entrepot.cli.output import ok
from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, KeyringError, KeyringMissingError
from entrepot.keys import carrying
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
    theirs = carrying.open_export(file, lambda: ask_passphrase(passphrase_file, again=False))
    provider = home.key_provider()
    if not force and provider.read() is None:
        _check_that_it_fits(theirs, file)
    done = carrying.import_ring(provider, theirs)
    for note in done.notes:
        ok(note)
    if done.is_new:
        ok(f"keyring {done.ring.ring_id} is at {done.ring.location} now")
    else:
        ok(f"{len(done.added)} keys were added to keyring {done.ring.ring_id}, which is of epoch {done.ring.epoch} now")


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
