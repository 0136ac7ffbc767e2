"""`entrepot runs`: what ran, how it went, and what ran inside it."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot.protocols.recorder import Heartbeat, RunCreated, RunEvent, RunTransition
from entrepot.runs import LocalRecorder, process_token
from entrepot.states import new_id

from .conftest import Invoke

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

RUN_FIELDS = [
    "run_id",
    "kind",
    "name",
    "definition",
    "key",
    "state_type",
    "state_name",
    "message",
    "attempts",
    "created",
    "started",
    "ended",
    "seconds",
    "parameters",
    "tags",
    "flow_run_id",
    "parent_run_id",
    "process_id",
]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entered(run_id: str, seconds: float, state: str, epoch: int = 1, message: str = "") -> RunTransition:
    return RunTransition(f"{run_id}-{seconds}", run_id, epoch, state.upper(), state, at(seconds), message)


@pytest.fixture
def story(entrepot_home: Path) -> None:
    """A flow with a subflow, a task that failed and one that was tried twice; and an older flow."""
    flow, sub, good, bad = (f"{letter * 8}-0000" for letter in "abcd")
    events: list[RunEvent] = [
        RunCreated("99999999-0000", "flow", "calm-fox", "other", "k", at(-10), process_id=os.getpid()),
        entered("99999999-0000", -9, "Running"),
        RunCreated(
            flow, "flow", "brave-otter", "etl", "k", at(0), parameters={"n": "1"}, tags=("x", "y"), process_id=1
        ),
        entered(flow, 1, "Running"),
        RunCreated(sub, "flow", "inner-owl", "inner", "k", at(2), parent_run_id=flow),
        entered(sub, 2, "Running"),
        RunCreated(good, "task", "good-1", "good", "k", at(3), flow_run_id=sub, parent_run_id=sub),
        entered(good, 3, "Running"),
        entered(good, 4, "Running", 2),
        entered(good, 4.5, "Completed", 2),
        entered(sub, 5, "Completed"),
        RunCreated(bad, "task", "bad-1", "bad", "k", at(6), flow_run_id=flow),
        entered(bad, 6, "Running"),
        entered(bad, 7, "Failed", message="ValueError: \x1b[31mno [bold]good"),
        entered(flow, 70, "Failed", message="1 of 2 failed"),
    ]
    recorder = LocalRecorder(entrepot_home / "runs.db")
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()


class TestList:
    def test_without_a_history_it_says_so(self, invoke: Invoke, entrepot_home: Path) -> None:
        found = invoke("runs")
        assert found.stdout == ""
        assert "no runs in" in found.stderr
        assert not entrepot_home.exists()

    @pytest.mark.parametrize("args", [["runs"], ["runs", "ls"]])
    def test_the_newest_flow_comes_first(self, args: list[str], invoke: Invoke, story: None) -> None:
        lines = invoke(*args).stdout.splitlines()[2:]
        assert [line.split()[:2] for line in lines] == [
            ["bbbbbbbb", "inner-owl"],
            ["aaaaaaaa", "brave-otter"],
            ["99999999", "calm-fox"],
        ]
        assert "Failed" in lines[1]
        assert "1 min 9 s" in lines[1]

    @pytest.mark.parametrize("command", [["runs"], ["runs", "ls"]])
    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            (["--limit", "1"], ["inner-owl"]),
            (["--state", "failed"], ["brave-otter"]),
            (["--flow", "other"], ["calm-fox"]),
            (["--kind", "task"], ["bad-1", "good-1"]),
            (["--kind", "all", "-n", "3"], ["bad-1", "good-1", "inner-owl"]),
            (["--state", "cached"], []),
        ],
    )
    def test_runs_are_chosen(
        self, command: list[str], args: list[str], expected: list[str], invoke: Invoke, story: None
    ) -> None:
        assert [run["name"] for run in invoke(*command, *args, "--json").data] == expected

    def test_the_fields_for_programs_are_these(self, invoke: Invoke, story: None) -> None:
        run = invoke("runs", "--flow", "etl", "--json").data[0]
        assert list(run) == RUN_FIELDS
        assert run["seconds"] == 69.0
        assert run["created"] == "2026-01-02T03:04:05+00:00"
        assert run["parameters"] == {"n": "1"}
        assert run["tags"] == ["x", "y"]
        assert invoke("runs", "--flow", "other", "--json").data[0]["seconds"] is None

    def test_a_kind_that_is_none_is_an_error(self, invoke: Invoke) -> None:
        assert "use flow, task or all" in invoke("runs", "--kind", "flwo", exit_code=1).stderr

    def test_a_damaged_history_is_one_clear_error(self, invoke: Invoke, entrepot_home: Path) -> None:
        entrepot_home.mkdir()
        (entrepot_home / "runs.db").write_bytes(b"no database " * 500)
        assert "cannot be read" in invoke("runs", exit_code=1).stderr


class TestShow:
    @pytest.mark.parametrize("wanted", ["aaaaaaaa-0000", "aaaa", "brave-otter"])
    def test_a_run_is_a_tree_with_states_times_and_errors(self, wanted: str, invoke: Invoke, story: None) -> None:
        text = invoke("runs", "show", wanted).stdout
        assert "brave-otter (aaaaaaaa-0000)" in text
        assert "1 of 2 failed" in text
        assert "\n  n        1\n" in text
        tree = text.splitlines()[-4:]
        assert tree == [
            "Failed brave-otter 1 min 9 s: 1 of 2 failed",
            "├── Completed inner-owl (bbbbbbbb) 3.0 s",
            "│   └── Completed good-1 (cccccccc) 1.5 s attempt 2",
            "└── Failed bad-1 (dddddddd) 1.0 s: ValueError: \\x1b[31mno [bold]good",
        ]

    def test_for_programs(self, invoke: Invoke, story: None) -> None:
        run = invoke("runs", "show", "brave-otter", "--json").data
        assert list(run) == [*RUN_FIELDS, "transitions", "children"]
        assert [one["state_name"] for one in run["transitions"]] == ["Running", "Failed"]
        assert list(run["transitions"][0]) == [
            "transition_id",
            "attempt",
            "state_type",
            "state_name",
            "timestamp",
            "message",
            "cache_key",
            "result_location",
        ]
        assert [child["name"] for child in run["children"]] == ["inner-owl", "bad-1"]
        assert [child["name"] for child in run["children"][0]["children"]] == ["good-1"]

    def test_a_slip_offers_the_near_names(self, invoke: Invoke, story: None) -> None:
        found = invoke("runs", "show", "brave-oter", exit_code=1)
        assert "near: brave-otter" in found.stderr

    def test_a_run_whose_process_is_gone_says_so_and_has_crashed_when_it_is_shown(
        self, invoke: Invoke, entrepot_home: Path
    ) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        recorder = LocalRecorder(entrepot_home / "runs.db")
        for run_id, process_id, token in (("gone", ended.pid, new_id()), ("here", os.getpid(), process_token())):
            recorder.record(Heartbeat(token, process_id, socket.gethostname(), at(0), at(1)))
            recorder.record(RunCreated(run_id, "flow", run_id, "f", "k", at(0), process_id=process_id, process=token))
            recorder.record(entered(run_id, 1, "Running"))
        recorder.flush()
        text = invoke("runs").stdout  # which looks at the locks of processes, and there is none
        assert text.count("Running") == 2
        assert text.count("(its process is gone)") == 1
        assert "ended without a word" in invoke("runs", "show", "gone").stdout
        assert "Crashed" in invoke("runs").stdout
        recorder.close()


def test_what_the_engine_does_is_told(invoke: Invoke, tmp_path: Path) -> None:
    """The whole way, in a process of its own: every state that the engine enters is one that the history takes."""
    program = tmp_path / "program.py"
    program.write_text(
        """
