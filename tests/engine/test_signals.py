"""Ctrl-C and SIGTERM: programs end by that signal, and leave a history in which every run has its end.

What they do would take ten minutes: nobody waits here for the end of that.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from entrepot.runs.history import RunHistory, RunSummary

PATIENCE = 120  # seconds; it takes one or two
HEAD = """
import asyncio, os, sys, threading, time
from entrepot import flow, task
from entrepot.task_runners import ThreadPoolTaskRunner

def told(_flow, _run, state):
    print("hook", state.name, flush=True)

def ready():
    print("ready", flush=True)

def spin():
    while True:
        pass

sleeps = task(lambda _=None: time.sleep(600), name="sleeps")
spins = task(lambda _=None: spin(), name="spins")
quick = task(lambda n=1: n, name="quick")
hooked = flow(on_cancellation=[told], on_crashed=[told])
"""
SYNC = {
    "in the flow itself": "def f(): ready(); time.sleep(600)",
    "in a task": "def f(): task(lambda: (ready(), time.sleep(600)), name='t')()",
    "in a task that computes": "def f(): task(lambda: (ready(), spin()), name='t')()",
    "in a subflow": "def f(): flow(lambda: (ready(), time.sleep(600)), name='sub')()",
    "in result()": "def f(): future = sleeps.submit(); ready(); future.result()",
    "in result() of computing tasks": "def f(): futures = spins.map([1, 2, 3]); ready(); futures.result()",
    "while much is mapped": "def f(): threading.Timer(1, ready).start(); sleeps.map(range(5000))",
    "at the end of the flow": "def f(): sleeps.map(range(10)); ready()",
    "between two attempts": (
        "def f():\n"
        "    @task(retries=1, retry_delay_seconds=600)\n"
        "    def t(): threading.Timer(0.5, ready).start(); raise ValueError\n"
        "    t()"
    ),
    "between two attempts in a thread": (
        "def f():\n"
        "    @task(retries=1, retry_delay_seconds=600)\n"
        "    def t(): threading.Timer(0.5, ready).start(); raise ValueError\n"
        "    t.submit().result()"
    ),
    "in a process of its own": (
        "def f():\n    @task(isolation='process')\n    def t(): print('ready', flush=True); time.sleep(600)\n    t()"
    ),
    "in processes": (
        "def f():\n"
        "    @task(isolation='process')\n"
        "    def t(n): n == 0 and print('ready', flush=True); time.sleep(600)\n"
        "    t.map(range(3)).result()"
    ),
    "with tasks that submit tasks": (
        "def f():\n"
        "    @task\n"
        "    def t(n):\n"
        "        futures = sleeps.map(range(3))\n"
        "        n or ready()\n"
        "        futures.result()\n"
        "    t.map(range(3)).result()"
    ),
}
ASYNC = {
    "async: in the flow itself": "async def f(): ready(); await asyncio.sleep(600)",
    "async: in gathered tasks": (
        "async def f():\n"
        "    @task\n"
        "    async def t(n): n or ready(); await asyncio.sleep(600)\n"
        "    await asyncio.gather(*[t(n) for n in range(50)])"
    ),
    "async: with submitted tasks": (
        "async def f():\n"
        "    @task\n"
        "    async def t(n): await asyncio.sleep(600)\n"
        "    t.map(range(5)); sleeps.map(range(5)); ready()"
    ),
}
UNDER_UVLOOP = {
    f"uvloop: {name}": HEAD
    + "import uvloop\n"
    + f"@hooked\n{ASYNC[name]}\n"
    + "with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:\n    runner.run(f())\n"
    for name in ("async: in gathered tasks", "async: with submitted tasks")
}
PROGRAMS = {name: HEAD + f"@hooked\n{text}\nf()\n" for name, text in SYNC.items()} | {
    name: HEAD + f"@hooked\n{text}\nasyncio.run(f())\n" for name, text in ASYNC.items()
}
PROGRAMS |= UNDER_UVLOOP


class Program:
    """A script that is run, and gets a signal when it says that it is ready."""

    def __init__(self, folder: Path, code: str) -> None:
        script = folder / "script.py"
        script.write_text(code)
        self.errors = folder / "errors"
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=errors, text=True)

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int) -> tuple[int, list[str]]:
        """Send a signal; return the exit code and the lines that were still printed."""
        self.send(number)
        try:
            output, _ = self._process.communicate(timeout=PATIENCE)
        finally:
            self._process.kill()
        return self._process.returncode, output.splitlines()


def runs_in(home: Path) -> list[RunSummary]:
    return RunHistory(home / "runs.db").list(limit=10_000, kind=None)


def ends_in(home: Path, kind: str) -> Counter[str | None]:
    runs = runs_in(home)
    assert all(run.is_terminal or run.state_name == "NotReady" for run in runs)
    return Counter(run.state_name for run in runs if run.kind == kind)


@pytest.mark.parametrize("where", PROGRAMS)
def test_ctrl_c_cancels_what_runs(where: str, tmp_path: Path, entrepot_home: Path) -> None:
    program = Program(tmp_path, PROGRAMS[where])
    assert program.read() == "ready"
    code, printed = program.end(signal.SIGINT)
    assert code == -signal.SIGINT
    assert printed == ["hook Cancelled"]
    assert "KeyboardInterrupt" in program.errors.read_text()
    assert set(ends_in(entrepot_home, "flow")) == {"Cancelled"}
    assert set(ends_in(entrepot_home, "task")) <= {"Cancelled"}


@pytest.mark.parametrize(
    "where",
    [
        "in the flow itself",
        "in a task that computes",
        "in result()",
        "between two attempts",
        "in processes",
        "async: in gathered tasks",
        "async: with submitted tasks",
        *UNDER_UVLOOP,
    ],
)
def test_sigterm_crashes_what_runs_and_ends_the_process(where: str, tmp_path: Path, entrepot_home: Path) -> None:
    program = Program(tmp_path, PROGRAMS[where])
    assert program.read() == "ready"
    code, printed = program.end(signal.SIGTERM)
    assert code == -signal.SIGTERM
    assert printed == ["hook Crashed"]
    runs = runs_in(entrepot_home)
    assert {run.state_name for run in runs} == {"Crashed"}
    assert all("SIGTERM" in run.message for run in runs)


HUNDRED = (
    HEAD
    + """
