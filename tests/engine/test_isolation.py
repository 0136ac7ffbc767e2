"""Tasks in processes of their own: what goes there and back, what they find there, and how they are ended."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import entrepot_test_tasks as tasks
from entrepot import flow, get_run_logger, tags, task
from entrepot._secrets import forget_secrets, mask
from entrepot.blocks.system import Secret
from entrepot.context import TaskRunContext, get_run_context
from entrepot.errors import CrashedRunError, FailedRunError, SerializationError, TimedOutError
from entrepot.protocols.recorder import LogLine
from entrepot.task_runners import ProcessPoolTaskRunner, SequentialTaskRunner, ThreadPoolTaskRunner, workers
from entrepot.task_runners.channel import Channel
from entrepot_test_clocks import hold_engine
from entrepot_test_processes import until

HERE = os.getpid()
SHORT = 0.3


def isolated(fn: Any, **options: Any) -> Any:
    return task(fn, isolation="process", name="t", **options)


class TestThereAndBack:
    def test_it_is_another_process(self, journal: Any) -> None:
        assert isolated(os.getpid)() != HERE
        assert journal.states("t") == ["Running", "Completed"]

    def test_arguments_and_results_of_all_kinds(self) -> None:
        assert isolated(lambda *args, **kwargs: (args, kwargs))(1, "x", b=[None]) == ((1, "x"), {"b": [None]})

    def test_closures_and_what_they_close_over(self) -> None:
        offset, add = 10, lambda a, b: a + b
        assert isolated(lambda n: add(n, offset))(1) == 11

    def test_functions_of_modules_are_found_there_by_name(self) -> None:
        assert tasks.uses_a_lock(1) == 1  # the list there is a fresh one
        assert tasks.uses_a_lock.with_options(name="other")(1) == 1
        assert tasks.CALLS == []

    def test_methods(self) -> None:
        assert tasks.Shop("Entrepot").sell("rope") == "Entrepot sells rope"
        assert tasks.Shop.price(2) == tasks.Shop("x").price(2) == 4

    def test_a_task_that_calls_itself(self) -> None:
        assert tasks.recursive(3) == 3

    def test_large_arrays_come_back_whole_and_can_be_written_to(self) -> None:
        array = np.arange(2_000_000, dtype=np.float64)
        back = isolated(lambda a, b: (a * 2, b))(array, array[:10])
        assert np.array_equal(back[0], array * 2)
        back[0][0] = 1.0
        assert np.array_equal(back[1], array[:10])

    def test_an_async_flow_does_not_stop_its_loop_for_it(self, tmp_path: Path) -> None:
        ticks: list[int] = []
        mark = tmp_path / "six ticks"

        def waits() -> int:
            until(mark.exists)
            return 5

        @flow
        async def f() -> int:
            async def tick() -> None:
                while True:
                    ticks.append(1)
                    if len(ticks) == 6:
                        mark.touch()
                    await asyncio.sleep(0.01)

            ticking = asyncio.create_task(tick())
            await asyncio.sleep(0)
            value: int = await asyncio.to_thread(isolated(waits))
            ticking.cancel()
            return value

        assert asyncio.run(f()) == 5

    def test_a_script_needs_no_guard_and_is_not_run_again(self, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "from dataclasses import dataclass\n"
            "from entrepot import flow, task\n"
            "print('top', flush=True)\n"
            "FACTOR = 3\n"
            "@dataclass\n"
            "class Point:\n"
            "    x: int\n"
            "def helper(n): return n * FACTOR\n"
            "@task\n"
            "def inner(n): return n + 1\n"
            "class OwnError(Exception): pass\n"
            "@task(isolation='process')\n"
            "def work(point): return Point(inner(helper(point.x)))\n"
            "@task(isolation='process')\n"
            "def fails(): raise OwnError('mine')\n"
            "try:\n"
            "    fails()\n"
            "except OwnError as error:\n"
            "    print(error)\n"
            "@flow(task_runner='processes')\n"
            "def f(): return [work(Point(1)), *inner.map([1, 2]).result()]\n"
            "print(f() == [Point(4), 2, 3])\n"
        )
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
        assert ran.stdout.splitlines() == ["top", "mine", "True"]


class TestWhatCannotBeSent:
    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: isolated(lambda _: None)(tasks.LOCK), "its function, or an argument, cannot be sent"),
            (isolated(threading.Lock), "its result cannot be sent"),
        ],
        ids=["an argument", "a result"],
    )
    def test_it_is_said(self, call: Any, words: str) -> None:
        with pytest.raises(SerializationError, match=f"task 't' cannot run in another process: {words}.*lock"):
            call()

    def test_options_that_cannot_be_sent_are_not_needed_there(self) -> None:
        lock = tasks.LOCK

        def hook(*_: object) -> None:
            assert lock

        assert isolated(lambda: 1, on_completion=[hook])() == 1


class TestErrors:
    def test_they_keep_their_type_and_show_where_they_were_raised(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken() -> None:
            raise KeyError("there")

        with pytest.raises(KeyError, match="there") as caught:
            isolated(broken)()
        text = str(caught.value.__cause__)
        assert "in another process" in text
        assert "in broken" in text
        assert "KeyError: 'there'" in text

    def test_those_that_hold_what_cannot_be_pickled_keep_the_rest(self) -> None:
        def broken() -> None:
            raise tasks.UnpicklableError(3, reason="odd")

        with pytest.raises(tasks.UnpicklableError, match=r"odd \(3\)") as caught:
            isolated(broken)()
        assert caught.value.code == 3
        assert "lock" in caught.value.lock

    def test_those_of_classes_that_cannot_be_sent_have_a_stand_in(self) -> None:
        def broken() -> None:
            class LocalError(Exception):
                lock = __import__("threading").Lock()

            raise LocalError("odd")

        with pytest.raises(FailedRunError, match=r"LocalError: odd"):
            isolated(broken)()

    def test_an_exit_there_is_one_here(self, journal: Any) -> None:
        with pytest.raises(SystemExit) as caught:
            isolated(lambda: sys.exit(3))()
        assert caught.value.code == 3
        assert journal.states("t") == ["Running", "Crashed"]


class TestLostProcesses:
    @pytest.mark.parametrize(
        ("end", "words"),
        [
            (lambda: os._exit(7), "ended with exit code 7"),
            (lambda: os.kill(os.getpid(), signal.SIGSEGV), "ended by SIGSEGV"),
            (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended by SIGKILL; .* out of memory"),
        ],
        ids=["exit", "segfault", "kill"],
    )
    def test_the_run_crashes_and_says_how(self, end: Any, words: str, journal: Any) -> None:
        hooks: list[str] = []
        with pytest.raises(CrashedRunError, match=rf"Task run 't-\d+' crashed: .*{words}"):
            isolated(end, on_crashed=[lambda _t, _r, state: hooks.append(state.name)])()
        assert journal.states("t") == ["Running", "Crashed"]
        assert hooks == ["Crashed"]

    def test_it_is_tried_again(self, tmp_path: Path, journal: Any) -> None:
        mark = tmp_path / "mark"

        def second_time_lucky() -> str:
            if not mark.exists():
                mark.touch()
                os._exit(1)
            return "lucky"

        assert isolated(second_time_lucky, retries=1)() == "lucky"
        assert journal.states("t") == ["Running", "Retrying", "Completed"]

    def test_it_is_a_plain_failure_of_who_waits_for_it(self, journal: Any) -> None:
        with pytest.raises(CrashedRunError):
            flow(lambda: isolated(lambda: os._exit(1)).submit().result(), name="f")()
        assert journal.states("f") == ["Running", "Failed"]

    def test_the_process_that_starts_them_is_replaced_when_it_is_lost(self) -> None:
        parent = isolated(os.getppid)()
        os.kill(parent, signal.SIGKILL)
        assert isolated(os.getppid)() != parent

    def test_all_of_them_end_when_this_one_is_killed(self, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import os, time\n"
            "from entrepot import flow, task\n"
            "@task(isolation='process')\n"
            "def slow(n):\n"
            "    os.write(1, f'{os.getpid()} {os.getppid()}\\n'.encode())\n"
            "    while n: pass\n"
            "    time.sleep(60)\n"
            "flow(lambda: slow.map([0, 1]).result())()\n"
        )
        process = subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        pids = {int(pid) for _ in range(2) for pid in process.stdout.readline().split()}
        assert len(pids) == 3
        process.kill()
        process.wait(30)
        assert process.stdout.read() == ""  # at its end: nobody holds the other one any more
        process.stdout.close()
        wait_until_gone(pids)


def wait_until_gone(pids: set[int]) -> None:
    until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def once(has_begun: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time of calls in other processes begin once they have."""
    wait = Channel.wait

    def wait_late(channel: Channel, seconds: float | None) -> bool:
        if seconds:
            until(has_begun)
        return wait(channel, seconds)

    monkeypatch.setattr(Channel, "wait", wait_late)


