"""`entrepot runs logs`: what a run said, and what it says right now."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from entrepot.protocols.recorder import LogLine, RunCreated, RunEvent, RunTransition
from entrepot.runs import LocalRecorder, RunHistory, RunLogs, default_path
from entrepot_test_processes import until

from .conftest import Invoke

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
FLOW, TASK = "aaaaaaaa-0000", "bbbbbbbb-0000"


def entered(run_id: str, state: str) -> RunTransition:
    return RunTransition(f"{run_id}-{state}", run_id, 1, state.upper(), state, START)


def line(run_id: str, message: str, level: int = 20, logger: str = "entrepot.flow_runs") -> LogLine:
    return LogLine(run_id, START, level, logger, message, FLOW)


@pytest.fixture
def tell(entrepot_home: Path) -> Callable[..., None]:
    def call(*events: RunEvent) -> None:
        recorder = LocalRecorder(default_path())
        for event in events:
            recorder.record(event)
        recorder.close()

    return call


@pytest.fixture
def story(tell: Callable[..., None]) -> None:
    """A flow that has ended, with a task."""
    tell(
        RunCreated(FLOW, "flow", "brave-otter", "etl", "k", START, process_id=os.getpid()),
        entered(FLOW, "Running"),
        RunCreated(TASK, "task", "extract-1", "extract", "k", START, flow_run_id=FLOW, parent_run_id=FLOW),
        line(FLOW, "beginning"),
        line(TASK, "working\nhard", 30),
        line(TASK, "GET /", 20, "httpx"),
        line(FLOW, "\x1b[31mred\x07", 40),
        entered(FLOW, "Completed"),
    )


class TestLines:
    def test_say_when_how_bad_who_and_what(self, story: None, invoke: Invoke) -> None:
        shown = invoke("runs", "logs", "brave-otter").stdout
        assert re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:", "", shown, flags=re.MULTILINE) == (
            "05.678 | INFO    | brave-otter - beginning\n"
            "05.678 | WARNING | extract-1 - working\nhard\n"
            "05.678 | INFO    | extract-1 [httpx] - GET /\n"
            "05.678 | ERROR   | brave-otter - \\x1b[31mred\\x07\n"
        )

    def test_are_those_that_are_asked_for(self, story: None, invoke: Invoke) -> None:
        def said(*options: str) -> list[str]:
            return [
                json.loads(one)["message"]
                for one in invoke("runs", "logs", "aaaa", "--json", *options).stdout.splitlines()
            ]

        assert said() == ["beginning", "working\nhard", "GET /", "\x1b[31mred\x07"]
        assert said("--no-children") == ["beginning", "\x1b[31mred\x07"]
        assert said("--level", "warning") == said("--level", "30") == ["working\nhard", "\x1b[31mred\x07"]
        assert said("-n", "2") == ["beginning", "working\nhard"]
        assert said("-n", "1", "--tail") == said("-n", "1", "-t", "--level", "ERROR") == ["\x1b[31mred\x07"]
        assert said("-n", "1", "--follow") == ["\x1b[31mred\x07"]

    def test_are_json_objects_for_programs(self, story: None, invoke: Invoke) -> None:
        first, *_ = map(json.loads, invoke("runs", "logs", TASK, "--json").stdout.splitlines())
        assert first == {
            "run_id": TASK,
            "run_name": "extract-1",
            "kind": "task",
            "flow_run_id": FLOW,
            "timestamp": "2026-01-02T03:04:05.678000+00:00",
            "level": 30,
            "level_name": "WARNING",
            "logger": "entrepot.flow_runs",
            "message": "working\nhard",
        }

    def test_that_are_not_there_are_missed_aloud(self, story: None, invoke: Invoke) -> None:
        outcome = invoke("runs", "logs", "brave-otter", "--level", "critical")
        assert outcome.stdout == ""
        assert outcome.stderr.startswith("no such log lines of brave-otter in ")

    def test_of_a_run_that_is_not_there_are_an_error(self, story: None, invoke: Invoke) -> None:
        assert "near: brave-otter" in invoke("runs", "logs", "brave-oter", exit_code=1).stderr

    def test_of_no_level_are_an_error(self, story: None, invoke: Invoke) -> None:
        assert "use debug, info" in invoke("runs", "logs", FLOW, "--level", "loud", exit_code=1).stderr

    def test_have_colours_at_a_terminal(self, story: None, terminal: Any) -> None:
        seen = terminal(["runs", "logs", "brave-otter"])
        assert seen.end() == 0
        assert "\x1b[33m" in seen.seen
        assert "\x1b[31m2026-" in seen.seen
        assert "\\x1b[31mred" in seen.seen
        plain = terminal(["runs", "logs", "brave-otter"], NO_COLOR="1")
        assert plain.end() == 0
        assert "\x1b" not in plain.seen

    def test_are_not_broken_where_the_terminal_ends(
        self, story: None, tell: Callable[..., None], terminal: Any
    ) -> None:
        tell(line(FLOW, "x" * 500))
        seen = terminal(["runs", "logs", "brave-otter"], COLUMNS="40")
        assert seen.end() == 0
        assert "x" * 500 in seen.seen

    def test_that_nobody_reads_to_the_end_are_no_error(self, story: None, tell: Callable[..., None]) -> None:
        tell(*[line(FLOW, "x" * 1000) for _ in range(500)])
        command = [sys.executable, "-m", "entrepot", "runs", "logs", FLOW]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""


FLOW_SCRIPT = """
import sys, time
from pathlib import Path
from entrepot import flow, task, get_run_logger

