"""`entrepot runs show`: trees of any size are read by people."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot.protocols.recorder import ArtifactKept, LogLine, RunCreated, RunEvent, RunTransition
from entrepot.runs import LocalRecorder

from .conftest import Invoke

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FLOW = "ffffffff-0000"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entered(run_id: str, seconds: float, state: str, kind: str = "", message: str = "") -> RunTransition:
    return RunTransition(f"{run_id}-{seconds}", run_id, 1, (kind or state).upper(), state, at(seconds), message)


@pytest.fixture
def story(entrepot_home: Path) -> None:
    """A flow that extracted once, processed twelve items of which two failed, and loaded in a subflow."""
    events: list[RunEvent] = [
        RunCreated(FLOW, "flow", "brave-otter", "etl", "k", at(0)),
        entered(FLOW, 0, "Running"),
        RunCreated("e", "task", "extract-1", "extract", "k", at(1), flow_run_id=FLOW),
        entered("e", 1, "Cached", "COMPLETED"),
    ]
    for number in range(12):
        run_id = f"p{number}"
        events += [
            RunCreated(run_id, "task", f"process-{number}", "process", "k", at(2), flow_run_id=FLOW, upstream=["e"]),
            entered(run_id, 2, "Running"),
            entered(run_id, 3, *(("Failed", "", "ValueError: \x1b[2Jno") if number in (3, 7) else ("Completed",))),
        ]
    events += [
        RunCreated("s", "flow", "calm-fox", "loading", "k", at(4), flow_run_id=FLOW, upstream=["p0", "p1"]),
        entered("s", 4, "Running"),
        RunCreated("l", "task", "load-1", "load", "k", at(5), flow_run_id="s"),
        entered("l", 5, "Running"),
        entered("l", 6, "Completed"),
        entered("s", 7, "Completed"),
        LogLine("l", at(5), 20, "x", "hello", "s"),
        LogLine("s", at(5), 20, "x", "hello", "s"),
        ArtifactKept("a", "table", "[]", at(6), "prices", "", "l", "s"),
        entered(FLOW, 8, "Completed"),
    ]
    recorder = LocalRecorder(entrepot_home / "runs.db")
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()


def tree_of(text: str) -> list[str]:
    lines = text.splitlines()
    return lines[max(number for number, line in enumerate(lines) if not line.strip()) + 1 :]


def test_many_runs_of_one_task_are_one_line_with_those_that_failed(invoke: Invoke, story: None) -> None:
    assert tree_of(invoke("runs", "show", "brave-otter").stdout) == [
        "Completed brave-otter 8.0 s",
        "├── Cached extract-1 (e)",
        "├── process x 12: 10 completed, 2 failed 1.0 s",
        "│   ├── Failed process-3 (p3) 1.0 s <- extract-1: ValueError: \\x1b[2Jno",
        "│   └── Failed process-7 (p7) 1.0 s <- extract-1: ValueError: \\x1b[2Jno",
        "└── Completed calm-fox (s) 3.0 s <- process-0, process-1",
        "    └── Completed load-1 (l) 1.0 s",
    ]


def test_all_are_shown_on_request(invoke: Invoke, story: None) -> None:
    lines = tree_of(invoke("runs", "show", "brave-otter", "--all").stdout)
    assert len(lines) == 1 + 1 + 12 + 2
    assert "│   " not in "".join(lines)


@pytest.mark.parametrize(("depth", "count"), [("0", 2), ("1", 7), ("2", 7)])
def test_depth_limits_the_floors(depth: str, count: int, invoke: Invoke, story: None) -> None:
    lines = tree_of(invoke("runs", "show", "brave-otter", "--depth", depth).stdout)
    assert len(lines) == count
    assert ("1 run inside" in lines[-1]) == (depth == "1")


def test_it_says_where_logs_and_artifacts_are(invoke: Invoke, story: None) -> None:
    text = invoke("runs", "show", "calm-fox").stdout
    assert "Log        2 lines (entrepot runs logs s)" in text
    assert "prices" in text
    assert "Log  " not in invoke("runs", "show", "extract-1").stdout


def test_programs_get_every_run(invoke: Invoke, story: None) -> None:
    assert len(invoke("runs", "show", "brave-otter", "--json").data["children"]) == 14