class TestTimeouts:
    @pytest.mark.parametrize(
        "work",
        [lambda: time.sleep(60), lambda: tasks.compute(10**13), lambda: __import__("threading").Event().wait(60)],
        ids=["sleep", "a long call in C", "a lock"],
    )
    @pytest.mark.parametrize("runner", [None, ThreadPoolTaskRunner(), SequentialTaskRunner()], ids=str)
    def test_whatever_it_does_it_is_ended(self, work: Any, runner: Any, journal: Any) -> None:
        slow = isolated(work, timeout_seconds=SHORT)
        with pytest.raises(TimedOutError, match=r"Task run exceeded its timeout of 0\.3 seconds"):
            slow() if runner is None else flow(lambda: slow.submit().result(), task_runner=runner)()
        assert journal.states("t") == ["Running", "TimedOut"]

    def test_it_may_clean_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, mark = tmp_path / "begun", tmp_path / "mark"
        once(begun.exists, monkeypatch)
        monkeypatch.setattr(workers, "_GRACE", 60)

        def careful() -> None:
            try:
                begun.touch()
                time.sleep(60)
            finally:
                mark.touch()

        with pytest.raises(TimedOutError):
            isolated(careful, timeout_seconds=SHORT)()
        assert mark.exists()

    def test_what_it_started_is_ended_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mark = tmp_path / "mark"
        once(lambda: mark.exists() and mark.read_text().endswith("."), monkeypatch)

        def starts() -> None:
            child = subprocess.Popen(["sleep", "600"])
            mark.write_text(f"{child.pid}.")
            time.sleep(60)

        with pytest.raises(TimedOutError):
            isolated(starts, timeout_seconds=SHORT)()
        wait_until_gone({int(mark.read_text()[:-1])})

    @pytest.fixture
    def _time_begins_with_the_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, call = hold_engine(monkeypatch), workers.Worker.call

        def call_in_time(worker: workers.Worker, *arguments: Any) -> Any:
            clock.go_on()
            return call(worker, *arguments)

        monkeypatch.setattr(workers.Worker, "call", call_in_time)

    @pytest.mark.usefixtures("_time_begins_with_the_call")
    def test_a_flow_whose_time_is_over_ends_it(self, journal: Any) -> None:
        @flow(timeout_seconds=SHORT, name="f")
        def f(submitted: bool) -> None:  # noqa: FBT001  it is a parameter of a flow
            slow = isolated(lambda: time.sleep(60))
            slow.submit() if submitted else slow()

        for submitted in (True, False):
            with pytest.raises(TimedOutError):
                f(submitted)
        ends = [said[-1].state_name for said in journal.transitions.values()]
        assert sorted(ends) == ["Cancelled", "Cancelled", "TimedOut", "TimedOut"]

    @pytest.mark.usefixtures("_time_begins_with_the_call")
    def test_an_async_flow_whose_time_is_over_ends_it(self, journal: Any) -> None:
        @flow(timeout_seconds=SHORT, name="f")
        async def f() -> None:
            isolated(lambda: time.sleep(60)).submit()

        with pytest.raises(TimedOutError):
            asyncio.run(f())
        assert journal.states("t") == ["Running", "Cancelled"]


