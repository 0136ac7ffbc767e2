"""The dialect of folders on another machine: SMB, WebDAV, HDFS, HTTP, and what else fsspec has."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from typing import Any

from fsspec import AbstractFileSystem

from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._dialect import Dialect, is_absence, object_info
from entrepot.storage.outage import Trouble, diagnose
from entrepot.storage.paths import RESERVED_PREFIX, is_path

__all__ = ["Folders"]

_MIB = 1024 * 1024
_NO_OUTAGE = {Trouble.ABSENT, Trouble.NO_ROOT, Trouble.REFUSED}


class Folders(Dialect):
    """Files that are written under another name and then moved.

    fsspec leaves out of a listing what it cannot list, and some libraries say of anything that went wrong that nothing
    is there. So folders are walked here, and where something is absent, the root is asked for as well.
    """

    claims = False

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self.fs = fs
        self.root = root.rstrip("/")

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`; a whole file is looked at for being whole."""
        content = super().read(path, start, end)
        if start == 0 and end is None:
            size = self._ask("info", self._key(path)).get("size")
            if isinstance(size, int) and len(content) < size:
                content = super().read(path, start, end)  # perhaps a larger one was written meanwhile
                if len(content) < size:
                    raise ConnectionError(f"the file ended at {len(content)} of {size} bytes")
        return content

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:  # noqa: ARG002  claims is False
        """Write a file beside its place and move it there. How safe the move is, is for the other side to say."""
        key = self._key(path)
        folder = key.rpartition("/")[0]
        if folder:
            self.fs.makedirs(folder, exist_ok=True)
        temp = f"{folder}/{RESERVED_PREFIX}{os.urandom(12).hex()}"
        try:
            with self.fs.open(temp, "wb") as file:
                for view in views:
                    for start in range(0, view.nbytes, _MIB):
                        file.write(bytes(view[start : start + _MIB]))  # not every library takes a view
            self._move(temp, key)
        except BaseException:
            with contextlib.suppress(Exception):
                self.fs.rm_file(temp)
            raise

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the files below a folder."""
        self.fs.invalidate_cache()
        base = str(self.fs._strip_protocol(self._key(prefix)))  # noqa: SLF001  as `find` does: an archive has no "/folder"
        inside = f"{self.root.strip('/')}/" if self.root.strip("/") else ""
        pending, seen = [base], {base.strip("/")}
        while pending:
            for info in self._listing(pending.pop()):
                name = str(info["name"]).strip("/")
                path = name.removeprefix(inside)
                if not (path.startswith(f"{prefix}/" if prefix else "") and is_path(path)):
                    continue  # no server leads out of the folder, nor round in it
                if info.get("type") == "directory":
                    if name not in seen:
                        seen.add(name)
                        pending.append(info["name"])
                elif info.get("type") == "file":
                    sized = info if info.get("size") is not None else self._ask("info", info["name"])  # pages of links
                    yield object_info(path, sized)

    def has_root(self) -> bool:
        """An absent root is an empty store; but there has to be an answer that says so.

        Raises:
            Exception: As the library says it, if there is none.
        """
        if not getattr(self.fs, "absence_is_certain", False):
            try:
                self._ask("info", self.root or "/")
            except Exception as error:
                if diagnose(error).trouble not in _NO_OUTAGE:
                    raise
        return True

    def _listing(self, folder: str) -> Sequence[dict[str, Any]]:
        try:
            found: Sequence[dict[str, Any]] = self._ask("ls", folder, detail=True)
        except NotADirectoryError:
            return ()
        except Exception as error:
            if not is_absence(error):
                raise
            return ()  # removed meanwhile, or never there
        return found

    def _move(self, temp: str, key: str) -> None:
        if type(self.fs).mv is AbstractFileSystem.mv:  # which reads names as patterns
            self.fs.cp_file(temp, key)
            self.fs.rm_file(temp)
            return
        try:
            self.fs.mv(temp, key)
        except OSError:
            if not self.fs.exists(key):
                raise
        if self.fs.exists(temp):  # some refuse to replace, and some of those without a word
            self.fs.rm_file(key)
            self.fs.mv(temp, key)
            if self.fs.exists(temp):
                raise OSError(errno.EIO, "the file could not be moved to its name")
