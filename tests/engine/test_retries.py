"""How long a retry waits, and what decides on it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import flow, task
from entrepot.context import TaskRun, get_run_context
from entrepot.engine.retries import RetryPolicy, retry_policy
from entrepot.engine.world import World, use_world
from entrepot.tasks import exponential_backoff
from entrepot.testing import FrozenClock


def flaky(failures: int) -> Any:
    left = [None] * failures

    def body() -> str:
        if left:
            left.pop()
            raise ConnectionError("once more")
        return "done"

    return body


def test_a_backoff_doubles() -> None:
    assert exponential_backoff(backoff_factor=10)(5) == [10, 20, 40, 80, 160]
    assert exponential_backoff(0.5)(3) == [0.5, 1, 2]
    assert exponential_backoff(1)(0) == []


@pytest.mark.parametrize(
    ("delay", "slept"),
    [
        (60, [60, 60, 60, 60]),
        ([1, 5], [1, 5, 5, 5]),
        ((1, 2, 3, 4, 5, 6), [1, 2, 3, 4]),
        (exponential_backoff(10), [10, 20, 40, 80]),
        (lambda retries: [retries], [4, 4, 4, 4]),
        (lambda retries: retries * 2.0, [8, 8, 8, 8]),
        (0, []),
        (None, []),
    ],
)
@pytest.mark.parametrize("decorator", [flow, task])
def test_delays_are_waited_in_order(decorator: Any, delay: Any, slept: list[float], clock: FrozenClock) -> None:
    assert decorator(flaky(4), retries=4, retry_delay_seconds=delay)() == "done"
    assert clock.slept == slept


def test_the_attempt_is_seen_from_inside(clock: FrozenClock) -> None:
    seen: list[tuple[int, str]] = []

    @task(retries=2, retry_delay_seconds=10)
    def f() -> None:
        run = get_run_context().task_run
        seen.append((run.run_count, run.id))
        assert run.start_time == clock.now()
        if run.run_count < 3:
            raise KeyError

    f()
    assert [count for count, _ in seen] == [1, 2, 3]
    assert len({run_id for _, run_id in seen}) == 1


def test_the_condition_is_told_task_run_and_state() -> None:
    told: list[Any] = []

    def condition(*what: Any) -> bool:
        told.append(what)
        return False

    @task(retries=3, retry_condition_fn=condition)
    def f() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        f()
    ((which, run, state),) = told
    assert which is f
    assert isinstance(run, TaskRun)
    assert (run.name.partition("-")[0], run.run_count) == ("f", 1)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), KeyError)


def test_an_async_condition_is_awaited() -> None:
    async def condition(*_: object) -> bool:
        await asyncio.sleep(0)
        return True

    left = [1]

    @task(retries=1, retry_condition_fn=condition)
    async def f() -> str:
        if left:
            left.pop()
            raise KeyError
        return "done"

    assert asyncio.run(f()) == "done"


def test_a_retry_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    task(flaky(1), retries=3, retry_delay_seconds=7)()
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line == "Task run encountered an exception: ConnectionError: once more; retry 1 of 3 in 7 seconds"


def test_waiting_for_a_retry_can_be_interrupted(journal: Any, world: World) -> None:
    class Interrupted(FrozenClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    with use_world(World(world.settings, journal, Interrupted())), pytest.raises(KeyboardInterrupt):
        task(flaky(1), name="f", retries=3, retry_delay_seconds=7)()
    assert journal.states("f") == ["Running", "AwaitingRetry", "Cancelled"]


def test_an_async_retry_waits_in_the_loop(world: World, journal: Any) -> None:
    left, seen = [1], set()

    @task(retries=1, retry_delay_seconds=0.05)
    async def f() -> str:
        if left:
            left.pop()
            raise KeyError
        return "done"

    async def main() -> None:
        running = asyncio.create_task(f())
        while not running.done():
            seen.update(said[-1].state_name for said in journal.transitions.values())
            await asyncio.sleep(0)

    with use_world(World(world.settings, journal)):
        asyncio.run(main())
    assert "AwaitingRetry" in seen  # the loop runs on meanwhile


class TestJitter:
    @given(
        jitter=st.floats(0, 3),
        base=st.floats(0, 1e6),
        chance=st.floats(0, 1, exclude_max=True),
    )
    def test_stays_around_the_delay(self, jitter: float, base: float, chance: float) -> None:
        delay = RetryPolicy(1, (base,), jitter).delay(1, lambda: chance)
        assert max(0, base * (1 - jitter)) * 0.999999 <= delay <= base * (1 + jitter) * 1.000001

    def test_keeps_the_mean(self) -> None:
        policy = RetryPolicy(1, (10.0,), 0.4)
        steps = [policy.delay(1, lambda step=step: (step + 0.5) / 1000) for step in range(1000)]
        assert sum(steps) / len(steps) == pytest.approx(10)
        assert min(steps) == pytest.approx(6, abs=0.01)
        assert max(steps) == pytest.approx(14, abs=0.01)

    def test_comes_from_the_world(self, world: World, clock: FrozenClock, journal: Any) -> None:
        for chance in (0.0, 0.75):
            with use_world(World(world.settings, journal, clock, chance=lambda chance=chance: chance)):
                task(flaky(1), retries=1, retry_delay_seconds=10, retry_jitter_factor=0.5)()
        assert clock.slept == [5, 12.5]

    def test_none_is_none(self) -> None:
        assert retry_policy(1, 10, None, None, what="t").delay(1, lambda: 0.9) == 10
