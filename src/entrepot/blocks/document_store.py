"""Documents in any storage, one object a version.

Version 3 of the block `secret/my-api-key` is the object `secret/my-api-key/00000003.json`. To delete it leaves a
tombstone, `00000004.deleted.json`, and the next save is version 5: numbers do not start again, so an old version that
somebody puts back is older than what outlived it, and is not believed.
"""

import re
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from entrepot.crypto.seal import MAX_SEALED_SIZE
from entrepot.errors import (
    BlockExistsError,
    ConfigurationError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from entrepot.protocols.documents import DocumentRef
from entrepot.protocols.storage import DeletesIf, Storage, SwapsConditionally

__all__ = ["StorageDocumentStore"]

_NAME: Final = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"
_PATH: Final = re.compile(rf"({_NAME})/({_NAME})/([0-9]{{8}})(\.deleted)?\.json\Z", re.ASCII)
_BY_AGE: Final = attrgetter("age")


class StorageDocumentStore:
    """Keeps documents in a storage, one object a version.

    Args:
        storage: Where. It has to create exclusively, or nothing is saved there.
        sole_writer: Save there all the same: the caller sees to it that no two programs save at the same time.
    """

    def __init__(self, storage: Storage, *, sole_writer: bool = False) -> None:
        self._storage = storage
        self._sole_writer = sole_writer

    @property
    def location(self) -> str:
        """The storage's location."""
        return self._storage.location

    def latest(self, slug: str, name: str) -> DocumentRef | None:
        """Return the newest version, which may be a tombstone, or None."""
        return max(self._listed(f"{slug}/{name}"), key=_BY_AGE, default=None)

    def read(self, ref: DocumentRef) -> bytes | None:
        """Return the sealed bytes of one version, or None where there is none."""
        try:
            # One byte more than may be, so that what is too long is seen to be, and not all of it is fetched.
            return bytes(self._storage.get(_path(ref), length=MAX_SEALED_SIZE + 1))
        except ObjectNotFoundError:
            return None

    def append(self, ref: DocumentRef, sealed: bytes) -> None:
        """Keep one more version, durably.

        Raises:
            BlockExistsError: If that version is there: another writer won, and nothing was changed.
            ConfigurationError: If the store cannot keep two writers apart; nothing was changed.
        """
        if not self._sole_writer and not self._storage.creates_exclusively:
            raise ConfigurationError(
                f"the block {ref.slug}/{ref.name} was not saved: {self.location} cannot create an object only if it is"
                " absent, so that of two programs that save at the same time one could overwrite the other; use"
                " another store, or, if only one program saves there, say so with the setting blocks_sole_writer",
                setting="blocks_sole_writer",
            )
        try:
            self._storage.create(_path(ref), sealed)
        except ObjectExistsError as error:
            raise BlockExistsError(
                f"version {ref.version} of the block {ref.slug}/{ref.name} is in {self.location} already",
                name=f"{ref.slug}/{ref.name}",
            ) from error

    def withdraw(self, ref: DocumentRef, sealed: bytes) -> None:
        """Remove a version that was appended a moment ago, if these are still its bytes."""
        if isinstance(self._storage, DeletesIf):
            self._storage.delete_if(_path(ref), sealed)
        elif self.read(ref) == sealed:
            self._storage.delete(_path(ref))

    def versions(self, slug: str, name: str) -> "list[DocumentRef]":
        """Return every version, tombstones too, oldest first; empty where there is none."""
        return sorted(self._listed(f"{slug}/{name}"), key=_BY_AGE)

    def list(self, slug: str | None = None) -> Iterator[DocumentRef]:
        """Yield the newest version of every document (of one type) that is not deleted, by type and name."""
        newest: dict[tuple[str, str], DocumentRef] = {}
        for ref in self._listed(slug or ""):
            key = (ref.slug, ref.name)
            if key not in newest or newest[key].age < ref.age:
                newest[key] = ref
        yield from (newest[key] for key in sorted(newest) if not newest[key].deleted)

    def prune(self, ref: DocumentRef) -> None:
        """Remove every version of a document that a tombstone outlives."""
        for each in self.versions(ref.slug, ref.name):
            if each.age < ref.age:
                self._storage.delete(_path(each))

    def delete(self, slug: str, name: str) -> bool:
        """Remove every version, tombstones too, so that numbers start again; return whether there was one."""
        versions = self.versions(slug, name)
        for ref in versions:  # oldest first: stopped half-way, the newest is still the newest
            self._storage.delete(_path(ref))
        return bool(versions)

    def every(self) -> Iterator[DocumentRef]:
        """Yield every version of every document, tombstones too, in no promised order."""
        return self._listed("")

    def exchange(self, ref: DocumentRef, old: bytes, new: bytes) -> bool:
        """Put other sealed bytes of a version in the place of those that were read, durably.

        Where the store cannot compare and change in one step, of two that do this at the same moment the later one
        wins, and a version that was deleted meanwhile is deleted again.

        Returns:
            Whether it was done; False if another writer came first, or the version is gone.
        """
        storage, path = self._storage, _path(ref)
        try:
            if isinstance(storage, SwapsConditionally) and storage.can_swap():
                found, tag = storage.get_tagged(path)
                if bytes(found) != old:
                    return False
                storage.swap(path, new, tag)
                return True
        except (ObjectChangedError, ObjectNotFoundError):
            return False
        if self.read(ref) != old:
            return False
        storage.put(path, new)
        latest = self.latest(ref.slug, ref.name)
        if latest is not None and latest.deleted and ref.age < latest.age:
            storage.delete(path)
            return False
        return True

    def _listed(self, prefix: str) -> Iterator[DocumentRef]:
        for info in self._storage.list(prefix):
            match = _PATH.match(info.path)
            if match is not None:
                yield DocumentRef(match[1], match[2], int(match[3]), info.modified, deleted=match[4] is not None)


def _path(ref: DocumentRef) -> str:
    return f"{ref.slug}/{ref.name}/{ref.version:08d}{'.deleted' if ref.deleted else ''}.json"
