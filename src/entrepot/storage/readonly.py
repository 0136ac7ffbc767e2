"""A store that may be read and not changed."""

from collections.abc import Iterator

from entrepot.errors import StorageAccessError
from entrepot.protocols.storage import Buffer, Buffers, MapsObjects, ObjectInfo, ReadsAtOnce, ReadsInto, Storage
from entrepot.storage.paths import check_path

__all__ = ["ReadOnlyStorage"]


class ReadOnlyStorage:
    """Another store, without its writes: those raise `StorageAccessError`.

    Args:
        storage: The other store.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        if isinstance(storage, ReadsInto):  # a capability that it has if the other store does
            self.read_into = storage.read_into
        if isinstance(storage, ReadsAtOnce):
            self.at_once = storage.at_once
        if isinstance(storage, MapsObjects):
            self.map = storage.map

    @property
    def location(self) -> str:
        """Where the other store is."""
        return self._storage.location

    @property
    def creates_exclusively(self) -> bool:
        """True: of any number of writers, none wins."""
        return True

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`."""
        return self._storage.get(path, start=start, length=length)

    def put(self, path: str, data: Buffers) -> None:  # noqa: ARG002  the protocol's
        """Refuse.

        Raises:
            StorageAccessError: Always.
        """
        raise self._refusal("write", path)

    def create(self, path: str, data: Buffers) -> None:  # noqa: ARG002  the protocol's
        """Refuse.

        Raises:
            StorageAccessError: Always.
        """
        raise self._refusal("create", path)

    def delete(self, path: str) -> None:
        """Refuse.

        Raises:
            StorageAccessError: Always.
        """
        raise self._refusal("delete", path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`."""
        return self._storage.list(prefix)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object."""
        return self._storage.stat(path)

    def __repr__(self) -> str:
        return f"ReadOnlyStorage({self._storage!r})"

    def _refusal(self, doing: str, path: str) -> StorageAccessError:
        check_path(path, location=self.location)
        return StorageAccessError(
            f"cannot {doing} {path!r} in {self.location}: it was opened for reading only; open the store itself to "
            "change it",
            location=self.location,
        )
