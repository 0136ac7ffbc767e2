"""The history knows where a run failed, once, also where the caller was the one who got the exception."""

from pathlib import Path

import pytest

from entrepot import flow, settings, task
from entrepot.engine.world import World, use_world
from entrepot.runs import LocalRecorder, RunHistory
from entrepot.runs.logs import RunLogs
from entrepot.testing import FrozenClock


@task
def broken() -> None:
    raise KeyError("as planned")


@flow
def calls() -> None:
    broken()


@flow
def catches() -> None:
    with pytest.raises(KeyError):
        broken()


@flow
def submits() -> None:
    broken.submit().result()


@pytest.mark.parametrize("which", [calls, catches, submits])
def test_a_traceback_is_kept_once_with_the_run_that_raised(which: object, tmp_path: Path) -> None:
    recorder = LocalRecorder(tmp_path / "runs.db")
    with use_world(World(settings.current(), recorder, FrozenClock())):
        state = which(return_state=True)  # type: ignore[operator]
    recorder.close()
    history = RunHistory(tmp_path / "runs.db")
    (run,) = history.list(flow=which.name)  # type: ignore[attr-defined]
    lines = [
        line for line in RunLogs(history, run.run_id).read() if "Traceback (most recent call last)" in line.message
    ]
    assert state.is_completed() is (which is catches)
    assert len(lines) == 1
    assert lines[0].run_id != run.run_id
    assert 'raise KeyError("as planned")' in lines[0].message
    assert "in broken" in lines[0].message
