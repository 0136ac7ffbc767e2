"""What is submitted inside a transaction belongs to it, and is over before it commits."""

# ruff: noqa: PT012  the whole block is what raises

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrepot import allow_failure, flow, task
from entrepot.errors import CancelledRunError, NotReadyError, TransactionError
from entrepot.futures import wait
from entrepot.storage import MemoryStorage
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner
from entrepot.transactions import Transaction, transaction
from entrepot_test_processes import until
from entrepot_test_transactions import Diary


@pytest.fixture
def diary(storage: MemoryStorage) -> Diary:
    return Diary(storage)


@pytest.fixture(params=[ThreadPoolTaskRunner, SequentialTaskRunner], ids=["threads", "sequential"])
def in_flow(request: pytest.FixtureRequest) -> Any:
    """Return what runs a function in a flow with this task runner."""

    def run(body: Any) -> Any:
        return flow(body, task_runner=request.param())()

    return run


def test_all_of_it_is_over_and_visible_at_the_end(diary: Diary, in_flow: Any) -> None:
    step = diary.task()

    def body() -> None:
        with transaction():
            step.map(range(20))
            step.submit(99)
            assert diary.visible == []
        assert len(diary.visible) == 21

    in_flow(body)
    assert diary.lines.count("commit step") == 21


def test_outside_of_flows_too(diary: Diary) -> None:
    step = diary.task()
    with transaction():
        step.map([1, 2])
    assert diary.visible == [1, 2]


def test_a_failure_that_nobody_asked_about_fails_the_block(diary: Diary, in_flow: Any) -> None:
    step = diary.task()

    def body() -> None:
        with pytest.raises(ValueError, match="bad"), transaction() as txn:
            step.submit(1)
            step.submit("bad")
        assert txn.is_rolled_back()

    in_flow(body)
    assert diary.visible == []
    assert diary.lines.count("rollback step") == 1


def caught(future: Any) -> None:
    with pytest.raises(ValueError, match="bad"):
        future.result()


@pytest.mark.parametrize(
    "ask",
    [
        lambda future: future.result(raise_on_failure=False),
        caught,
        lambda future: (wait([future]), future.state),
    ],
    ids=["result", "raised", "state"],
)
def test_one_that_somebody_has_looked_at_does_not(diary: Diary, in_flow: Any, ask: Any) -> None:
    step = diary.task()

    def body() -> None:
        with transaction():
            step.submit(1)
            future = step.submit("bad")
            ask(future)
            repr(future)

    in_flow(body)
    assert diary.visible == [1]


def test_to_print_a_future_is_not_to_look_at_it(diary: Diary) -> None:
    with pytest.raises(ValueError, match="bad"), transaction():
        future = diary.task().submit("bad")
        future.wait()
        assert "Failed" in repr(future)


def test_states_that_were_asked_for_are_looked_at(diary: Diary) -> None:
    step = diary.task()
    with transaction():
        assert step.submit("bad", return_state=True).is_failed()
        assert [state.is_failed() for state in step.map([1, "bad 2"], return_state=True)] == [False, True]
    assert diary.visible == [1]


def test_what_may_fail_may_fail(diary: Diary) -> None:
    step = diary.task()
    look = task(lambda given: type(given).__name__)
    with transaction():
        assert look.submit(allow_failure(step.submit("bad"))).result() == "ValueError"
        step(1)
    assert diary.visible == [1]


def test_the_error_of_the_first_is_raised_not_that_of_those_that_waited_for_it(diary: Diary) -> None:
    step = diary.task()
    with pytest.raises((ValueError, NotReadyError)) as caught, transaction():
        step.submit(step.submit("bad"))
    error = caught.value if isinstance(caught.value, ValueError) else caught.value.__cause__
    assert str(error) == "bad"


def test_what_has_not_started_when_the_body_fails_does_not_start(diary: Diary) -> None:
    step = diary.task()
    started, go = threading.Event(), threading.Event()

    @task
    def block() -> None:
        started.set()
        assert go.wait(120)

    states: list[Any] = []

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> None:
        futures = []
        with pytest.raises(RuntimeError, match="mine"), transaction() as txn:
            futures.append(block.submit())
            futures += step.map([1, 2, 3])
            assert started.wait(120)
            release = threading.Thread(target=lambda: (until(lambda: txn.declines), go.set()))
            release.start()
            raise RuntimeError("mine")
        release.join()
        assert all(future.done() for future in futures)
        states.extend(future.state for future in futures)

    body()
    assert [state.is_cancelled() for state in states] == [False, True, True, True]
    assert "rolled back" in states[1].message
    assert diary.lines == []


def test_what_runs_when_the_body_fails_is_waited_for_and_undone(diary: Diary) -> None:
    step = diary.task()
    started, go = threading.Event(), threading.Event()

    @task
    def block() -> None:
        started.set()
        assert go.wait(120)
        step("late")

    with pytest.raises(RuntimeError, match="mine"), transaction():
        block.submit()
        assert started.wait(120)
        threading.Timer(0.1, go.set).start()
        raise RuntimeError("mine")
    assert diary.visible == []
    assert "commit step" not in diary.lines


def test_an_inner_block_waits_for_its_own(diary: Diary, in_flow: Any) -> None:
    step = diary.task()

    def body() -> None:
        with transaction():
            with pytest.raises(ValueError, match="bad"), transaction():
                step.map([1, 2, "bad"])
            assert sorted(diary.lines)[:2] == ["rollback step", "rollback step"]
            step.submit(3)

    in_flow(body)
    assert diary.visible == [3]


