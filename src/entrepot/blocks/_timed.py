"""What ends at a deadline: all reads and writes of a socket together, and calls that know no time-out.

A plain time-out of a socket would start anew with each byte that a slow server sends.
"""

import io
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["TimedReader", "arm", "in_time"]

T = TypeVar("T")


class TimedReader(io.RawIOBase):
    """Reads from a socket.

    Attributes:
        deadline: By `time.monotonic()`; a later one may be set.
    """

    def __init__(self, source: socket.socket, deadline: float = 0.0) -> None:
        self.deadline = deadline
        self._source = source

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, at most what there is room for.

        Raises:
            TimeoutError: If nothing came until the deadline.
        """
        arm(self._source, self.deadline)
        return self._source.recv_into(buffer)


def arm(connection: socket.socket, deadline: float) -> None:
    """Let what a socket does next end at a deadline.

    Raises:
        TimeoutError: If that is past.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)


def in_time(call: Callable[[], T], deadline: float) -> T:
    """Return what a call returns. If it takes too long, it is left behind on a thread, which holds up no exit.

    Raises:
        TimeoutError: If it has not returned by the deadline.
    """
    ended: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:  # noqa: BLE001  raised below
            ended.put((None, error))

    threading.Thread(target=run, name="entrepot-in-time", daemon=True).start()
    try:
        found, error = ended.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("timed out") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]  # without an error it is what was returned
