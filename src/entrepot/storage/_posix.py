"""Durable files by folder descriptor: the few system calls that `LocalStorage` is made of.

Everything happens relative to an open folder, one component at a time and never through a symbolic link, so that
nothing below a store's root can lead out of it, not even when it is swapped between a check and a use.
"""

import contextlib
import errno
import mmap
import os
import stat
from collections.abc import Sequence

from entrepot._folders import create_folder, settle_inner
from entrepot.storage.paths import RESERVED_PREFIX

__all__ = [
    "is_straight",
    "let_go",
    "map_private",
    "open_file",
    "open_inner",
    "open_new",
    "read_at",
    "read_into_at",
    "read_straight",
    "sync",
    "take_name",
    "take_out",
    "temporary_name",
    "write_all",
    "write_durably",
    "write_temporary",
]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that someone left in the store must not wait for its other end; files do not heed it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_TEMP = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILES = "/proc/self/fd"  # of Linux
_IOV_MAX = min(1024, os.sysconf("SC_IOV_MAX")) if os.sysconf("SC_IOV_MAX") > 0 else 16
_LARGE = 128 << 20  # bytes from which on a file is synced while it is written
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def let_go(fd: int) -> None:
    """Close what was only read from: whatever that says, nothing was lost."""
    try:  # noqa: SIM105  half the time of contextlib.suppress
        os.close(fd)
    except OSError:
        pass


def open_inner(folder: int, name: str, *, make: bool) -> int:
    """Open the folder `name` inside `folder`; with `make` it is made if it is absent, and its name is durable.

    Raises:
        OSError: ELOOP where `name` is a symbolic link, ENOTDIR where it is something else, and whatever else.
    """
    try:
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
        create_folder(name, folder)
        return os.open(name, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        # Linux says ENOTDIR for a link too; for the reader of the message the two are worlds apart.
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise
    if make:
        try:
            settle_inner(name, inner, folder)
        except BaseException:
            let_go(inner)
            raise
    return inner


def open_file(folder: int, name: str) -> tuple[int, int]:
    """Open a plain file for reading and return its descriptor and its size.

    Raises:
        OSError: EISDIR for a folder, ELOOP for a link, ENXIO for a pipe or a device, and whatever else.
    """
    fd = os.open(name, _READ, dir_fd=folder)
    try:
        status = os.fstat(fd)
    except BaseException:
        let_go(fd)
        raise
    if stat.S_ISREG(status.st_mode):
        return fd, status.st_size
    let_go(fd)
    code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENXIO
    raise OSError(code, os.strerror(code), name)


def read_straight(root: str, path: str, size: int) -> bytes | None:
    """Return a small file below a root, opened by its whole path; None where it is to be read otherwise.

    That is one call in place of one a component. The kernel itself then says where the open file is: only if that is
    to the letter what was asked for, no symbolic link was on the way, and what is there is read. It is asked about the
    file after it was opened, so it does not matter what is swapped in between.

    Args:
        root: Absolute, and neither a link nor below one: else this always returns None.
        path: As of an object.
        size: Bytes; of a larger file, and of what is no plain file, None is returned.
    """
    whole = f"{root}/{path}"
    try:
        fd = os.open(whole, _READ)
    except OSError:
        return None
    try:
        if os.readlink(f"{_OPEN_FILES}/{fd}") != whole:  # noqa: PTH115  no Path on the hot path
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > size:
            return None
        content = os.read(fd, status.st_size)
        return content if len(content) == status.st_size else None
    except OSError:  # nothing says where open files are, say
        return None
    finally:
        let_go(fd)


def is_straight(root: str, folder: int) -> bool:
    """Return whether `read_straight` can work below a root: it is no link, nor below one, and the kernel says so.

    Args:
        root: Its path, absolute.
        folder: The same, open.
    """
    try:
        return os.readlink(f"{_OPEN_FILES}/{folder}") == root  # noqa: PTH115  no Path on the hot path
    except OSError:
        return False


def read_at(fd: int, start: int, size: int) -> bytes | bytearray:
    """Read `size` bytes from offset `start`, fewer only where the file ends."""
    if size <= 0:
        return b""
    first = os.pread(fd, size, start)
    if len(first) == size:  # all but reads beyond 2 GiB, where the kernel stops
        return first
    content = bytearray(size)
    content[: len(first)] = first
    done = len(first)
    del first
    with memoryview(content) as view:
        done += read_into_at(fd, start + done, view[done:])
    del content[done:]
    return content


def read_into_at(fd: int, start: int, view: memoryview) -> int:
    """Fill `view` from offset `start` and return how many bytes there were."""
    done = 0
    while done < view.nbytes:
        count = os.preadv(fd, [view[done:]], start + done)
        if count == 0:
            break
        done += count
    return done


def map_private(fd: int, size: int) -> memoryview | None:
    """Return an open file's bytes as memory that is the caller's own once written to; None if others may change them.

    Until a page is written to, it is the file's: whoever can write to the file in place can change it after it was
    checked, and whoever can cut the file short can end this process. So the file must be this user's alone: theirs,
    without any permission for group and others (which bounds access lists, too), and known by one name only.
    """
    status = os.fstat(fd)
    alone = status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not alone or status.st_nlink != 1 or size == 0:
        return None
    try:
        return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    except (OSError, ValueError):  # a file system without it, no more descriptors, or cut short since
        return None


def sync(folder: int) -> None:
    """Make the names in an open folder durable."""
    os.fsync(folder)


def write_durably(folder: int, name: str, views: Sequence[memoryview], *, replace: bool) -> None:
    """Write a file whole, and make it and its name durable before returning.

    A temporary file in the same folder is written and synced, then takes the name in one step. An error of fsync is
    raised, never retried: after one, the kernel may have dropped the pages and call the next fsync a success.

    Args:
        folder: The open folder.
        name: The name that the file gets.
        views: Its content.
        replace: Whether a file of that name is replaced.

    Raises:
        FileExistsError: If `replace` is not set and there is something of that name; that name is durable then.
        OSError: If a call failed; the temporary file is gone, and `name` is the old file or the new one, never a part.
    """
    temp = write_temporary(folder, views)
    try:
        take_name(folder, temp, folder, name, replace=replace)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=folder)
        raise


