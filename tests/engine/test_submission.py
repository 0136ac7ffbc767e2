"""Submitted and mapped tasks: concurrency, dependencies, failures upstream, and what a flow waits for."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from entrepot import flow, get_run_logger, task, unmapped
from entrepot.errors import CancelledRunError, CrashedRunError, NotReadyError, ParameterError
from entrepot.futures import EntrepotFuture, FutureList, as_completed, wait
from entrepot.states import Failed
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner

RUNNERS = {
    "threads": ThreadPoolTaskRunner(),
    "one thread": ThreadPoolTaskRunner(max_workers=1),
    "sequential": SequentialTaskRunner(),
}
on_each_runner = pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)


@task
def add(a: Any, b: Any = 1) -> Any:
    return a + b


@task
def same(value: Any) -> Any:
    return value


@task
def fails(error: Exception) -> None:
    raise error


@task
async def later(value: Any) -> Any:
    await asyncio.sleep(0.001)
    return value


@on_each_runner
class TestSubmit:
    def test_results_come_through_futures(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> list[int]:
            futures = [add.submit(number) for number in range(20)]
            assert all(isinstance(future, EntrepotFuture) for future in futures)
            return [future.result() for future in futures]

        assert f() == list(range(1, 21))

    def test_a_chain_of_futures_is_computed_in_order(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> int:
            value = add.submit(0)
            for _ in range(200):
                value = add.submit(value)
            return value.result(timeout=60)

        assert f() == 201

    def test_futures_are_found_in_nested_arguments(self, runner: Any) -> None:
        @dataclass
        class Box:
            content: Any
            label: str = "x"
            extra: Any = field(init=False, default=0)

        class Pair(NamedTuple):
            left: Any
            right: Any

        @flow(task_runner=runner)
        def f() -> Any:
            one, two = add.submit(0), add.submit(1)
            untouched = {"plain": [1, 2]}
            got = same.submit(
                {"list": [one, (two,)], "set": {3}, "box": Box([one]), "pair": Pair(one, 5), "same": untouched}
            ).result()
            assert got["same"] is untouched
            return got

        got = f()
        assert (got["list"], got["set"], got["pair"]) == ([1, (2,)], {3}, (1, 5))
        assert type(got["pair"]).__name__ == "Pair"
        assert (got["box"].content, got["box"].label, got["box"].extra) == ([1], "x", 0)

    def test_a_failure_upstream_leaves_the_rest_not_ready(self, runner: Any, journal: Any) -> None:
        error = ValueError("boom")

        @flow(task_runner=runner)
        def f() -> None:
            broken = fails.submit(error)
            direct, indirect = add.submit(broken), add.submit(add.submit(broken))
            assert direct.result(raise_on_failure=False).__cause__ is error
            for future in (direct, indirect):
                with pytest.raises(NotReadyError, match="did not complete"):
                    future.result(timeout=60)
                assert future.state.name == "NotReady"
                assert future.state.is_pending()
            with pytest.raises(NotReadyError) as caught:
                add(broken)
            assert caught.value.__cause__ is error
            assert broken.result(raise_on_failure=False) is error

        f()
        assert journal.states("fails") == ["Running", "Failed"]
        assert [journal.states(f"add-{number}") for number in (1, 2, 3, 4)] == [["NotReady"]] * 4

    def test_a_chain_of_a_thousand_that_cannot_start_ends(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> None:
            gate = threading.Event()

            @task
            def opens() -> None:
                gate.wait(0.2)
                raise ValueError

            value: Any = opens.submit()
            for _ in range(1000):
                value = add.submit(value)
            with pytest.raises(NotReadyError):
                value.result(timeout=60)

        f()

    def test_wait_for_orders_without_data(self, runner: Any) -> None:
        seen: list[int] = []

        @task
        def note(number: int, pause: float = 0) -> None:
            time.sleep(pause)
            seen.append(number)

        @flow(task_runner=runner)
        def f() -> None:
            first = note.submit(1, pause=0.05)
            second = note.submit(2, wait_for=[first])
            note(3, wait_for=[second])

        f()
        assert seen == [1, 2, 3]

    def test_wait_for_something_failed_is_not_ready(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> None:
            broken = fails.submit(KeyError())
            with pytest.raises(NotReadyError):
                add.submit(1, wait_for=[broken]).result(timeout=60)
            with pytest.raises(NotReadyError):
                add(1, wait_for=[broken])

        f()

    def test_a_flow_waits_for_what_it_did_not_ask_for(self, runner: Any) -> None:
        done: list[int] = []

        @task
        def slow(number: Any) -> int:
            time.sleep(0.01)
            done.append(1)
            return 1

        @flow(task_runner=runner)
        def f() -> str:
            first = slow.submit(0)
            for _ in range(5):
                slow.submit(first)
            return "returned"

        assert f() == "returned"
        assert len(done) == 6

    def test_async_tasks_run_in_loops_of_their_own(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> list[int]:
            return later.map(later.map([1, 2, 3])).result()

        @flow(task_runner=runner)
        async def g() -> list[int]:
            return later.map(later.map([1, 2, 3])).result()

        assert f() == asyncio.run(g()) == [1, 2, 3]

    def test_tasks_that_submit_tasks_do_not_wait_for_each_others_places(self, runner: Any) -> None:
        @task
        def total(depth: int) -> int:
            if depth == 0:
                return 1
            return sum(total.map([depth - 1] * 3).result(timeout=60))

        @flow(task_runner=runner)
        def f() -> int:
            return sum(total.map([2, 2, 2]).result(timeout=60))

        assert f() == 27

    def test_context_variables_and_the_run_come_along(self, runner: Any) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")

        @task
        def look(_: Any = None) -> str:
            get_run_logger().info("here")
            return variable.get()

        @flow(task_runner=runner)
        def f() -> list[str]:
            variable.set("first")
            one = look.submit()
            two = look.submit(one)  # starts later, but was submitted with this value
            variable.set("second")
            return [one.result(), two.result(), look.submit().result()]

        assert contextvars.copy_context().run(f) == ["first", "first", "second"]

    def test_return_state_waits(self, runner: Any) -> None:
        @flow(task_runner=runner)
        def f() -> None:
            assert add.submit(1, return_state=True).result() == 2
            assert fails.submit(KeyError(), return_state=True).is_failed()
            assert [state.result() for state in add.map([1, 2], return_state=True)] == [2, 3]

        f()

    def test_an_error_of_the_flow_ends_every_future(self, runner: Any) -> None:
        futures: list[EntrepotFuture[Any]] = []

        @task
        def slow(_: Any = None) -> int:
            time.sleep(0.01)
            return 1

        @flow(task_runner=runner)
        def f() -> None:
            futures.extend(slow.submit() for _ in range(50))
            futures.extend([slow.submit(future) for future in futures])
            raise KeyError("flow")

        with pytest.raises(KeyError, match="flow"):
            f()
        assert all(future.done() for future in futures)
        assert {future.state.name for future in futures} <= {"Completed", "Cancelled", "NotReady"}

    def test_a_retried_flow_has_a_fresh_runner(self, runner: Any) -> None:
        attempts: list[int] = []

        @flow(retries=2, task_runner=runner)
        def f() -> int:
            attempts.append(1)
            value = add.submit(len(attempts)).result()
            if len(attempts) < 3:
                raise KeyError
            return value

        assert f() == 4


class TestCancelled:
    def test_what_has_not_started_when_the_flow_fails_is_cancelled(self, journal: Any) -> None:
        ran: list[int] = []
        futures: list[EntrepotFuture[Any]] = []
        started, submitted, cancelling = threading.Event(), threading.Event(), threading.Event()

        def hook(*_: Any) -> None:
            if threading.current_thread() is threading.main_thread() and not cancelling.is_set():
                cancelling.set()  # the thread gets free while the others are not cancelled yet, and looks at them
                assert all(future.wait(60) for future in futures[2:])

        @task(on_cancellation=[hook])
        def slow(number: int) -> None:
            started.set()
            assert submitted.wait(60)
            assert cancelling.wait(60)
            ran.append(number)

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
        def f() -> None:
            futures.extend(slow.submit(number) for number in range(10))
            submitted.set()
            started.wait(60)
            raise KeyError

        with pytest.raises(KeyError):
            f()
        assert ran == [0]
        assert [future.state.name for future in futures] == ["Completed"] + ["Cancelled"] * 9
        with pytest.raises(CancelledRunError, match=r"did not start|before it started"):
            futures[-1].result()
        assert journal.states("slow-10") == ["Cancelled"]

    def test_an_exit_in_a_thread_is_a_crash_of_its_run_only(self, journal: Any) -> None:
        @task
        def leaves() -> None:
            sys.exit(3)

        @flow
        def f() -> str:
            future = leaves.submit()
            with pytest.raises(CrashedRunError, match="SystemExit") as caught:
                future.result()
            assert isinstance(caught.value.__cause__, SystemExit)
            return "went on"

        assert f() == "went on"
        assert journal.states("leaves") == ["Running", "Crashed"]

    def test_an_interrupt_in_a_sequential_task_ends_the_flow(self, journal: Any) -> None:
        @task
        def interrupted() -> None:
            raise KeyboardInterrupt

        @flow(task_runner=SequentialTaskRunner())
        def f() -> None:
            interrupted.submit()

        with pytest.raises(KeyboardInterrupt):
            f()
        assert journal.states("interrupted") == ["Running", "Cancelled"]
        assert journal.states("f") == ["Running", "Cancelled"]

    def test_a_runner_that_refuses_work_crashes_the_run_and_nobody_hangs(self) -> None:
        class Refusing(SequentialTaskRunner):
            def submit(self, call: Any, /) -> Any:
                raise OSError("no more threads")

        @flow(task_runner=Refusing())
        def f() -> None:
            with pytest.raises(OSError, match="no more threads"):
                add.submit(1).result(timeout=60)

        f()


class TestFutures:
    def test_state_follows_the_run(self) -> None:
        started, gate = threading.Event(), threading.Event()

        @task
        def waits() -> int:
            started.set()
            gate.wait(120)
            return 1

        @flow
        def f() -> None:
            future = waits.submit()
            assert started.wait(120)
            assert future.state.is_running()
            assert not future.done()
            assert "Running" in repr(future)
            with pytest.raises(TimeoutError, match="waits-1"):
                future.result(timeout=0.01)
            assert future.wait(0.01) is False
            gate.set()
            assert future.wait(120) is True
            assert future.state.is_completed()
            assert (future.task_run_name, len(future.task_run_id)) == ("waits-1", 36)

        f()

    def test_callbacks_are_called_once_also_when_late(self) -> None:
        called: list[Any] = []

        @flow
        def f() -> None:
            future = add.submit(1)
            future.add_done_callback(called.append)
            future.wait()
            future.add_done_callback(called.append)
            assert called == [future, future]

        f()

    def test_a_callback_that_raises_is_logged_and_others_are_called(self, caplog: pytest.LogCaptureFixture) -> None:
        called: list[Any] = []

        def broken(_: Any) -> None:
            raise KeyError("callback")

        @flow
        def f() -> None:
            future = add.submit(1)
            future.wait()
            future.add_done_callback(broken)
            future.add_done_callback(called.append)

        f()
        assert len(called) == 1
        assert "a callback of task run 'add-1' raised" in caplog.text

    def test_only_the_first_end_counts(self) -> None:
        @flow
        def f() -> None:
            future = add.submit(1)
            future.wait()
            future.finish(Failed("late"))
            assert future.result() == 2

        f()

    def test_wait_and_as_completed(self) -> None:
        gate = threading.Event()

        @task
        def waits() -> None:
            gate.wait(120)

        @flow
        def f() -> None:
            slow, quick = waits.submit(), add.submit(1)
            quick.wait()
            done, not_done = wait([slow, quick], timeout=0.01)
            assert (done, not_done) == ({quick}, {slow})
            order = as_completed([slow, quick])
            assert next(order) is quick
            with pytest.raises(TimeoutError):
                list(as_completed([slow], timeout=0.01))
            gate.set()
            assert next(order) is slow
            assert wait([slow, quick]).not_done == set()

        f()

    def test_lists_of_futures(self) -> None:
        gate = threading.Event()

        @task
        def waits(number: int) -> int:
            gate.wait(120)
            return number

        @flow
        def f() -> None:
            futures = waits.map([1, 2])
            assert isinstance(futures, FutureList)
            assert futures.wait(0.01) is False
            with pytest.raises(TimeoutError, match="2 of 2"):
                futures.result(timeout=0.01)
            gate.set()
            assert futures.result() == [1, 2]
            error = KeyError("x")
            mixed = FutureList([add.submit(1), fails.submit(error)])
            assert mixed.result(raise_on_failure=False) == [2, error]
            with pytest.raises(KeyError):
                mixed.result()

        f()


class TestMap:
    def test_maps_collections_and_gives_the_rest_whole(self) -> None:
        @task
        def join(a: Any, b: Any, c: Any = None, d: Any = "d") -> Any:
            return a, b, c, d

        @flow
        def f() -> None:
            assert join.map([1, 2], "ab").result() == [(1, "ab", None, "d"), (2, "ab", None, "d")]
            assert join.map(range(2), b=(3, 4), c={"k": 1}).result() == [(0, 3, {"k": 1}, "d"), (1, 4, {"k": 1}, "d")]
            assert join.map([1], unmapped([1, 2])).result() == [(1, [1, 2], None, "d")]
            assert join.map((n for n in [1, 2]), None).result() == [(1, None, None, "d"), (2, None, None, "d")]
            assert join.map([], 1).result() == []

        f()

    def test_a_future_stands_for_its_result_and_futures_are_mapped_one_by_one(self) -> None:
        @flow
        def f() -> None:
            numbers = same.submit([1, 2, 3])
            assert add.map(numbers, 10).result() == [11, 12, 13]
            assert add.map(add.map([1, 2]), [add.submit(0), 5]).result() == [3, 8]
            assert add.map([1, 2], add.submit(0)).result() == [2, 3]

        f()

    def test_mistakes_are_explained(self) -> None:
        @flow
        def f() -> None:
            with pytest.raises(ParameterError, match=r"argument 1 has 2, b has 3.*unmapped"):
                add.map([1, 2], b=[1, 2, 3])
            with pytest.raises(ParameterError, match="nothing to iterate over"):
                add.map(1, "text")
            with pytest.raises(ParameterError, match="unknown: c"):
                add.map([1], c=2)

        f()

    def test_a_numpy_array_is_mapped_by_element_and_a_frame_is_not_torn(self) -> None:
        @flow
        def f() -> None:
            assert add.map(np.arange(3)).result() == [1, 2, 3]
            assert add.map([1, 2], np.float64(1.5)).result() == [2.5, 3.5]

        f()

    def test_thousands(self) -> None:
        @flow
        def f() -> int:
            return sum(add.map(range(2_000)).result())

        assert f() == 2_001_000


class TestOutsideFlows:
    def test_tasks_can_be_submitted(self) -> None:
        first = add.submit(1)
        assert add.submit(first).result(timeout=120) == 3
        assert add.map([1, 2]).result() == [2, 3]

    def test_a_task_waits_at_its_end_for_what_it_submitted(self) -> None:
        done: list[int] = []

        @task
        def child() -> None:
            time.sleep(0.02)
            done.append(1)

        @task
        def parent() -> str:
            child.submit()
            return "returned"

        assert parent() == "returned"
        assert done == [1]

    def test_what_runs_when_the_program_ends_is_finished(self, tmp_path: Path) -> None:
        code = (
            "import time\n"
            "from entrepot import task\n"
            "@task\n"
            "def slow():\n"
            "    time.sleep(0.2)\n"
            "    print('finished', flush=True)\n"
            "slow.submit()\n"
        )
        script = tmp_path / "script.py"
        script.write_text(code)
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
        assert ran.stdout == "finished\n"


def test_a_thread_that_outlives_its_flow_can_still_submit() -> None:
    gate, results = threading.Event(), []

    def late() -> None:
        gate.wait(120)
        results.append(add.submit(1).result(timeout=120))

    @flow
    def f() -> threading.Thread:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(late))
        thread.start()
        return thread

    thread = f()
    gate.set()
    thread.join(120)
    assert results == [2]


def test_a_task_of_another_flow_run_can_be_waited_for() -> None:
    @flow
    def child(value: Any) -> Any:
        return add.submit(value).result()

    @flow
    def parent() -> Any:
        return child(add.submit(1))

    assert parent() == 3
