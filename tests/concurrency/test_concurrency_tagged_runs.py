"""Task runs whose tags have a limit."""

import asyncio
import threading
import time

import pytest

from entrepot import _stops, flow, tags, task
from entrepot.concurrency import concurrency, set_limit
from entrepot.coordination.claims import standings
from entrepot.coordination.database import default_path
from entrepot.runs import RunHistory, default_recorder
from entrepot.runs import default_path as history_path


class Inside:
    """Counts how many are inside at once, and says when they are as many as expected."""

    def __init__(self, expected: int) -> None:
        self.most = self._now = 0
        self._expected = expected
        self._lock = threading.Lock()
        self.full = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self.most >= self._expected:
                self.full.set()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


def test_submitted_tasks_with_a_tag_are_no_more_than_its_limit_at_once() -> None:
    set_limit("tag:heavy", 2)
    inside = Inside(2)

    @task(tags=["heavy"])
    def work(number: int) -> int:
        with inside:
            assert inside.full.wait(120)  # so many fit in
            time.sleep(0.005)  # and no more come
            return number

    @flow
    def etl() -> int:
        return sum(work.map(range(20)).result())

    assert etl() == 190
    assert inside.most == 2
    assert standings(default_path()) == {}


def test_async_tasks_too() -> None:
    set_limit("tag:heavy", 2)
    inside = Inside(2)

    @task
    async def work(number: int) -> int:
        with inside:
            assert await asyncio.to_thread(inside.full.wait, 120)
            await asyncio.sleep(0.005)
            return number

    @flow
    async def etl() -> int:
        with tags("heavy"):
            return sum(await asyncio.gather(*[work(number) for number in range(20)]))

    assert asyncio.run(etl()) == 190
    assert inside.most == 2
    assert standings(default_path()) == {}


def test_who_waits_says_so_in_its_states() -> None:
    set_limit("tag:heavy", 1)

    @task(tags=["heavy"])
    def work() -> None:
        pass

    done = threading.Event()
    with concurrency("tag:heavy"):
        thread = threading.Thread(target=lambda: (work(), done.set()))
        thread.start()
        while len(standings(default_path()).get("tag:heavy", [])) < 2:
            time.sleep(0.01)
        assert not done.is_set()
    thread.join()
    default_recorder().flush()
    (run,) = RunHistory(history_path()).list(kind="task")
    names = [one.state_name for one in RunHistory(history_path()).get(run.run_id).transitions]
    assert names == ["AwaitingConcurrencySlot", "Running", "Completed"]


def test_slots_are_free_after_failures_and_cancellations() -> None:
    set_limit("tag:heavy", 1)

    @task(tags=["heavy"], retries=1)
    def fail() -> None:
        raise ZeroDivisionError

    @task(tags=["heavy"])
    async def wait() -> None:
        await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError):
        fail()

    async def main() -> None:
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0.1)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())
    assert standings(default_path()) == {}


@pytest.mark.parametrize("submitted", [False, True])
def test_a_flow_whose_time_is_over_stops_at_once_though_a_task_of_it_waits_for_a_slot(
    monkeypatch: pytest.MonkeyPatch, *, submitted: bool
) -> None:
    set_limit("tag:shut", 0)

    @task(tags=["shut"])
    def work() -> None:
        pass

    @flow(timeout_seconds=0.2)
    def etl() -> None:
        if submitted:
            work.submit().result()
        else:
            work()

    monkeypatch.setattr(_stops, "_PATIENCE", 3600)  # our own code is spared, where it does not look by itself
    assert etl(return_state=True).name == "TimedOut"
    assert standings(default_path()) == {}
