"""Changing a keyring that other programs use, and may change at the same moment."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from entrepot.crypto._keys import hide
from entrepot.crypto.keyring import Keyring
from entrepot.errors import KeyringChangedError, KeyringError, KeyringMissingError
from entrepot.protocols.keys import KeyProvider

__all__ = ["change_keyring", "folder_lock"]

_PATIENCE: Final = 60.0  # seconds that another program may take to change the keyring
_TRIES: Final = 100


def change_keyring(provider: KeyProvider, change: Callable[[Keyring], Keyring | None]) -> Keyring:
    """Change the ring that a provider keeps; what others change at the same moment is not lost.

    Args:
        provider: Where the keyring is kept.
        change: Returns the new ring from the present one, or None to leave it. Called again where another program was
            faster.

    Returns:
        The ring as it is then.

    Raises:
        KeyringMissingError: If there is no keyring.
        KeyringChangedError: If other programs kept changing it.
        KeyringError: If it cannot be read or written.
    """
    for _ in range(_TRIES):
        held = provider.read()
        if held is None:
            raise KeyringMissingError(
                f"there is no keyring at {provider.location}; make one: entrepot keys init, or bring one from"
                " elsewhere: entrepot keys import FILE",
                location=provider.location,
            )
        old = hide(held)
        del held
        ring = Keyring.from_document(old, location=provider.location)
        changed = change(ring)
        if changed is None:
            return ring
        try:
            provider.replace(changed.to_document(), old=old)
        except KeyringChangedError:
            continue
        return changed
    raise KeyringChangedError(
        f"the keyring at {provider.location} was not changed: other programs kept changing it; try again",
        location=provider.location,
    )


@contextlib.contextmanager
def folder_lock(folder: Path, *, location: str) -> Iterator[None]:
    """Have a folder to oneself among the programs that change a keyring; whoever dies lets go of it.

    Raises:
        KeyringError: If another one does not let go of it.
        OSError: If it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                late = time.monotonic() > deadline
            if late:
                raise KeyringError(
                    f"the keyring at {location} is not changed: another program has been changing it for over"
                    f" {_PATIENCE:.0f} seconds; look for one that is stopped, and let it go on or end it",
                    location=location,
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
