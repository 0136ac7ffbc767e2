"""The folders below a root: opened component by component, through no symbolic link, and listed one by one."""

import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from entrepot._folders import make_folders, settle_folder
from entrepot.errors import EntrepotError, ObjectNotFoundError, StorageError, StorageUnreachableError
from entrepot.protocols.storage import ObjectInfo
from entrepot.storage._posix import is_straight as can_go_straight
from entrepot.storage._posix import let_go, open_file, open_inner
from entrepot.storage.outage import from_os_error
from entrepot.storage.paths import is_path

__all__ = ["ABSENT", "Folders", "Reading", "unread"]

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC  # the root itself may be a link: that is the owner's choice
ABSENT: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What the system says of an object that is not there."""
Entries: TypeAlias = tuple[list[ObjectInfo], list[str]]


class Folders:
    """A root, and what is below it.

    Args:
        root: The absolute path of the folder.
        create: Whether it is made when something is written. Without it, an absent one is an outage.
    """

    __slots__ = ("_create", "_root", "_straight")

    def __init__(self, root: str, *, create: bool) -> None:
        self._root = root
        self._create = create
        self._straight: bool | None = None  # whether files can be opened by their whole path; None: not known yet

    def open(self, path: str, *, make: bool = False) -> int:
        """Open a folder below the root, component by component; the caller closes it."""
        folder = self.open_root(make=make)
        try:
            if path:
                for name in path.split("/"):
                    outer, folder = folder, open_inner(folder, name, make=make)
                    let_go(outer)
        except BaseException:
            let_go(folder)
            raise
        return folder

    def open_root(self, *, make: bool) -> int:
        """Open the root; the caller closes it."""
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

    def is_straight(self) -> bool:
        """Return whether small files can be read by their whole path; found out once, when the root is there."""
        if self._straight is None:
            with contextlib.suppress(OSError):
                root = os.open(self._root, _ROOT)
                try:
                    self._straight = can_go_straight(self._root, root)
                finally:
                    let_go(root)
        return bool(self._straight)

    def open_object(self, path: str) -> tuple[int, int]:
        """Open an object's file; return it, which the caller closes, and its size."""
        folders, _, name = path.rpartition("/")
        folder = self.open(folders)
        try:
            return open_file(folder, name)
        finally:
            let_go(folder)

    def entries(self, base: str, *, wants: Callable[[str], bool] = is_path) -> Entries:
        """Read one folder whole, so that no descriptor waits for the caller between two objects.

        Args:
            base: The folder.
            wants: Which files, by their names.
        """
        entries: Entries = ([], [])
        objects, folders = entries
        start = f"{base}/" if base else ""
        try:
            folder = self.open(base)
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
        except ABSENT:
            pass  # no such folder, or no longer
        except OSError as error:
            raise from_os_error(error, location=self._root, path=base, doing="list") from error
        return entries


class Reading:
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
        raise unread(self._root, self._path, error) from error


def unread(root: str, path: str, error: OSError) -> StorageError:
    """Return our error for what the system said when an object was read."""
    if isinstance(error, ABSENT):
        return ObjectNotFoundError(f"{root} has no object {path!r}", path=path, location=root)
    return from_os_error(error, location=root, path=path, doing="read")
