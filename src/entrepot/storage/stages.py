"""Objects under way: written piece by piece, and named when they are whole."""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable

from entrepot.errors import EntrepotError, StorageError
from entrepot.protocols.storage import Buffer, Stage, StagesObjects, Storage
from entrepot.storage._posix import let_go, open_new, take_name, temporary_name, write_all
from entrepot.storage.outage import from_os_error

__all__ = ["LocalStage", "Spool", "stage_for", "write_staged"]


def stage_for(storage: Storage) -> Stage:
    """Return a new object under way for any store; one that cannot stage objects gets it from a spool file."""
    return storage.stage() if isinstance(storage, StagesObjects) else _SpooledStage(storage)


def _spool_folder() -> str:
    """Return where spool files are made: `TMPDIR`, else `/var/tmp`, since `/tmp` is memory on many systems."""
    given = os.environ.get("TMPDIR")
    if given:
        return given
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()  # noqa: S108  files in it have no name


class LocalStage:
    """A temporary file in the root folder of a local store: 0600, hidden from listings.

    Args:
        root: The open root folder; closed with this.
        location: The same, for people.
        open_folder: Opens a folder of the store, made as needed.
        taken: Makes the error of a name that is taken, of (folder, name, path).
    """

    def __init__(
        self,
        root: int,
        location: str,
        *,
        open_folder: Callable[[str], int],
        taken: Callable[[int, str, str], StorageError],
    ) -> None:
        self._root = root
        self._location = location
        self._open_folder = open_folder
        self._taken = taken
        self._temp = temporary_name()
        self._open = True
        try:
            self._fd = open_new(root, self._temp)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(self._temp, dir_fd=root)
            raise

    def write(self, data: Buffer) -> None:
        """Add bytes.

        Raises:
            StorageFullError: If there is no room.
            StorageError: If they cannot be written.
        """
        view = memoryview(data).cast("B")
        if not view.nbytes:
            return
        try:
            write_all(self._fd, [view])
        except OSError as error:
            raise from_os_error(error, location=self._location, path=self._temp, doing="write") from error

    def commit(self, path: str, *, replace: bool) -> None:
        """Sync the file, and give it its name.

        Raises:
            ObjectExistsError: If `replace` is not set and there is one.
            StorageError: If it cannot be done.
        """
        folders, _, name = path.rpartition("/")
        try:
            os.fsync(self._fd)
            folder = self._open_folder(folders)
            try:
                try:
                    take_name(self._root, self._temp, folder, name, replace=replace)
                except FileExistsError as error:
                    raise self._taken(folder, name, path) from error
            finally:
                let_go(folder)
        except EntrepotError:
            raise
        except OSError as error:
            raise from_os_error(error, location=self._location, path=path, doing="write") from error

    def close(self) -> None:
        """Remove the file if it has not got its name."""
        if self._open:
            self._open = False
            let_go(self._fd)
            with contextlib.suppress(OSError):
                os.unlink(self._temp, dir_fd=self._root)
            let_go(self._root)


class Spool:
    """A file without a name on a disk of this machine; gone when it is closed, or the process ends.

    Raises:
        StorageFullError: From every call, if there is no room.
        StorageError: From every call, if the system refuses.
    """

    def __init__(self) -> None:
        self._folder = _spool_folder()
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  closed by `close`
        except OSError as error:
            raise self._error(error) from error

    def write(self, view: memoryview) -> None:
        """Add bytes, at least one."""
        try:
            write_all(self._file.fileno(), [view])
        except OSError as error:
            raise self._error(error) from error

    def read(self, start: int, size: int) -> bytes:
        """Return bytes from an offset."""
        try:
            return os.pread(self._file.fileno(), size, start)
        except OSError as error:
            raise self._error(error) from error

    def view(self) -> memoryview:
        """Return all of it as memory that the system takes back as it needs to."""
        try:
            return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _error(self, error: OSError) -> EntrepotError:
        return from_os_error(error, location=self._folder, path="a spool file", doing="write")


class _SpooledStage:
    """Spools to a file of this machine, then writes the object from there in one go.

    Args:
        storage: Where the object goes.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._spool = Spool()
        self._size = 0

    def write(self, data: Buffer) -> None:
        """Add bytes.

        Raises:
            StorageError: If there is no room for the spool file.
        """
        view = memoryview(data).cast("B")
        if view.nbytes:
            self._spool.write(view)
            self._size += view.nbytes

    def commit(self, path: str, *, replace: bool) -> None:
        """Write the object.

        Raises:
            ObjectExistsError: If `replace` is not set and there is one.
            StorageError: If it cannot be done.
        """
        views = [self._spool.view()] if self._size else []
        (self._storage.put if replace else self._storage.create)(path, views)

    def close(self) -> None:
        """Let go of the spool file."""
        self._spool.close()


def write_staged(storage: Storage, path: str, pieces: Iterable[Buffer], *, replace: bool) -> None:
    """Write an object of pieces that are never all in memory.

    Raises:
        ObjectExistsError: If `replace` is not set and there is one.
        StorageError: If it cannot be done.
    """
    stage = stage_for(storage)
    try:
        for piece in pieces:
            stage.write(piece)
        stage.commit(path, replace=replace)
    finally:
        stage.close()
