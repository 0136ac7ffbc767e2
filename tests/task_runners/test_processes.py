"""A pool of processes: real parallel work, processes that stay, and others in the place of lost ones."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import entrepot_test_tasks as tasks
from entrepot import flow, task
from entrepot.errors import CrashedRunError, OptionError, TimedOutError
from entrepot.storage import MemoryStorage
from entrepot.task_runners import ProcessPoolTaskRunner

HERE = os.getpid()
TWO = ProcessPoolTaskRunner(max_workers=2)
ONE = ProcessPoolTaskRunner(max_workers=1)


def in_a_flow(body: Any, runner: Any = TWO) -> Any:
    return flow(body, task_runner=runner)()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 120
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_tasks_run_in_two_processes_at_a_time(tmp_path: Path) -> None:
    def meet(me: int, other: int) -> int:
        (tmp_path / str(me)).touch()
        while not (tmp_path / str(other)).exists():  # computes: two threads would do it in turns, one process never
            pass
        return os.getpid()

    pids = in_a_flow(lambda: task(meet).map([1, 2], [2, 1]).result())
    assert len({*pids, HERE}) == 3


def test_processes_stay_for_the_next_task_and_end_with_the_flow() -> None:
    pids = in_a_flow(lambda: task(lambda _: os.getpid()).map(range(50)).result())
    assert len(set(pids)) <= 2
    assert HERE not in pids
    for pid in set(pids):
        wait_until_gone(pid)


def test_async_tasks_and_importable_ones() -> None:
    assert in_a_flow(lambda: [*tasks.square_later.map([1, 2]).result(), *tasks.square.map([3]).result()]) == [1, 4, 9]


def test_calls_and_subflows_stay_here() -> None:
    pid = task(os.getpid)

    def body() -> Any:
        return pid(), flow(os.getpid, name="sub").submit().result(), pid.submit().result()

    called, sub, submitted = in_a_flow(body)
    assert called == sub == HERE
    assert submitted != HERE


def test_everything_but_the_function_stays_here() -> None:
    seen: list[Any] = []
    storage = MemoryStorage()  # cannot be pickled

    @task(
        retries=1,
        on_completion=[lambda _t, run, state: seen.append((run.run_count, state.name))],
        retry_condition_fn=lambda *_: seen.append("asked") or True,
        cache_key_fn=lambda _, parameters: str(parameters["n"]),
        result_storage=storage,
    )
    def flaky(n: int, mark: Path) -> int:
        if not mark.exists():
            mark.touch()
            raise ConnectionError
        return n

    def body(mark: Path) -> list[int]:
        return [flaky.submit(5, mark).result(), flaky.submit(5, mark).result()]

    runs = flow(body, task_runner=TWO)
    assert runs(Path(os.environ["ENTREPOT_HOME"]).parent / "mark") == [5, 5]
    assert seen == ["asked", (2, "Completed"), (1, "Cached")]


def test_a_lost_process_is_replaced() -> None:
    def body() -> list[Any]:
        pid = task(os.getpid)
        first = pid.submit().result()
        dies = task(lambda: os._exit(3)).submit()
        with pytest.raises(CrashedRunError, match="exit code 3"):
            dies.result()
        return [first, pid.submit().result(), pid.submit().result()]

    first, second, third = in_a_flow(body, ONE)
    assert first != second == third


def test_one_that_is_lost_while_it_has_nothing_to_do_harms_nobody() -> None:
    def body() -> list[int]:
        pid = task(os.getpid)
        first = pid.submit().result()
        os.kill(first, signal.SIGKILL)
        wait_until_gone(first)
        return [first, pid.submit().result()]

    first, second = in_a_flow(body, ONE)
    assert first != second


def test_one_that_takes_too_long_is_ended_and_replaced() -> None:
    def body() -> list[int]:
        pid = task(os.getpid)
        first = pid.submit().result()
        with pytest.raises(TimedOutError):
            task(lambda: tasks.compute(10**13), timeout_seconds=0.3).submit().result()
        return [first, pid.submit().result()]

    first, second = in_a_flow(body, ONE)
    assert first != second
    wait_until_gone(first)


def test_many_tasks() -> None:
    assert in_a_flow(lambda: sum(tasks.square.map(range(500)).result())) == sum(n * n for n in range(500))


def test_a_result_that_fails_on_the_way_back_fails_its_task_only() -> None:
    def body() -> Any:
        broken = task(lambda: __import__("threading").Lock()).submit()
        with pytest.raises(TypeError, match="cannot be sent"):
            broken.result()
        return tasks.square.submit(2).result()

    assert in_a_flow(body, ONE) == 4


@pytest.mark.parametrize("workers", [0, -1, 1.5, "4", True])
def test_an_impossible_number_of_processes_is_refused(workers: Any) -> None:
    with pytest.raises(OptionError, match="max_workers"):
        ProcessPoolTaskRunner(max_workers=workers)


def test_a_duplicate_has_the_same_number_of_processes() -> None:
    assert ProcessPoolTaskRunner(3).duplicate() == ProcessPoolTaskRunner(3) != ProcessPoolTaskRunner(4)
    assert "3" in repr(ProcessPoolTaskRunner(3))
    assert ProcessPoolTaskRunner().max_workers >= 1


class TestByName:
    @pytest.mark.parametrize("name", ["threads", "processes", "sequential"])
    def test_the_runners_that_we_ship(self, name: str) -> None:
        assert flow(lambda: tasks.square.submit(3).result(), task_runner=name)() == 9

    @pytest.mark.parametrize(
        ("name", "words"), [("procesess", "did you mean 'processes'"), ("process", "built-in task runner 'processes'")]
    )
    def test_an_unknown_name_says_what_is_near(self, name: str, words: str) -> None:
        with pytest.raises(OptionError, match=f"flow 'f': no task runner named '{name}'.*{words}") as caught:
            flow(lambda: None, name="f", task_runner=name)
        assert caught.value.option == "task_runner"
