"""What is in files and folders, as digests.

file      BLAKE3 of its bytes
folder    BLAKE3 of its entries: for each, its kind (D, F, L), its path from the folder's own as a length (u32,
          little-endian) and bytes, and, of a file, its digest, of a link, its target in the same way. They are
          sorted by their paths, component by component, as bytes.
"""

import errno
import os
import stat
import struct
import time
from collections.abc import Iterator
from typing import Final

from entrepot.hashing import _known_files
from entrepot.hashing._known_files import Look

__all__ = ["file_digest", "folder_digest"]

_PIECE: Final = 8 << 20
"""Bytes that are read at a time."""

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOCTTY", 0)  # a pipe must not keep us
_LENGTH: Final = struct.Struct("<I")


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """Return the 32-byte digest of a file's content; one that is known by its look is not read.

    Raises:
        OSError: If it is not there, is no regular file, or cannot be read.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        return _digest_of(descriptor, os.path.abspath(os.fspath(path)))  # noqa: PTH100  links are not resolved: the look says which file it is
    finally:
        os.close(descriptor)


def folder_digest(path: str | os.PathLike[str]) -> bytes:
    """Return the 32-byte digest of what is in a folder.

    Raises:
        OSError: If it is not there, is no folder, cannot be read, has something in it that is no file, folder or link,
            or changes while it is read.
    """
    from blake3 import blake3  # noqa: PLC0415  loaded where content is read

    entries = blake3()
    for form in _entries(os.fsencode(path), b""):
        entries.update(form)
    return entries.digest()


def _entries(root: bytes, below: bytes) -> Iterator[bytes]:
    with os.scandir(os.path.join(root, below)) as found:  # noqa: PTH118  names are bytes
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        relative = os.path.join(below, entry.name)  # noqa: PTH118  the same
        name = _LENGTH.pack(len(relative)) + relative
        if entry.is_symlink():
            target = os.readlink(entry.path)  # noqa: PTH115  the same
            yield b"L" + name + _LENGTH.pack(len(target)) + target
        elif entry.is_dir(follow_symlinks=False):
            yield b"D" + name
            yield from _entries(root, relative)
        elif entry.is_file(follow_symlinks=False):
            yield b"F" + name + _inside(entry.path)
        else:
            raise OSError(errno.EINVAL, "it has a pipe, a socket or a device in it", os.fsdecode(entry.path))


def _inside(path: bytes) -> bytes:
    descriptor = os.open(path, _FLAGS | os.O_NOFOLLOW)
    try:
        return _digest_of(descriptor, os.path.abspath(os.fsdecode(path)))  # noqa: PTH100  as above
    finally:
        os.close(descriptor)


def _digest_of(descriptor: int, path: str) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder: use Dir", path)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    before = Look.of(status)
    if not _known_files.is_worth_it(before):
        return _read(descriptor, before.size)
    known = _known_files.recall(path, before)
    if known is not None:
        return known
    begun = time.time_ns()
    may_be_kept = before.is_settled(begun) and _known_files.settle(descriptor)
    digest = _read(descriptor, before.size)
    if may_be_kept and Look.of(os.fstat(descriptor)) == before:
        _known_files.remember(path, before, digest)
    return digest


def _read(descriptor: int, size: int) -> bytes:
    from entrepot.hashing._bulk import Bulk  # noqa: PLC0415  blake3 is loaded where content is read

    bulk = Bulk(size)
    piece = bytearray(min(_PIECE, size + 1))
    view = memoryview(piece)
    while count := os.readv(descriptor, [piece]):
        bulk.update(view[:count])
    return bulk.digest()
