"""The process that forks workers: one thread, no user code, everything imported that they need.

To fork a program with threads is to copy its locks in whatever state they are. To start each worker afresh costs a
tenth of a second and, with `multiprocessing`, runs the user's script again. So one small process is started, and forks.

It ends when the process that started it does, however that ends, and takes every worker with it.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

__all__ = ["BOOT", "KILL", "REQUEST", "SPAWN", "main"]

SPAWN: Final = 1
KILL: Final = 2

REQUEST: Final = struct.Struct("!BQi")
"""What is asked, of which worker (a number that the asker gives it), with which signal. SPAWN comes with files: the
worker's end of the channel, where its process id and then its end are told, its output and its errors."""

BOOT: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {module} import main; main()"
_FILES: Final = 4
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def main() -> None:
    """Serve until the other end of the control socket is gone; called in the new process, with its arguments."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in json.loads(sys.argv[3]):
        import_module(name)
    _Zygote(control).serve()


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, tuple[int, int]] = {}  # number -> process id, and where its end is told
        self._numbers: dict[int, int] = {}
        self._doomed: set[int] = set()
        self._wakes, wake = os.pipe()
        for end in (self._wakes, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._own = [control.fileno(), self._wakes, wake]

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        while True:
            for file, _ in poll.poll():
                if file == self._wakes:
                    with suppress(BlockingIOError):
                        os.read(self._wakes, 4096)
                elif not self._answer():
                    for pid, _ in self._workers.values():
                        _kill(pid, signal.SIGKILL)
                    return
            self._reap()

    def _answer(self) -> bool:
        """Do what is asked; return whether there is still somebody to ask."""
        request, files = b"", []
        while len(request) < REQUEST.size:
            try:
                more, more_files, _, _ = socket.recv_fds(self._control, REQUEST.size - len(request), _FILES)
            except OSError:
                return False
            if not more:
                return False
            request += more
            files += more_files
        what, number, argument = REQUEST.unpack(request)
        if what == SPAWN:
            self._spawn(number, files)
        elif number in self._workers:
            self._doomed.add(number)
            _kill(self._workers[number][0], argument)
        return True

    def _spawn(self, number: int, files: list[int]) -> None:
        channel, end, output, errors = files
        try:
            pid = os.fork()
        except OSError:  # no process or no memory is left: the asker sees that both its files are closed
            for file in files:
                os.close(file)
            return
        if pid == 0:
            others = [*self._own, end, *(end for _, end in self._workers.values())]
            _become_worker(channel, output, errors, others)  # it never returns
        with suppress(OSError):
            os.setpgid(pid, pid)
        for file in (channel, output, errors):
            os.close(file)
        self._workers[number] = (pid, end)
        self._numbers[pid] = number
        with suppress(OSError):
            os.write(end, struct.pack("!i", pid))

    def _reap(self) -> None:
        """Tell of each worker that has ended how it did."""
        while True:
            try:
                # It is looked at before it is buried: as long as it lies there, no other can have its number.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            number = self._numbers.pop(pid)
            _, end = self._workers.pop(number)
            if number in self._doomed:
                self._doomed.discard(number)
                _kill(pid, signal.SIGKILL)  # what it started itself
            _, status = os.waitpid(pid, 0)
            with suppress(OSError):  # nobody wants to know
                os.write(end, struct.pack("!i", os.waitstatus_to_exitcode(status)))
            os.close(end)


def _kill(pid: int, number: int) -> None:
    """Send a signal to a worker, and to all that it started and did not put into groups of their own."""
    with suppress(OSError):
        os.killpg(pid, number)


def _become_worker(channel: int, output: int, errors: int, others: list[int]) -> NoReturn:
    """Go on as a worker, in the forked process."""
    code, parent = 1, os.getppid()
    try:
        os.setpgid(0, 0)
        _end_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for old, new in ((output, 1), (errors, 2)):
            os.dup2(old, new)
        for file in (output, errors, *others):
            if file > 2:  # noqa: PLR2004  its own output and errors are what it was to get
                os.close(file)
        from entrepot.task_runners.serving import serve  # noqa: PLC0415  imported already where workers are used

        code = serve(socket.socket(fileno=channel))
    except BaseException:  # noqa: BLE001  this frame is the first of a process: nobody is above it
        with suppress(BaseException):
            sys.excepthook(*sys.exc_info())
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with_parent(parent: int) -> None:
    """Let the kernel end this process when the one that forked it ends, where it can (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  only where it is of use

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, see prctl(2)
    if os.getppid() != parent:
        os._exit(1)  # it ended a moment before
