"""Async for real: one loop, many tasks at a time, cancelled cleanly, beside sync tasks, in loops of others."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from entrepot import flow, task
from entrepot.states import State


def plain(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def under_uvloop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@pytest.fixture(params=[plain, under_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param  # type: ignore[no-any-return]


class Meeting:
    """Is over only when so many have come at a time."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._all_here = asyncio.Event()
        self.threads: set[int] = set()

    async def come(self) -> None:
        self.threads.add(threading.get_ident())
        self._left -= 1
        if self._left == 0:
            self._all_here.set()
        await self._all_here.wait()


def test_gathered_tasks_run_at_a_time_in_one_loop(run: Callable[..., Any], journal: Any) -> None:
    async def main() -> tuple[list[int], int]:
        meeting = Meeting(100)

        @task
        async def meet(n: int) -> int:
            await meeting.come()
            return n

        @flow
        async def gather() -> list[int]:
            return await asyncio.gather(*[meet(n) for n in range(100)])

        return await gather(), len(meeting.threads)

    assert run(main()) == (list(range(100)), 1)
    assert len(journal.created) == 101


def test_a_task_group_runs_them_at_a_time_and_cancels_the_rest_after_a_failure(
    run: Callable[..., Any], journal: Any
) -> None:
    async def main() -> None:
        meeting = Meeting(3)

        @task(name="waits")
        async def waits() -> None:
            await meeting.come()
            await asyncio.Event().wait()

        @task(name="fails")
        async def fails() -> None:
            await meeting.come()
            raise ValueError("as planned")

        @flow(name="group")
        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(waits())
                tasks.create_task(waits())
                tasks.create_task(fails())

        await group()

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert isinstance(caught.value.exceptions[0], ValueError)
    ends = [(run.definition, journal.transitions[run.run_id][-1].state_name) for run in journal.created.values()]
    assert sorted(ends) == [("fails", "Failed"), ("group", "Failed"), ("waits", "Cancelled"), ("waits", "Cancelled")]


def test_sync_and_async_tasks_mix(run: Callable[..., Any]) -> None:
    @task
    def double(n: int) -> int:
        return 2 * n

    @task
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @flow
    async def main() -> Any:
        one = double(1)
        two = double.submit(2)
        three = add.submit(one, two)
        return await add(three, double.submit(three)), [future.result() for future in add.map([1, 2], [3, 4])]

    assert run(main()) == (18, [4, 6])


def test_a_future_of_a_sync_task_can_be_waited_for_without_stopping_the_loop(run: Callable[..., Any]) -> None:
    release = threading.Event()

    @task
    def slow() -> str:
        assert release.wait(120)
        return "done"

    @task
    async def show(value: Any) -> Any:
        return value

    @flow
    async def main() -> Any:
        waiting = asyncio.create_task(show(slow.submit()))
        await asyncio.sleep(0.01)  # the loop runs on, although the task waits
        release.set()
        return await waiting

    assert run(main()) == "done"


def test_one_cancelled_task_leaves_its_siblings_alone(run: Callable[..., Any], journal: Any) -> None:
    async def main() -> Any:
        meeting = Meeting(2)

        @task(name="stuck")
        async def stuck() -> None:
            await meeting.come()
            await asyncio.Event().wait()

        @task(name="fine")
        async def fine() -> int:
            await meeting.come()
            return 3

        @flow(name="both")
        async def both() -> Any:
            first = asyncio.create_task(stuck())
            second = await fine()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return second

        return await both()

    assert run(main()) == 3
    ends = {run.definition: journal.transitions[run.run_id][-1].state_name for run in journal.created.values()}
    assert ends == {"stuck": "Cancelled", "fine": "Completed", "both": "Completed"}


def test_cancelling_a_flow_cancels_everything_in_it(run: Callable[..., Any], journal: Any) -> None:
    async def main() -> None:
        meeting = Meeting(11)

        @task(name="stuck")
        async def stuck() -> None:
            await meeting.come()
            await asyncio.Event().wait()

        @flow(name="inner")
        async def inner() -> None:
            await asyncio.gather(*[stuck() for _ in range(10)])

        @flow(name="outer")
        async def outer() -> None:
            await inner()

        running = asyncio.create_task(outer())
        await meeting.come()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(main())
    ends = {journal.transitions[run.run_id][-1].state_name for run in journal.created.values()}
    assert ends == {"Cancelled"}
    assert len(journal.created) == 12


def test_a_cleanup_in_a_cancelled_task_is_awaited(run: Callable[..., Any]) -> None:
    cleaned: list[str] = []

    @task
    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")

    async def main() -> None:
        running = asyncio.create_task(careful())
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(main())
    assert cleaned == ["up"]


def test_sync_flows_and_submitted_async_tasks_work_inside_a_running_loop(run: Callable[..., Any]) -> None:
    """As in a notebook, whose cells run inside a loop."""

    @task
    async def answer(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @flow
    def sync_flow() -> list[int]:
        return answer.map([1, 2, 3]).result()

    async def cell() -> Any:
        return sync_flow(), await flow(answer.fn, name="async")(4)

    assert run(cell()) == ([1, 2, 3], 4)


def test_return_state_is_awaited_like_a_result(run: Callable[..., Any]) -> None:
    @task
    async def fails() -> None:
        raise KeyError

    async def main() -> State[None]:
        return await fails(return_state=True)

    assert run(main()).name == "Failed"


def test_retries_of_one_do_not_hold_the_others_up(run: Callable[..., Any], journal: Any) -> None:
    tries: list[int] = []

    @task(retries=3, retry_delay_seconds=0)
    async def flaky() -> int:
        tries.append(1)
        await asyncio.sleep(0)
        if len(tries) < 3:
            raise ConnectionError
        return len(tries)

    @task
    async def steady(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @flow
    async def main() -> Any:
        return await asyncio.gather(flaky(), *[steady(n) for n in range(5)])

    assert run(main()) == [3, 0, 1, 2, 3, 4]
    assert journal.states("flaky") == ["Running", "Retrying", "Retrying", "Completed"]


def test_context_variables_of_concurrent_tasks_do_not_mix(run: Callable[..., Any]) -> None:
    from entrepot.context import TaskRunContext  # noqa: PLC0415

    async def main() -> Any:
        meeting = Meeting(10)

        @task(task_run_name="n-{n}")
        async def who(n: int) -> str:
            await meeting.come()
            context = TaskRunContext.get()
            assert context is not None
            return context.task_run.name

        @flow
        async def all_of_them() -> list[str]:
            return await asyncio.gather(*[who(n) for n in range(10)])

        return await all_of_them()

    assert run(main()) == [f"n-{n}" for n in range(10)]
