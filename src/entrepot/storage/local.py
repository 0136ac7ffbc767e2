"""Objects as files below a folder of this machine: durable on return, whole or not at all."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from entrepot._folders import make_folders, settle_folder
from entrepot.errors import (
    EntrepotError,
    InvalidPathError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnreachableError,
)
from entrepot.protocols.storage import Buffer, Buffers, ObjectInfo, Stage
from entrepot.storage._buffers import as_views, joined
from entrepot.storage._posix import (
    is_straight,
    let_go,
    map_private,
    open_file,
    open_inner,
    read_at,
    read_into_at,
    read_straight,
    sync,
    take_out,
    write_durably,
)
from entrepot.storage._swaps import changed, swap_file, tag_of, too_large
from entrepot.storage.outage import from_os_error
from entrepot.storage.paths import RESERVED_PREFIX, check_path, check_prefix, check_range, is_path
from entrepot.storage.stages import LocalStage

__all__ = ["LocalStorage"]

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC  # the root itself may be a link: that is the owner's choice
_SMALL = 16 << 10  # bytes of what is read in as few calls as can be
_Entries: TypeAlias = tuple[list[ObjectInfo], list[str]]  # up here: in the class, `list` is a method
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


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

    __slots__ = ("_create", "_root", "_straight")

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        # Absolute from the start: changing the working folder must not move the store.
        self._root = os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111  no Path on the hot path
        self._create = create
        self._straight: bool | None = None  # whether files can be opened by their whole path; None: not known yet

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
        if start == 0 and self._is_straight():
            content = read_straight(self._root, path, _SMALL)
            if content is not None:
                return content if length is None or len(content) <= length else content[:length]
        # Component by component: the way that works on every system, for all sizes, and says what is in the way.
        try:  # not `_reading`, which costs a third of all this
            fd, size = self._open(path)
            try:
                rest = size - start
                return read_at(fd, start, rest if length is None else min(length, rest))
            finally:
                let_go(fd)
        except EntrepotError:
            raise
        except OSError as error:
            raise _unread(self._root, path, error) from error

    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from offset `start` of an object and return how many bytes there were.

        Raises:
            ObjectNotFoundError: If there is none.
            StorageError: If it cannot be read.
        """
        check_range(start, None, location=self._root)
        view = buffer.cast("B")
        with self._reading(path):
            fd, _ = self._open(path)
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
            fd, size = self._open(path)
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
            folder = self._folder(path.rpartition("/")[0])
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
            folder = self._folder(folders)
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
            objects, folders = self._entries(base, wants=_is_unfinished)
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
                folder = self._folder(folders)
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
            folder = self._folder(path.rpartition("/")[0])
            try:
                is_done = swap_file(self._root, folder, path, content, tag)
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except _ABSENT as error:
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
            root = self._open_root(make=True)
            try:
                return LocalStage(
                    root, self._root, open_folder=lambda path: self._folder(path, make=True), taken=self._taken
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
            folder = self._folder(folders)
            try:
                os.unlink(name, dir_fd=folder)
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except _ABSENT:
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
            folder = self._folder(folders)
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

    # --- the folders -----------------------------------------------------------------------------------------------

    def _folder(self, path: str, *, make: bool = False) -> int:
        """Open a folder below the root, component by component; the caller closes it."""
        folder = self._open_root(make=make)
        try:
            if path:
                for name in path.split("/"):
                    outer, folder = folder, open_inner(folder, name, make=make)
                    let_go(outer)
        except BaseException:
            let_go(folder)
            raise
        return folder

    def _open_root(self, *, make: bool) -> int:
        try:
            root = os.open(self._root, _ROOT)
        except FileNotFoundError as error:
            if not self._create:
                raise StorageUnreachableError(
                    f"the folder {self._root} is not there: mount its disk, or make the folder",
                    location=self._root,
                ) from error
            if not make:
                raise
            make_folders(self._root)
            root = os.open(self._root, _ROOT)
        except NotADirectoryError as error:
            raise StorageUnreachableError(
                f"{self._root} is not a folder: name another one, or move what is in its place",
                location=self._root,
            ) from error
        if make:
            try:
                settle_folder(self._root, root)
            except BaseException:
                let_go(root)
                raise
        return root

    # --- reading ---------------------------------------------------------------------------------------------------

    def _is_straight(self) -> bool:
        """Return whether small files can be read by their whole path; found out once, when the root is there."""
        if self._straight is None:
            with contextlib.suppress(OSError):
                root = os.open(self._root, _ROOT)
                try:
                    self._straight = is_straight(self._root, root)
                finally:
                    let_go(root)
        return bool(self._straight)

    def _open(self, path: str) -> tuple[int, int]:
        folders, _, name = path.rpartition("/")
        folder = self._folder(folders)
        try:
            return open_file(folder, name)
        finally:
            let_go(folder)

    def _reading(self, path: str) -> "_Reading":
        check_path(path, location=self._root)
        return _Reading(self._root, path)

    def _walk(self, prefix: str) -> Iterator[ObjectInfo]:
        pending = [prefix]
        while pending:
            base = pending.pop()
            objects, folders = self._entries(base)
            pending.extend(folders)
            yield from objects

    def _entries(self, base: str, *, wants: Callable[[str], bool] = is_path) -> _Entries:
        """Read one folder whole, so that no descriptor waits for the caller between two objects.

        Args:
            base: The folder.
            wants: Which files, by their names.
        """
        entries: _Entries = ([], [])
        objects, folders = entries
        start = f"{base}/" if base else ""
        try:
            folder = self._folder(base)
            try:
                with os.scandir(folder) as found:
                    for entry in found:
                        if is_path(entry.name) and entry.is_dir(follow_symlinks=False):
                            folders.append(start + entry.name)
                        elif wants(entry.name) and entry.is_file(follow_symlinks=False):
                            with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                                status = entry.stat(follow_symlinks=False)
                                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                                objects.append(ObjectInfo(start + entry.name, status.st_size, modified))
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except _ABSENT:
            pass  # no such folder, or no longer
        except OSError as error:
            raise from_os_error(error, location=self._root, path=base, doing="list") from error
        return entries

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write(self, path: str, data: Buffers, *, replace: bool) -> None:
        check_path(path, location=self._root)
        views = as_views(data)
        folders, _, name = path.rpartition("/")
        try:
            folder = self._folder(folders, make=True)
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


class _Reading:
    """Turns what the system says while one object is read into our errors (a class: half the time of a generator)."""

    __slots__ = ("_path", "_root")

    def __init__(self, root: str, path: str) -> None:
        self._root = root
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, OSError) or isinstance(error, EntrepotError):
            return
        raise _unread(self._root, self._path, error) from error


def _unread(root: str, path: str, error: OSError) -> StorageError:
    if isinstance(error, _ABSENT):
        return ObjectNotFoundError(f"{root} has no object {path!r}", path=path, location=root)
    return from_os_error(error, location=root, path=path, doing="read")