def wait_for(name):
    while not (Path(sys.argv[1]) / name).exists():
        time.sleep(0.02)

@task
def step():
    get_run_logger().info("in the task")
    wait_for("second")
    get_run_logger().warning("second")

@flow(log_prints=True)
def long_flow():
    print("first")
    step()
    wait_for("third")
    print("third")

long_flow()
"""


class Running:
    """A flow that runs in a process of its own, and does its next step when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = folder / "script.py"
        script.write_text(FLOW_SCRIPT)
        self.process = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            runs = RunHistory(default_path()).list() if default_path().exists() else ()
            if runs:
                break
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.02)
        self.name, self._run_id = runs[0].name, runs[0].run_id

    def tell(self, name: str) -> None:
        (self.folder / name).touch()

    def has_said(self, text: str) -> bool:
        return any(text in one.message for one in RunLogs(RunHistory(default_path()), self._run_id).read())


@pytest.fixture
def running(tmp_path: Path, entrepot_home: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


class TestFollowing:
    def test_shows_lines_as_they_are_written_until_the_run_has_ended(self, running: Running, terminal: Any) -> None:
        seen = terminal(["runs", "logs", running.name, "--follow"])
        seen.wait_for("in the task")
        assert "second" not in seen.seen
        running.tell("second")
        seen.wait_for("- second")
        running.tell("third")
        assert seen.end() == 0
        order = [
            "- first",
            "- in the task",
            "- second",
            "- third",
            "- Finished in state Completed()",
            "has ended: Completed",
        ]
        places = [seen.seen.rindex(text) for text in order]
        assert places == sorted(places)
        assert seen.seen.count("- first") == 1

    def test_ends_when_the_process_of_the_flow_has_died(self, running: Running, terminal: Any) -> None:
        until(lambda: running.has_said("in the task"))  # it is the last line then
        seen = terminal(["runs", "logs", running.name, "-f", "-n", "1"])
        seen.wait_for("in the task")
        assert "- first" not in seen.seen
        running.process.kill()
        running.process.wait()
        assert seen.end() == 0
        assert f"{running.name} is Running and will not go on: its process {running.process.pid} is gone" in seen.seen

    def test_goes_on_where_a_run_is_paused_whose_process_has_left(
        self, tell: Callable[..., None], terminal: Any
    ) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        tell(
            RunCreated(FLOW, "flow", "brave-otter", "etl", "k", START, process_id=gone.pid),
            entered(FLOW, "Running"),
            line(FLOW, "to be continued"),
            entered(FLOW, "Paused"),
        )
        seen = terminal(["runs", "logs", FLOW, "-f"])
        seen.wait_for("to be continued")
        with pytest.raises(AssertionError, match="does not end"):
            seen.end(1)
        tell(entered(FLOW, "Completed"), line(FLOW, "the end"))
        assert seen.end() == 0
        assert "- the end" in seen.seen

    def test_ends_quietly_at_ctrl_c(self, running: Running, terminal: Any) -> None:
        seen = terminal(["runs", "logs", running.name, "-f"])
        seen.wait_for("in the task")
        os.kill(seen.process.pid, signal.SIGINT)
        assert seen.end() == 130
        assert "Traceback" not in seen.seen
        assert "Abort" not in seen.seen

    def test_gives_programs_each_line_at_once(self, running: Running) -> None:
        command = [sys.executable, "-m", "entrepot", "runs", "logs", running.name, "-f", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            said = []
            for text in process.stdout:
                said.append(json.loads(text)["message"])
                if said[-1] == "in the task":
                    running.tell("second")
                if said[-1] == "second":
                    running.tell("third")
            assert said[-2:] == ["third", "Finished in state Completed()"]
            assert process.stderr.read() == f"{running.name} has ended: Completed\n"
