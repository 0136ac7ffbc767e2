"""Pauses between processes: asked in one, answered from another, outliving the one that asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.flow_runs.answering import Waiting, waiting
from entrepot.runs import RunHistory, default_path
from entrepot_test_people import HUNTER, wait_until

PROGRAM = """
import asyncio, sys
from entrepot import flow
from entrepot.context import CURRENT
from entrepot.flow_runs import pause_flow_run, suspend_flow_run
from entrepot.input import RunInput
from pydantic import SecretStr, field_validator

class Approval(RunInput):
    ok: bool
    number: int = 3
    token: SecretStr = SecretStr("")

    @field_validator("number")
    @classmethod
    def check(cls, value):
        if value > 9:
            raise ValueError("at most nine")
        return value

kind, root = sys.argv[1], sys.argv[2]

def begin():
    if root:
        CURRENT.get().engine.root_id = root  # what resuming does

@flow(name="asks")
def pauses():
    begin()
    first = pause_flow_run(Approval.with_initial_data(description="Publish it?"), poll_interval=0.05)
    print("first", first.ok, first.number, first.token.get_secret_value(), flush=True)
    second = pause_flow_run(int, poll_interval=0.05)
    print("second", second, flush=True)

@flow(name="asks")
async def pauses_async():
    begin()
    first = await pause_flow_run(Approval.with_initial_data(description="Publish it?"), poll_interval=0.05)
    print("first", first.ok, first.number, first.token.get_secret_value(), flush=True)
    second = await pause_flow_run(int, poll_interval=0.05)
    print("second", second, flush=True)

@flow(name="asks")
def suspends():
    begin()
    print("first", suspend_flow_run(int), flush=True)

found = {"pauses": pauses, "pauses_async": pauses_async, "suspends": suspends}[kind]()
if kind == "pauses_async":
    asyncio.run(found)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    running: list[subprocess.Popen[str]] = []

    def begin(kind: str, root: str = "") -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                [sys.executable, str(script), kind, root],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return running[-1]

    yield begin
    for one in running:
        one.kill()
        one.communicate()


def cli(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "entrepot", *args], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def asked(run_id: str | None = None) -> Waiting:
    """Return the open question, once the history knows who asks."""
    found: Any = wait_until(
        lambda: (
            [one for one in waiting() if one.run is not None and one.run.state_name == "Paused"]
            if run_id is None
            else [one for one in waiting() if one.pause.run_id == run_id]
        )
    )
    (one,) = found
    return one  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["pauses", "pauses_async"])
def test_a_flow_in_one_process_is_answered_from_another(
    kind: str, start: Callable[..., subprocess.Popen[str]], entrepot_home: Path
) -> None:
    process = start(kind)
    one = asked()
    listed = json.loads(cli("runs", "waiting", "--json").stdout)
    assert [(each["run_id"], each["message"], each["process_is_gone"]) for each in listed] == [
        (one.pause.run_id, "Publish it?", False)
    ]
    refused = cli("runs", "answer", one.pause.run_id, "--json-input", "-", stdin='{"ok": true, "number": 12}')
    assert refused.returncode == 1
    assert "at most nine" in refused.stderr
    taken = cli("runs", "answer", one.pause.run_id, "--json-input=-", stdin=json.dumps({"ok": True, "token": HUNTER}))
    assert taken.returncode == 0, taken.stderr
    assert "it goes on" in taken.stderr
    wait_until(lambda: [each for each in waiting() if each.pause.key == "pause-2"])
    assert cli("runs", "answer", one.pause.run_id[:8], "value=7").returncode == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines() == [f"first True 3 {HUNTER}", "second 7"]
    assert HUNTER not in err
    assert "The answer to pause-1 is refused: it does not fit: number: at most nine" in err
    for file in entrepot_home.rglob("*"):
        if file.is_file():
            assert HUNTER.encode() not in file.read_bytes(), file


def test_a_run_that_was_killed_while_it_waited_is_answered_and_goes_on_where_it_is_resumed(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    first = start("pauses")
    one = asked()
    root = one.pause.root_run_id
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    listed = cli("runs", "waiting").stdout
    assert "its process is gone" in listed
    said = cli("runs", "answer", root, "ok=yes", "number=5")
    assert said.returncode == 0, said.stderr
    assert f"entrepot runs resume {root}" in said.stderr
    assert "waits for an answer" in cli("runs", "waiting").stderr
    second = start("pauses", root)
    again = wait_until(lambda: [each for each in waiting() if each.pause.key == "pause-2"])[0]
    assert again.pause.run_id != root
    os.kill(second.pid, signal.SIGKILL)  # once more: what was answered before it stays answered
    out, _ = second.communicate()
    assert out.splitlines() == ["first True 5 "]
    third = start("pauses", root)
    last = wait_until(lambda: [each for each in waiting() if each.pause.run_id not in {root, again.pause.run_id}])[0]
    assert cli("runs", "answer", last.pause.run_id, "--json-input=8").returncode == 0
    out, err = third.communicate(timeout=60)
    assert out.splitlines() == ["first True 5 ", "second 8"], err


def test_an_interrupt_ends_a_run_that_waits_and_takes_its_question_back(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start("pauses")
    run_id = asked().pause.run_id
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert waiting() == []
    run = RunHistory(default_path()).get(run_id)
    assert run.state_type in {"CRASHED", "CANCELLED"}
    answer = cli("runs", "answer", run_id)
    assert answer.returncode == 1
    assert "waits for no answer" in answer.stderr


def test_a_suspended_run_leaves_its_process_and_is_answered_meanwhile(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    first = start("suspends")
    _, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "PausedRunError" in err
    (one,) = waiting()
    assert one.run is not None
    assert (one.run.state_type, one.run.state_name) == ("PAUSED", "Suspended")
    assert "suspended" in cli("runs", "waiting").stdout
    said = cli("runs", "answer", one.name, "value=4")
    assert said.returncode == 0, said.stderr
    assert f"entrepot runs resume {one.pause.run_id}" in said.stderr
    second = start("suspends", one.pause.root_run_id)
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "first 4\n"), err


def test_a_subflow_that_waited_when_its_process_was_killed_is_paused_no_more_once_the_run_is_resumed(
    tmp_path: Path,
) -> None:
    script = tmp_path / "nested.py"
    script.write_text(
        "import os\n"
        "from entrepot import flow, pause_flow_run\n"
        "@flow\n"
        "def inner():\n    pause_flow_run(poll_interval=0.05)\n"
        "@flow(persist_result=True)\n"
        "def outer():\n    if 'ASKS' in os.environ:\n        inner()\n    return 1\n"
        "if __name__ == '__main__':\n    outer()\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "ASKS": "1"})
    one = asked()
    process.kill()
    process.wait()
    resumed = cli("runs", "resume", one.pause.root_run_id)
    assert resumed.returncode == 0, resumed.stderr
    assert RunHistory(default_path()).get(one.pause.run_id).state_name == "Resumed"
