"""Replacing a file only if it is still the one that was read, though the process may be stopped at any moment.

POSIX has no such call. A lock around the comparison and the rename does it, until its holder is stopped while it has
the lock (SIGSTOP, a suspended machine): then either everybody waits for it, or somebody goes on, and it renames its
file over theirs when it wakes. So a lock here can be broken, and what its holder might still do is made impossible
first:

1.  The new content is written and synced under a temporary name of its own. The last step is to rename that.
2.  Whoever has the lock writes that name into the lock's file, looks whether the lock is still the one that counts,
    compares, and renames.
3.  Whoever finds the lock with the same holder for `PATIENCE` seconds makes the next lock, `<number + 1>`. Who takes
    that first removes the temporary file which the old lock names, and then the old lock.

A holder that wakes late finds the next lock in step 2, or its temporary file gone at its rename: both are before the
new holder's comparison, or its own rename was. A rename and a removal of one name exclude each other in the kernel.
A dead holder's lock is free at once: the kernel unlocks it.

    .tmp-swaps/<2 hex of the path's hash>/<number>      one line: the temporary file of who took it last
"""

import contextlib
import fcntl
import hashlib
import os
import random
import time
from collections.abc import Iterator
from typing import Final

from entrepot._folders import make_folders
from entrepot.errors import IntegrityError, ObjectChangedError
from entrepot.protocols.storage import Buffer
from entrepot.storage._buffers import as_views
from entrepot.storage._posix import let_go, open_file, read_at, sync, write_temporary
from entrepot.storage.paths import RESERVED_PREFIX

__all__ = ["LOCKS", "PATIENCE", "changed", "swap_file", "tag_of", "too_large"]

LOCKS: Final = f"{RESERVED_PREFIX}swaps"
PATIENCE: Final = 2.0
"""Seconds: the stretch under the lock syncs nothing, and takes well under a millisecond."""

_FIRST, _LONGEST = 0.001, 0.02  # seconds between tries
_MAX_NAME: Final = 2048  # bytes of a path in a lock
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def tag_of(content: Buffer) -> str:
    """Return the tag of an object by its content. Equal contents are one: to a reader there is no difference.

    The size comes first, so that a large object in the place of a small one need not be read to see that it is another.
    """
    return f"{_size_in_tag(len(memoryview(content).cast('B')))}{hashlib.blake2b(content, digest_size=20).hexdigest()}"


def _size_in_tag(size: int) -> str:
    return f"{size:x}-"


def changed(path: str, *, location: str) -> ObjectChangedError:
    """Return what a swap raises that came too late."""
    return ObjectChangedError(
        f"{path!r} in {location} is not what was read there: another writer came first; read it again",
        path=path,
        location=location,
    )


def too_large(path: str, limit: int, *, location: str) -> IntegrityError:
    """Return what is raised for an object that is larger than any which was written in its place can be."""
    where = f"{location.rstrip('/')}/{path}"
    return IntegrityError(f"{where} has more than {limit} bytes, which nothing of ours has there", location=where)


def swap_file(root: str, folder: int, path: str, content: bytes, tag: str) -> bool:
    """Replace a file if its content has this tag; return whether it had. On return the new one is durable.

    Args:
        root: The folder that the locks are in.
        folder: The open folder of the file.
        path: Of the file, below the root.
        content: The new one.
        tag: Of the old one.

    Raises:
        OSError: If a call failed; the file is the old one then, or the new one.
    """
    folders, _, name = path.rpartition("/")
    while True:
        if not _has_tag(folder, name, tag):
            return False  # before anything is written
        temp = write_temporary(folder, as_views(content))
        try:
            with _lock(root, path, f"{folders}/{temp}" if folders else temp) as is_ours:
                if is_ours:
                    if not _has_tag(folder, name, tag):
                        return False
                    os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
                    break
        except FileNotFoundError:
            pass  # the lock was broken, and the temporary file removed: all over again
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temp, dir_fd=folder)
    sync(folder)
    return True


def _has_tag(folder: int, name: str, tag: str) -> bool:
    try:
        fd, size = open_file(folder, name)
    except _ABSENT:
        return False
    try:
        return tag.startswith(_size_in_tag(size)) and tag_of(read_at(fd, 0, size)) == tag
    finally:
        let_go(fd)


@contextlib.contextmanager
def _lock(root: str, path: str, temp: str) -> Iterator[bool]:
    """Have the lock of a path; false if it was broken before that.

    Args:
        root: The folder that the locks are in.
        path: Which object's.
        temp: The file that is removed if the lock is broken, below the root.
    """
    stripe = f"{root}/{LOCKS}/{hashlib.blake2b(path.encode(), digest_size=1).hexdigest()}"
    number, fd = _locked(stripe)
    try:
        line = temp.encode()
        os.ftruncate(fd, 0)
        os.pwrite(fd, line, 0)
        numbers = _numbers(stripe)
        is_ours = max(numbers, default=0) == number and _is_in_place(f"{stripe}/{number}", fd)
        if is_ours:
            for older in numbers:
                if older != number:
                    _bury(root, f"{stripe}/{older}")
        yield is_ours
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # a child that was forked meanwhile has this descriptor too
        let_go(fd)


def _locked(stripe: str) -> tuple[int, int]:
    """Wait for the lock that counts, breaking what stands still; return its number and its open file."""
    pause, seen, since = _FIRST, (0, b""), time.monotonic()
    while True:
        number = max(_numbers(stripe), default=0)
        fd = _opened(stripe, number)
        if fd is None:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = (number, os.pread(fd, _MAX_NAME, 0))
            let_go(fd)
        except BaseException:
            let_go(fd)
            raise
        else:
            return max(number, 1), fd
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= PATIENCE:
            with contextlib.suppress(FileExistsError):
                let_go(os.open(f"{stripe}/{number + 1}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_RDWR, 0o600))
            continue
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  so that those who wait do not wait in step
        pause = min(2 * pause, _LONGEST)


def _opened(stripe: str, number: int) -> int | None:
    """Open a lock's file; None if it is to be looked for again. The first one is made; the next, by who breaks one."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if number:
            return os.open(f"{stripe}/{number}", flags)
        make_folders(stripe)
        return os.open(f"{stripe}/1", flags | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None


def _numbers(stripe: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(stripe) if name.isdecimal()]  # noqa: PTH208  names will do
    except FileNotFoundError:
        return []


def _is_in_place(file: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(fd))  # noqa: PTH116  on every use
    except OSError:
        return False


def _bury(root: str, file: str) -> None:
    """See that who took a broken lock renames nothing any more, and remove the lock."""
    try:
        with open(file, "rb") as old:  # noqa: PTH123  as everywhere here, no Path
            temp = os.fsdecode(old.read(_MAX_NAME))
    except FileNotFoundError:
        return
    if temp.rpartition("/")[2].startswith(RESERVED_PREFIX):  # nothing else, whoever wrote the line
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(f"{root}/{temp}")  # noqa: PTH108  as everywhere here, no Path
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file)  # noqa: PTH108  the same
