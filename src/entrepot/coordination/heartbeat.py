"""What this process holds, and the thread that renews it: one for the process, and only while anything is held."""

import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from weakref import finalize

from entrepot.coordination.claims import withdraw
from entrepot.coordination.database import writing
from entrepot.coordination.leases import drop_process, renew
from entrepot.coordination.liveness import process_token
from entrepot.errors import StorageError

__all__ = ["Held", "hold", "let_go"]

_log = logging.getLogger("entrepot.concurrency")

_BEATS: Final = 3  # in the time that a lease lasts
_LINGERS: Final = 1.0  # seconds: slots taken again and again do not mean a new thread each time


@dataclass(eq=False, slots=True)
class Held:
    """Something that is held: slots by a claim, or a lock.

    Attributes:
        path: The file that says so.
        name: The id of the claim, or the key of the lock.
        seconds: How long the lease lasts.
        what: For people: `the slots of 'db'`.
        holder: Of a lock; None for a claim.
        granted: Whether it is held already, and still: if so, its absence is a loss.
        lost: Whether the lease is lost.
        since: When it was made, in seconds of the monotonic clock.
        process_id: The process that made it: a forked child has a copy of this, and not the slots.
    """

    path: Path
    name: str
    seconds: float
    what: str
    holder: str | None = None
    granted: bool = False
    lost: bool = False
    since: float = field(default_factory=time.monotonic)
    process_id: int = field(default_factory=os.getpid)
    finalizer: "finalize[..., object] | None" = None


class _Heart:
    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all but the queue
        self._held: set[Held] = set()
        self._thread: threading.Thread | None = None
        self._next = 0.0  # when the thread looks again, if nothing is sent to it
        self._failing = False
        # What has lost its owner, and is to be given back; None only wakes the thread. A queue, because a finalizer
        # may run amid anything, also amid what holds the lock.
        self._messages: SimpleQueue[Held | None] = SimpleQueue()
        self.paths: set[Path] = set()  # files in which this process ever held anything

    def add(self, held: Held, owner: object) -> None:
        if owner is not None:
            held.finalizer = finalize(owner, self._messages.put, held)
            held.finalizer.atexit = False  # `_at_exit` does that at once for all
        with self._lock:
            self._held.add(held)
            self.paths.add(held.path)
            if self._thread is None or not self._thread.is_alive():  # an interrupt may have come before its start
                self._next = 0.0
                self._thread = threading.Thread(target=self._work, name="entrepot-leases", daemon=True)
                with suppress(RuntimeError):  # too late in the life of the process: what is left of it has a lease
                    self._thread.start()
            elif held.since + held.seconds / _BEATS < self._next:
                self._messages.put(None)

    def remove(self, held: Held) -> None:
        with self._lock:
            self._held.discard(held)
        if held.finalizer is not None:
            held.finalizer.detach()

    def _work(self) -> None:
        beat = 0.0  # when leases were renewed last
        while True:
            with self._lock:
                due = [max(beat, held.since) + held.seconds / _BEATS for held in self._held]
                self._next = min(due) if due else time.monotonic() + _LINGERS
            try:
                orphan = self._messages.get(timeout=max(0.0, self._next - time.monotonic()))
            except Empty:
                with self._lock:
                    if not self._held:
                        self._thread = None
                        return
                    everything = list(self._held)
                beat = time.monotonic()
                self._renew(everything)
            else:
                if orphan is not None:
                    self._give_back(orphan)

    def _renew(self, everything: list[Held]) -> None:
        for path in {held.path for held in everything}:
            ours = [held for held in everything if held.path == path and held.granted]
            claims = [held.name for held in ours if held.holder is None]
            locks = [(held.name, held.holder) for held in ours if held.holder is not None]
            try:
                kept = renew(path, claims, locks) if ours else set()
            except StorageError as error:
                if not self._failing:
                    _log.warning("leases cannot be renewed, and may be lost: %s", error)
                self._failing = True
                continue
            self._failing = False
            for held in ours:
                if held.name not in kept and held.granted:  # else it was given back meanwhile
                    self._lose(held)

    def _lose(self, held: Held) -> None:
        held.granted, held.lost = False, True
        _log.warning(
            "the lease on %s is lost, and others may hold them now: it was not renewed for %g seconds (the process was"
            " stopped, or busy in code that lets no other thread run), or somebody released it",
            held.what,
            held.seconds,
        )

    def _give_back(self, orphan: Held) -> None:
        """Give back what an interrupt tore out of the hands of its owner."""
        try:
            withdraw(orphan.path, orphan.name)
        except StorageError as error:
            _log.warning("%s end with their lease: %s", orphan.what, error)
        with self._lock:
            self._held.discard(orphan)


_heart = _Heart()


def hold(held: Held, owner: object = None) -> None:
    """Renew something's lease from now on, once it is granted.

    Args:
        held: What.
        owner: Who lets go of it; if this object is gone before that, the claim is given back.
    """
    _heart.add(held, owner)


def let_go(held: Held) -> None:
    """Renew it no more."""
    _heart.remove(held)


def _at_exit() -> None:
    """Give back what code that is cut off by the end of the process still holds."""
    for path in filter(Path.exists, _heart.paths):
        with suppress(StorageError), writing(path, patience=1.0) as connection:
            drop_process(connection, process_token(path.parent))


def _after_fork_in_child() -> None:
    """Hold nothing: the thread, and what it renews, stayed in the parent."""
    global _heart  # noqa: PLW0603  begun anew
    _heart = _Heart()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
