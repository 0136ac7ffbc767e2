"""Where the keyring document is kept: a private file; and how it is opened, or made on first need."""

import contextlib
import errno
import os
import secrets
import shlex
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from entrepot._folders import make_folders, sync_folder
from entrepot.crypto._options import check_options
from entrepot.crypto.changing import folder_lock
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    ConfigurationError,
    KeyringChangedError,
    KeyringError,
    KeyringExistsError,
    KeyringMissingError,
    KeyringPermissionError,
)
from entrepot.protocols.keys import KeyProvider

__all__ = [
    "KEYRING_NAME",
    "MAX_DOCUMENT_SIZE",
    "FileKeyProvider",
    "open_keyring",
    "read_keyring",
]

KEYRING_NAME: Final = "keyring.json"

MAX_DOCUMENT_SIZE: Final = 1 << 20
_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)

_NOT_OURS_TO_SYNC: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""A folder that we cannot write to, or a file system without such a thing: no process of ours made that keyring."""

_LEFT_BEHIND: Final = 60.0  # seconds after which the temporary file of a writer is one that was killed

_settled: set[tuple[str, int, int]] = set()  # the keyrings, by place and file, whose names are durable


def open_keyring(provider: KeyProvider, *, sealed_data: Callable[[], str | None]) -> Keyring:
    """Return the ring that the provider keeps, or make one where there is none and none is needed.

    Of several processes that make one at the same time, one wins and the others use its ring.

    Args:
        provider: Where the keyring is kept.
        sealed_data: Says what sealed data exists that a new key could not open, and what to do about it, or None.
            Asked only where there is no keyring.

    Raises:
        KeyringMissingError: If there is no keyring but sealed data; nothing was made.
        KeyringPermissionError: If others could read or change it.
        KeyringError: If it cannot be read or made.
    """
    location = provider.location
    ring = read_keyring(provider)
    if ring is not None:
        return ring
    described = sealed_data()
    if described is not None:
        ring = read_keyring(provider)  # another process may have made the ring and sealed under it since we looked
        if ring is not None:
            return ring
        raise KeyringMissingError(
            f"there is no keyring at {location}, but sealed data that needs it: {described}; no new keyring was made",
            location=location,
        )
    made = Keyring.generate()
    made.location = location
    try:
        provider.create(made.to_document())
    except KeyringExistsError:
        ring = read_keyring(provider)
    else:
        return made
    if ring is None:
        raise KeyringError(f"the keyring at {location} appeared and went away again; try again", location=location)
    return ring


def read_keyring(provider: KeyProvider) -> Keyring | None:
    """Return the ring that a provider keeps, or None where there is none.

    Raises:
        KeyringPermissionError: If others could read or change it.
        KeyringError: If it cannot be read, or is no keyring.
    """
    # The document holds keys, so no frame that can raise keeps it in a local: it goes from call to call.
    return _ring_of(provider.read(), provider.location)


def _ring_of(document: bytes | None, location: str) -> Keyring | None:
    if document is None:
        return None
    holder = [document]
    del document
    return Keyring.from_document(holder.pop(), location=location)


class FileKeyProvider:
    """Keeps the keyring in a file that only its owner can read, in a folder that only its owner can change.

    Args:
        path: The file. It is made 0600, its folder 0700.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of a file: the target, or `keyring.json` in the home.

        Raises:
            ConfigurationError: If there is an option, or the target is a relative path.
        """
        check_options("file", options)
        return cls.at(target, folder)

    @classmethod
    def at(cls, path: str | None, folder: Path) -> Self:
        """Return the provider of the file that a setting names, or of `keyring.json` in a folder.

        Raises:
            ConfigurationError: If the path is relative: each working folder would have a keyring of its own.
        """
        found = Path(path).expanduser() if path else folder / KEYRING_NAME
        if path and not found.is_absolute():
            raise ConfigurationError(
                f"the setting key_provider names the file {path!a}, which is another one in each working folder: write"
                f" the whole path, as {str(found.absolute())!a}",
                setting="key_provider",
            )
        return cls(found)

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    def look(self) -> object | None:
        """Return what tells one state of the file from another, unread; None where there is none."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return None
        # With mode and owner: a keyring that was opened up to others since is refused, not trusted.
        return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode, status.st_uid)

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet.

        Raises:
            KeyringPermissionError: If the file is not a plain one, not ours or open to others, or others can change
                its folder; the message says which command puts it right.
            KeyringError: If it cannot be read.
        """
        try:
            # O_NONBLOCK: a planted FIFO must not hang us. O_NOFOLLOW: the checks below are about this very file.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = error
        else:
            try:
                status = os.fstat(descriptor)
                self._check_file(status)
                self._check_folder()
                self._settle(status)
                return self._read_from(descriptor)
            finally:
                os.close(descriptor)
        if problem.errno == errno.ELOOP:
            raise self._refused("is a symbolic link; put the file itself there") from problem
        raise self._failed("be read", problem) from problem

    def create(self, document: bytes) -> None:
        """Keep a first document, durably, whole or not at all.

        Raises:
            KeyringExistsError: If there is one.
            KeyringPermissionError: If others can change its folder.
            KeyringError: If it cannot be written.
        """
        view = memoryview(document)  # prints as an address, where the bytes would print themselves
        del document  # see read_keyring
        try:
            if not self.path.parent.is_dir():
                make_folders(os.path.abspath(self.path.parent))  # noqa: PTH100  links on the way stay as they are
            self._check_folder()
            with self._temporary(view) as temporary:
                os.link(temporary, self.path, follow_symlinks=False)
                self._sync_folder()
        except FileExistsError:
            pass
        except KeyringError:
            raise
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise KeyringError(
                    f"the file system of {self.path.parent} cannot make a file atomically (no hard links); set"
                    " ENTREPOT_HOME to a folder on a local disk, or give the keyring in the variable ENTREPOT_KEYRING",
                    location=self.location,
                ) from error
            raise self._failed("be made", error) from error
        else:
            return
        self._settle(self.path.lstat())
        raise KeyringExistsError(f"there is a keyring at {self.path} already", location=self.location)

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Put a new document in place of the old one, atomically and durably, under a lock of the folder.

        Raises:
            KeyringChangedError: If it is not `old` that is there; nothing was changed.
            KeyringPermissionError: If others can change its folder.
            KeyringError: If it cannot be written; the old one is still there.
        """
        view, before = memoryview(document), memoryview(old)  # print as addresses, where the bytes would print
        del document, old  # see read_keyring
        try:
            self._check_folder()
            with folder_lock(self.path.parent, location=self.location):
                if memoryview(self.read() or b"") != before:
                    raise KeyringChangedError(
                        f"the keyring {self.path} was changed by another program; read it again", location=self.location
                    )
                self._sweep()
                with self._temporary(view) as temporary:
                    temporary.replace(self.path)
                    self._sync_folder()
        except KeyringError:
            raise
        except FileNotFoundError as error:
            raise KeyringChangedError(f"there is no keyring at {self.path} any more", location=self.location) from error
        except OSError as error:
            raise self._failed("be replaced", error) from error

    def left_behind(self) -> list[Path]:
        """Return the temporary files of writers that were killed; they may hold keys."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self.path.parent.glob(f".{self.path.name}.*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.lstat().st_mtime > _LEFT_BEHIND:
                        found.append(path)
        return found

    def _sweep(self) -> None:
        for path in self.left_behind():
            with contextlib.suppress(OSError):  # it is in nobody's way
                path.unlink()

    # --- checks -------------------------------------------------------------------------------------------------

    def _check_file(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._refused("is not a plain file; move it away")
        self._check_owner(status, self.path)
        if status.st_mode & _OTHERS:
            raise self._refused(
                f"has mode {stat.S_IMODE(status.st_mode):04o}, so that others can get at the keys; if nobody did, run:"
                f" chmod 600 {shlex.quote(str(self.path))}"
            )

    def _check_folder(self) -> None:
        folder = self.path.parent
        status = folder.stat()
        self._check_owner(status, folder)
        if status.st_mode & _WRITABLE_BY_OTHERS:
            raise self._refused(
                f"lies in a folder of mode {stat.S_IMODE(status.st_mode):04o}, so that others can put their own keyring"
                f" in its place; if nobody did, run: chmod 700 {shlex.quote(str(folder))}"
            )

    def _check_owner(self, status: os.stat_result, path: Path) -> None:
        user = os.geteuid()
        if status.st_uid not in (user, 0):
            raise self._refused(
                f"is not ours: {path} belongs to user {status.st_uid}, and we are user {user}; run as its owner, or"
                " set ENTREPOT_HOME to a folder of your own"
            )

    def _refused(self, why: str) -> KeyringPermissionError:
        return KeyringPermissionError(f"the keyring {self.path} {why}", location=self.location)

    def _failed(self, what: str, error: OSError) -> KeyringError:
        return KeyringError(
            f"the keyring {self.path} cannot {what}: {error.strerror or type(error).__name__}", location=self.location
        )

    # --- bytes --------------------------------------------------------------------------------------------------

    def _read_from(self, descriptor: int) -> bytes:
        if os.fstat(descriptor).st_size > MAX_DOCUMENT_SIZE:
            raise KeyringError(
                f"the keyring {self.path} is over {MAX_DOCUMENT_SIZE} bytes: it is something else; restore it from a"
                " backup",
                location=self.location,
            )
        # A file that grows while it is read gives a cut document, which does not parse.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_DOCUMENT_SIZE)

    @contextlib.contextmanager
    def _temporary(self, view: memoryview) -> Iterator[Path]:
        """Write the document to a new private file next to the keyring, durably; it is gone afterwards."""
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):  # replace() has moved it
                temporary.unlink()

    def _sync_folder(self) -> None:
        sync_folder(self.path.parent)

    def _settle(self, status: os.stat_result) -> None:
        """Make the name of a keyring durable that another process made, once in this process.

        That process may not have come to its own fsync, or have died before: what is sealed under these keys may
        reach another machine at once, and a power cut must not take the keys away from it.
        """
        which = (self.location, status.st_dev, status.st_ino)
        if which in _settled:
            return
        try:
            self._sync_folder()
        except OSError as error:
            if error.errno not in _NOT_OURS_TO_SYNC:
                raise self._failed("be made durable", error) from error
        _settled.add(which)
