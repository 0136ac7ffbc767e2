"""Objects as files below a folder of this machine: durable on return, whole or not at all."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from entrepot.errors import (
    EntrepotError,
    InvalidPathError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from entrepot.protocols.storage import Buffer, Buffers, ObjectInfo, Stage
from entrepot.storage._below import ABSENT, Folders, Reading, unread
from entrepot.storage._buffers import as_views, joined
from entrepot.storage._posix import (
    let_go,
    map_private,
    read_at,
    read_into_at,
    read_straight,
    sync,
    take_out,
    write_durably,
)
from entrepot.storage._swaps import changed, swap_file, tag_of, too_large
from entrepot.storage.outage import from_os_error
from entrepot.storage.paths import RESERVED_PREFIX, check_path, check_prefix, check_range
from entrepot.storage.stages import LocalStage

__all__ = ["LocalStorage"]

_SMALL = 16 << 10  # bytes of what is read in as few calls as can be


class LocalStorage:
    """A store in a folder.

    A write goes to a temporary file in the target's folder (`.tmp-...`, 0600), is synced, takes its name in one step
    (a hard link for `create`, a rename for `put`), and the folder is synced. Folders are made 0700 as needed.
    What is below the root is never followed through a symbolic link. A file system with neither hard links nor
    `renameat2` makes `create` fail with a `StorageError`; it is never done in a way that could overwrite.

    Deleting is not synced: after a power cut an object may be back.

    Args:
        root: The folder; `~` is the home folder.
        create: Whether an absent root is an empty store whose folder is made by the first write. Without it, an absent
            root (a disk that is not mounted, say) is an outage: `StorageUnreachableError`.
    """

    __slots__ = ("_folders", "_root")

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        # Absolute from the start: changing the working folder must not move the store.
        self._root = os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111  no Path on the hot path
        self._folders = Folders(self._root, create=create)

    @property
    def location(self) -> str:
        """The root folder."""
        return self._root

    @property
    def creates_exclusively(self) -> bool:
        """True: where the file system cannot do it, `create` fails."""
        return True

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageUnreachableError: If the root is not there and may not be made.
            StorageError: If it cannot be read.
        """
        check_range(start, length, location=self._root)
        check_path(path, location=self._root)
        if start == 0 and self._folders.is_straight():
            content = read_straight(self._root, path, _SMALL)
            if content is not None:
                return content if length is None or len(content) <= length else content[:length]
        # Component by component: the way that works on every system, for all sizes, and says what is in the way.
        try:  # not `_reading`, which costs a third of all this
            fd, size = self._folders.open_object(path)
            try:
                rest = size - start
                return read_at(fd, start, rest if length is None else min(length, rest))
            finally:
                let_go(fd)
        except EntrepotError:
            raise
        except OSError as error:
            raise unread(self._root, path, error) from error

    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from offset `start` of an object and return how many bytes there were.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageError: If it cannot be read.
        """
        check_range(start, None, location=self._root)
        view = buffer.cast("B")
        with self._reading(path):
            fd, _ = self._folders.open_object(path)
            try:
                return read_into_at(fd, start, view)
            finally:
                let_go(fd)

    def map(self, path: str) -> memoryview | None:
        """Return an object's bytes as memory of the caller's own, or None unless its file is this user's alone.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageError: If it cannot be opened.
        """
        with self._reading(path):
            fd, size = self._folders.open_object(path)
            try:
                return map_private(fd, size)
            finally:
                let_go(fd)

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there; on return it is durable.

        Raises:
            StorageFullError: If there is no room.
            StorageError: If it cannot be written; the old object, if any, is still there.
        """
        self._write(path, data, replace=True)

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none; on return it is durable.

        Raises:
            ObjectExistsError: If there is one; it is left as it is, and is durable, whoever wrote it.
            StorageFullError: If there is no room.
            StorageError: If it cannot be written.
        """
        self._write(path, data, replace=False)

    def make_durable(self, path: str) -> None:
        """Return once an object is durable that another process may have written a moment ago.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageError: If it cannot be made so.
        """
        with self._reading(path):
            folder = self._folders.open(path.rpartition("/")[0])
            try:
                sync(folder)  # its content was synced before it got its name
            finally:
                let_go(folder)

    def touch(self, path: str) -> None:
        """Make the time of an object the present one; where there is none, do nothing.

        Raises:
            StorageError: If it cannot be changed.
        """
        with contextlib.suppress(ObjectNotFoundError), self._reading(path):
            folders, _, name = path.rpartition("/")
            folder = self._folders.open(folders)
            try:
                os.utime(name, dir_fd=folder, follow_symlinks=False)
            finally:
                let_go(folder)

    def unfinished(self, before: datetime) -> Iterator[ObjectInfo]:
        """Yield the temporary files that are older than `before`: their writers were killed.

        Raises:
            StorageError: If a folder cannot be read.
        """
        pending = [""]
        while pending:
            base = pending.pop()
            objects, folders = self._folders.entries(base, wants=_is_unfinished)
            pending.extend(folders)
            yield from (info for info in objects if info.modified is not None and info.modified < before)

    def sweep(self, path: str) -> None:
        """Remove what an unfinished write left; where there is nothing any more, do nothing.

        Raises:
            InvalidPathError: If it is the path of an object.
            StorageError: If it cannot be removed.
        """
        folders, _, name = path.rpartition("/")
        check_prefix(folders, location=self._root)
        if not _is_unfinished(name):
            raise InvalidPathError(f"{path!r} is no unfinished write", path=path, location=self._root)
        self._unlink(folders, name, path)

    def delete_if(self, path: str, data: Buffer) -> bool:
        """Remove an object if these are its bytes; return whether it is gone, or was not there.

        Raises:
            StorageError: If it cannot be removed.
        """
        try:
            with self._reading(path):
                folders, _, name = path.rpartition("/")
                folder = self._folders.open(folders)
                try:
                    return take_out(folder, name, memoryview(data).cast("B"))
                finally:
                    let_go(folder)
        except ObjectNotFoundError:
            return True

    def can_swap(self) -> bool:
        """Return True: see `storage._swaps` for how."""
        return True

    def get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        """Return an object's bytes and its tag.

        Raises:
            ObjectNotFoundError: If there is none.
            IntegrityError: If it is larger than `limit`.
            StorageError: If it cannot be read.
        """
        content = self.get(path, length=None if limit is None else limit + 1)
        if limit is not None and len(content) > limit:
            raise too_large(path, limit, location=self._root)
        return content, tag_of(content)

    def swap(self, path: str, data: Buffers, tag: str | None) -> str:
        """Write an object if the one in its place has this tag; on return it is durable.

        Raises:
            ObjectExistsError: If `tag` is None and there is one.
            ObjectChangedError: If there is another one, or none.
            StorageFullError: If there is no room.
            StorageError: If it cannot be written.
        """
        check_path(path, location=self._root)
        content = joined(data)
        if tag is None:
            self._write(path, content, replace=False)
            return tag_of(content)
        try:
            folder = self._folders.open(path.rpartition("/")[0])
            try:
                is_done = swap_file(self._root, folder, path, content, tag)
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except ABSENT as error:
            raise changed(path, location=self._root) from error
        except OSError as error:
            raise from_os_error(error, location=self._root, path=path, doing="write") from error
        if not is_done:
            raise changed(path, location=self._root)
        return tag_of(content)

    def stage(self) -> Stage:
        """Return a new object under way: a temporary file in the root folder, which is made if need be.

        Raises:
            StorageError: If it cannot be made.
        """
        try:
            root = self._folders.open_root(make=True)
            try:
                return LocalStage(
                    root, self._root, open_folder=lambda path: self._folders.open(path, make=True), taken=self._taken
                )
            except BaseException:
                let_go(root)
                raise
        except EntrepotError:
            raise
        except OSError as error:
            raise from_os_error(error, location=self._root, path="", doing="write") from error

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing.

        Raises:
            StorageError: If it cannot be removed.
        """
        check_path(path, location=self._root)
        folders, _, name = path.rpartition("/")
        self._unlink(folders, name, path)

    def _unlink(self, folders: str, name: str, path: str) -> None:
        try:
            folder = self._folders.open(folders)
            try:
                os.unlink(name, dir_fd=folder)
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except ABSENT:
            return
        except OSError as error:
            raise from_os_error(error, location=self._root, path=path, doing="delete") from error

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`, folder by folder.

        Unfinished writes, symbolic links and files whose names cannot be paths are no objects.

        Raises:
            StorageError: If a folder cannot be read.
        """
        check_prefix(prefix, location=self._root)
        return self._walk(prefix)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageError: If it cannot be read.
        """
        with self._reading(path):
            folders, _, name = path.rpartition("/")
            folder = self._folders.open(folders)
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            finally:
                let_go(folder)
            if not stat.S_ISREG(status.st_mode):
                code = errno.ELOOP if stat.S_ISLNK(status.st_mode) else errno.EISDIR
                raise OSError(code, os.strerror(code), name)
        return ObjectInfo(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def __repr__(self) -> str:
        return f"LocalStorage({self._root!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    def _reading(self, path: str) -> Reading:
        check_path(path, location=self._root)
        return Reading(self._root, path)

    def _walk(self, prefix: str) -> Iterator[ObjectInfo]:
        pending = [prefix]
        while pending:
            base = pending.pop()
            objects, folders = self._folders.entries(base)
            pending.extend(folders)
            yield from objects

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write(self, path: str, data: Buffers, *, replace: bool) -> None:
        check_path(path, location=self._root)
        views = as_views(data)
        folders, _, name = path.rpartition("/")
        try:
            folder = self._folders.open(folders, make=True)
            try:
                try:
                    write_durably(folder, name, views, replace=replace)
                except FileExistsError as error:
                    raise self._taken(folder, name, path) from error
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except OSError as error:
            raise from_os_error(error, location=self._root, path=path, doing="write") from error

    def _taken(self, folder: int, name: str, path: str) -> StorageError:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                error = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
                return from_os_error(error, location=self._root, path=path, doing="write")
        return ObjectExistsError(f"{self._root} has an object {path!r} already", path=path, location=self._root)


def _is_unfinished(name: str) -> bool:
    return name.startswith(RESERVED_PREFIX)
