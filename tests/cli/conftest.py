"""The command line, called in this process, or as a program, or at a terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from entrepot.cli.app import app


@dataclass
class Outcome:
    """What a call of the command line left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


Invoke = Callable[..., Outcome]


@pytest.fixture
def invoke() -> Invoke:
    def call(*args: str, stdin: str = "", exit_code: int = 0) -> Outcome:
        found = CliRunner().invoke(app, list(args), input=stdin, prog_name="entrepot")
        outcome = Outcome(found.exit_code, found.stdout, found.stderr)
        assert outcome.exit_code == exit_code, outcome
        assert "\x1b" not in outcome.stdout + outcome.stderr
        assert "Traceback" not in outcome.stderr
        return outcome

    return call


@pytest.fixture
def program(tmp_path: Path) -> Invoke:
    """`python -m entrepot`, with a HOME of its own."""

    def call(*args: str, stdin: str | None = None, **variables: str) -> Outcome:
        found = subprocess.run(
            [sys.executable, "-m", "entrepot", *args],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(tmp_path), **variables},
        )
        return Outcome(found.returncode, found.stdout, found.stderr)

    return call


@dataclass
class Terminal:
    """A program that runs at a terminal of its own."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Read until the program has written this."""
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} was not written; seen: {self.seen!r}"
            if not self._read(0.1) and self.process.poll() is not None:
                assert text in self.seen[start:], f"it ended; seen: {self.seen!r}"

    def type(self, text: str) -> None:
        """Write as a person would."""
        os.write(self.descriptor, text.encode())

    def end(self, seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; seen: {self.seen!r}"
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def terminal(tmp_path: Path) -> Any:
    opened: list[Terminal] = []

    def start(args: Sequence[str], **variables: str) -> Terminal:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "entrepot", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "HOME": str(tmp_path), "TERM": "xterm-256color", "COLUMNS": "200", **variables},
        )
        os.close(theirs)
        opened.append(Terminal(process, ours))
        return opened[-1]

    yield start
    for one in opened:
        one.process.kill()
        one.process.wait()
        os.close(one.descriptor)
