"""Stories of runs as events, and programs at terminals."""

import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from entrepot.protocols.recorder import RunCreated, RunKind, RunTransition
from entrepot_test_terminals import Terminal, terminals

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

STATES = {
    "Pending": "PENDING",
    "NotReady": "PENDING",
    "AwaitingRetry": "SCHEDULED",
    "Scheduled": "SCHEDULED",
    "Running": "RUNNING",
    "Retrying": "RUNNING",
    "Paused": "PAUSED",
    "Completed": "COMPLETED",
    "Cached": "COMPLETED",
    "Failed": "FAILED",
    "TimedOut": "FAILED",
    "Crashed": "CRASHED",
    "Cancelled": "CANCELLED",
}


class Teller:
    """Makes events, one second apart."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def now(self) -> datetime:
        return START + timedelta(seconds=next(self._count))

    def flow(self, run_id: str, definition: str = "etl", *, inside: str | None = None, name: str = "") -> RunCreated:
        return self._created("flow", run_id, definition, inside, name)

    def task(self, run_id: str, definition: str = "load", *, inside: str | None = "f", name: str = "") -> RunCreated:
        return self._created("task", run_id, definition, inside, name)

    def enters(self, run_id: str, state: str, epoch: int = 1, message: str = "") -> RunTransition:
        number = next(self._count)
        when = START + timedelta(seconds=number)
        return RunTransition(f"transition-{number}", run_id, epoch, STATES[state], state, when, message)

    def _created(self, kind: RunKind, run_id: str, definition: str, inside: str | None, name: str) -> RunCreated:
        return RunCreated(run_id, kind, name or f"name-of-{run_id}", definition, "key", self.now(), inside, inside)


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def run_at_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start a script at a terminal."""
    with terminals(HOME=str(tmp_path)) as start:

        def call(script: str, *args: str, **options: str) -> Terminal:
            path = tmp_path / "script.py"
            path.write_text(dedent(script))
            return start([sys.executable, str(path), *args], cwd=str(tmp_path), **options)

        yield call
