"""How a family of fsspec file systems is spoken to, so that a write is one step and a read is of one object.

fsspec has one interface, and its implementations differ in what a write means. A dialect takes checked paths, uses the
calls that are atomic in its family, and lets the errors through as they come; `FileStorage` puts those in our words.
"""

import asyncio
import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem

from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._buffers import joined
from entrepot.storage.outage import Trouble, diagnose
from entrepot.storage.paths import is_path

__all__ = ["Dialect", "SwappingDialect", "is_absence", "object_info", "protocol_of"]

_SLOWEST = 64 * 1024


class Dialect:
    """Object stores in general: `pipe_file` is one step.

    Args:
        fs: The file system.
        root: The bucket or container and the prefix in it, without a slash at the end.
    """

    claims: bool | None = None
    """Whether conditional creation is known to be exclusive or not; None where the store has to be asked."""

    patience: float = 60.0
    """Seconds for a request that sends, beyond those that its bytes take at 64 KiB a second.

    The libraries bound how long they wait for an answer, not how long for a server that does not take what they send.
    """

    bucket: str = ""
    """The bucket or container, in families that have such."""

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        if not root.strip("/"):
            raise ConfigurationError(
                f"the URL of a {protocol_of(fs)} store names a bucket: {protocol_of(fs)}://bucket/folder",
                setting="storage",
            )
        self.fs = fs
        self.root = root.rstrip("/")
        self.bucket = root.strip("/").partition("/")[0]

    @property
    def endpoint(self) -> str:
        """The address of the server, where it is not the family's usual one."""
        return ""

    def check(self, path: str) -> None:
        """Refuse a path that this family would take for something else.

        Raises:
            InvalidPathError: If it would.
        """

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`; one request, so that they are of one object."""
        whole = start == 0 and end is None
        content: bytes = self.fs.cat_file(self._key(path), start=None if whole else start, end=end)
        return content

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:
        """Write an object in one step; `exclusive` says that it must not be there."""
        data = joined(views)
        self._ask("pipe_file", self._key(path), data, size=len(data), **({"mode": "create"} if exclusive else {}))

    def remove(self, path: str) -> None:
        """Remove an object; a `FileNotFoundError` is fine."""
        self._ask("rm_file", self._key(path))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder."""
        base = self._key(prefix)
        self.fs.invalidate_cache()
        # Names come back in the file system's own form, with or without a slash in front.
        inside = f"{self.root.strip('/')}/" if self.root.strip("/") else ""
        below = f"{prefix}/" if prefix else ""
        for name, info in self.fs.find(base, detail=True, withdirs=False).items():
            path = name.lstrip("/").removeprefix(inside)
            if info.get("type") == "file" and path.startswith(below) and is_path(path):
                yield object_info(path, info)

    def stat(self, path: str) -> ObjectInfo:
        """Return what the store says of an object; `FileNotFoundError` for a folder."""
        self.fs.invalidate_cache()
        info = self._ask("info", self._key(path))
        if info["type"] != "file":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return object_info(path, info)

    def has_root(self) -> bool:
        """Whether the bucket is there, asked after something in it was not; True where that may not be asked."""
        try:
            self._ask("info", self.bucket)
        except Exception as error:  # noqa: BLE001  any library's errors
            return not is_absence(error)
        return True

    def _ask(self, method: str, *args: Any, size: int = 0, **options: Any) -> Any:
        """Call a method of the file system; if it is an asynchronous one, with an end to patience.

        Args:
            method: Its name.
            *args: For it.
            size: How many bytes are sent.
            **options: For it.

        Raises:
            TimeoutError: If it took too long; it is cancelled then, as it is by an interrupt.
        """
        if not isinstance(self.fs, AsyncFileSystem):
            return getattr(self.fs, method)(*args, **options)
        return self._await(getattr(self.fs, f"_{method}")(*args, **options), size)

    def _await(self, coroutine: Coroutine[Any, Any, Any], size: int = 0) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self.fs.loop)
        try:
            return future.result(self.patience + size / _SLOWEST)
        finally:
            future.cancel()  # does nothing to what is done

    def _key(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root


class SwappingDialect(Dialect, ABC):
    """A family that can replace an object only if it is still the one that was read."""

    swaps: bool | None
    """Whether `swap` is known to heed its condition or not; None where the store has to be asked."""

    @abstractmethod
    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and its tag."""

    @abstractmethod
    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object if the one in its place has this tag, or if there is none; return the new tag."""


def protocol_of(fs: AbstractFileSystem) -> str:
    """Return the first of the names that a file system goes by."""
    return fs.protocol if isinstance(fs.protocol, str) else str(fs.protocol[0])


def is_absence(error: Exception) -> bool:
    """Whether an error says that something is not there."""
    return diagnose(error).trouble in {Trouble.ABSENT, Trouble.NO_ROOT}


def object_info(path: str, info: dict[str, Any]) -> ObjectInfo:
    """Return what a file system says of an object, in our form."""
    said = next(
        (info[name] for name in ("LastModified", "mtime", "last_modified", "updated", "created") if info.get(name)),
        None,
    )
    return ObjectInfo(path, int(info["size"]), _time(said))


def _time(said: object) -> datetime | None:
    """Return a store's time in one form: stores say it as a `datetime`, seconds since 1970, or ISO text."""
    if isinstance(said, str):
        with contextlib.suppress(ValueError):
            said = datetime.fromisoformat(said)
    if isinstance(said, int | float):
        return datetime.fromtimestamp(said, UTC)
    if isinstance(said, datetime):
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    return None
