"""The dialects of memory and local files, and which file system speaks which."""

import errno
import os
import threading
from collections.abc import Iterator, Sequence

from fsspec import AbstractFileSystem
from fsspec.implementations.ftp import FTPFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._buffers import joined
from entrepot.storage._clouds import S3, AzureStorage, GoogleStorage
from entrepot.storage._dialect import Dialect, SwappingDialect, protocol_of
from entrepot.storage._folders import Folders
from entrepot.storage._ftp import Ftp
from entrepot.storage._swaps import changed, tag_of
from entrepot.storage.local import LocalStorage

__all__ = ["dialect_for"]

# Families where a finished upload takes its name in one step.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "ocilake", "obs", "cos"}

_LIBRARIES = {"s3fs", "gcsfs", "adlfs"}


class Memory(SwappingDialect):
    """fsspec's own memory: one dictionary in this process, whose open files share one position."""

    claims = True
    _lock = threading.RLock()  # of the class, as fsspec's dictionary is

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self.fs = fs
        self.root = root.rstrip("/")

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`."""
        with self._lock:
            return super().read(path, start, end)

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:
        """Write an object; the lock makes looking and writing one step."""
        key = self._key(path)
        with self._lock:
            if exclusive and self.fs.isfile(key):
                raise FileExistsError(key)
            try:
                self.fs.pipe_file(key, joined(views))
            except FileExistsError as error:  # so it says that a folder on the way is an object
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error

    swaps = True

    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and its tag."""
        content = self.read(path, 0, None)
        return memoryview(content)[:most], tag_of(content)

    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object under the same lock."""
        with self._lock:
            if tag is not None and tag_of(self.read(path, 0, None)) != tag:
                raise changed(path, location=self.root)
            self.write(path, [memoryview(data)], exclusive=tag is None)
        return tag_of(data)

    def remove(self, path: str) -> None:
        """Remove an object."""
        with self._lock:
            if self.fs.isfile(self._key(path)):
                super().remove(path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder, as they are now."""
        with self._lock:
            return iter([*super().list(prefix)])

    def has_root(self) -> bool:
        """Memory is always there."""
        return True


class Local(SwappingDialect):
    """fsspec's local files: done by `LocalStorage`, since fsspec writes them in place and syncs nothing."""

    claims = True

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self.fs = fs
        self.root = root.rstrip("/") or "/"
        self._store = LocalStorage(self.root)

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`."""
        return self._store.get(path, start=start, length=None if end is None else end - start)

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:
        """Write an object durably."""
        (self._store.create if exclusive else self._store.put)(path, views)

    swaps = True

    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and the tag of those."""
        content = self._store.get(path, length=most)
        return content, tag_of(content)

    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object if the one in its place has this tag."""
        return self._store.swap(path, data, tag)

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._store.delete(path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder."""
        return self._store.list(prefix)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object."""
        return self._store.stat(path)

    def has_root(self) -> bool:
        """An absent root is an empty store."""
        return True


def _home_of(cls: type) -> str:
    """Return the module that a class comes from; of one of ours that is derived from a library's, the library's."""
    homes = [each.__module__ for each in cls.__mro__]
    return next((home for home in homes if home.partition(".")[0] in _LIBRARIES), homes[0])


def dialect_for(fs: AbstractFileSystem, root: str) -> Dialect:
    """Return the dialect that a file system speaks.

    Raises:
        ConfigurationError: If `root` names no bucket where one is needed, or `fs` keeps copies that go stale.
    """
    module = _home_of(type(fs))
    if module == "fsspec.implementations.cached":
        raise ConfigurationError(
            "a caching file system gives back what was there before: name the store itself, without '...cache::'",
            setting="storage",
        )
    if module == "fsspec.implementations.dirfs":
        return dialect_for(fs.fs, f"{fs.path.rstrip('/')}/{root.strip('/')}")
    if isinstance(fs, LocalFileSystem):
        kind: type[Dialect] = Local
    elif isinstance(fs, MemoryFileSystem):
        kind = Memory
    elif module.startswith("s3fs."):
        kind = S3
    elif module.startswith("gcsfs."):
        kind = GoogleStorage
    elif module.startswith("adlfs.") and hasattr(fs, "service_client"):  # not the one for the first Data Lake
        kind = AzureStorage
    elif isinstance(fs, FTPFileSystem):
        kind = Ftp
    else:
        kind = Dialect if protocol_of(fs) in _OBJECT_STORES else Folders
    return kind(fs, root)