@task(isolation="process")
def in_a_process(n): time.sleep(600)

@flow(task_runner=ThreadPoolTaskRunner(max_workers=120))
def f():
    kept = quick.with_options(persist_result=True, result_serializer="json").map(range(10))
    futures = [*sleeps.map(range(80)), *spins.map(range(5)), *in_a_process.map(range(15))]
    kept.result()
    ready()
    futures[0].result()

f()
"""
)


def test_a_hundred_tasks_at_a_time_are_cancelled_at_once(tmp_path: Path, entrepot_home: Path) -> None:
    program = Program(tmp_path, HUNDRED)
    assert program.read() == "ready"
    code, _ = program.end(signal.SIGINT)
    assert code == -signal.SIGINT
    assert ends_in(entrepot_home, "flow") == {"Cancelled": 1}
    assert ends_in(entrepot_home, "task") == {"Cancelled": 100, "Completed": 10}
    assert len(list((entrepot_home / "results").rglob("*"))) >= 10
    (flow_run,) = [run for run in runs_in(entrepot_home) if run.kind == "flow"]
    shown = subprocess.run(
        [sys.executable, "-m", "entrepot", "runs", "show", flow_run.run_id],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "Cancelled" in shown.stdout


STUBBORN = (
    HEAD
    + """
@task
def stubborn():
    ready()
    while True:
        try:
            time.sleep(600)
        except BaseException:
            print("no", flush=True)

def hook(*_):
    print("in the hook", flush=True)
    time.sleep(600)

@flow(on_cancellation=[hook])
def f():
    stubborn.submit().result()
f()
"""
)


def test_an_interrupt_that_does_not_wake_the_main_thread_ends_its_wait(tmp_path: Path, entrepot_home: Path) -> None:
    # So it is where one comes just before the main thread waits; to send it to another thread is the same, each time.
    code = (
        HEAD
        + """
import signal

@task
def struck():
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(600)

@hooked
def f():
    struck.submit().result()
