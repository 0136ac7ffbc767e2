"""What every storage block can do, whatever is behind it."""

import contextlib
import hashlib
import importlib
import os
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

from pydantic import SecretStr

from entrepot.blocks._quiet import call_quietly
from entrepot.blocks.core import Block
from entrepot.errors import ConfigurationError, EntrepotError, StorageError
from entrepot.protocols.storage import Buffer, Storage
from entrepot.storage.outage import from_opening

__all__ = ["StorageBlock", "StorageCheck", "import_adapter", "reveal", "shared"]

P = ParamSpec("P")
T = TypeVar("T")

_CHECK_SIZE = 64


class StorageCheck(str):
    """What `check()` found out about a store that works: a line for people, with its facts as attributes.

    Attributes:
        location: Where it is.
        seconds: How long writing, reading and deleting a small object took together.
        creates_exclusively: Whether it can create an object only if there is none: of several writers one wins.
    """

    __slots__ = ("creates_exclusively", "location", "seconds")

    location: str
    seconds: float
    creates_exclusively: bool

    def __new__(cls, *, location: str, seconds: float, creates_exclusively: bool) -> Self:
        """Write the line."""
        warning = "" if creates_exclusively else "; it cannot create exclusively, so the last of two writers wins"
        found = super().__new__(cls, f"{location}: wrote, read and deleted an object in {seconds:.2f} s{warning}")
        found.location, found.seconds, found.creates_exclusively = location, seconds, creates_exclusively
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored_check, (self.location, self.seconds, self.creates_exclusively)


def _restored_check(location: str, seconds: float, creates_exclusively: bool) -> StorageCheck:  # noqa: FBT001  pickle
    return StorageCheck(location=location, seconds=seconds, creates_exclusively=creates_exclusively)


class StorageBlock(Block, ABC):
    """A block that describes a storage: what derives from it says which, and can then read, write and check."""

    _block_capabilities: ClassVar[tuple[str, ...]] = ("storage", "read-path", "write-path")

    @abstractmethod
    def as_storage(self) -> Storage:
        """Return the storage that this block describes. It connects when it is first used."""

    def read_path(self, path: str) -> bytes:
        """Return the bytes of one object.

        Args:
            path: Below the block's own path: relative, `/`-separated.

        Raises:
            ObjectNotFoundError: If there is none.
            InvalidPathError: If `path` is absolute, leads elsewhere (`..`) or is otherwise no path.
            StorageError: If the store cannot be reached or refuses.
        """
        return bytes(self.as_storage().get(path))

    def write_path(self, path: str, content: Buffer | str) -> str:
        """Write one object, whole or not at all, replacing what is there; return its path.

        Args:
            path: As in `read_path`.
            content: Bytes, or text that is written as UTF-8.
        """
        self.as_storage().put(path, content.encode() if isinstance(content, str) else content)
        return path

    def list_paths(self, prefix: str = "") -> list[str]:
        """Return the paths of all objects below a folder, sorted; an absent folder is empty."""
        return sorted(item.path for item in self.as_storage().list(prefix))

    async def aread_path(self, path: str) -> bytes:
        """Do what `read_path` does, off the event loop."""
        return await _in_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: Buffer | str) -> str:
        """Do what `write_path` does, off the event loop."""
        return await _in_thread(self.write_path, path, content)

    def check(self) -> StorageCheck:
        """Write, read and delete a small object of a random name.

        Raises:
            StorageUnreachableError: If there is no answer, or no such bucket or container.
            StorageAccessError: If the credentials are wrong or may not do this.
            StorageError: If anything else is wrong; each says what to do.
        """
        storage = self.as_storage()
        path = f"entrepot-check-{secrets.token_hex(12)}"
        content = secrets.token_bytes(_CHECK_SIZE)
        started = time.perf_counter()
        storage.put(path, content)
        try:
            found = bytes(storage.get(path))
        except StorageError:
            with contextlib.suppress(StorageError):
                storage.delete(path)  # the first error is the one to tell
            raise
        storage.delete(path)
        seconds = time.perf_counter() - started
        if found != content:
            raise StorageError(
                f"{storage.location} gave back other bytes than were written to {path!r}; do not use it",
                location=storage.location,
            )
        return StorageCheck(location=storage.location, seconds=seconds, creates_exclusively=storage.creates_exclusively)


async def _in_thread(call: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> T:
    import asyncio  # noqa: PLC0415  who gets here has imported it already

    return await asyncio.to_thread(call, *args, **options)


def reveal(secret: SecretStr | None) -> str | None:
    """Return what a secret field holds, or None."""
    return None if secret is None else secret.get_secret_value()


def import_adapter(module: str, *, needs: str, extra: str, slug: str) -> ModuleType:
    """Import what connects a block to its client library.

    Args:
        module: The module to import.
        needs: The distribution that it needs, which is not among our own requirements.
        extra: The extra of ours that brings it.
        slug: The block type, for the error.

    Raises:
        ConfigurationError: If the library is missing or broken; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == needs
        why = (
            f"{needs} is not installed" if missing else f"{needs} cannot be imported ({type(error).__name__}: {error})"
        )
        raise ConfigurationError(
            f'the block {slug!r} cannot connect: {why}; run: pip install "entrepot[{extra}]"', setting=slug
        ) from error


_OPEN_AT_MOST = 16
_open: OrderedDict[bytes, Storage] = OrderedDict()
_open_lock = threading.Lock()
_connecting: dict[bytes, threading.Lock] = {}  # of each store: one that does not answer holds up no other


def shared(
    kind: str,
    root: str,
    options: Callable[[], Mapping[str, Any]],
    connect: Callable[..., Storage],
    *,
    location: str,
) -> Storage:
    """Return the store that was opened with the same options before, or open it.

    A client takes a tenth of a second to make and holds connections; blocks are asked for theirs with every task.

    Args:
        kind: The family of stores.
        root: The place.
        options: Gives what the client library gets, in clear. Only a digest of them is kept, and an error leads to no
            frame that has them: tracebacks can be logged with locals.
        connect: Opens the store, with the options.
        location: Where it is, for errors.

    Raises:
        StorageUnreachableError: If there is no answer.
        StorageAccessError: If the credentials are refused.
        ConfigurationError: If the options make no client.
    """

    def otherwise(error: Exception) -> EntrepotError:
        if isinstance(error, ValueError | TypeError | LookupError | AttributeError):
            return ConfigurationError(
                f"cannot open {location}: its address or an option is not usable ({type(error).__name__})",
                setting="storage",
            )
        return from_opening(error, location=location)

    return call_quietly(lambda: _opened(kind, root, options(), connect), otherwise)


def _opened(kind: str, root: str, options: Mapping[str, Any], connect: Callable[..., Storage]) -> Storage:
    key = hashlib.sha256(repr((kind, root, options)).encode()).digest()
    with _open_lock:
        own = _connecting.setdefault(key, threading.Lock())
    with own:
        with _open_lock:
            found = _open.get(key)
            if found is not None:
                _open.move_to_end(key)
                return found
        try:
            found = connect(**options)
        finally:
            with _open_lock:
                _connecting.pop(key, None)  # who waits has it, and who comes now finds the store
                if found is not None:
                    _open[key] = found
                    if len(_open) > _OPEN_AT_MOST:
                        _open.popitem(last=False)
        return found


def _after_fork_in_child() -> None:
    """Make new locks: a thread that held one is not here to give it back."""
    global _open_lock  # noqa: PLW0603  as said
    _open_lock = threading.Lock()
    _connecting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
