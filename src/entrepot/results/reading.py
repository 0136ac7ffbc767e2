"""Bytes of payloads brought into memory of ours: by several threads where there are many, and hashed on the way.

A thread reads a chunk and, if the hash has come to it, hashes it while it is in that core's cache; else whoever reads
the missing one does. No core waits for another: two of them take half as long as one.
"""

import os
import threading
from typing import Final

from entrepot.crypto.digest import Hasher
from entrepot.protocols.storage import ReadsAtOnce, ReadsInto, Storage

__all__ = ["CHUNK", "REQUEST", "read_and_hash", "read_part"]

CHUNK: Final = 4 << 20
"""Bytes: enough that a chunk costs more than asking for it, few enough to be hashed while they are in the cache."""

REQUEST: Final = 16 << 20
"""Bytes that are copied at a time from stores that cannot read into memory of ours."""

_THREADED: Final = 2 << 20
_MOST_THREADS: Final = 4  # a disk is not faster with more; a store across a network says itself how many


def read_part(storage: Storage, path: str, memory: memoryview, start: int) -> int:
    """Fill `memory` from an object's offset `start`; return how many bytes there were.

    Raises:
        StorageError: If it cannot be read.
    """
    if isinstance(storage, ReadsInto):
        return storage.read_into(path, memory, start=start)
    done = 0
    while done < memory.nbytes:
        room = min(REQUEST, memory.nbytes - done)
        piece = memoryview(storage.get(path, start=start + done, length=room)).cast("B")
        memory[done : done + piece.nbytes] = piece
        done += piece.nbytes
        if piece.nbytes < room:
            break
    return done


def read_and_hash(storage: Storage, path: str, memory: memoryview, hasher: Hasher) -> int:
    """Fill `memory` with an object, hash what was read, and return how many bytes that is.

    Raises:
        StorageError: If it cannot be read; no thread is at work on `memory` any more then.
    """
    threads, step = min(_MOST_THREADS, os.cpu_count() or 1), CHUNK
    if not isinstance(storage, ReadsInto):
        if isinstance(storage, ReadsAtOnce) and storage.at_once > 1:
            threads = storage.at_once
        else:
            threads, step = min(2, threads), REQUEST
    if memory.nbytes < _THREADED:
        threads, step = 1, max(1, memory.nbytes)
    return _Reading(storage, path, memory, hasher, step).run(min(threads, -(-memory.nbytes // step)))


class _Reading:
    """One object on its way into memory. Chunks are called by the offset that they start at."""

    def __init__(self, storage: Storage, path: str, memory: memoryview, hasher: Hasher, step: int) -> None:
        self._storage = storage
        self._path = path
        self._memory = memory
        self._hasher = hasher
        self._step = step
        self._taking = threading.Lock()
        self._next = 0  # the chunk that is to be read next
        self._over = False  # whether nothing more is to be read: the object has ended, or a thread has failed
        self._read: dict[int, int] = {}  # how many bytes there were, of each chunk that is not hashed yet
        self._hashing = threading.Lock()
        self._hashed = 0  # the chunk that is to be hashed next; what is before it is hashed
        self._problems: list[BaseException] = []

    def run(self, threads: int) -> int:
        """Read with so many threads, this one among them; return how many bytes there were."""
        helpers = [
            threading.Thread(target=self._help, name="entrepot-payload", daemon=True) for _ in range(threads - 1)
        ]
        started = []
        try:
            for helper in helpers:
                helper.start()
                started.append(helper)
            self._work()
        except BaseException:
            self._over = True
            raise
        finally:
            for helper in started:
                helper.join()
        if self._problems:
            raise self._problems[0]
        return self._hashed

    def _help(self) -> None:
        try:
            self._work()
        except BaseException as problem:  # noqa: BLE001  raised again by the thread that asked
            self._over = True
            self._problems.append(problem)

    def _work(self) -> None:
        while (start := self._take()) is not None:
            part = self._memory[start : start + self._step]
            count = read_part(self._storage, self._path, part, start)
            if count < part.nbytes:
                self._over = True
            self._read[start] = count
            self._hash()

    def _take(self) -> int | None:
        with self._taking:
            start = self._next
            if self._over or start >= self._memory.nbytes:
                return None
            self._next += self._step
            return start

    def _hash(self) -> None:
        """Hash what is read, in order, unless another thread is at it.

        That one looks again after it has let go, so that nothing is left which came meanwhile.
        """
        while self._hashed in self._read and self._hashing.acquire(blocking=False):
            try:
                while (count := self._read.pop(self._hashed, None)) is not None:
                    self._hasher.update(self._memory[self._hashed : self._hashed + count])
                    self._hashed += count  # after a chunk that was not filled no other one is looked for there
            finally:
                self._hashing.release()
