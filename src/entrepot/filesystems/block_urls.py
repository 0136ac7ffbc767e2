"""`block://TYPE/NAME/PATH`: what lies below a saved storage block, for every library that takes the URLs of fsspec.

    pandas.read_parquet("block://s3/prod/sales.parquet")

fsspec finds the class by the entry point `block` of its group `fsspec.specs`; nothing is imported before such a URL is
used. The file system itself knows no credentials: each operation asks for the block by its name, so that a new version
of the block is what the next operation goes by, and what is pickled (to the workers of Dask, say) is the URL only.
"""

import threading
from collections.abc import Iterator
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.utils import stringify_path

from entrepot.errors import ConfigurationError, InvalidPathError, ObjectExistsError, ObjectNotFoundError
from entrepot.filesystems._block_files import BlockFile, copy_object
from entrepot.filesystems._block_paths import BlockPath, child_of, parse
from entrepot.filesystems._opened_blocks import forget, storage_of
from entrepot.protocols.storage import ObjectInfo, Storage

__all__ = ["PROTOCOL", "BlockFileSystem"]

PROTOCOL: Final = "block"
_OF_FSSPEC: Final = frozenset(
    {"asynchronous", "batch_size", "listings_expiry_time", "loop", "max_paths", "use_listings_cache"}
)
# After a refusal pandas asks once more with this option, by itself, and for every protocol: refused, it would hide why
# the store refused. Taken, the same error comes again: a block's credentials are its own.
_NO_EFFECT: Final = frozenset({"anon"})


class BlockFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """All saved storage blocks as one file system: `TYPE/NAME` is a folder, and what that block points at is in it.

    Everything goes through the block's own `Storage`: an object is whole or not there at all, no path leads out of
    the block's folder, and errors say what failed without credentials. There are no empty folders: a folder is there
    while an object is in it. Only right after `mkdir`, as long as the same thread asks for that very path and nothing
    else, it is there and empty: libraries (DuckDB) look at what they have made before they write into it. A file that
    is being written gets its name when it is closed; one whose `with` ends by an error, or that is never closed, is
    not written.

    Raises:
        ConfigurationError: If an option is given that is not fsspec's own: what a store needs is in its block.
    """

    protocol = PROTOCOL
    root_marker = ""

    def __init__(self, **options: Any) -> None:
        unknown = sorted(options.keys() - _OF_FSSPEC - _NO_EFFECT)
        if unknown:
            raise ConfigurationError(
                f"block:// takes no option {unknown[0]!r}: what the store needs is in the block; save it there",
                setting=unknown[0],
            )
        super().__init__(**options)
        # By thread, the folder that it made by what it did last. Not `threading.local`: threads that are not Python's
        # (DuckDB's) get a new one for each call.
        self._just_made: dict[int, str] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = str(stringify_path(path))
        return text.removeprefix(f"{PROTOCOL}://").strip("/")

    # --- looking ----------------------------------------------------------------------------------------------------

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002  fsspec's signature
        """Return what is known of a file or a folder.

        Raises:
            ObjectNotFoundError: If there is neither; it is a `FileNotFoundError`.
            BlockNotFoundError: If no such block is saved.
        """
        where = self._parsed(path)
        if not where.inside:
            if where.name:
                self._storage(where)
            return _folder(where.text)
        storage = self._storage(where)
        try:
            return _file(where, storage.stat(where.inside))
        except ObjectNotFoundError:
            if not self._is_just_made(where) and next(iter(storage.list(where.inside)), None) is None:
                raise
        return _folder(where.text)

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Say whether there is a file or folder; an outage or a missing block is an error, and not a no."""
        try:
            self.info(path, **kwargs)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Say whether there is a file."""
        try:
            return bool(self.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def isdir(self, path: str) -> bool:
        """Say whether there is a folder."""
        try:
            return bool(self.info(path)["type"] == "directory")
        except FileNotFoundError:
            return False

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:  # noqa: ARG002, FBT001, FBT002  fsspec's signature
        """Return what is in a folder, or the file itself; of the topmost two, the types and names of storage blocks."""
        where = self._parsed(path)
        found = self._blocks(where) if not where.name else self._entries(where)
        return found if detail else [each["name"] for each in found]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002  fsspec's signature
        detail: bool = False,  # noqa: FBT001, FBT002  the same
        **kwargs: Any,
    ) -> Any:
        """Return every file below a folder, by one listing; with `withdirs` the folders, too."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        where = self._parsed(path)
        if not where.name:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        found: dict[str, dict[str, Any]] = {}
        for info in self._listed(where):
            entry = _file(where, info)
            found[entry["name"]] = entry
            for folder in _folders_between(where.text, entry["name"]) if withdirs else ():
                found.setdefault(folder, _folder(folder))
        if withdirs and found:
            found.setdefault(where.text, _folder(where.text))
        depth = where.text.count("/")
        names = sorted(name for name in found if maxdepth is None or name.count("/") - depth <= maxdepth)
        if not found and self.isfile(path):
            names, found = [where.text], {where.text: self.info(path)}
        return {name: found[name] for name in names} if detail else names

    def modified(self, path: str) -> Any:
        """Return when a file was last written, or None where the store does not say."""
        return self.info(path)["modified"]

    # --- reading and writing ----------------------------------------------------------------------------------------

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,  # noqa: FBT001, FBT002  fsspec's signature
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BlockFile:
        where = self._file_path(path)
        return BlockFile(
            self, where.text, mode, block_size or "default", autocommit,
            cache_options=cache_options, storage=self._storage(where), inside=where.inside, **kwargs,
        )  # fmt: skip

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:  # noqa: ARG002  fsspec's signature
        """Return the bytes of a file, or those from `start` up to `end`; negative ones count from its end."""
        where = self._file_path(path)
        storage = self._storage(where)
        if (start or 0) < 0 or (end or 0) < 0:
            size = storage.stat(where.inside).size
            start, end = (None if at is None else max(0, at + size) if at < 0 else at for at in (start, end))
        first = start or 0
        return bytes(storage.get(where.inside, start=first, length=None if end is None else max(0, end - first)))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:  # noqa: ARG002  fsspec's signature
        """Write a file whole; with the mode "create", only if there is none.

        Raises:
            ObjectExistsError: If there is one, and there may not be; it is a `FileExistsError`.
        """
        where = self._file_path(path)
        storage = self._storage(where)
        (storage.create if mode == "create" else storage.put)(where.inside, value)

    def put(self, lpath: Any, rpath: Any, *rest: Any, **options: Any) -> Any:
        """Copy files from this machine; as fsspec's own."""
        self._is_something_else()
        return super().put(lpath, rpath, *rest, **options)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:  # noqa: ARG002  fsspec's signature
        """Copy a file, within a block or from one to another; its bytes come by here."""
        source, target = self._file_path(path1), self._file_path(path2)
        copy_object(self._storage(source), source.inside, self._storage(target), target.inside)

    def rm_file(self, path: str) -> None:
        """Remove a file.

        Raises:
            ObjectNotFoundError: If there is none.
        """
        where = self._file_path(path)
        storage = self._storage(where)
        storage.stat(where.inside)
        storage.delete(where.inside)

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:  # noqa: FBT001, FBT002  fsspec's signature
        """Remove files; with `recursive`, all that is below a folder of a block."""
        for each in [path] if isinstance(path, str) else path:
            if not self._parsed(each).name:
                raise InvalidPathError(
                    f"{PROTOCOL}://{self._strip_protocol(each)} holds several blocks: remove what is in one of them",
                    path=each,
                    location=f"{PROTOCOL}://",
                )
            for found in self.expand_path(each, recursive=recursive, maxdepth=maxdepth):
                where = self._parsed(found)
                if where.inside:
                    self._storage(where).delete(where.inside)
            self._is_something_else()

    # --- folders: there while something is in them --------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:  # noqa: ARG002, FBT001, FBT002  fsspec's signature
        """Write nothing: a folder comes with what is written into it. The next look at it finds it empty."""
        self._just_made[threading.get_ident()] = self._parsed(path).text

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002  fsspec's signature
        """Write nothing, as `mkdir`.

        Raises:
            ObjectExistsError: If there is something, unless it may be.
        """
        where = self._parsed(path)
        if not exist_ok and where.inside and self.exists(path):
            raise ObjectExistsError(f"{where.url} exists already", path=where.inside, location=where.url)
        self.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Do nothing where nothing is: an empty folder does not exist.

        Raises:
            OSError: If something is in it.
        """
        where = self._parsed(path)
        self._is_something_else()
        if self.exists(path):
            raise OSError(f"{where.url} is not empty; rm(..., recursive=True) removes what is in it")

    def invalidate_cache(self, path: str | None = None) -> None:
        """Ask for every block again in the next operation; for one path there is nothing to forget."""
        if path is None:
            forget()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _parsed(self, path: str) -> BlockPath:
        where = parse(self._strip_protocol(path))
        if not self._is_just_made(where):
            self._is_something_else()
        return where

    def _is_just_made(self, where: BlockPath) -> bool:
        return self._just_made.get(threading.get_ident()) == where.text

    def _is_something_else(self) -> None:
        """Note that this thread does something other than to look at the folder that it made."""
        self._just_made.pop(threading.get_ident(), None)

    def _file_path(self, path: str) -> BlockPath:
        where = self._parsed(path)
        self._is_something_else()
        if where.inside:
            return where
        raise InvalidPathError(
            f"{where.url} is no file: write {PROTOCOL}://TYPE/NAME/PATH, as in block://s3/prod/sales.parquet",
            path=where.text,
            location=f"{PROTOCOL}://",
        )

    def _storage(self, where: BlockPath) -> Storage:
        return storage_of(where.slug, where.name)

    def _listed(self, where: BlockPath) -> Iterator[ObjectInfo]:
        return self._storage(where).list(where.inside)

    def _entries(self, where: BlockPath) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for info in self._listed(where):
            name = child_of(where.text, f"{where.root}/{info.path}")
            found[name] = _file(where, info) if name == f"{where.root}/{info.path}" else _folder(name)
        if not found and where.inside:
            itself = self.info(where.text)  # a file, a folder that was just made, or nothing
            return [itself] if itself["type"] == "file" else []
        return [found[name] for name in sorted(found)]

    def _blocks(self, where: BlockPath) -> list[dict[str, Any]]:
        from entrepot.filesystems.base import StorageBlock  # noqa: PLC0415  only who lists blocks needs their base

        refs = StorageBlock.list()
        if where.slug:
            names = sorted(f"{ref.slug}/{ref.name}" for ref in refs if ref.slug == where.slug)
            if not names:
                raise ObjectNotFoundError(
                    f"no storage block of the type {where.slug!r} is saved", path=where.text, location=f"{PROTOCOL}://"
                )
        else:
            names = sorted({ref.slug for ref in refs})
        return [_folder(name) for name in names]


def _file(where: BlockPath, info: ObjectInfo) -> dict[str, Any]:
    name = f"{where.root}/{info.path}"
    return {"name": name, "size": info.size, "type": "file", "modified": info.modified}


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory", "modified": None}


def _folders_between(top: str, name: str) -> Iterator[str]:
    """Yield the folders on the way from `top` (not itself) to a file."""
    parent = name.rpartition("/")[0]
    while len(parent) > len(top):
        yield parent
        parent = parent.rpartition("/")[0]
