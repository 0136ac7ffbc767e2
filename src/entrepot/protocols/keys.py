"""Where the keyring is kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["KeyProvider", "LooksCheaply", "OpensKeyProvider"]


class KeyProvider(Protocol):
    """Holds one keyring document (the bytes of `Keyring.to_document()`).

    What cannot be reached, or refuses, raises `KeyProviderError`, which says what to do: then no new process gets at
    the keys, and those that run go on with what they have in memory. No message shows key material.
    """

    @property
    def location(self) -> str:
        """Where it is, for messages: a path, or the name of a variable."""
        ...

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet.

        Raises:
            KeyringPermissionError: If others could read or change it.
            KeyProviderError: If what holds it does not answer.
            KeyringError: If it cannot be read.
        """
        ...

    def create(self, document: bytes) -> None:
        """Keep a first document, durably.

        Raises:
            KeyringExistsError: If there is one (another process was faster): read it instead.
            KeyringError: If this provider cannot keep one.
        """
        ...

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Put a new document in place of the one that was read, atomically and durably.

        Of several that replace the same one, in any process, exactly one wins.

        Raises:
            KeyringChangedError: If it is not `old` that is there (any more); nothing was changed.
            KeyringError: If it cannot be kept; the old one is still there.
        """
        ...


@runtime_checkable
class LooksCheaply(Protocol):
    """The optional capability to see without reading it whether the document has changed."""

    def look(self) -> object | None:
        """Return what tells one state of the document from another, without a key in it; None where there is none."""
        ...


class OpensKeyProvider(Protocol):
    """What an entry point of the group `entrepot.key_providers` names: a class that is made from the setting."""

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> KeyProvider:
        """Return the provider that the setting `key_provider` describes: `name:target?option=value&...`.

        Args:
            target: What stands between the name and the options; "" where there is nothing.
            options: By name.
            folder: The home, for what is kept beside it.

        Raises:
            ConfigurationError: If target or options are unknown, missing or unusable.
        """
        ...
