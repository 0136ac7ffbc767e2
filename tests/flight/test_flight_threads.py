"""Single flight in one process: threads, coroutines, and runs inside runs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS
from entrepot.errors import OptionError
from entrepot.results import flight as flights
from entrepot.results import meetings
from entrepot.storage import MemoryStorage
from entrepot.task_runners import ThreadPoolTaskRunner
from entrepot.transactions import transaction
from entrepot_test_processes import until


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Whatever happened, nobody is left in the table."""
    yield
    until(lambda: not meetings._entries)


@pytest.fixture(autouse=True)
def _wherever_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_RESULTS_SINGLE_FLIGHT", "true")


@pytest.fixture(params=[None, True], ids=["by the setting", "by the option"])
def single_flight(request: pytest.FixtureRequest) -> Any:
    return request.param


def waiting() -> int:
    """Return how many wait in this process."""
    return sum(len(entry.bells) for entry in list(meetings._entries.values()))


async def comes_to_be(is_so: Callable[[], bool]) -> None:
    """Wait for something while the loop runs."""
    await asyncio.to_thread(until, is_so)


class Held:
    """A task that computes until it is told to go on."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[Any] = []
        self.go_on = threading.Event()
        self.begun = threading.Semaphore(0)
        self.fails = 0
        options = {"cache_policy": INPUTS, "result_storage": MemoryStorage()} | options

        @task(name="held", **options)
        def held(value: Any) -> Any:
            self.calls.append(value)
            self.begun.release()
            assert self.go_on.wait(60)
            if len(self.calls) <= self.fails:
                raise ValueError(len(self.calls))
            return [value]

        self.task = held

    def begin(self, pool: ThreadPoolExecutor, callers: int) -> list[Any]:
        """Call it from threads, and return their futures once one computes and the others wait."""
        futures = [pool.submit(self.task, 1) for _ in range(callers)]
        assert self.begun.acquire(timeout=60)
        until(lambda: waiting() == callers - 1)
        return futures


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


class TestThreads:
    def test_equal_calls_compute_once_and_each_gets_a_value_of_its_own(
        self, pool: ThreadPoolExecutor, single_flight: Any
    ) -> None:
        held = Held(single_flight=single_flight)
        futures = held.begin(pool, 10)
        held.go_on.set()
        values = [future.result(60) for future in futures]
        assert values == [[1]] * 10
        assert held.calls == [1]
        assert len({id(value) for value in values}) == 10

    def test_other_calls_do_not_wait(self, pool: ThreadPoolExecutor, single_flight: Any) -> None:
        held = Held(single_flight=single_flight)
        futures = [pool.submit(held.task, number) for number in range(5)]
        for _ in futures:
            assert held.begun.acquire(timeout=60)  # all of them at once
        held.go_on.set()
        assert [future.result(60) for future in futures] == [[number] for number in range(5)]

    def test_when_one_fails_one_that_waits_computes_and_the_others_go_on_waiting(
        self, pool: ThreadPoolExecutor, single_flight: Any
    ) -> None:
        held = Held(single_flight=single_flight)
        held.fails = 2
        futures = held.begin(pool, 6)
        held.go_on.set()
        outcomes = [future.exception(60) or future.result() for future in futures]
        assert held.calls == [1, 1, 1]
        assert sorted(map(repr, outcomes)) == ["ValueError(1)", "ValueError(2)", *["[1]"] * 4]

    def test_who_does_not_want_it_does_not_wait(self, pool: ThreadPoolExecutor) -> None:
        together = threading.Barrier(2)

        @task(cache_policy=INPUTS, single_flight=False, result_storage=MemoryStorage())
        def meets() -> bool:
            together.wait(60)
            return True

        assert [future.result(60) for future in [pool.submit(meets) for _ in range(2)]] == [True, True]

    def test_who_refreshes_does_not_wait(self, pool: ThreadPoolExecutor) -> None:
        together = threading.Barrier(2)

        @task(cache_policy=INPUTS, refresh_cache=True, single_flight=True, result_storage=MemoryStorage())
        def meets() -> bool:
            together.wait(60)
            return True

        assert [future.result(60) for future in [pool.submit(meets) for _ in range(2)]] == [True, True]

    def test_in_a_transaction_nobody_waits(self, pool: ThreadPoolExecutor) -> None:
        together = threading.Barrier(2)

        @task(cache_policy=INPUTS, single_flight=True, result_storage=MemoryStorage())
        def meets() -> bool:
            together.wait(60)
            return True

        def run() -> bool:
            with transaction():
                return meets()

        assert [future.result(60) for future in [pool.submit(run) for _ in range(2)]] == [True, True]

    def test_a_retry_is_another_attempt_that_may_find_the_value(self, pool: ThreadPoolExecutor) -> None:
        held = Held(retries=3)
        held.fails = 1
        futures = held.begin(pool, 4)
        held.go_on.set()
        assert [future.result(60) for future in futures] == [[1]] * 4
        assert held.calls == [1, 1]

    def test_the_waits_of_a_run_that_is_over_its_time_end(self, pool: ThreadPoolExecutor, single_flight: Any) -> None:
        held = Held(single_flight=single_flight)
        (first,) = held.begin(pool, 1)

        @flow(timeout_seconds=0.3)
        def impatient() -> Any:
            return held.task(1)

        with pytest.raises(TimeoutError):
            impatient()
        held.go_on.set()
        assert first.result(60) == [1]
        assert held.calls == [1]

    def test_a_mapped_task_computes_once(self, single_flight: Any) -> None:
        held = Held(single_flight=single_flight)
        held.go_on.set()

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
        def mapped() -> Any:
            return held.task.map([1] * 20).result()

        assert mapped() == [[1]] * 20
        assert held.calls == [1]


class TestRunsInsideRuns:
    def test_a_run_does_not_wait_for_one_that_waits_for_it(
        self, single_flight: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls: list[int] = []

        @task(cache_key_fn=lambda: "one key for all", single_flight=single_flight, result_storage=MemoryStorage())
        def nested(depth: int) -> int:
            calls.append(depth)
            return 0 if depth == 0 else nested(depth - 1) + 1

        assert nested(3) == 3
        assert calls == [3, 2, 1, 0]
        assert "the cache key of a run around it" in caplog.text
        assert nested(9) == 3  # the outermost one kept its result, and the others none

    def test_not_either_where_it_is_submitted(self, single_flight: Any) -> None:
        @task(cache_key_fn=lambda: "one key for all", single_flight=single_flight, result_storage=MemoryStorage())
        def nested(depth: int) -> int:
            return 0 if depth == 0 else nested.submit(depth - 1).result() + 1

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def top() -> int:
            return nested.submit(3).result()

        assert top() == 3


class TestCoroutines:
    def test_the_loop_runs_while_one_waits(self, single_flight: Any) -> None:
        calls: list[int] = []

        async def main() -> list[Any]:
            go_on = asyncio.Event()

            @task(cache_policy=INPUTS, single_flight=single_flight, result_storage=MemoryStorage())
            async def shared(number: int) -> int:
                calls.append(number)
                await go_on.wait()
                return number

            several = [asyncio.create_task(shared(1)) for _ in range(5)]
            await comes_to_be(lambda: waiting() == 4)
            go_on.set()
            return await asyncio.gather(*several)

        assert asyncio.run(main()) == [1] * 5
        assert calls == [1]

    def test_one_that_is_cancelled_while_it_waits_is_in_nobodys_way(self, single_flight: Any) -> None:
        calls: list[int] = []

        async def main() -> Any:
            go_on = asyncio.Event()

            @task(cache_policy=INPUTS, single_flight=single_flight, result_storage=MemoryStorage())
            async def shared(number: int) -> int:
                calls.append(number)
                await go_on.wait()
                return 1 // (len(calls) - 1)  # the first one fails

            several = [asyncio.create_task(shared(1))]
            await comes_to_be(lambda: bool(calls))
            several += [asyncio.create_task(shared(1)) for _ in range(2)]
            await comes_to_be(lambda: waiting() == 2)
            for each in several[1:]:
                each.cancel()
            await asyncio.gather(*several[1:], return_exceptions=True)
            last = asyncio.create_task(shared(1))
            await comes_to_be(lambda: waiting() == 1)
            go_on.set()
            return await asyncio.gather(*several, last, return_exceptions=True)

        first, second, third, last = asyncio.run(main())
        assert isinstance(first, ZeroDivisionError)
        assert isinstance(second, asyncio.CancelledError)
        assert isinstance(third, asyncio.CancelledError)
        assert last == 1
        assert calls == [1, 1]

    def test_one_that_is_cancelled_while_it_computes_leaves_it_to_another(self, single_flight: Any) -> None:
        calls: list[int] = []

        async def main() -> Any:
            @task(cache_policy=INPUTS, single_flight=single_flight, result_storage=MemoryStorage())
            async def shared(number: int) -> int:
                calls.append(number)
                if len(calls) == 1:
                    await asyncio.Event().wait()
                return number

            first = asyncio.create_task(shared(1))
            await comes_to_be(lambda: bool(calls))
            second = asyncio.create_task(shared(1))
            await comes_to_be(lambda: waiting() == 1)
            first.cancel()
            return await second

        assert asyncio.run(main()) == 1
        assert calls == [1, 1]


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"single_flight": "yes"}, "True or False"),
            ({"refresh_early": 0.1}, "give one"),
            ({"refresh_early": 1.5, "cache_expiration": timedelta(1)}, "a part of cache_expiration"),
            ({"refresh_early": True, "cache_expiration": timedelta(1)}, "a part of cache_expiration"),
            ({"refresh_early": timedelta(0), "cache_expiration": timedelta(1)}, "above zero"),
            ({"refresh_early": timedelta(1), "cache_expiration": timedelta(1)}, "make it shorter"),
            ({"refresh_early": 0.5, "cache_expiration": timedelta(1), "single_flight": False}, "leave one of them out"),
            ({"single_flight": True, "persist_result": False}, "not to keep them"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict[str, Any], said: str) -> None:
        make: Callable[..., Any] = task(**options)
        with pytest.raises(OptionError, match=said):
            make(print)

    def test_the_setting_is_for_tasks_that_do_not_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terms: list[Any] = []
        look = flights.Flight.look

        def seen(self: flights.Flight, *args: Any, **kwargs: Any) -> Any:
            terms.append(self._terms)
            return look(self, *args, **kwargs)

        monkeypatch.setattr(flights.Flight, "look", seen)
        monkeypatch.setenv("ENTREPOT_RESULTS_SINGLE_FLIGHT", "true")
        monkeypatch.setenv("ENTREPOT_RESULTS_LEASE_SECONDS", "7.5")
        task(abs, name="a", cache_key_fn=lambda: "a")(1)
        assert terms[0].seconds == 7.5
        task(abs, name="b", cache_key_fn=lambda: "b", single_flight=False)(1)
        assert len(terms) == 1
