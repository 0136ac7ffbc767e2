"""Content as a list of byte views: what `put` and `create` are given, without joining it."""

import bisect
import io
import itertools
from collections.abc import Sequence

from entrepot.protocols.storage import Buffer, Buffers

__all__ = ["Rope", "as_views", "joined"]


def as_views(data: Buffers) -> list[memoryview]:
    """Return the non-empty buffers of `data` as flat views of bytes; nothing is copied.

    Raises:
        TypeError: If something is no contiguous buffer; Python's own words say which.
    """
    parts = (data,) if isinstance(data, bytes | bytearray | memoryview) else data
    # Empty ones go before the cast, which refuses shapes with a zero in them.
    return [view.cast("B") for view in map(_view, parts) if view.nbytes]


def joined(data: Buffers) -> bytes:
    """Return the whole content as one bytes object; a copy unless it is one already."""
    if isinstance(data, bytes):
        return data
    views = as_views(data)
    if len(views) == 1 and isinstance(views[0].obj, bytes) and len(views[0].obj) == views[0].nbytes:
        return views[0].obj
    return b"".join(views)


def _view(part: Buffer) -> memoryview:
    return memoryview(part)


class Rope(io.RawIOBase):
    """Content in several buffers that can be cut like one and read like a file: pieces are copied, the whole never is.

    Libraries that upload in parts ask for a length and slices, those that stream ask for a file.
    """

    def __init__(self, views: Sequence[memoryview]) -> None:
        super().__init__()
        self._views = views
        self._ends = list(itertools.accumulate(view.nbytes for view in views))
        self._at = 0

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, cut: slice) -> bytes:
        start, stop, step = cut.indices(len(self))
        if step != 1:
            raise IndexError("a rope is cut in one piece")
        pieces: list[memoryview] = []
        number = bisect.bisect_right(self._ends, start)
        while start < stop:
            view = self._views[number]
            low = start - (self._ends[number] - view.nbytes)
            piece = view[low : low + stop - start]
            pieces.append(piece)
            start += piece.nbytes
            number += 1
        return b"".join(pieces)

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read again: yes."""
        return True

    def tell(self) -> int:
        """Return where the next read starts."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Say where the next read starts."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size`."""
        stop = len(self) if size is None or size < 0 else self._at + size
        piece = self[self._at : stop] if stop > self._at else b""
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Do nothing: clients close what they have sent, and may have to send it again."""