from entrepot.flows import flow
from entrepot.tasks import task

tries = 0

@task(retries=2)
def flaky():
    global tries
    tries += 1
    if tries < 3:
        raise ValueError("not yet")
    return tries

@task(retries=1, retry_delay_seconds=0.01)
def waits():
    raise KeyError("never")

@task(persist_result=True, result_serializer="json")
def kept(x):
    return x

@flow
def inner():
    return kept(1), kept(1)

rounds = 0

@flow(retries=1)
def outer():
    global rounds
    rounds += 1
    flaky()
    waits(return_state=True)
    inner()
    kept.submit(2).result()
    if rounds < 2:
        raise RuntimeError("once more")
    return 7

import logging
refused = []
recorder_log = logging.getLogger("entrepot.runs")
recorder_log.setLevel(logging.DEBUG)
recorder_log.addFilter(lambda record: refused.append(record.getMessage()) or True)
assert outer() == 7
assert refused == []
"""
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (outer,) = invoke("runs", "--flow", "outer", "--json").data
    assert (outer["state_name"], outer["attempts"]) == ("Completed", 2)
    run = invoke("runs", "show", outer["run_id"], "--json").data
    assert [one["attempt"] for one in run["transitions"]] == sorted(one["attempt"] for one in run["transitions"])
    assert run["transitions"][-1]["state_name"] == "Completed"

    def states(run: dict[str, object]) -> list[str]:
        return [one["state_type"] for one in run["transitions"]]  # type: ignore[index]

    children = run["children"]
    flaky = next(child for child in children if child["definition"] == "flaky")
    assert flaky["attempts"] == 3
    assert flaky["state_type"] == "COMPLETED"
    waits = next(child for child in children if child["definition"] == "waits")
    assert (waits["attempts"], waits["state_type"]) == (2, "FAILED")
    inner = next(child for child in children if child["definition"] == "inner")
    assert [child["state_name"] for child in inner["children"]] == ["Completed", "Cached"]
    for one in [run, *children, *inner["children"]]:
        assert states(one)[-1] in {"COMPLETED", "FAILED"}
        assert states(one)[0] in {"PENDING", "RUNNING", "COMPLETED"}
        assert one["seconds"] is not None or one["state_name"] == "Cached"
