"""The runners that we ship meet the contract."""

import contextvars
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import pytest

from entrepot.errors import OptionError
from entrepot.protocols.task_runner import TaskRunner
from entrepot.task_runners import (
    ConcurrentTaskRunner,
    ProcessPoolTaskRunner,
    SequentialTaskRunner,
    ThreadPoolTaskRunner,
)
from entrepot.testing.task_runners import TaskRunnerContract


class ForeignTaskRunner:
    name = "foreign"

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def duplicate(self) -> Self:
        return type(self)()

    def __enter__(self) -> Self:
        if self._pool is not None:
            raise RuntimeError("entered")
        self._pool = ThreadPoolExecutor(4)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object, /) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=kind is not None)

    def submit(self, call: Any, /) -> Future[Any]:
        if self._pool is None:
            raise RuntimeError("not entered")
        return self._pool.submit(contextvars.copy_context().run, call)


class TestThreadPool(TaskRunnerContract):
    @pytest.fixture
    def task_runner(self) -> TaskRunner:
        return ThreadPoolTaskRunner()


class TestThreadPoolOfOne(TaskRunnerContract):
    @pytest.fixture
    def task_runner(self) -> TaskRunner:
        return ThreadPoolTaskRunner(max_workers=1)


class TestProcessPool(TaskRunnerContract):
    @pytest.fixture
    def task_runner(self) -> TaskRunner:
        return ProcessPoolTaskRunner(max_workers=2)


class TestForeign(TaskRunnerContract):
    """One of a plugin, made of what everybody has: threads that we know nothing of."""

    @pytest.fixture
    def task_runner(self) -> TaskRunner:
        return ForeignTaskRunner()


class TestSequential(TaskRunnerContract):
    @pytest.fixture
    def task_runner(self) -> TaskRunner:
        return SequentialTaskRunner()


class TestThreads:
    def test_calls_run_at_the_same_time_up_to_the_limit(self) -> None:
        together = threading.Barrier(4)
        with ThreadPoolTaskRunner(max_workers=4) as runner:
            futures = [runner.submit(lambda: together.wait(30)) for _ in range(4)]
            assert sorted(future.result(30) for future in futures) == [0, 1, 2, 3]

    def test_no_more_calls_run_at_a_time_than_there_are_workers(self) -> None:
        lock, now, most, three = threading.Lock(), 0, 0, threading.Barrier(3)

        def call() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            three.wait(60)
            with lock:
                now -= 1

        with ThreadPoolTaskRunner(max_workers=3) as runner:
            for _ in range(60):
                runner.submit(call)
        assert most == 3

    def test_what_has_not_started_is_cancelled_when_an_error_comes_through(self) -> None:
        gate, ran, futures = threading.Event(), [], []

        def interrupted() -> None:
            with ThreadPoolTaskRunner(max_workers=1) as runner:
                futures.append(runner.submit(lambda: gate.wait(30)))
                futures.extend(runner.submit(lambda number=number: ran.append(number)) for number in range(10))
                futures[-1].add_done_callback(lambda _: gate.set())  # it is cancelled by then, or never will be
                raise KeyError

        with pytest.raises(KeyError):
            interrupted()
        first, *later = futures
        assert first.result() is True
        assert ran == []
        assert all(future.cancelled() for future in later)

    def test_a_duplicate_has_the_same_number_of_workers(self) -> None:
        assert ThreadPoolTaskRunner(max_workers=7).duplicate() == ThreadPoolTaskRunner(max_workers=7)
        assert ThreadPoolTaskRunner(max_workers=7) != ThreadPoolTaskRunner(max_workers=8)
        assert "7" in repr(ThreadPoolTaskRunner(max_workers=7))

    def test_the_older_name_is_the_same_class(self) -> None:
        assert ConcurrentTaskRunner is ThreadPoolTaskRunner

    @pytest.mark.parametrize("workers", [0, -1, 1.5, "4", True])
    def test_an_impossible_number_of_workers_is_refused(self, workers: object) -> None:
        with pytest.raises(OptionError, match="max_workers") as caught:
            ThreadPoolTaskRunner(max_workers=workers)  # type: ignore[arg-type]
        assert caught.value.option == "max_workers"


class TestOneAfterAnother:
    def test_each_call_is_over_when_submit_returns(self) -> None:
        with SequentialTaskRunner() as runner:
            assert runner.submit(threading.current_thread).result(0) is threading.current_thread()

    def test_an_interrupt_goes_to_the_caller(self) -> None:
        def call() -> None:
            raise KeyboardInterrupt

        with SequentialTaskRunner() as runner, pytest.raises(KeyboardInterrupt):
            runner.submit(call)
