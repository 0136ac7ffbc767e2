"""Threads belong to the run that starts them, for as long as it lasts."""

# ruff: noqa: T201  prints are what is tested

import asyncio
import builtins
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

from entrepot import flow, get_run_logger, task
from entrepot._inherited import inherit_in_threads, stop_inheriting
from entrepot.context import CURRENT, TAGS, get_run_context, inherit, tags
from entrepot.errors import MissingContextError

from .conftest import Kept


@pytest.fixture(autouse=True)
def inheriting() -> Iterator[None]:
    inherit_in_threads()
    yield
    inherit_in_threads()


def say(text: str = "said") -> None:
    get_run_logger().info(text)


def run_thread(target: Callable[..., object], *args: object) -> None:
    thread = threading.Thread(target=target, args=args)
    thread.start()
    thread.join()


def in_timer(call: Callable[[], object]) -> None:
    timer = threading.Timer(0, call)
    timer.start()
    timer.join()


def in_subclass(call: Callable[[], object]) -> None:
    class Mine(threading.Thread):
        def run(self) -> None:
            call()

    mine = Mine(daemon=True)
    mine.start()
    mine.join()


def in_pool(call: Callable[[], object]) -> None:
    with ThreadPoolExecutor(2) as pool:
        pool.submit(call).result()


def in_multiprocessing_pool(call: Callable[[], object]) -> None:
    with ThreadPool(1) as pool:
        pool.apply(call)


def in_thread_of_a_thread(call: Callable[[], object]) -> None:
    run_thread(run_thread, call)


def in_pool_of_a_thread(call: Callable[[], object]) -> None:
    run_thread(in_pool, call)


def in_loop_of_a_thread(call: Callable[[], object]) -> None:
    async def main() -> None:
        call()
        await asyncio.get_running_loop().run_in_executor(None, call)

    run_thread(asyncio.run, main())


WAYS = {
    way.__name__: way
    for way in (
        run_thread,
        in_timer,
        in_subclass,
        in_pool,
        in_multiprocessing_pool,
        in_thread_of_a_thread,
        in_pool_of_a_thread,
        in_loop_of_a_thread,
    )
}


