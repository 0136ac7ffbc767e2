"""Ctrl-C, exits and lost threads: the run is recorded as cancelled or crashed, and nobody waits for ever."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.futures import EntrepotFuture
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner
from entrepot_test_processes import until

SLEEPING = """
import sys, time
from entrepot import flow, task
from entrepot.futures import EntrepotFuture
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner

@task
def slow(n):
    time.sleep(0.2)

@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def f():
    WHAT
f()
"""
WHAT = {
    "in a task": "task(lambda: (print('ready', flush=True), time.sleep(600)), name='long')()",
    "in the flow": "print('ready', flush=True); time.sleep(600)",
    "while waiting for futures": "fs = slow.map(range(1000)); print('ready', flush=True); fs.result()",
    "while waiting at the end": "slow.map(range(1000)); print('ready', flush=True)",
}


@pytest.mark.parametrize("where", WHAT)
def test_an_interrupt_ends_the_program_soon_and_is_recorded(where: str, tmp_path: Path, entrepot_home: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLEEPING.replace("WHAT", WHAT[where]))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode in {-signal.SIGINT, 130, 1}
    assert "KeyboardInterrupt" in errors
    with sqlite3.connect(f"file:{entrepot_home}/runs.db?mode=ro", uri=True) as database:
        text = "\n".join(str(row) for row in database.iterdump())
    assert "CANCELLED" in text


def test_a_killed_program_leaves_a_readable_history(tmp_path: Path, entrepot_home: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLEEPING.replace("WHAT", "slow(1); print('ready', flush=True); time.sleep(60)"))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()

    def is_told() -> bool:
        with (
            contextlib.suppress(sqlite3.OperationalError),  # it is being made
            contextlib.closing(sqlite3.connect(f"file:{entrepot_home}/runs.db?mode=ro", uri=True)) as database,
        ):
            return "slow-1" in "\n".join(str(row) for row in database.iterdump())
        return False

    until(is_told)
    process.kill()
    process.wait(30)
    process.stdout.close()
    assert is_told()


@pytest.mark.parametrize(
    ("interrupt", "end"),
    [(KeyboardInterrupt, "Cancelled"), (SystemExit, "Crashed"), (GeneratorExit, "Crashed")],
)
def test_an_interrupt_goes_through_every_level(interrupt: type[BaseException], end: str, journal: Any) -> None:
    @task(retries=3)
    def inner() -> None:
        raise interrupt

    @flow(retries=3)
    def middle() -> None:
        inner()

    @flow(retries=3)
    def outer() -> None:
        try:
            middle()
        except Exception:  # noqa: BLE001  the kind of handler that must not see an interrupt
            pytest.fail("an interrupt is no Exception")

    with pytest.raises(interrupt):
        outer(return_state=True)
    for name in ("inner", "middle", "outer"):
        assert journal.states(name) == ["Running", end]


def test_a_cancelled_group_ends_its_tasks_as_cancelled(journal: Any) -> None:
    @task
    async def waits(n: int) -> None:
        await asyncio.sleep(60)

    @task
    async def fails() -> None:
        await asyncio.sleep(0.02)
        raise KeyError("x")

    @flow
    async def f() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(waits(n))
            group.create_task(fails())

    with pytest.raises(ExceptionGroup):
        asyncio.run(f())
    states = [said[-1].state_name for run, said in journal.transitions.items() if journal.created[run].kind == "task"]
    assert sorted(states) == ["Cancelled", "Cancelled", "Cancelled", "Failed"]
    assert journal.states("f") == ["Running", "Failed"]


def test_a_cancelled_async_flow_cancels_what_it_submitted(journal: Any) -> None:
    gate, started, ran = threading.Event(), threading.Event(), []
    futures: list[EntrepotFuture[Any]] = []

    @task
    def slow(n: int) -> None:
        ran.append(n)
        started.set()
        gate.wait(60)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    async def f() -> None:
        futures.extend(slow.map(range(5)))

    async def main() -> None:
        running = asyncio.create_task(f())
        await asyncio.to_thread(started.wait, 60)
        running.cancel()
        await asyncio.to_thread(futures[-1].wait, 60)
        gate.set()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert ran == [0]
    assert journal.states("f") == ["Running", "Cancelled"]
    assert journal.states("slow-5") == ["Cancelled"]


def test_an_interrupt_while_a_task_is_submitted_leaves_nothing_to_wait_for(journal: Any) -> None:
    class Interrupted(SequentialTaskRunner):
        def submit(self, call: Any, /) -> Any:
            raise KeyboardInterrupt

    @flow(task_runner=Interrupted())
    def f() -> None:
        task(lambda: 1, name="never").submit()

    with pytest.raises(KeyboardInterrupt):
        f()
    assert journal.states("never") == ["Cancelled"]
    assert journal.states("f") == ["Running", "Cancelled"]


def test_a_task_that_is_interrupted_while_it_waits_for_its_inputs_is_cancelled(
    journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def f() -> None:
        future = task(lambda: time.sleep(0.2), name="slow").submit()
        with monkeypatch.context() as patch:
            patch.setattr(EntrepotFuture, "wait", interrupted)
            task(lambda _: 1, name="needs")(future)

    with pytest.raises(KeyboardInterrupt):
        f()
    assert journal.states("needs") == ["Cancelled"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_run_flows_of_its_own(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from entrepot import flow, task\n"
        "@task\n"
        "def inc(n): return n + 1\n"
        "@flow\n"
        "def f(): return sum(inc.map(range(10)).result())\n"
        "assert f() == 55\n"
        "assert inc.submit(1).result() == 2\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ok = f() == 55 and inc.submit(1).result(timeout=30) == 2\n"
        "    os._exit(0 if ok else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert f() == 55\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leaves", ["sys.exit(3)", "1 / 0"])
def test_a_forked_child_that_leaves_a_task_says_nothing_of_the_parents_run(leaves: str, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from entrepot import flow, task\n"
        "@task\n"
        "def forks():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        f"        {leaves}\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "print(flow(forks, name='f')())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert ran.stdout.strip() == ("3" if "exit" in leaves else "1")
    assert ran.returncode == 0
    assert "Crashed" not in ran.stderr
    assert "Failed" not in ran.stderr
    assert ran.stderr.count("Completed") == 2
