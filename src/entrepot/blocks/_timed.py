"""Sockets whose reads and writes end at a deadline, all together.

A plain time-out would start anew with each byte that a slow server sends.
"""

import io
import socket
import time
from typing import Any

__all__ = ["TimedReader", "arm"]


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
