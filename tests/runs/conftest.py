"""Stories to record."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot.protocols.recorder import RunCreated, RunEvent, RunKind, RunTransition
from entrepot.runs import LocalRecorder

NAMES = {"RUNNING": "Running", "COMPLETED": "Completed", "FAILED": "Failed", "SCHEDULED": "AwaitingRetry"}


class Teller:
    """Makes events with ids and times that a test can foresee: one second apart."""

    def __init__(self) -> None:
        self.start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._count = itertools.count()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=next(self._count))

    def created(self, run_id: str, *, kind: RunKind = "flow", caller: str | None = None, **facts: object) -> RunCreated:
        defaults: dict[str, object] = {
            "name": f"name-of-{run_id}",
            "definition": "etl",
            "key": "flows:etl",
            "parent_run_id": caller,
            "flow_run_id": caller,
            "process_id": 4242,
        }
        return RunCreated(run_id=run_id, kind=kind, created=self.now(), **(defaults | facts))

    def entered(self, run_id: str, state_type: str, epoch: int = 1, **facts: object) -> RunTransition:
        number = next(self._count)
        defaults: dict[str, object] = {
            "transition_id": f"transition-{number}",
            "state_name": NAMES.get(state_type, state_type.title()),
        }
        return RunTransition(
            run_id=run_id,
            epoch=epoch,
            state_type=state_type,
            timestamp=self.start + timedelta(seconds=number),
            **(defaults | facts),
        )

    def whole(self, run_id: str, *states: str, **facts: object) -> list[RunEvent]:
        return [
            self.created(run_id, **facts),
            *[self.entered(run_id, state) for state in states or ("RUNNING", "COMPLETED")],
        ]


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs.db"


@pytest.fixture
def open_recorder(database: Path) -> Iterator[Callable[..., LocalRecorder]]:
    opened = []

    def make(path: Path = database, **options: object) -> LocalRecorder:
        recorder = LocalRecorder(path, **options)
        opened.append(recorder)
        return recorder

    yield make
    for recorder in opened:
        recorder.close()


@pytest.fixture
def recorder(open_recorder: Callable[..., LocalRecorder]) -> LocalRecorder:
    return open_recorder()
