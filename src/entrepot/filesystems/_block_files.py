"""Open files of `block://`: read in ranges, written piece by piece, and named when they are whole."""

import warnings
from typing import Any, Final

from fsspec.spec import AbstractBufferedFile

from entrepot.errors import ObjectExistsError
from entrepot.protocols.storage import Stage, Storage
from entrepot.storage.stages import stage_for

__all__ = ["BlockFile", "copy_object"]

_PIECE: Final = 8 * 1024 * 1024
_READ: Final = "rb"


class BlockFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """An open file.

    What was written becomes the object when the file is closed; where a `with` ends by an error, or the file is never
    closed, it is gone and what was there before stays. Pickled, it is its path and place: no credentials.

    Args:
        fs: The file system.
        path: The file's path there.
        mode: "rb", "wb", "xb" or "ab".
        *rest: What fsspec's own files take.
        storage: Where the object is.
        inside: Its path there.
        **options: The same.
    """

    def __init__(
        self, fs: Any, path: str, mode: str, *rest: Any, storage: Storage, inside: str, **options: Any
    ) -> None:
        self._storage = storage
        self._inside = inside
        self._stage: Stage | None = None
        if mode == "xb" and fs.exists(path):
            raise ObjectExistsError(f"block://{path} exists already", path=inside, location=storage.location)
        super().__init__(fs, path, mode, *rest, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self._storage.get(self._inside, start=start, length=max(0, end - start)))

    def _initiate_upload(self) -> None:
        self._stage = stage_for(self._storage)
        if self.mode == "ab":
            try:
                _pour(self._storage, self._inside, self._stage, absent_is_empty=True)
            except BaseException:
                self.discard()
                raise

    def _upload_chunk(self, final: bool = False) -> bool:  # noqa: FBT001, FBT002  fsspec's signature
        assert self._stage is not None, "fsspec starts an upload first"  # noqa: S101  of fsspec's own protocol
        try:
            self._stage.write(self.buffer.getbuffer())
            if final and self.autocommit:
                self.commit()
        except BaseException:
            self.discard()
            raise
        return True

    def commit(self) -> None:
        """Make what was written the object; fsspec's transactions call this, and `close` does outside of one."""
        stage, self._stage = self._stage, None
        if stage is not None:
            try:
                stage.commit(self._inside, replace=self.mode != "xb")
            finally:
                stage.close()

    def discard(self) -> None:
        """Let go of what was written."""
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.close()

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None and self.mode != _READ:
            self._drop()
        self.close()

    def __del__(self) -> None:
        if self.closed or getattr(self, "mode", _READ) == _READ:
            return
        warnings.warn(f"{self} was never closed, and is not written", ResourceWarning, stacklevel=2)
        self._drop()

    def _drop(self) -> None:
        self.discard()
        self.closed = True


def copy_object(source: Storage, path: str, target: Storage, to: str) -> None:
    """Copy an object, a piece at a time, from one store to another or within one.

    Raises:
        ObjectNotFoundError: If there is none.
        StorageError: If it cannot be read or written.
    """
    stage = stage_for(target)
    try:
        _pour(source, path, stage)
        stage.commit(to, replace=True)
    finally:
        stage.close()


def _pour(source: Storage, path: str, stage: Stage, *, absent_is_empty: bool = False) -> None:
    try:
        size = source.stat(path).size
    except FileNotFoundError:
        if absent_is_empty:
            return
        raise
    for start in range(0, size, _PIECE):
        stage.write(source.get(path, start=start, length=_PIECE))
