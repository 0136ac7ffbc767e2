"""Where the keyring is kept."""

from typing import Protocol

__all__ = ["KeyProvider"]


class KeyProvider(Protocol):
    """Holds one keyring document (the bytes of `Keyring.to_document()`)."""

    @property
    def location(self) -> str:
        """Where it is, for messages: a path, or the name of a variable."""
        ...

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet.

        Raises:
            KeyringPermissionError: If others could read or change it.
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

    def replace(self, document: bytes) -> None:
        """Put a new document in place of the old one, atomically and durably."""
        ...
