"""Who waits for slots in this process, so that a slot given back here is taken at once, without polling."""

import asyncio
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from operator import itemgetter
from queue import Empty, SimpleQueue

__all__ = ["AsyncBell", "Bell", "ring", "stop_listening"]


class Bell:
    """Wakes a thread that waits.

    Args:
        names: The limits that it waits for.

    Attributes:
        number: Its place in the queue, once it is known.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self.number: int | None = None
        # No threading.Event: an interrupt in the midst of its Python code would leave its lock locked for good.
        self._rings: SimpleQueue[None] = SimpleQueue()

    def listen(self) -> None:
        """Be rung from now on; what was rung before is forgotten."""
        self._rings = SimpleQueue()
        with _lock:
            _waiting.add(self)

    def ring(self) -> None:
        """Wake who waits, or who is about to."""
        self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for a ring, but not longer than this."""
        with suppress(Empty):
            self._rings.get(timeout=seconds)


class AsyncBell:
    """Wakes a coroutine that waits; made in its loop. Otherwise as `Bell`."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self.number: int | None = None
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def listen(self) -> None:
        """Be rung from now on; what was rung before is forgotten."""
        self._event.clear()
        with _lock:
            _waiting.add(self)

    def ring(self) -> None:
        """Wake who waits, or who is about to."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits there
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, but not longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


_lock = threading.Lock()
_waiting: set[Bell | AsyncBell] = set()


def stop_listening(bell: Bell | AsyncBell) -> None:
    """Be rung no more."""
    with _lock:
        _waiting.discard(bell)


def ring(names: Collection[str]) -> None:
    """Wake the first who waits for any of these limits. Who then gets its slots rings for the next one.

    Those whose place is not known yet are woken too: what they were just told may be out of date.
    """
    with _lock:
        listening = [bell for bell in _waiting if not bell.names.isdisjoint(names)]
    placed = [(bell.number, bell) for bell in listening if bell.number is not None]
    woken = [bell for bell in listening if bell.number is None]
    if placed:
        woken.append(min(placed, key=itemgetter(0))[1])
    for bell in woken:
        bell.ring()


def _after_fork_in_child() -> None:
    """Nobody waits here: they stayed in the parent."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
