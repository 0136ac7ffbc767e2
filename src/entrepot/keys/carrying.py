"""A keyring on its way to another machine, or into a safe: sealed under a passphrase; and what comes of two copies."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from entrepot._folders import sync_folder
from entrepot.crypto._document import read_document
from entrepot.crypto._keys import PURPOSES, hide
from entrepot.crypto.changing import change_keyring
from entrepot.crypto.keyring import Key, Keyring
from entrepot.crypto.passphrase import Passphrase
from entrepot.crypto.wrapping import open_keyring_file, seal_keyring
from entrepot.errors import KeyringChangedError, KeyringError, KeyringExistsError
from entrepot.keys.usage import Usage
from entrepot.protocols.keys import KeyProvider

__all__ = [
    "Imported",
    "check_new",
    "exchange_ring",
    "export_ring",
    "import_ring",
    "needs_another",
    "open_export",
    "write_export",
]

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        ring: As it is now.
        is_new: Whether there was none before.
        added: The keys that were not here.
        notes: What else there is to say, for people.
    """

    ring: Keyring
    is_new: bool
    added: tuple[str, ...]
    notes: tuple[str, ...] = ()


def export_ring(ring: Keyring, passphrase: bytes) -> bytes:
    """Return a ring sealed under a passphrase: what the key provider `passphrase` keeps.

    Raises:
        KeyringError: If the passphrase is too weak.
    """
    held = hide(passphrase)
    return seal_keyring(ring.to_document(), Passphrase(lambda: held, "the export"))


def check_new(path: Path) -> None:
    """Refuse a file that is there, before anybody types a passphrase for it; `write_export` has the last word.

    Raises:
        KeyringExistsError: If there is something of that name.
    """
    if os.path.lexists(path):
        raise _there_already(path)


