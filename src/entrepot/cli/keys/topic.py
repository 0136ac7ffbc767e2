"""The topic `entrepot keys`, and what its commands share."""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from entrepot import settings
from entrepot.blocks.stores import stores
from entrepot.cli.asking import confirm
from entrepot.cli.block_fields import interactive
from entrepot.cli.options import topic
from entrepot.cli.output import ok
from entrepot.cli.records import open_store
from entrepot.cli.store.topic import progress_bar
from entrepot.crypto.keyring import Keyring, Purpose
from entrepot.crypto.passphrase import read_passphrase, why_weak
from entrepot.errors import OptionError
from entrepot.keys.usage import Usage, known_storages, usage_of
from entrepot.protocols.storage import Storage

__all__ = [
    "PassphraseFile",
    "Storages",
    "app",
    "ask",
    "ask_passphrase",
    "count_usage",
    "purposes_of",
    "result_storages",
]

app = topic(
    "The keys under which blocks are sealed and results are signed: rotation, exports, and what is wrong.",
    examples=(
        "  entrepot keys status                              what is sealed under which key\n"
        "  entrepot keys rotate                              a new primary key, and all blocks sealed under it\n"
        "  entrepot keys export keys.sealed                  a copy for a safe, under a passphrase\n"
        "  entrepot keys import keys.sealed                  and back\n"
        "  entrepot keys join team.sealed                    go over to a team's keyring, with one's own blocks\n"
        "  entrepot keys doctor                              what is wrong, and what mends it\n"
        "  entrepot config set key_provider aws-kms:alias/entrepot   keep the keyring under a key of AWS KMS\n"
    ),
)

Storages = Annotated[
    list[str] | None,
    typer.Option(
        "--storage", "-s", help="Another store of results to look in (a folder, a URL, or a saved block); repeatable."
    ),
]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file with the passphrase on its one line.")
]

_CHOICES: Final[dict[str, tuple[Purpose, ...]]] = {
    "block": ("block",),
    "result": ("result",),
    "all": ("block", "result"),
}


def purposes_of(choice: str) -> tuple[Purpose, ...]:
    """Return the purposes that an option means.

    Raises:
        OptionError: If it means none.
    """
    found = _CHOICES.get(choice)
    if found is None:
        raise OptionError(f"--purpose {choice!r} is none of: {', '.join(_CHOICES)}", option="--purpose")
    return found


def result_storages(more: Sequence[str] | None) -> list[Storage]:
    """Return the stores of results that are known here, that of the settings among them, and those that are named.

    Raises:
        EntrepotError: If one cannot be opened.
    """
    specs = [None, *(more or ())] if settings.current().results_storage is not None or more else []
    return known_storages(*(open_store(spec).storage for spec in specs))


def count_usage(ring: Keyring | None, more: Sequence[str] | None) -> Usage:
    """Return what needs which key; shows how far it is on a terminal.

    Raises:
        StorageError: If a store cannot be read.
    """
    with progress_bar() as told:
        return usage_of(ring, stores(), result_storages(more), told)


def ask_passphrase(file: Path | None, *, again: bool, prompt: str = "Passphrase") -> bytes:
    """Return a passphrase from a file, or from the person at the terminal.

    It is read neither from an argument, which everybody on the machine can see, nor from a pipe that was not named.

    Args:
        file: Where it is; None to ask.
        again: It is to seal something: ask twice, and refuse what is too weak.
        prompt: What to ask for.

    Raises:
        OptionError: If there is no file, and nobody to ask; or if the two answers differ, or will not do.
        KeyringError: If the file cannot be read.
    """
    if file is not None:
        return read_passphrase(file)
    if not interactive():
        raise OptionError(
            "there is nobody to ask for the passphrase; give it in a file: --passphrase-file FILE (/dev/stdin is one)",
            option="--passphrase-file",
        )
    given = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    weak = why_weak(given.encode("utf-8", "surrogateescape")) if again else ""
    if weak:
        raise OptionError(f"the passphrase is not taken: {weak}; nothing was done", option="--passphrase-file")
    if again and getpass.getpass("The same again: ", stream=sys.stderr) != given:
        raise OptionError("the two passphrases differ; nothing was done", option="--passphrase-file")
    return given.encode("utf-8", "surrogateescape")


def ask(question: str, otherwise: str) -> None:
    """Go on if somebody says yes.

    Raises:
        OptionError: If there is nobody to ask.
        Exit: If they say no.
    """
    if not interactive():
        raise OptionError(f"{otherwise}: there is nobody to ask, and --yes was not given. {question}", option="--yes")
    if not confirm(question, default=False):
        ok(otherwise)
        raise typer.Exit(1)
