"""A keyring in a variable of the environment: for containers, which are given it from outside."""

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from entrepot.crypto._options import check_options
from entrepot.errors import KeyringError

__all__ = ["KEYRING_VARIABLE", "EnvironmentKeyProvider"]

KEYRING_VARIABLE: Final = "ENTREPOT_KEYRING"


class EnvironmentKeyProvider:
    """Reads the keyring from a variable: the document itself, or base64 of it. It cannot keep a new one.

    Args:
        variable: The variable's name.
    """

    def __init__(self, variable: str = KEYRING_VARIABLE) -> None:
        self.variable = variable

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of a variable: the target, or `ENTREPOT_KEYRING`.

        Raises:
            ConfigurationError: If there is an option.
        """
        del folder
        check_options("environment", options)
        return cls(target or KEYRING_VARIABLE)

    @property
    def location(self) -> str:
        """The variable, as `$NAME`."""
        return f"${self.variable}"

    def look(self) -> object | None:
        """Return a hash of what the variable holds; None where it is empty."""
        value = os.environ.get(self.variable)
        return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest() if value else None

    def read(self) -> bytes | None:
        """Return the document, or None where the variable is not set or empty.

        Raises:
            KeyringError: If it is neither JSON nor base64.
        """
        document = _decode(os.environ.get(self.variable, ""))
        if document is None:
            raise KeyringError(
                f"the variable {self.variable} holds no keyring: set it to the content of a keyring.json, or to base64"
                " of that",
                location=self.location,
            )
        return document or None

    def create(self, document: bytes) -> None:
        """Refuse: a process cannot keep anything in its environment.

        Raises:
            KeyringError: Always.
        """
        del document
        self._refuse()

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Refuse, as `create` does.

        Raises:
            KeyringError: Always.
        """
        del document, old
        self._refuse()

    def _refuse(self) -> None:
        raise KeyringError(
            f"a keyring in the variable {self.variable} cannot be written by us: make or change it where it is a file,"
            " and set the variable to its content",
            location=self.location,
        )


def _decode(text: str) -> bytes | None:
    text = text.strip()
    if not text or text.startswith("{"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
