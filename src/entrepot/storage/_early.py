"""Large files: the disk is at work on them while they are written, not only once the last byte was handed over."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

__all__ = ["STEP", "write_early"]

STEP: Final = 64 << 20
"""Bytes between two early syncs: with fewer, files larger than memory's share of unwritten pages took longer."""

_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has the latter only


def write_early(fd: int, views: Sequence[memoryview], write: Callable[[int, Sequence[memoryview]], None]) -> None:
    """Write non-empty views, syncing on another thread what is written so far; the caller syncs at the end.

    Args:
        fd: The file.
        views: Its content.
        write: Writes views, all of them.

    Raises:
        OSError: If a call failed, an early sync among them: the kernel may tell of a lost page only once.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="entrepot-sync") as pool:
        early: Future[None] | None = None
        for view in views:
            for start in range(0, view.nbytes, STEP):
                write(fd, [view[start : start + STEP]])
                if early is not None and early.done():
                    early.result()
                    early = None
                if early is None:
                    early = pool.submit(_sync_data, fd)
        if early is not None:
            early.result()
