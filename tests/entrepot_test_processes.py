"""Python programs run by tests, told to do something and listened to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

__all__ = ["Program", "said_at_once", "start_program", "until"]


class Program:
    """A Python program that says on its stdout how far it has come."""

    def __init__(self, source: str, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", source, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def says(self, line: str) -> None:
        """Wait for its next line, which is this one."""
        assert self.process.stdout is not None
        found = self.process.stdout.readline().rstrip("\n")
        assert found == line, self.process.communicate(timeout=30)

    def tell(self, line: str = "") -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, returncode: int = 0) -> tuple[str, str]:
        """Wait for its end; return what else it wrote."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == returncode, err
        return out, err

    def kill(self) -> None:
        """End it as a crash of the machine would: without a word."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it stand still, and wait until it does."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture
def start_program() -> Iterator[Callable[..., Program]]:
    """Start programs, and end those that are left at the end."""
    started: list[Program] = []

    def start(source: str, *args: str) -> Program:
        started.append(Program(source, *args))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()


def said_at_once(*commands: Sequence[object], seconds: float = 120) -> list[str]:
    """Run Python with each of these arguments, and let all go on at one moment; return what each says then.

    Each program says "ready" in a line of its own, and waits for one on its stdin.
    """
    processes = [
        subprocess.Popen([sys.executable, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=seconds)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


def until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)
