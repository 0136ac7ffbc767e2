"""Flows and tasks as functions: how they look, how they are called, what they give back."""

import asyncio
import functools
import inspect
import sys
import threading
import traceback

import pytest

from entrepot import Flow, State, Task, flow, get_run_logger, task
from entrepot.context import FlowRunContext, TaskRunContext, get_run_context
from entrepot.errors import FailedRunError, MissingContextError, NotReadyError, OptionError, ParameterError
from entrepot.states import Completed, Failed


@task
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@flow
def adds(a: int) -> int:
    """Add some numbers."""
    return add(add(a), b=1)


class TestLooks:
    def test_a_task_looks_like_its_function(self) -> None:
        assert isinstance(add, Task)
        assert (add.__name__, add.__doc__, add.__module__) == ("add", "Add two numbers.", __name__)
        assert list(inspect.signature(add).parameters) == ["a", "b"]
        assert add.__wrapped__ is add.fn
        assert (add.name, add.description, add.key) == ("add", "Add two numbers.", f"{__name__}.add")
        assert repr(add) == "<Task 'add'>"

    def test_a_flow_looks_like_its_function(self) -> None:
        assert isinstance(adds, Flow)
        assert (adds.name, adds.description) == ("adds", "Add some numbers.")

    def test_options_may_be_given_with_or_without_parentheses(self) -> None:
        def f() -> int:
            return 1

        assert task(f)() == task()(f)() == task(name="g")(f)() == task(f, name="g")() == 1
        assert task(f, name="g").name == "g"
        assert flow(name="My Flow", description="d", version="1.0.0", tags=["b", "a", "b"])(f).tags == {"a", "b"}

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the mark is new in Python 3.12")
    def test_an_async_task_is_seen_to_be_async(self) -> None:
        @task
        async def f() -> None:
            pass

        assert inspect.iscoroutinefunction(f)

    def test_the_key_sees_through_partials_and_objects(self) -> None:
        class Callable:
            def __call__(self) -> int:
                return 5

        assert task(functools.partial(add.fn, 1)).key == f"{__name__}.add"
        assert task(functools.partial(add.fn, 1))() == 3
        assert task(Callable()).name == "Callable"
        assert task(Callable())() == 5

    def test_a_built_in_can_be_a_task(self) -> None:
        assert task(max, name="largest")([1, 3, 2]) == 3