def test_a_subflow_decides_itself_whether_failed_tasks_matter(diary: Diary) -> None:
    step = diary.task()

    @flow
    def inner() -> str:
        step.submit("bad")
        step.submit(1)
        return "completed"

    with transaction():
        assert inner() == "completed"
    assert diary.visible == [1]


def test_async_tasks_at_the_same_time(diary: Diary) -> None:
    lines = diary.lines

    @task(cache_key_fn=lambda _, parameters: f"k{parameters['x']}", result_storage=diary.storage)
    async def step(x: int) -> int:
        await asyncio.sleep(0)
        lines.append(f"step {x}")
        return x

    @flow
    async def main() -> None:
        async with transaction():
            await asyncio.gather(*map(step, range(5)))
            async with asyncio.TaskGroup() as group:
                group.create_task(step(7))
            step.submit(8)
            assert diary.visible == []

    asyncio.run(main())
    assert diary.visible == [0, 1, 2, 3, 4, 7, 8]


def test_the_loop_runs_on_while_an_async_block_waits(diary: Diary) -> None:
    step = diary.task()
    go = threading.Event()

    @task
    def block() -> None:
        assert go.wait(120)

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.05, go.set)
        async with transaction():
            block.submit()
            step(1)

    asyncio.run(main())
    assert diary.visible == [1]


def test_a_cancelled_block_rolls_back(diary: Diary) -> None:
    step = diary.task()
    txns: list[Transaction] = []

    async def body(begun: asyncio.Event) -> None:
        async with transaction() as txn:
            txns.append(txn)
            step(1)
            begun.set()
            await asyncio.sleep(60)

    async def main() -> None:
        begun = asyncio.Event()
        running = asyncio.create_task(body(begun))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert txns[0].is_rolled_back()
    assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])


def test_a_block_whose_coroutine_is_thrown_away_rolls_back(diary: Diary) -> None:
    step = diary.task()

    async def body() -> None:
        async with transaction():
            step(1)
            await asyncio.sleep(0)

    coroutine = body()
    coroutine.send(None)
    coroutine.close()
    assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])


def test_cancelled_while_it_commits_it_is_committed_or_rolled_back_and_knows_which(diary: Diary) -> None:
    """The thread that commits cannot be stopped: it is waited for, and its word counts."""
    reached, go = threading.Event(), threading.Event()

    class Slow:
        """Stops right before the marker is made."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def create(self, path: str, data: Any) -> None:
            if path.startswith("transactions/"):
                reached.set()
                assert go.wait(120)
            self.inner.create(path, data)

    slow = Diary(Slow(diary.storage))
    step = slow.task()
    txns: list[Transaction] = []

    async def body() -> None:
        async with transaction() as txn:
            txns.append(txn)
            step(1)
            step(2)

    async def main() -> None:
        running = asyncio.create_task(body())
        assert await asyncio.to_thread(reached.wait, 120)
        running.cancel()
        threading.Timer(0.1, go.set).start()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert txns[0].is_committed()
    assert diary.visible == [1, 2]
    assert "rollback step" not in slow.lines


def test_threads_that_are_started_in_it_are_a_part_of_it(diary: Diary) -> None:
    step = diary.task()

    @flow
    def main() -> None:
        with transaction():
            thread = threading.Thread(target=step, args=(1,))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(2) as pool:
                assert list(pool.map(step, [2, 3])) == [2, 3]
            assert diary.visible == []
        with pytest.raises(RuntimeError), transaction():
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(step, [4, 5]))
            raise RuntimeError

    main()
    assert diary.visible == [1, 2, 3]
    assert diary.lines.count("rollback step") == 2


def test_what_outlives_its_block_fails_and_keeps_nothing(diary: Diary) -> None:
    """A thread of the user's, which nobody waits for."""
    step = diary.task()
    started, go = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    @task
    def late() -> None:
        started.set()
        assert go.wait(120)
        step(2)

    def run() -> None:
        try:
            late()
        except TransactionError as error:
            errors.append(error)

    with transaction():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
        thread.start()
        assert started.wait(120)
        step(1)
    go.set()
    thread.join()
    assert "was over first" in str(errors[0])
    assert diary.visible == [1]
    assert diary.lines[-1] == "rollback step"


def test_code_that_begins_after_its_block_is_in_none(diary: Diary) -> None:
    step = diary.task()
    with transaction():
        context = contextvars.copy_context()
    context.run(step, 1)
    assert diary.visible == [1]


def test_code_that_begins_after_its_block_was_rolled_back_does_not_run(diary: Diary) -> None:
    """A task that was stopped, and whose thread goes on, say."""
    step = diary.task()
    with transaction():
        with pytest.raises(RuntimeError), transaction():
            context = contextvars.copy_context()
            raise RuntimeError
        with pytest.raises(CancelledRunError):
            context.run(step, 1)
        step(2)
    assert diary.visible == [2]
    assert "step 1" not in diary.lines


class Large:
    """Can be watched."""


def test_results_of_many_tasks_are_let_go_while_the_block_goes_on() -> None:
    made: list[weakref.ref[Large]] = []

    @task
    def make(_: int) -> Large:
        large = Large()
        made.append(weakref.ref(large))
        return large

    def living() -> int:
        gc.collect()
        return sum(ref() is not None for ref in made)

    @flow
    def body() -> int:
        with transaction():
            futures = make.map(range(50))
            futures.wait()
            futures.clear()
            del futures
            until(lambda: living() <= 1)  # a thread may still be on its way back from what it ran
            return living()

    assert body() <= 1
    assert len(made) == 50
