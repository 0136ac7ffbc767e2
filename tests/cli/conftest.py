"""The command line, called in this process, or as a program, or at a terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from entrepot.cli.app import app
from entrepot_test_terminals import Terminal, terminals


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


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    with terminals(HOME=str(tmp_path), COLUMNS="200") as start:

        def call(args: Sequence[str], **variables: str) -> Terminal:
            return start([sys.executable, "-m", "entrepot", *args], **variables)

        yield call