class TestWhatItFindsThere:
    def test_its_run(self, journal: Any) -> None:
        def look() -> Any:
            context = get_run_context()
            assert isinstance(context, TaskRunContext)
            assert context.flow_run_context is not None
            flow_run = context.flow_run_context.flow_run
            mine = context.task_run
            return mine.id, mine.name, mine.tags, dict(context.parameters), flow_run.id, dict(flow_run.parameters)

        @flow(name="f")
        def f(small: int, large: Any) -> Any:
            with tags("inside"):
                return isolated(look, tags=["own"])()

        run_id, name, run_tags, parameters, flow_run_id, flow_parameters = f(3, tasks.LOCK)
        assert (run_id, name, run_tags) == (journal.run("t").run_id, "t-1", ("inside", "own"))
        assert (parameters, flow_run_id, flow_parameters) == ({}, journal.run("f").run_id, {"small": 3})

    def test_its_log_and_its_prints_come_back_with_its_run(
        self, caplog: pytest.LogCaptureFixture, journal: Any
    ) -> None:
        caplog.set_level(logging.INFO)

        def talk() -> None:
            print("printed")  # noqa: T201  this is the case
            get_run_logger().warning("warned %d", 1, extra={"odd": object})
            logging.getLogger("other.library").info("from a library")
            logging.getLogger("other.library").debug("too quiet")
            try:
                raise KeyError("shown")  # noqa: TRY301  to have a traceback
            except KeyError:
                get_run_logger().exception("failed")

        flow(isolated(talk, log_prints=True), name="f")()
        there = {record.getMessage().split("\n")[0]: record for record in caplog.records if record.process != HERE}
        assert set(there) == {"printed", "warned 1", "from a library", "failed"}
        assert there["warned 1"].run_id == journal.run("t").run_id  # type: ignore[attr-defined]
        assert there["printed"].run_name == "t-1"  # type: ignore[attr-defined]
        assert "KeyError: 'shown'" in there["failed"].getMessage()

    def test_runs_inside_it_are_recorded_below_it(self, journal: Any) -> None:
        def works() -> Any:
            return tasks.square(3), tasks.square.submit(4).result(), tasks.squares(3)

        assert flow(isolated(works), name="f")() == (9, 16, 5)
        parent, whole = journal.run("t"), journal.run("f")
        squares = [run for run in journal.created.values() if run.definition == "square"]
        assert len(squares) == 5
        sub = journal.run("squares")
        assert (sub.parent_run_id, sub.flow_run_id) == (parent.run_id, whole.run_id)
        assert [run.parent_run_id for run in squares].count(parent.run_id) == 2
        assert [run.flow_run_id for run in squares].count(sub.run_id) == 3
        assert {run.process_id for run in squares} != {HERE}
        assert {journal.transitions[run.run_id][-1].state_name for run in squares} == {"Completed"}

    def test_runs_inside_it_live_as_long_as_this_process(self, journal: Any) -> None:
        inner = task(lambda: 1, name="inner")

        @flow
        def f() -> int:
            return isolated(lambda: inner() + 1)()

        assert f() == 2
        assert journal.run("inner").process == journal.run("t").process != ""

    @pytest.mark.parametrize(("timeout", "end"), [(SHORT, "Cancelled"), (None, "Crashed")])
    def test_runs_inside_it_end_with_its_process(
        self, timeout: Any, end: str, journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        once(second.exists, monkeypatch)

        def works() -> None:
            tasks.sleeps.submit(first)
            until(first.exists)
            if timeout is None:
                os._exit(1)
            tasks.sleeps(second)

        with pytest.raises((TimedOutError, CrashedRunError)):
            isolated(works, timeout_seconds=timeout)()
        inner = [said for run, said in journal.transitions.items() if journal.created[run].definition == "sleeps"]
        assert len(inner) == (2 if timeout else 1)
        assert {said[-1].state_name for said in inner} == {end}

    def test_secrets_that_are_saved(self) -> None:
        Secret(value="open-sesame").save("door")
        assert isolated(lambda: Secret.load("door").get())() == "open-sesame"

    def test_secrets_that_it_loads_are_masked_here(self, journal: Any, capfd: pytest.CaptureFixture[str]) -> None:
        Secret(value="open-sesame").save("door")
        forget_secrets()

        def careless() -> None:
            secret = Secret.load("door").get()
            get_run_logger().warning("it is %s", secret)
            raise ValueError(secret)

        with pytest.raises(ValueError, match="open-sesame"):
            isolated(careless)()
        said = [said.message for transitions in journal.transitions.values() for said in transitions]
        lines = [note.message for note in journal.notes if isinstance(note, LogLine)]
        assert any("it is ***" in line for line in lines)
        assert not any("open-sesame" in text for text in [*said, *lines, *capfd.readouterr()])
        assert mask("open-sesame") != "open-sesame"

    def test_the_surroundings_of_this_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ODD_VARIABLE", "here")
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "found_there.py").write_text("VALUE = 5\n")

        def look() -> Any:
            import found_there  # type: ignore[import-not-found]  # noqa: PLC0415  it is there

            return str(Path.cwd()), os.environ.get("ODD_VARIABLE"), found_there.VALUE, sys.argv

        assert isolated(look)() == (str(tmp_path), "here", 5, sys.argv)

    def test_output_goes_where_this_process_writes(self, capfd: pytest.CaptureFixture[str]) -> None:
        isolated(lambda: print("to the terminal", flush=True))()  # noqa: T201  this is the case
        assert "to the terminal" in capfd.readouterr().out

    def test_ctrl_c_in_the_terminal_is_not_its_own(self) -> None:
        groups = isolated(lambda: (os.getpgrp(), os.getsid(0)))()
        assert os.getpgrp() not in groups
        assert os.getsid(0) not in groups


@pytest.mark.parametrize("option", ["process", None])
def test_inside_a_pool_of_processes_it_has_one_of_its_own_if_it_asks(option: Any) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def f() -> list[int]:
        pid = task(os.getpid, isolation=option)
        return [pid.submit().result() for _ in range(3)]

    pids = f()
    assert HERE not in pids
    assert len(set(pids)) == (3 if option else 1)


def test_a_forked_child_has_workers_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from entrepot import task\n"
        "pids = task(lambda: (os.getpid(), os.getppid()), isolation='process')\n"
        "mine = pids()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if pids()[1] != mine[1] else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert pids()[1] == mine[1]\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
