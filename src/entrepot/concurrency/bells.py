"""Who waits for slots in this process, so that a slot given back here is taken at once, without polling."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection
from contextlib import suppress

__all__ = ["AsyncBell", "Bell", "ring", "stop_listening"]

_lock = threading.Lock()
_waiting: dict[Bell | AsyncBell, None] = {}  # in the order in which they came


class Bell:
    """Wakes a thread that waits.

    Args:
        names: The limits that it waits for.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self._event = threading.Event()

    def listen(self) -> None:
        """Be rung from now on; what was rung before is forgotten."""
        self._event.clear()
        with _lock:
            _waiting[self] = None

    def ring(self) -> None:
        """Wake who waits, or who is about to."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait for a ring, but not longer than this."""
        self._event.wait(seconds)


class AsyncBell:
    """Wakes a coroutine that waits; made in its loop.

    Args:
        names: The limits that it waits for.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def listen(self) -> None:
        """Be rung from now on; what was rung before is forgotten."""
        self._event.clear()
        with _lock:
            _waiting[self] = None

    def ring(self) -> None:
        """Wake who waits, or who is about to."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits there
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, but not longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


def stop_listening(bell: Bell | AsyncBell) -> None:
    """Be rung no more."""
    with _lock:
        _waiting.pop(bell, None)


def ring(names: Collection[str]) -> None:
    """Wake the first who waits for any of these limits. Who then gets its slots rings for the next one."""
    with _lock:
        first = next((bell for bell in _waiting if not bell.names.isdisjoint(names)), None)
    if first is not None:
        first.ring()


def _after_fork_in_child() -> None:
    """Nobody waits here: they stayed in the parent."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
