"""Folders that only their owner may enter, durable in the folders above them. For stores and for the keyring alike."""

import contextlib
import os

__all__ = ["create_folder", "make_folders", "settle_folder", "settle_inner", "sync_folder"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_settled: set[tuple[str, int, int]] = set()  # the folders, by name, device and inode, whose names are durable


def create_folder(name: str, folder: int) -> None:
    """Make a folder inside an open one, 0700, and make that fact durable before anything is put into it."""
    # Another process may be a moment faster; then its fsync may still be to come, so ours is needed all the same.
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    os.fsync(folder)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    _settled.add((name, status.st_dev, status.st_ino))


def make_folders(path: str) -> None:
    """Make a folder and what is missing above it, each 0700 and durable in its parent.

    Args:
        path: Absolute. A link on the way is followed: these folders are the owner's choice.
    """
    parent, name = os.path.split(path)
    try:
        folder = os.open(parent, _FOLDER)
    except FileNotFoundError:
        make_folders(parent)
        folder = os.open(parent, _FOLDER)
    try:
        create_folder(name, folder)
    finally:
        with contextlib.suppress(OSError):  # it was only read from: nothing is lost
            os.close(folder)


def settle_inner(name: str, inner: int, folder: int) -> None:
    """Make the name of an open folder durable that another process may have made a moment ago; once in a process.

    That process may not have come to its own fsync, or have died before: what is put into the folder, and is durable in
    it, would be gone with the folder.

    Args:
        name: Its name.
        inner: The folder.
        folder: The open folder that it is in.
    """
    status = os.fstat(inner)
    if (name, status.st_dev, status.st_ino) in _settled:
        return
    with os.scandir(folder) as entries:  # one sync does for all that are there by now: a store has 256 side by side
        there = {(entry.name, status.st_dev, entry.inode()) for entry in entries if entry.is_dir(follow_symlinks=False)}
    os.fsync(folder)
    _settled.update(there)
    _settled.add((name, status.st_dev, status.st_ino))


def settle_folder(path: str, folder: int) -> None:
    """Do the same for a folder by its path, and for those above it that may be of our own making.

    Args:
        path: Absolute.
        folder: The same, open.
    """
    status = os.fstat(folder)
    which = (path, status.st_dev, status.st_ino)
    if which in _settled:
        return
    user, here = os.geteuid(), path
    while status.st_uid == user and os.access(os.path.dirname(here), os.R_OK) and here != "/":  # noqa: PTH120  hot path
        here = os.path.dirname(here)  # noqa: PTH120  the same
        above = os.open(here, _FOLDER)
        try:
            device, status = status.st_dev, os.fstat(above)
            if status.st_dev != device:
                break  # a place where something is mounted: its name is nothing of ours
            os.fsync(above)
        finally:
            os.close(above)
    _settled.add(which)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable, and its own."""
    folder = os.open(path, _FOLDER)
    try:
        os.fsync(folder)
        settle_folder(os.path.abspath(path), folder)  # noqa: PTH100  links on the way stay as they are
    finally:
        os.close(folder)
