"""Long columns that lie side by side in memory, as those of a frame that was made from rows: all read in one pass.

Read one by one, each would touch every line of memory of all of them. Here a band of rows of some columns at a time is
turned over into a buffer that fits the cache, and each column's running digest takes its part; bands of different
columns go to different threads. What comes out is what `content_form` makes of each column.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from entrepot.hashing._bulk import Bulk
from entrepot.hashing._bytes import INLINE

__all__ = ["contents_side_by_side"]

_BAND: Final = 1 << 20
"""Bytes that are turned over at a time."""

_TOGETHER: Final = 32
"""Columns that are turned over together."""

_THREADED: Final = 32 << 20
"""Bytes in all from which on threads are worth their start."""

_MOST_THREADS: Final = 8


def contents_side_by_side(columns: "Mapping[int, np.ndarray[Any, Any]]") -> dict[int, bytes]:
    """Return the content forms of those columns that are best read together, by what they are called.

    Args:
        columns: One-dimensional arrays without objects, by any number.
    """
    tasks = [
        (run[start : start + _TOGETHER], columns) for run in _runs(columns) for start in range(0, len(run), _TOGETHER)
    ]
    total = sum(columns[name].nbytes for names, _ in tasks for name in names)
    threads = min(os.cpu_count() or 1, _MOST_THREADS, len(tasks))
    if total < _THREADED or threads < 2:  # noqa: PLR2004  two are the fewest that share
        digests = [_digests(*task) for task in tasks]
    else:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  only large frames need it

        with ThreadPoolExecutor(threads) as pool:
            digests = list(pool.map(lambda task: _digests(*task), tasks))
    return {name: form for found in digests for name, form in found.items()}


def _runs(columns: "Mapping[int, np.ndarray[Any, Any]]") -> Iterator[list[int]]:
    """Yield the columns that lie one beside the other, from the left."""
    rows: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for name, column in columns.items():
        step = column.strides[0]
        if column.nbytes > INLINE and step > column.itemsize:
            row = rows.setdefault((column.dtype.str, step, len(column)), [])
            row.append((column.__array_interface__["data"][0], name))
    for (_, step, _), row in rows.items():
        row.sort()
        size = columns[row[0][1]].itemsize
        run: list[int] = []
        before = first = 0
        for address, name in row:
            if not run or address != before + size or address + size > first + step:
                if len(run) > 1:
                    yield run
                run, first = [], address
            run.append(name)
            before = address
        if len(run) > 1:
            yield run


def _digests(names: Sequence[int], columns: "Mapping[int, np.ndarray[Any, Any]]") -> dict[int, bytes]:
    first = columns[names[0]]
    count, size = len(names), first.itemsize
    # All that this view shows is memory of the columns, which are kept alive by the caller.
    block = np.lib.stride_tricks.as_strided(first, (len(first), count), (first.strides[0], size), writeable=False)
    running = [Bulk() for _ in names]
    rows = max(1, _BAND // (count * size))
    turned = np.empty((count, rows), first.dtype)
    for start in range(0, len(first), rows):
        part = block[start : start + rows]
        band = turned[:, : len(part)]
        np.copyto(band, part.T)
        for bulk, line in zip(running, band, strict=True):
            bulk.update(line.view(np.uint8).data)
    return {name: b"B" + bulk.digest() for name, bulk in zip(names, running, strict=True)}
