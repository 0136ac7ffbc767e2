"""Where block documents are kept: sealed bytes by type, name and version; history stays."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self, runtime_checkable

__all__ = ["DocumentRef", "DocumentStore", "RewrapsDocuments"]


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """One version of one document.

    Attributes:
        slug: The block type.
        name: The document's name.
        version: From 1.
        modified: When this version was written, or None where the store does not say.
        deleted: Whether this version says that the document is deleted: a tombstone, without a body.
    """

    slug: str
    name: str
    version: int
    modified: datetime | None = None
    deleted: bool = False

    @property
    def age(self) -> tuple[int, bool]:
        """What orders versions; a tombstone outlives a version of its own number, whose writer then tries again."""
        return self.version, self.deleted

    def __await__(self) -> Generator[Any, None, Self]:
        """Return this reference: code written for Prefect says `await block.save(name)`."""
        yield from ()
        return self

    def __str__(self) -> str:
        return f"version {self.version} of the block {self.slug}/{self.name}"


class DocumentStore(Protocol):
    """Immutable versions of sealed documents. It sees ciphertext only."""

    @property
    def location(self) -> str:
        """Where this is, for people."""
        ...

    def latest(self, slug: str, name: str) -> DocumentRef | None:
        """Return the newest version, which may be a tombstone, or None."""
        ...

    def read(self, ref: DocumentRef) -> bytes | None:
        """Return the sealed bytes of one version, or None where there is none."""
        ...

    def append(self, ref: DocumentRef, sealed: bytes) -> None:
        """Keep one more version, durably.

        Raises:
            BlockExistsError: If that version is there: another writer won, and nothing was changed.
        """
        ...

    def withdraw(self, ref: DocumentRef, sealed: bytes) -> None:
        """Remove a version that was appended a moment ago, if these are still its bytes."""
        ...

    def versions(self, slug: str, name: str) -> list[DocumentRef]:
        """Return every version, oldest first; empty where there is none."""
        ...

    def list(self, slug: str | None = None) -> Iterator[DocumentRef]:
        """Yield the newest version of every document (of one type) that is not deleted, by type and name."""
        ...

    def prune(self, ref: DocumentRef) -> None:
        """Remove every version of a document that a tombstone outlives."""
        ...

    def delete(self, slug: str, name: str) -> bool:
        """Remove every version, tombstones too, so that numbers start again; return whether there was one."""
        ...


@runtime_checkable
class RewrapsDocuments(Protocol):
    """The optional capability to seal what is kept again, under another key."""

    def every(self) -> Iterator[DocumentRef]:
        """Yield every version of every document, tombstones too, in no promised order."""
        ...

    def exchange(self, ref: DocumentRef, old: bytes, new: bytes) -> bool:
        """Put other sealed bytes of a version in the place of those that were read, durably.

        Returns:
            Whether it was done; False if another writer came first, or the version is gone.
        """
        ...
