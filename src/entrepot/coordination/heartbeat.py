"""What this process holds, and the thread that renews it: one for the process, and only while anything is held."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from entrepot.coordination.database import writing
from entrepot.coordination.leases import drop_process, renew
from entrepot.coordination.liveness import process_token
from entrepot.errors import StorageError

__all__ = ["Held", "hold", "let_go"]

_log = logging.getLogger("entrepot.concurrency")

_BEATS: Final = 3  # in the time that a lease lasts


@dataclass(eq=False, slots=True)
class Held:
    """Something that is held: slots by a claim, or a lock.

    Attributes:
        path: The file that says so.
        name: The id of the claim, or the key of the lock.
        seconds: How long the lease lasts.
        what: For people: `the slots of 'db'`.
        on_loss: Called once, in the thread, when the lease turns out to be lost.
        process_id: The process that took it: a forked child has a copy of this, and not the slots.
        lost: Whether the lease is lost.
    """

    path: Path
    name: str
    seconds: float
    what: str
    on_loss: Callable[[], None] | None = None
    process_id: int = field(default_factory=os.getpid)
    lost: bool = False


class _Heart:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[Held] = set()
        self._homes: set[Path] = set()  # files in which this process ever held anything
        self._thread: threading.Thread | None = None
        self._failing = False

    def add(self, held: Held) -> None:
        with self._changed:
            self._held.add(held)
            self._homes.add(held.path)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="entrepot-leases", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def remove(self, held: Held) -> None:
        with self._changed:
            self._held.discard(held)
            self._changed.notify_all()

    def paths(self) -> set[Path]:
        return self._homes

    def _work(self) -> None:
        beat = time.monotonic()  # the last one
        while True:
            with self._changed:
                while True:
                    if not self._held:
                        # It lingers, so that slots taken again and again do not mean a new thread each time.
                        if not self._changed.wait_for(lambda: self._held, timeout=1.0):
                            self._thread = None
                            return
                        beat = time.monotonic()
                    pause = beat + min(held.seconds for held in self._held) / _BEATS - time.monotonic()
                    if pause <= 0:
                        break
                    self._changed.wait(pause)
                held = list(self._held)
            beat = time.monotonic()
            self._renew(held)

    def _renew(self, all_held: list[Held]) -> None:
        for path in {held.path for held in all_held}:
            try:
                kept = renew(path, process_token(path.parent))
            except StorageError as error:
                if not self._failing:
                    _log.warning("leases cannot be renewed, and may be lost: %s", error)
                self._failing = True
                continue
            self._failing = False
            for held in all_held:
                if held.path == path and held.name not in kept:
                    self._lose(held)

    def _lose(self, held: Held) -> None:
        with self._changed:
            if held not in self._held:  # given back meanwhile
                return
            self._held.discard(held)
        held.lost = True
        _log.warning(
            "the lease on %s is lost, and others may hold them now: it was not renewed for %g seconds (the process was"
            " stopped, or busy in code that lets no other thread run), or somebody released it",
            held.what,
            held.seconds,
        )
        if held.on_loss is not None:
            held.on_loss()


_heart = _Heart()


def hold(held: Held) -> None:
    """Renew something's lease from now on."""
    _heart.add(held)


def let_go(held: Held) -> None:
    """Renew it no more."""
    _heart.remove(held)


def _at_exit() -> None:
    """Give back what code that is cut off by the end of the process still holds."""
    for path in _heart.paths():
        with suppress(StorageError), writing(path, patience=1.0) as connection:
            drop_process(connection, process_token(path.parent))


def _after_fork_in_child() -> None:
    """Hold nothing: the thread, and what it renews, stayed in the parent."""
    global _heart  # noqa: PLW0603  begun anew
    _heart = _Heart()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
