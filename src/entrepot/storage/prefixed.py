"""A folder of a store, as a store."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import cast

from entrepot.protocols.storage import (
    Buffer,
    Buffers,
    DeletesIf,
    MakesDurable,
    MapsObjects,
    ObjectInfo,
    ReadsAtOnce,
    ReadsInto,
    Storage,
    SwapsConditionally,
    Sweeps,
    Touches,
)
from entrepot.storage.paths import check_path, check_prefix

__all__ = ["PrefixedStorage"]


class PrefixedStorage:
    """Everything goes below one folder of another store. Errors name the paths of that other store.

    Args:
        storage: The other store.
        prefix: The folder in it.

    Raises:
        InvalidPathError: If `prefix` may not be a path.
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = check_path(prefix, location=storage.location)
        if isinstance(storage, ReadsInto):  # a capability that it has if the other store does
            self.read_into = self._read_into
        if isinstance(storage, MakesDurable):
            self.make_durable = self._make_durable
        if isinstance(storage, Touches):
            self.touch = self._touch
        if isinstance(storage, DeletesIf):
            self.delete_if = self._delete_if
        if isinstance(storage, Sweeps):
            self.unfinished, self.sweep = self._unfinished, self._sweep
        if isinstance(storage, SwapsConditionally):
            self.can_swap = storage.can_swap
            self.get_tagged = self._get_tagged
            self.swap = self._swap
        if isinstance(storage, ReadsAtOnce):
            self.at_once = storage.at_once
        if isinstance(storage, MapsObjects):
            self.map = self._map

    @property
    def location(self) -> str:
        """Where the folder is."""
        return f"{self._storage.location.rstrip('/')}/{self._prefix}"

    @property
    def creates_exclusively(self) -> bool:
        """As the other store."""
        return self._storage.creates_exclusively

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`."""
        return self._storage.get(self._inner(path), start=start, length=length)

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there."""
        self._storage.put(self._inner(path), data)

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none."""
        self._storage.create(self._inner(path), data)

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing."""
        self._storage.delete(self._inner(path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`."""
        check_prefix(prefix, location=self.location)
        found = self._storage.list(f"{self._prefix}/{prefix}" if prefix else self._prefix)
        return (self._outer(info) for info in found)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object."""
        return self._outer(self._storage.stat(self._inner(path)))

    def __repr__(self) -> str:
        return f"PrefixedStorage({self._storage!r}, {self._prefix!r})"

    def _read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        return cast("ReadsInto", self._storage).read_into(self._inner(path), buffer, start=start)

    def _map(self, path: str) -> memoryview | None:
        return cast("MapsObjects", self._storage).map(self._inner(path))

    def _make_durable(self, path: str) -> None:
        cast("MakesDurable", self._storage).make_durable(self._inner(path))

    def _touch(self, path: str) -> None:
        cast("Touches", self._storage).touch(self._inner(path))

    def _delete_if(self, path: str, data: Buffer) -> bool:
        return cast("DeletesIf", self._storage).delete_if(self._inner(path), data)

    def _unfinished(self, before: datetime) -> Iterator[ObjectInfo]:
        found = cast("Sweeps", self._storage).unfinished(before)
        return (self._outer(info) for info in found if info.path.startswith(f"{self._prefix}/"))

    def _sweep(self, path: str) -> None:
        cast("Sweeps", self._storage).sweep(f"{self._prefix}/{path}")

    def _get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        return cast("SwapsConditionally", self._storage).get_tagged(self._inner(path), limit=limit)

    def _swap(self, path: str, data: Buffers, tag: str | None) -> str:
        return cast("SwapsConditionally", self._storage).swap(self._inner(path), data, tag)

    def _inner(self, path: str) -> str:
        return f"{self._prefix}/{check_path(path, location=self.location)}"

    def _outer(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, path=info.path.removeprefix(f"{self._prefix}/"))
