"""A keyring in the keyring of the operating system: Keychain, Credential Locker, Secret Service, KWallet.

It is one entry of the service `entrepot`; its user name is the target of the setting, or the path of the home, so that
two homes have two keyrings. What programs change at the same moment is kept apart by a lock of the home's folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Self

import keyring

from entrepot._folders import make_folders
from entrepot.crypto._keys import hide
from entrepot.crypto._options import check_options
from entrepot.crypto.changing import folder_lock
from entrepot.errors import KeyProviderError, KeyringChangedError, KeyringError, KeyringExistsError

__all__ = ["OsKeyProvider"]

NAME: Final = "keyring"
_SERVICE: Final = "entrepot"


class OsKeyProvider:
    """Keeps the keyring as a password of the operating system's keyring.

    Args:
        entry: Its user name there.
        folder: The home, whose lock keeps writers apart.
    """

    def __init__(self, entry: str, folder: Path) -> None:
        self._entry = entry
        self._folder = folder

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of an entry: the target, or the path of the home.

        Raises:
            ConfigurationError: If there is an option.
        """
        check_options(NAME, options)
        return cls(target or str(folder), folder)

    @property
    def location(self) -> str:
        """The entry."""
        return f"the operating system's keyring ({_SERVICE}, {self._entry})"

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet.

        Raises:
            KeyProviderError: If there is no such keyring here, or it is locked.
        """
        problem = ""
        try:
            found = keyring.get_password(_SERVICE, self._entry)
        except Exception as error:  # noqa: BLE001  backends raise what they like, and their frames hold the keys
            problem = type(error).__name__
        if problem:
            self._fail(problem)
        return None if found is None else hide(found.encode("utf-8", "surrogateescape"))

    def create(self, document: bytes) -> None:
        """Keep a first document.

        Raises:
            KeyringExistsError: If there is one.
            KeyProviderError: If it cannot be kept.
        """
        self._keep(hide(document), None)

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Put a new document in place of the one that was read.

        Raises:
            KeyringChangedError: If it is not `old` that is there; nothing was changed.
            KeyProviderError: If it cannot be kept.
        """
        self._keep(hide(document), hide(old))

    def _keep(self, document: bytes, old: bytes | None) -> None:
        try:
            if not self._folder.is_dir():
                make_folders(os.path.abspath(self._folder))  # noqa: PTH100  links on the way stay as they are
            with folder_lock(self._folder, location=self.location):
                found = self.read()
                if found != old:
                    self._refuse(is_new=old is None)
                keyring.set_password(_SERVICE, self._entry, document.decode("ascii"))
                return
        except KeyringError:
            raise
        except Exception as error:  # noqa: BLE001  backends raise what they like, and their frames hold the keys
            problem = type(error).__name__
        self._fail(problem)

    def _refuse(self, *, is_new: bool) -> NoReturn:
        if is_new:
            raise KeyringExistsError(f"there is a keyring in {self.location} already", location=self.location)
        raise KeyringChangedError(
            f"the keyring in {self.location} was changed by another program; read it again", location=self.location
        )

    def _fail(self, problem: str) -> NoReturn:
        raise KeyProviderError(
            f"{self.location} cannot be used ({problem}): unlock it, or, where there is none (on a server, in a"
            " container), choose another provider: entrepot config set key_provider file",
            provider=NAME,
            location=self.location,
        )
