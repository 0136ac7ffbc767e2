"""Runs of bytes without copies: flat views, and memory to read large values into."""

import mmap
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from entrepot.protocols.storage import Buffer

__all__ = ["allocate", "flat", "total_size"]

_MAP_FROM: Final = 1 << 20
_HUGE_FROM: Final = 4 << 20
_HUGE_UP_TO: Final = 256 << 20


def flat(part: Buffer) -> memoryview:
    """Return a buffer as a view of plain bytes; nothing is copied unless it is not contiguous."""
    view = memoryview(part)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    if view.nbytes == 0:
        return memoryview(b"")  # a view with a zero in its shape cannot be cast
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def total_size(parts: Sequence[memoryview]) -> int:
    """Return how many bytes there are in all."""
    return sum(part.nbytes for part in parts)


def allocate(size: int) -> memoryview:
    """Return `size` bytes of writable memory, page-aligned and not yet touched where large.

    Raises:
        MemoryError: If there is not that much.
    """
    if size < _MAP_FROM:
        return memoryview(bytearray(size))
    try:
        memory = _map(size)
    except OSError as error:
        raise MemoryError(f"{size} bytes cannot be allocated") from error
    # The view keeps the mapping alive, and so does every array that shares it.
    return memoryview(memory)


def _map(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    # Private: with the default, shared, a value changed in a forked child would change in its parent too.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            # Fewer page faults; but once free ones run out, the kernel moves other memory about to make each new one,
            # which made reading 2 GB more than twice as slow.
            memory.madvise(mmap.MADV_HUGEPAGE, 0, min(size, _HUGE_UP_TO))
    return memory
