"""Folders that only their owner may enter, durable in the folders above them. For stores and for the keyring alike."""

import contextlib
import os

__all__ = ["create_folder", "make_folders", "sync_folder"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def create_folder(name: str, folder: int) -> None:
    """Make a folder inside an open one, 0700, and make that fact durable before anything is put into it."""
    # Another process may be a moment faster; then its fsync may still be to come, so ours is needed all the same.
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    os.fsync(folder)


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


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, _FOLDER)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