def write_temporary(folder: int, views: Sequence[memoryview]) -> str:
    """Write a temporary file that is whole and synced, and return its name.

    Raises:
        OSError: If a call failed; the file is gone.
    """
    temp = temporary_name()
    try:
        fd = open_new(folder, temp)
        try:
            if sum(view.nbytes for view in views) < _LARGE:
                write_all(fd, views)
            else:
                from entrepot.storage._early import write_early  # noqa: PLC0415  threads, for the largest only

                write_early(fd, views, write_all)
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=folder)
        raise
    return temp


def temporary_name() -> str:
    """Return a name for a temporary file, which no other has."""
    return f"{RESERVED_PREFIX}{os.urandom(12).hex()}"


def open_new(folder: int, name: str) -> int:
    """Make a file in an open folder, and return its descriptor for writing."""
    return os.open(name, _TEMP, 0o600, dir_fd=folder)


def take_name(source: int, temp: str, folder: int, name: str, *, replace: bool) -> None:
    """Give a temporary file that is whole and synced its name, in one step, and make that durable.

    Args:
        source: The open folder that it is in.
        temp: Its name there.
        folder: The open folder that it goes to.
        name: The name that it gets.
        replace: Whether a file of that name is replaced.

    Raises:
        FileExistsError: If `replace` is not set and there is something of that name; that name is durable then.
        OSError: If a call failed; the temporary file may still be there.
    """
    try:
        if replace:
            os.replace(temp, name, src_dir_fd=source, dst_dir_fd=folder)
        else:
            _take_free_name(source, temp, folder, name)
    except FileExistsError:
        # Its writer may not have come to its fsync, or died before: who hears "it is there" relies on that.
        os.fsync(folder)
        raise
    os.fsync(folder)


def take_out(folder: int, name: str, data: memoryview) -> bool:
    """Remove a file if these are its bytes; return whether it is gone.

    There is no such system call. The file gets another name, is compared, and gets its own name back if it is another
    one. Killed in between, which takes microseconds, we leave it under a name that nobody looks for; who reads then
    finds nothing.

    Raises:
        OSError: If a call failed.
    """
    temp = temporary_name()
    if not _is(folder, name, data):
        return False
    os.rename(name, temp, src_dir_fd=folder, dst_dir_fd=folder)
    if _is(folder, temp, data):
        os.unlink(temp, dir_fd=folder)
        return True
    try:
        _take_free_name(folder, temp, folder, name)
    except FileExistsError:  # yet another one by now: of two writers, the later one wins
        os.unlink(temp, dir_fd=folder)
    os.fsync(folder)
    return False


def _is(folder: int, name: str, data: memoryview) -> bool:
    fd, size = open_file(folder, name)
    try:
        return size == data.nbytes and bytes(read_at(fd, 0, size)) == bytes(data)
    finally:
        let_go(fd)


def write_all(fd: int, views: Sequence[memoryview]) -> None:
    """Write non-empty views one after another, all of them."""
    pending = list(views)
    first = 0
    while first < len(pending):
        batch = pending[first : first + _IOV_MAX]
        written = os.writev(fd, batch)
        if written <= 0:
            raise OSError(errno.EIO, "the file system took no bytes")
        for view in batch:
            if written < view.nbytes:
                pending[first] = view[written:]
                break
            written -= view.nbytes
            first += 1


def _take_free_name(source: int, temp: str, folder: int, name: str) -> None:
    try:
        os.link(temp, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        # NFS may carry a link out, lose the answer, and refuse the repetition: two names for our file mean we won.
        if os.stat(temp, dir_fd=source, follow_symlinks=False).st_nlink != 2:  # noqa: PLR2004  its two names
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT, some network and user-space file systems: a rename that refuses to replace does as well.
        from entrepot.storage._renameat2 import rename_exclusively  # noqa: PLC0415  ctypes, for the rare few

        rename_exclusively(source, temp, folder, name)
        return
    os.unlink(temp, dir_fd=source)
