"""Worker processes, as the process that uses them sees them."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import Any, Final

from entrepot._stops import current_guard
from entrepot.errors import CrashedRunError, SerializationError, TimedOutError
from entrepot.task_runners import zygote
from entrepot.task_runners.channel import ANSWER, CALL, MESSAGE, REFUSED, SETUP, Buffer, Channel, unpacked
from entrepot.task_runners.serving import RemoteTraceback, surroundings

__all__ = ["Worker"]

_GRACE: Final = 0.5  # seconds between SIGTERM and SIGKILL
_NUMBER: Final = struct.Struct("!i")
_TRIES: Final = 3
_START: Final = 60.0  # seconds: the first one comes with the start of Python, on a machine that may be busy
_LAST: Final = 5.0  # seconds for the kernel to bury a process that was killed
_PRELOADED: Final = ("entrepot.task_runners.serving", "entrepot.engine.remote", "entrepot.tasks", "entrepot.flows")
"""What workers need, imported once for all of them. By name: they are on floors above this one."""


class Worker:
    """A process that calls functions, one at a time, for one thread at a time.

    Raises:
        CrashedRunError: If it cannot be started.
    """

    def __init__(self) -> None:
        self._closed = False
        for _ in range(_TRIES):
            if self._starts():
                return
        raise CrashedRunError("a process could not be started; what starts them may say why in the program's errors")

    def _starts(self) -> bool:
        """Let a process be started; return whether it was. Who starts them may have been lost, or have no room."""
        ours, theirs = socket.socketpair()
        self._ends, end = os.pipe()
        self._channel = Channel(ours)
        self._told = b""  # by who starts it: the process id, then how it ended
        try:
            with theirs:
                self._starter = _zygote()
                self._number = self._starter.spawn(theirs.fileno(), end)
            os.close(end)
            end = -1
            if self._hear_told(_NUMBER.size, _START):
                self._channel.send(SETUP, surroundings())
                return True
        except OSError:
            pass  # it was lost just now
        finally:
            if end != -1:
                os.close(end)
        self._channel.close()
        os.close(self._ends)
        return False

    def call(self, work: Callable[..., Any], timeout: float | None, hear: Callable[[Any], object]) -> Any:
        """Call a function there, and return what it returns, or raise what it raises.

        Args:
            work: Called there, with a function that sends messages.
            timeout: Seconds after which the process is ended; None for never.
            hear: Called here with each message.

        Raises:
            TimedOutError: If the time is over.
            CrashedRunError: If the process ended without an answer.
            SerializationError: If the function or its result cannot go there and back.
            StopRun: If this thread is to stop; the process was ended.
        """
        guard = current_guard()
        mode = guard.enter()
        deadline = None if timeout is None else monotonic() + timeout
        try:
            guard.waker = self._channel.break_off
            guard.settle()
            kind, parts = self._exchange(work, deadline, hear)
        except SerializationError:
            raise  # nothing was sent: it can be used for another call
        except TimedOutError:  # it is an OSError, too
            guard.waker = None
            self.end()
            raise
        except (EOFError, OSError) as error:
            guard.waker = None
            self.end(kindly=True)
            guard.settle()
            raise CrashedRunError(f"its process {self._how_it_ended()}") from error
        except BaseException:
            guard.waker = None
            self.end()
            raise
        finally:
            guard.waker = None
            guard.restore(mode)
            guard.go_if_abandoned()
        if kind == ANSWER:
            return unpacked(parts)
        if kind == REFUSED:
            raise SerializationError(unpacked(parts), serializer="cloudpickle", path="")
        raised_there, text = unpacked(parts)
        raised_there.__cause__ = RemoteTraceback(text)
        raise raised_there

    def _exchange(
        self, work: Callable[..., Any], deadline: float | None, hear: Callable[[Any], object]
    ) -> tuple[int, list[Buffer]]:
        self._channel.send(CALL, work, "its function, or an argument,")
        while True:
            if not self._channel.wait(None if deadline is None else deadline - monotonic()):
                raise TimedOutError("its process was ended", seconds=0.0)
            kind, parts = self._channel.receive()
            if kind != MESSAGE:
                return kind, parts
            with suppress(SerializationError):
                hear(unpacked(parts))

    @property
    def closed(self) -> bool:
        """Whether it can be used no more."""
        return self._closed

    def close(self) -> None:
        """Let it end by itself; it has nothing to do."""
        if not self._closed:
            self._closed = True
            self._channel.close()
            os.close(self._ends)

    def end(self, *, kindly: bool = False) -> None:
        """End it: politely first, so that its code can clean up; half a second later, whatever it does.

        Args:
            kindly: Whether it may have ended already, so that it is first asked how.
        """
        if self._closed:
            return
        self._closed = True
        self._channel.break_off()
        try:
            if not (kindly and self._has_ended(_GRACE / 10)):
                self._starter.kill(self._number, signal.SIGTERM)
                if not self._has_ended(_GRACE):
                    self._starter.kill(self._number, signal.SIGKILL)
                    self._has_ended(_LAST)
        finally:
            self._channel.close()
            os.close(self._ends)

    def is_well(self) -> bool:
        """Return whether it can still be used: it may have been killed while it had nothing to do."""
        try:
            while self._channel.wait(0):
                self._channel.receive()  # what a thread there still had to say of a call that is over
        except EOFError:
            return False
        return True

    def _has_ended(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        return self._hear_told(2 * _NUMBER.size, seconds) is not None

    def _hear_told(self, size: int, seconds: float) -> bool | None:
        """Wait until so much was told; return whether it was, or None if it was not told in time."""
        poll = select.poll()
        poll.register(self._ends, select.POLLIN)
        deadline = monotonic() + seconds
        while len(self._told) < size:
            if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
                return None
            more = os.read(self._ends, size - len(self._told))
            if not more:
                return False  # who would tell it is gone
            self._told += more
        return True

    def _how_it_ended(self) -> str:
        (pid,) = _NUMBER.unpack(self._told[: _NUMBER.size])
        if len(self._told) < 2 * _NUMBER.size:
            return f"(id {pid}) was lost with the one that starts them"
        (code,) = _NUMBER.unpack(self._told[_NUMBER.size :])
        if code >= 0:
            return f"(id {pid}) ended with exit code {code}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
            hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
            return f"(id {pid}) was ended by {name}{hint}"
        return f"(id {pid}) was ended by signal {-code}"


# --- who starts them --------------------------------------------------------------------------------------------------


class _Zygote:
    """Our end of the process that forks workers."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            if not sys.executable:
                raise OSError("sys.executable does not say where Python is")
            module = zygote.__name__
            process = subprocess.Popen(  # noqa: S603  Python itself
                [
                    sys.executable,
                    *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]  # noqa: SLF001  as multiprocessing does
                    "-c",
                    zygote.BOOT.format(module=module),
                    str(theirs.fileno()),
                    json.dumps([entry for entry in sys.path if isinstance(entry, str)]),
                    json.dumps(_PRELOADED),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for us; we end our workers
            )
        process.returncode = 0  # it ends when we do: nobody waits for it, and that is no oversight
        self._lock = threading.Lock()
        self._numbers = count(1)

    def spawn(self, channel: int, end: int) -> int:
        """Let a worker be forked; return its number.

        Raises:
            OSError: If nobody is there.
        """
        number = next(self._numbers)
        request = zygote.REQUEST.pack(zygote.SPAWN, number, 0)
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            output, errors = (file if _is_open(file) else nothing for file in (1, 2))
            with self._lock:
                socket.send_fds(self._control, [request], [channel, end, output, errors])
        finally:
            os.close(nothing)
        return number

    def kill(self, number: int, which: int) -> None:
        """Send a worker a signal; one that has ended does not mind."""
        with self._lock, suppress(OSError):
            self._control.sendall(zygote.REQUEST.pack(zygote.KILL, number, which))

    def is_there(self) -> bool:
        """Return whether the process is alive."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return not poll.poll(0)  # it never says anything: there is only an end to read

    def close(self) -> None:
        """Let it end."""
        self._control.close()


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


_the_zygote: _Zygote | None = None
_starting = threading.Lock()


def _zygote() -> _Zygote:
    global _the_zygote  # noqa: PLW0603  one for each process, started on first need
    with _starting:
        if _the_zygote is None or not _the_zygote.is_there():
            _the_zygote = _Zygote()
        return _the_zygote


def _after_fork_in_child() -> None:
    global _the_zygote, _starting  # noqa: PLW0603  it is the parent's, and must see its end
    if _the_zygote is not None:
        _the_zygote.close()
    _the_zygote = None
    _starting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