class TestRunsOfThreads:
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    def test_are_those_that_started_them(self, way: Callable[..., None], kept: Kept) -> None:
        @task
        def step() -> None:
            way(lambda: say("from the task"))

        @flow
        def f() -> None:
            step()
            step.submit().wait()
            way(lambda: say("from the flow"))

        f()
        said = [(name, message) for name, message in kept.said() if message.startswith("from")]
        times = len(said) // 3
        flow_run = next(run.name for run in kept.created if run.kind == "flow")
        assert said == [
            *[("step-1", "from the task")] * times,
            *[("step-2", "from the task")] * times,
            *[(flow_run, "from the flow")] * times,
        ]
        assert times in {1, 2}

    @pytest.mark.parametrize("way", ["to_thread", "run_in_executor", "gather"])
    def test_of_async_code_too(self, way: str, kept: Kept) -> None:
        @task
        async def step(number: int) -> None:
            if way == "to_thread":
                await asyncio.to_thread(say, f"step {number}")
            elif way == "run_in_executor":
                await asyncio.get_running_loop().run_in_executor(None, say, f"step {number}")
            else:
                await asyncio.gather(asyncio.to_thread(say, f"step {number}"), asyncio.sleep(0))

        @flow
        async def f() -> None:
            await asyncio.gather(step(1), step(2), step(3))

        asyncio.run(f())
        assert {kept.by(f"step {number}") for number in (1, 2, 3)} == {"step-1", "step-2", "step-3"}

    def test_a_pool_that_runs_share_works_for_whoever_gave_it_the_work(self, kept: Kept) -> None:
        with ThreadPoolExecutor(1) as pool:

            @task
            def step(number: int) -> None:
                pool.submit(say, f"work {number}").result()

            @flow
            def f() -> None:
                for future in [step.submit(number) for number in range(1, 6)]:
                    future.result()

            f()
            for number in range(1, 6):
                assert kept.by(f"work {number}") == next(
                    run.name for run in kept.created if run.parameters.get("number") == str(number)
                )
            with pytest.raises(MissingContextError):
                pool.submit(say).result()

    def test_work_from_outside_of_runs_stays_outside_while_the_run_lasts_that_hired_the_thread(
        self, kept: Kept
    ) -> None:
        hired, done = threading.Event(), threading.Event()
        with ThreadPoolExecutor(1) as pool:

            @flow
            def f() -> None:
                pool.submit(say, "inside").result()
                hired.set()
                assert done.wait(30)

            thread = threading.Thread(target=contextvars.copy_context().run, args=(f,))
            thread.start()
            assert hired.wait(30)
            with pytest.raises(MissingContextError):
                pool.submit(say).result()
            done.set()
            thread.join()
        assert "inside" in [message for _, message in kept.said()]

    def test_tasks_that_they_call_are_inside_it(self, kept: Kept) -> None:
        @task
        def step() -> None: ...

        @flow
        def f() -> None:
            run_thread(step)
            in_pool(lambda: step.submit().wait())

        f()
        whole, *steps = kept.created
        assert whole.kind == "flow"
        assert [(step.name, step.flow_run_id) for step in steps] == [("step-1", whole.run_id), ("step-2", whole.run_id)]

    def test_have_its_tags_too(self, kept: Kept) -> None:
        seen = []

        @flow
        def f() -> None:
            with tags("nightly"):
                run_thread(lambda: seen.append(TAGS.get()))
                in_pool(lambda: seen.append(TAGS.get()))
            run_thread(lambda: seen.append(TAGS.get()))

        f()
        assert seen == [frozenset({"nightly"}), frozenset({"nightly"}), frozenset()]

    def test_what_they_print_is_a_line_where_the_run_asks_for_that(
        self, kept: Kept, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real = builtins.print

        @flow(log_prints=True)
        def f() -> None:
            run_thread(print, "from a thread")
            in_pool(lambda: print("from a pool"))

        f()
        assert [message for _, message in kept.said()][1:3] == ["from a thread", "from a pool"]
        assert builtins.print is real
        assert capsys.readouterr().out == ""


class TestAfterTheRun:
    def test_a_thread_that_goes_on_is_outside_of_runs(self, kept: Kept) -> None:
        over = threading.Event()
        answers: list[object] = []

        def outlive() -> None:
            logger = get_run_logger()
            assert over.wait(30)
            logger.info("a logger that was got before still says which run it was")
            answers.append(CURRENT.get())
            try:
                get_run_logger()
            except MissingContextError as error:
                answers.append(str(error))
            answers.append(task(lambda: CURRENT.get().task_run.parent_run_id)())  # type: ignore[union-attr]

        @flow
        def f() -> threading.Thread:
            thread = threading.Thread(target=outlive)
            thread.start()
            return thread

        state = f(return_state=True)
        over.set()
        state.result().join()
        assert answers[0] is None
        assert "in a thread whose run is over" in str(answers[1])
        assert answers[2] is None
        assert kept.by("a logger that was got before still says which run it was") == kept.created[0].name

    @pytest.mark.parametrize("way", ["thread", "busy pool", "queue of a pool"])
    def test_neither_threads_nor_pools_keep_what_it_was_given(self, way: str, kept: Kept) -> None:
        class Thing:
            pass

        over = threading.Event()

        def outlive(thing: object) -> None:
            if way == "thread":
                threading.Thread(target=over.wait, args=(30,), daemon=True).start()
            else:
                pool.submit(over.wait, 30)

        thing = Thing()
        watched = weakref.ref(thing)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(over.wait if way == "queue of a pool" else int, *([30] if way == "queue of a pool" else []))
            gc.collect()
            gc.disable()
            try:
                task(outlive)(thing)
                del thing
                assert watched() is None
            finally:
                gc.enable()
                over.set()

    def test_an_attempt_that_is_over_is_over(self, kept: Kept) -> None:
        second = threading.Event()
        seen: list[object] = []
        threads = []

        def outlive() -> None:
            seen.append(get_run_context().task_run.run_count)  # type: ignore[union-attr]
            assert second.wait(30)
            seen.append(CURRENT.get())

        @task(retries=1)
        def step() -> None:
            if get_run_context().task_run.run_count == 1:  # type: ignore[union-attr]
                threads.append(threading.Thread(target=outlive))
                threads[0].start()
                while not seen:
                    pass
                raise ValueError("again")
            second.set()
            threads[0].join()

        step()
        assert seen == [1, None]


class TestInherit:
    def test_brings_the_run_into_threads_of_others(self, kept: Kept) -> None:
        calls: list[Callable[[], object]] = []
        ready, done = threading.Event(), threading.Event()

        def library() -> None:
            assert ready.wait(30)
            for call in calls:
                call()
            done.set()

        theirs = threading.Thread(target=library)
        theirs.start()

        @flow
        def f() -> None:
            calls.append(inherit(lambda: say("called back")))
            ready.set()
            assert done.wait(30)

        f()
        theirs.join()
        assert kept.by("called back") == kept.created[0].name

    def test_is_of_the_run_where_it_was_called_and_not_of_the_one_that_calls(self, kept: Kept) -> None:
        @task
        def inner(call: Callable[[], None]) -> None:
            call()

        @flow
        def f() -> None:
            inner(inherit(lambda: say("mine")))

        f()
        assert kept.by("mine") == kept.created[0].name

    def test_after_the_run_the_call_is_outside(self, kept: Kept) -> None:
        @flow
        def f() -> list[Any]:
            return [inherit(CURRENT.get)]

        (call,) = f()
        assert call() is None

    def test_keeps_name_arguments_and_result(self) -> None:
        def add(one: int, two: int = 2) -> int:
            """Add."""
            return one + two

        carried = inherit(add)
        assert carried(1, two=3) == 4
        assert (carried.__name__, carried.__doc__) == ("add", "Add.")


class TestWrapping:
    def test_is_done_once_and_can_be_undone(self) -> None:
        ours = threading.Thread.start, ThreadPoolExecutor.submit
        inherit_in_threads()
        assert ours == (threading.Thread.start, ThreadPoolExecutor.submit)
        stop_inheriting()
        assert threading.Thread.start.__module__ == "threading"
        assert ThreadPoolExecutor.submit.__module__ == "concurrent.futures.thread"

    def test_a_wrapper_of_somebody_else_is_left_to_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours = threading.Thread.start
        started = []

        def theirs(self: threading.Thread) -> None:
            started.append(self)
            ours(self)

        monkeypatch.setattr(threading.Thread, "start", theirs)
        stop_inheriting()
        assert threading.Thread.start is theirs
        run_thread(lambda: None)
        assert len(started) == 1

    def test_outside_of_runs_nothing_is_noted(self) -> None:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        assert "_entrepot_inherited" not in vars(thread)

    def test_errors_of_a_thread_that_was_never_made_stay_what_they_are(self) -> None:
        class Unmade(threading.Thread):
            def __init__(self) -> None:
                pass

        @flow
        def f() -> None:
            with pytest.raises(RuntimeError, match="__init__"):
                Unmade().start()

        f()