class TestCalls:
    def test_a_task_returns_what_its_function_returns_inside_and_outside_flows(self) -> None:
        assert add(1) == 3
        assert adds(1) == 4
        assert adds(a=1) == 4

    def test_none_is_a_result(self) -> None:
        assert task(lambda: None)() is None
        assert flow(lambda: None)() is None

    def test_a_failed_task_raises_its_own_exception_with_its_own_traceback(self) -> None:
        error = ValueError("boom")

        @task
        def fails() -> None:
            raise error

        @flow
        def outer() -> None:
            fails()

        with pytest.raises(ValueError, match="boom") as caught:
            outer()
        assert caught.value is error
        assert error.__cause__ is None
        assert error.__context__ is None
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names[-1] == "fails"
        assert "outer" in names
        # Between user code and user code: the call, and little more.
        assert len(names) - 1 - names.index("outer") <= 5

    def test_a_flow_can_handle_what_a_task_raises(self) -> None:
        @task
        def fails() -> None:
            raise KeyError("x")

        @flow
        def careful() -> str:
            try:
                fails()
            except KeyError:
                return "handled"
            return "not reached"

        assert careful() == "handled"

    def test_a_stop_iteration_comes_through(self) -> None:
        @task
        def ends() -> None:
            raise StopIteration(7)

        with pytest.raises(StopIteration) as caught:
            ends()
        assert caught.value.value == 7

    def test_return_state_gives_the_state_of_success_and_failure(self) -> None:
        good = adds(1, return_state=True)
        assert isinstance(good, State)
        assert good.is_completed()
        assert good.result() == 4
        bad = task(lambda: 1 // 0, name="bad")(return_state=True)
        assert bad.is_failed()
        assert bad.message == "Task run encountered an exception: ZeroDivisionError: integer division or modulo by zero"
        assert isinstance(bad.result(raise_on_failure=False), ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            bad.result()

    def test_a_task_may_return_a_state(self) -> None:
        assert task(lambda: Completed(data=5))() == 5
        assert task(lambda: Completed("all good", name="Skipped"))(return_state=True).name == "Skipped"
        with pytest.raises(FailedRunError, match="not today"):
            task(lambda: Failed("not today"))()

    def test_a_state_among_the_arguments_stands_for_its_result(self) -> None:
        state = add(1, return_state=True)
        assert add(state) == 5
        assert task(lambda values: values)({"a": [state, 1]}) == {"a": [3, 1]}
        failed = task(lambda: 1 // 0)(return_state=True)
        with pytest.raises(NotReadyError) as caught:
            add(failed)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_arguments_are_handed_over_as_they_are(self) -> None:
        given = [1, [2]]
        assert task(lambda value: value)(given) is given
        assert flow(lambda value: value)(given) is given

    def test_arguments_that_do_not_fit_are_refused_before_there_is_a_run(self, journal: object) -> None:
        with pytest.raises(ParameterError, match="missing: a") as caught:
            add()
        assert isinstance(caught.value, TypeError)
        assert caught.value.parameter == "a"
        with pytest.raises(ParameterError, match=r"unknown: aa \(did you mean 'a'\?\)"):
            adds(aa=1)
        assert journal.created == {}

    def test_star_arguments_work(self) -> None:
        @task
        def f(first: int, /, *rest: int, **named: int) -> object:
            return first, rest, named

        assert f(1, 2, 3, x=4) == (1, (2, 3), {"x": 4})
        assert f.submit(1, 2, x=4).result() == (1, (2,), {"x": 4})


class TestMethods:
    class Thing:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task
        def scaled(self, number: int) -> int:
            return self.factor * number

        @flow
        def run(self, number: int) -> list[int]:
            return [self.scaled(number), self.scaled.submit(number + 1).result()]

        @classmethod
        @task
        def kind(cls) -> str:
            return cls.__name__

        @task
        @staticmethod
        def plain(number: int) -> int:
            return number

        @task
        @classmethod
        def kind_too(cls) -> str:
            return cls.__name__

    def test_methods_get_their_object(self) -> None:
        assert self.Thing(3).run(2) == [6, 9]
        assert self.Thing.scaled(self.Thing(4), 2) == 8

    def test_two_objects_do_not_share_a_binding(self) -> None:
        three, four = self.Thing(3).scaled, self.Thing(4).scaled
        assert (three(1), four(1)) == (3, 4)

    def test_class_and_static_methods_work_in_either_order(self) -> None:
        thing = self.Thing(1)
        assert thing.plain(5) == self.Thing.plain(5) == 5
        assert thing.kind_too() == self.Thing.kind_too() == "Thing"
        if sys.version_info < (3, 13):  # chained descriptors of classmethod are gone after that
            assert self.Thing.kind() == "Thing"

    def test_options_of_a_method_can_be_changed(self) -> None:
        assert self.Thing(3).scaled.with_options(name="x")(2) == 6


class TestContext:
    def test_is_that_of_the_innermost_run(self) -> None:
        @task
        def inner() -> tuple[str, str]:
            context = get_run_context()
            assert isinstance(context, TaskRunContext)
            assert context is TaskRunContext.get()
            assert context.task is inner
            assert context.parameters == {}
            flow_context = FlowRunContext.get()
            assert flow_context is not None
            assert context.task_run.flow_run_id == flow_context.flow_run.id
            return context.task_run.name, flow_context.flow_run.name

        @flow
        def outer(number: int) -> object:
            context = get_run_context()
            assert isinstance(context, FlowRunContext)
            assert context.flow is outer
            assert context.parameters == {"number": 1}
            assert TaskRunContext.get() is None
            return (*inner(), context.flow_run.name)

        task_name, seen, name = outer(1)
        assert task_name == "inner-1"
        assert seen == name

    def test_there_is_none_outside_runs(self) -> None:
        assert adds(1) == 4
        assert FlowRunContext.get() is None
        with pytest.raises(MissingContextError):
            get_run_context()
        with pytest.raises(MissingContextError, match="get_logger"):
            get_run_logger()

    def test_task_runs_are_counted_by_name_in_each_flow_run(self, journal: object) -> None:
        @flow
        def counted() -> None:
            add(1)
            add.with_options(name="other")(1)
            add(2)

        counted()
        counted()
        names = [run.name for run in journal.created.values() if run.kind == "task"]
        assert names == ["add-1", "other-1", "add-2"] * 2


class TestAsync:
    def test_an_async_task_is_awaited(self) -> None:
        @task
        async def double(x: int) -> int:
            await asyncio.sleep(0)
            return 2 * x

        @flow
        async def doubles(x: int) -> list[int]:
            return [await double(x), *await asyncio.gather(double(2), double(3)), add(x)]

        assert asyncio.run(doubles("1")) == [2, 4, 6, 3]
        assert asyncio.run(double(4, return_state=True)).result() == 8

    def test_concurrent_subflows_do_not_mix_up_their_contexts(self) -> None:
        @task
        async def who() -> str:
            await asyncio.sleep(0)
            return FlowRunContext.get().flow_run.name

        @flow
        async def child(n: int) -> bool:
            await asyncio.sleep(0.001 * (n % 3))
            own = FlowRunContext.get().flow_run.name
            return await who() == own == FlowRunContext.get().flow_run.name

        @flow
        async def parent() -> list[bool]:
            return await asyncio.gather(*(child(n) for n in range(20)))

        assert asyncio.run(parent()) == [True] * 20

    def test_an_async_task_called_in_a_sync_flow_gives_something_to_await(self) -> None:
        @task
        async def one() -> int:
            return 1

        @flow
        def sync() -> int:
            return asyncio.run(one())

        assert sync() == 1

    def test_a_failed_async_task_raises_its_own_exception(self) -> None:
        error = ValueError("boom")

        @task
        async def fails() -> None:
            raise error

        @flow
        async def outer() -> None:
            await fails()

        with pytest.raises(ValueError, match="boom") as caught:
            asyncio.run(outer())
        assert caught.value is error
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "fails"

    def test_a_coroutine_that_is_never_awaited_leaves_no_run(self, journal: object) -> None:
        @task
        async def one() -> int:
            return 1

        one().close()
        assert journal.created == {}

    def test_the_loop_runs_on_while_the_engine_waits(self) -> None:
        ticks = 0
        enough = threading.Event()

        @task
        def slow() -> int:
            assert enough.wait(60)
            return 1

        @flow
        async def waits() -> int:
            slow.submit()
            return 1

        async def main() -> None:
            nonlocal ticks
            running = asyncio.create_task(waits())
            while not running.done():
                ticks += 1
                if ticks == 4:
                    enough.set()
                await asyncio.sleep(0.01)

        asyncio.run(main())
        assert ticks >= 4


def test_names_of_ours_cannot_be_parameters() -> None:
    with pytest.raises(OptionError, match="return_state"):

        @task
        def f(return_state: str) -> None:
            pass