def write_export(path: Path, sealed: bytes) -> None:
    """Write an export to a new file, 0600, durably; it may lie on a stick that knows no links.

    Raises:
        KeyringExistsError: If there is a file.
        KeyringError: If it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(descriptor)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()  # what is not whole is no export
            raise
    except FileExistsError:
        raise _there_already(path) from None
    except OSError as error:
        raise KeyringError(
            f"the export cannot be written to {path}: {error.strerror or type(error).__name__}", location=str(path)
        ) from error


def open_export(path: Path, ask: Callable[[], bytes]) -> Keyring:
    """Return the ring in an export.

    Args:
        path: Where it is.
        ask: Returns the passphrase; called when there is an export that needs one.

    Raises:
        KeyringError: If it cannot be read, or does not open with this passphrase.
    """
    try:
        with path.open("rb") as file:
            content = hide(file.read(_LARGEST))
    except OSError as error:
        raise KeyringError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", location=str(path)
        ) from error
    location = str(path)
    if read_document(content)[0] is not None:
        raise KeyringError(
            f"{path} is a keyring in clear, and no export: keep it private; where it is in use, write an export of it"
            " with `entrepot keys export FILE`, and import that",
            location=location,
        )
    return Keyring.from_document(
        hide(open_keyring_file(content, Passphrase(lambda: hide(ask()), location), location=location)),
        location=location,
    )


def needs_another(theirs: Keyring, usage: Usage) -> str:
    """Return one thing that is here, if there is any and none of all was sealed under a key of this ring; else ""."""
    if any(key.id in usage.places for key in theirs.all_keys()):
        return ""
    first = next(iter(usage.places), "")
    return usage.first(first) if first else next(map(str, usage.foreign), "")


def import_ring(provider: KeyProvider, theirs: Keyring) -> Imported:
    """Keep a ring, or add to the one that is here what it lacks. Nothing that is here is lost.

    A copy that is older, or has keys of its own, gives its keys; which are the primary ones stays as it is here. A copy
    that is newer, and has all that is here, is taken over with its states and primary keys; a key that was destroyed
    there stays here, disabled.

    Raises:
        KeyringExistsError: If another ring is here.
        KeyringError: If the keyring cannot be read or written, or if `theirs` has no key that is in use here: the ids
            of a ring and of its keys stand in every document, so who knows them may be anybody.
    """
    if provider.read() is None:
        with contextlib.suppress(KeyringExistsError):  # made by another program meanwhile
            provider.create(theirs.to_document())
            theirs.location = provider.location
            return Imported(theirs, is_new=True, added=tuple(key.id for key in theirs.all_keys()))
    told: list[str] = []
    added: list[str] = []

    def change(ours: Keyring) -> Keyring | None:
        told.clear()
        if ours.ring_id != theirs.ring_id:
            raise KeyringExistsError(
                f"another keyring is at {provider.location}: that is {ours.ring_id}, and {theirs.location} holds"
                f" {theirs.ring_id}; what is sealed under one cannot be opened under the other. To go over to that one,"
                " with the blocks that are here: entrepot keys join FILE. To have both: another home (ENTREPOT_HOME)",
                location=provider.location,
            )
        if not _is_known(ours, theirs):
            raise KeyringError(
                f"{theirs.location} says that it is keyring {ours.ring_id}, as the one at {provider.location} is, but"
                " has no key that is in use here: whoever made it may know nothing but ids, and nothing was taken over."
                " Ask who gave it to you; if it is genuine, move the one that is here away, and import it then",
                location=provider.location,
            )
        known = {key.id for key in ours.all_keys()}
        added[:] = [key.id for key in theirs.all_keys() if key.id not in known]
        return _merged(ours, theirs, told)

    ring = change_keyring(provider, change)
    return Imported(ring, is_new=False, added=tuple(added), notes=tuple(told))


def _is_known(ours: Keyring, theirs: Keyring) -> bool:
    """Return whether whoever made a ring had a key of ours that is in use: an id is made from its material."""
    held = {key.id for key in theirs.all_keys() if key.material is not None}
    return any(key.id in held for key in ours.all_keys() if key.opens)


def exchange_ring(provider: KeyProvider, ours: Keyring, theirs: Keyring) -> Keyring:
    """Keep another ring in the place of the one that is here; keep a copy of that first.

    What the keys of the old one have sealed opens no more. Its result keys are noted as destroyed, so that results
    under them count as misses, and are computed again.

    Args:
        provider: What keeps the keyring.
        ours: What is here.
        theirs: What is to be.

    Raises:
        KeyringChangedError: If it is not this copy of `ours` that is here.
        KeyringError: If the keyring cannot be read or written.
    """
    known = {key.id for key in theirs.all_keys()}
    gone = [
        replace(key, state="destroyed", material=None)
        for key in ours.all_keys()
        if key.purpose == "result" and key.id not in known
    ]

    def change(now: Keyring) -> Keyring:
        if (now.ring_id, now.epoch) != (ours.ring_id, ours.epoch):
            raise KeyringChangedError(
                f"the keyring at {provider.location} was changed by another program meanwhile; try again",
                location=provider.location,
            )
        return Keyring(
            ring_id=theirs.ring_id,
            epoch=theirs.epoch,
            keys=[*gone, *theirs.all_keys()],
            primary={purpose: theirs.primary(purpose).id for purpose in PURPOSES},
            location=provider.location,
        )

    return change_keyring(provider, change)


def _merged(ours: Keyring, theirs: Keyring, told: list[str]) -> Keyring | None:
    here = {key.id: key for key in ours.all_keys()}
    there = {key.id: key for key in theirs.all_keys()}
    gone = {key.id for key in ours.all_keys() if key.state == "destroyed"}
    forgotten = [key for key in ours.all_keys() if key.material is None and key.id not in there]  # nothing is in them
    is_newer = theirs.epoch > ours.epoch and here.keys() - {key.id for key in forgotten} <= there.keys()
    is_newer = is_newer and gone.isdisjoint(theirs.primary(purpose).id for purpose in PURPOSES)
    if is_newer:
        keys = [*forgotten, *(_kept(here.get(key.id), key, told) for key in theirs.all_keys())]
    else:
        keys = [*ours.all_keys(), *(key for key in theirs.all_keys() if key.id not in here)]
        if len(keys) == len(here):
            return None
        told.append("which keys are the primary ones stays as it is here")
    chosen = theirs if is_newer else ours
    primary = {purpose: chosen.primary(purpose).id for purpose in PURPOSES}
    return Keyring(
        ring_id=ours.ring_id,
        epoch=max(ours.epoch + 1, theirs.epoch),
        keys=keys,
        primary=primary,
        location=ours.location,
    )


def _kept(ours: Key | None, theirs: Key, told: list[str]) -> Key:
    """Return a key as it is to be: as it is in the newer ring, but with its material if that is here."""
    if ours is not None and ours.material is None and theirs.material is not None:
        told.append(f"key {theirs.id} was destroyed here, and stays so")
        return ours
    if ours is None or ours.material is None or theirs.material is not None:
        return theirs
    told.append(f"key {ours.id} was destroyed there; here it is disabled, and can still be destroyed")
    return replace(ours, state="disabled")


def _there_already(path: Path) -> KeyringExistsError:
    return KeyringExistsError(f"{path} is there already; export to another file", location=str(path))
