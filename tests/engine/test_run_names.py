"""What runs are called and tagged, where options and contexts say so."""

import asyncio
import logging
from typing import Any

import pytest
from pydantic import SecretStr

from entrepot import flow, tags, task
from entrepot.context import FlowRunContext, TaskRunContext, get_run_context
from entrepot.errors import OptionError


def names(journal: Any) -> list[str]:
    return [run.name for run in journal.created.values()]


@task(task_run_name="load-{day}-{table.name}")
def load(day: int, table: Any = None) -> str:
    context = TaskRunContext.get()
    assert context is not None
    return context.task_run.name


class Table:
    name = "sales"


class TestTemplates:
    def test_parameters_fill_in_the_template(self, journal: Any) -> None:
        assert load(3, Table()) == "load-3-sales"
        assert names(journal) == ["load-3-sales"]

    def test_so_they_do_where_the_task_is_submitted(self, journal: Any) -> None:
        @flow
        def main() -> tuple[str, str]:
            future = load.submit(4, Table())
            return future.task_run_name, future.result()

        assert main() == ("load-4-sales", "load-4-sales")
        assert names(journal)[1:] == ["load-4-sales"]

    def test_the_results_of_futures_fill_it_in_once_they_are_there(self, journal: Any) -> None:
        @task
        def day() -> int:
            return 5

        @flow
        def main() -> str:
            return load.submit(day.submit(), Table()).result()

        assert main() == "load-5-sales"
        assert "load-5-sales" in names(journal)

    def test_a_flow_is_named_by_its_validated_parameters(self, journal: Any) -> None:
        @flow(flow_run_name="nightly-{n:03d}")
        def nightly(n: int) -> str:
            context = FlowRunContext.get()
            assert context is not None
            return context.flow_run.name

        assert nightly("7") == "nightly-007"
        assert names(journal) == ["nightly-007"]

    def test_a_secret_is_not_a_part_of_a_name(self) -> None:
        @task(task_run_name="login-{password}")
        def login(password: SecretStr) -> str:
            context = TaskRunContext.get()
            assert context is not None
            return context.task_run.name

        assert login(SecretStr("hunter22")) == "login-**********"

    def test_one_that_cannot_be_filled_in_leaves_the_usual_name(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            assert load(3, None).startswith("load-")
        assert "keeps its usual name" in caplog.text

    def test_a_name_is_one_line_of_bounded_length(self) -> None:
        @task(task_run_name="{text}")
        def named(text: str) -> str:
            context = TaskRunContext.get()
            assert context is not None
            return context.task_run.name

        assert named("two\nlines") == "two lines"
        assert len(named("x" * 10_000)) == 250


class TestFunctions:
    def test_one_without_parameters_may_look_at_its_run(self, journal: Any) -> None:
        def name() -> str:
            context: Any = get_run_context()
            return f"run-of-{context.task.name}"

        task(lambda: 1, name="one", task_run_name=name)()
        assert names(journal) == ["run-of-one"]

    def test_one_with_parameters_gets_them(self, journal: Any) -> None:
        def name(parameters: dict[str, Any]) -> str:
            return "-".join(f"{key}={value}" for key, value in parameters.items())

        task(lambda a, b=2: a + b, task_run_name=name)(1)
        assert names(journal) == ["a=1-b=2"]

    def test_is_called_once_however_the_run_starts(self) -> None:
        calls: list[int] = []

        def name() -> str:
            calls.append(1)
            return "named"

        named = task(lambda x: x, task_run_name=name)
        flow(lambda: [named(1), named.submit(2), named.submit(named.submit(3))])()
        assert len(calls) == 4

    @pytest.mark.parametrize("answer", [None, 3, " "])
    def test_one_that_returns_no_name_leaves_the_usual_one(self, answer: object, journal: Any) -> None:
        task(lambda: 1, name="one", task_run_name=lambda: answer)()
        assert names(journal)[0].startswith("one-")


class TestTags:
    def test_runs_get_the_tags_around_them_and_their_own(self, journal: Any) -> None:
        inner = task(lambda: 1, name="inner", tags=["own"])

        @flow(name="outer", tags=["flow"])
        def outer() -> None:
            inner()
            with tags("deep"):
                inner()
                inner.submit()

        with tags("a", "b") as now:
            assert now == {"a", "b"}
            outer()
        assert [(run.definition, list(run.tags)) for run in journal.created.values()] == [
            ("outer", ["a", "b", "flow"]),
            ("inner", ["a", "b", "own"]),
            ("inner", ["a", "b", "deep", "own"]),
            ("inner", ["a", "b", "deep", "own"]),
        ]

    def test_code_sees_the_tags_of_its_run(self) -> None:
        @task
        def look() -> Any:
            context = TaskRunContext.get()
            return None if context is None else context.task_run.tags

        with tags("x"):
            assert look() == ("x",)
        assert look() == ()

    def test_concurrent_async_flows_do_not_share_them(self, journal: Any) -> None:
        @flow
        async def tagged(name: str) -> None:
            with tags(name):
                await asyncio.sleep(0)
                task(lambda: 1, name=f"of-{name}")()

        async def main() -> None:
            await asyncio.gather(tagged("a"), tagged("b"))

        asyncio.run(main())
        assert list(journal.run("of-a").tags) == ["a"]
        assert list(journal.run("of-b").tags) == ["b"]

    @pytest.mark.parametrize("wrong", [3, "", None])
    def test_what_is_no_text_is_refused(self, wrong: Any) -> None:
        with pytest.raises(OptionError, match="tags are texts"), tags(wrong):
            pass
