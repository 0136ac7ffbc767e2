"""Objects between two processes, over a socket: pickled, with large buffers beside the pickle, not in it."""

import mmap
import pickle
import select
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import cloudpickle

from entrepot.errors import SerializationError

__all__ = ["ANSWER", "CALL", "ERROR", "MESSAGE", "REFUSED", "SETUP", "Buffer", "Channel", "packed", "unpacked"]

Buffer: TypeAlias = bytearray | mmap.mmap

SETUP: Final = 1
CALL: Final = 2
MESSAGE: Final = 3
ANSWER: Final = 4
ERROR: Final = 5
REFUSED: Final = 6

_HEAD: Final = struct.Struct("!BI")  # what kind of thing, and how many parts follow
_LENGTH: Final = struct.Struct("!Q")
_LARGE: Final = 1 << 20  # bytes
_WINDOW: Final = 1 << 20  # bytes that may be on their way
_TOGETHER: Final = 65_536  # bytes that are copied to be sent in one go


class Channel:
    """One end of a socket. Several threads may send; one receives.

    Args:
        end: Connected, blocking.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WINDOW)
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, kind: int, value: object, what: str = "a message") -> None:
        """Send an object.

        Args:
            kind: What it is to the other end.
            value: The object.
            what: What it is called in messages.

        Raises:
            SerializationError: If it cannot be pickled; nothing was sent.
            OSError: If nobody is there.
        """
        parts = packed(value, what)
        head = _HEAD.pack(kind, len(parts)) + b"".join(_LENGTH.pack(part.nbytes) for part in parts)
        with self._lock:
            if len(head) + parts[0].nbytes <= _TOGETHER:
                self._end.sendall(head + parts[0])
            else:
                self._end.sendall(head)
                self._end.sendall(parts[0])
            for part in parts[1:]:
                self._end.sendall(part)

    def wait(self, seconds: float | None) -> bool:
        """Wait until there is something to receive, or the other end is gone; return whether that is so."""
        return bool(self._poll.poll(None if seconds is None else max(0, round(seconds * 1000 + 0.5))))

    def receive(self) -> tuple[int, list[Buffer]]:
        """Return what comes next, to be unpacked.

        Raises:
            EOFError: If the other end is gone.
        """
        try:
            kind, count = _HEAD.unpack(self._exactly(_HEAD.size))
            sizes = struct.unpack(f"!{count}Q", self._exactly(_LENGTH.size * count))
            return kind, [self._exactly(size) for size in sizes]
        except OSError as error:
            raise EOFError("the other end is gone") from error

    def _exactly(self, size: int) -> Buffer:
        # What is large goes into pages of its own: these are not filled with zeros first.
        buffer = bytearray(size) if size < _LARGE else mmap.mmap(-1, size)
        view = memoryview(buffer)
        while view:
            count = self._end.recv_into(view)
            if count == 0:
                raise EOFError("the other end is gone")
            view = view[count:]
        return buffer

    def break_off(self) -> None:
        """Let whoever waits here see the end, from any thread."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def close(self) -> None:
        """Let go of the socket."""
        self._end.close()


def packed(value: object, what: str) -> list[memoryview]:
    """Return the pickle of an object, and its large buffers as they lie in memory.

    Args:
        value: The object.
        what: What it is called in messages.

    Raises:
        SerializationError: If it cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception as error:
        raise SerializationError(
            f"{what} cannot be sent to another process: {type(error).__name__}: {error}",
            serializer="cloudpickle",
            path="",
        ) from error
    return [memoryview(data), *(buffer.raw() for buffer in buffers)]


def unpacked(parts: Sequence[Buffer]) -> Any:
    """Return the object again; its large buffers are those that were received.

    The other end is a process that this one started, or the one that started this: it runs the same code anyway.

    Raises:
        SerializationError: If what its pickle names is not here, or does not fit.
    """
    try:
        return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301  as said above
    except Exception as error:
        raise SerializationError(
            f"what another process sent cannot be read here: {type(error).__name__}: {error}",
            serializer="cloudpickle",
            path="",
        ) from error