f()
"""
    )
    program = Program(tmp_path, code)
    assert program.read() == "hook Cancelled"
    code_, _ = program.end(0)
    assert code_ == -signal.SIGINT
    assert ends_in(entrepot_home, "flow") == {"Cancelled": 1}


def test_a_second_ctrl_c_ends_the_process_whatever_it_does(tmp_path: Path) -> None:
    program = Program(tmp_path, STUBBORN)
    assert program.read() == "ready"
    time.sleep(0.2)
    program.send(signal.SIGINT)
    time.sleep(0.2)  # it waits for the task now, or is in the hook; two signals of one moment would be one
    code, _ = program.end(signal.SIGINT)
    assert code == -signal.SIGINT


def test_a_second_ctrl_c_interrupts_a_hook(tmp_path: Path, entrepot_home: Path) -> None:
    program = Program(tmp_path, STUBBORN)
    assert program.read() == "ready"
    time.sleep(0.2)
    program.send(signal.SIGINT)
    while (said := program.read()) == "no":
        pass
    assert said == "in the hook"
    time.sleep(0.2)
    code, _ = program.end(signal.SIGINT)
    assert code == -signal.SIGINT
    assert {run.state_name for run in runs_in(entrepot_home)} == {"Cancelled"}


def test_a_program_that_catches_the_interrupt_goes_on(tmp_path: Path, entrepot_home: Path) -> None:
    code = (
        HEAD
        + """
@task
def sleeps():
    ready()
    time.sleep(600)

@flow
def f():
    try:
        sleeps()
    except KeyboardInterrupt:
        return quick()

print(f(), f(), signal_handlers(), flush=True)
""".replace("signal_handlers()", "__import__('signal').getsignal(2).__name__")
    )
    program = Program(tmp_path, code)
    assert program.read() == "ready"
    program.send(signal.SIGINT)
    assert program.read() == "ready"
    code_, printed = program.end(signal.SIGINT)
    assert (code_, printed) == (0, ["1 1 default_int_handler"])
    assert ends_in(entrepot_home, "task") == {"Cancelled": 2, "Completed": 2}
    assert ends_in(entrepot_home, "flow") == {"Completed": 2}


def test_handlers_of_the_program_are_left_alone(tmp_path: Path, entrepot_home: Path) -> None:
    code = (
        "import signal\n"
        + HEAD
        + """
heard = []

def hear(name):
    heard.append(name)
    print(name, flush=True)

signal.signal(signal.SIGTERM, lambda *_: hear("my own"))
signal.signal(signal.SIGINT, lambda *_: hear("mine too"))

@flow
def f():
    ready()
    while len(heard) < 2:
        time.sleep(0.01)
    return "done"

print(f(), flush=True)
"""
    )
    program = Program(tmp_path, code)
    assert program.read() == "ready"
    program.send(signal.SIGINT)
    assert program.read() == "mine too"
    assert program.end(signal.SIGTERM) == (0, ["my own", "done"])


def test_a_forked_child_of_a_task_is_ended_by_signals_as_any_other(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        + HEAD
        + """
@task
def forks():
    begun, begins = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begins, b"!")
        time.sleep(600)
        os._exit(0)
    os.read(begun, 1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

print(flow(forks)(), flush=True)
"""
    )
    program = Program(tmp_path, code)
    assert program.read() == "-15"
    assert program.end(0)[0] == 0


def test_what_is_submitted_outside_flows_is_cancelled_when_its_end_is_not_waited_for(
    tmp_path: Path, entrepot_home: Path
) -> None:
    program = Program(tmp_path, HEAD + "sleeps.submit(); spins.submit(); ready()\n")
    assert program.read() == "ready"
    time.sleep(0.2)  # for a moment, Python tells an interrupt at its own end and goes on
    program.end(signal.SIGINT)
    assert ends_in(entrepot_home, "task") == {"Cancelled": 2}


def test_what_is_submitted_outside_flows_is_cancelled_when_an_interrupt_ended_the_program(
    tmp_path: Path, entrepot_home: Path
) -> None:
    program = Program(tmp_path, HEAD + "sleeps.submit(); spins.submit(); ready(); time.sleep(600)\n")
    assert program.read() == "ready"
    program.end(signal.SIGINT)
    assert ends_in(entrepot_home, "task") == {"Cancelled": 2}
