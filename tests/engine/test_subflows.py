"""Flows inside flows: runs of their own, with their own retries, results, runners and place in the tree."""

import asyncio
import threading
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.context import FlowRunContext
from entrepot.engine.standing import standing_of
from entrepot.storage import MemoryStorage
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner


@task
def double(n: int) -> int:
    return 2 * n


def test_subflows_run_concurrently_in_the_runner_of_their_parent(journal: Any) -> None:
    together = threading.Barrier(3, timeout=60)

    @flow
    def etl(source: str) -> str:
        together.wait()  # is passed only if all three are under way at a time
        return source.upper()

    @flow
    def main() -> list[str]:
        futures = [etl.submit(source) for source in ("a", "b", "c")]
        return [future.result() for future in futures]

    assert main() == ["A", "B", "C"]
    parent = journal.run("main").run_id
    assert [run.parent_run_id for run in journal.created.values() if run.definition == "etl"] == [parent] * 3
    assert all(run.kind == "flow" for run in journal.created.values())


def test_async_subflows_run_concurrently_in_one_loop(journal: Any) -> None:
    under_way: list[str] = []
    all_are = asyncio.Event()

    @flow
    async def etl(source: str) -> str:
        under_way.append(source)
        if len(under_way) == 3:
            all_are.set()
        await all_are.wait()  # is passed only if all three are under way at a time
        return source.upper()

    @flow
    async def main() -> list[str]:
        return await asyncio.gather(*[etl(source) for source in ("a", "b", "c")])

    assert asyncio.run(main()) == ["A", "B", "C"]
    assert len({run.run_id for run in journal.created.values()}) == 4


def test_a_submitted_subflow_is_validated_and_waits_for_what_it_needs(journal: Any) -> None:
    @flow
    def etl(n: int) -> int:
        return double(n)

    @flow
    def main() -> int:
        return etl.submit(double.submit(4)).result() + etl.submit("5").result()

    assert main() == 26
    assert [run.parameters for run in journal.created.values() if run.definition == "etl"] == [{"n": "8"}, {"n": "5"}]


def test_a_subflow_whose_parameters_do_not_fit_fails_alone() -> None:
    @flow
    def etl(n: int) -> int:
        return n

    @flow
    def main() -> str:
        return etl.submit("not a number", return_state=True).name

    assert main() == "Failed"


def test_only_the_subflow_that_failed_is_tried_again(journal: Any) -> None:
    calls: list[str] = []

    @flow(retries=2)
    def etl(source: str) -> str:
        calls.append(source)
        if source == "b" and calls.count("b") < 3:
            raise ConnectionError
        return source

    @flow
    def main() -> list[str]:
        return [etl(source) for source in ("a", "b", "c")]

    assert main() == ["a", "b", "c"]
    assert calls == ["a", "b", "b", "b", "c"]
    assert [run.definition for run in journal.created.values()] == ["main", "etl", "etl", "etl"]


def test_a_subflow_keeps_its_own_result() -> None:
    storage = MemoryStorage()

    @flow(persist_result=True, result_storage=storage, result_serializer="json")
    def etl() -> int:
        return 3

    @flow
    def main() -> int:
        return etl() + 1

    assert main() == 4
    assert len(list(storage.list())) == 1


def test_a_subflow_has_a_runner_of_its_own() -> None:
    threads: list[str] = []

    @task
    def where() -> None:
        threads.append(threading.current_thread().name)

    @flow(task_runner=SequentialTaskRunner())
    def one_by_one() -> None:
        where.submit()

    @flow(task_runner=ThreadPoolTaskRunner(2))
    def main() -> None:
        one_by_one()
        where.submit()

    main()
    assert threads[0] == threading.current_thread().name
    assert threads[1] != threads[0]


def test_the_tree_is_as_deep_as_the_calls(journal: Any) -> None:
    @flow(name="inner")
    def inner() -> None:
        double(1)

    @task(name="middle")
    def middle() -> None:
        inner()

    flow(middle, name="outer")()
    outer, middle_run, inner_run, leaf = (journal.run(name) for name in ("outer", "middle", "inner", "double"))
    assert (middle_run.parent_run_id, inner_run.parent_run_id) == (outer.run_id, middle_run.run_id)
    assert (inner_run.flow_run_id, leaf.flow_run_id) == (outer.run_id, inner_run.run_id)


def test_what_runs_resume_by_is_the_place_of_a_subflow_not_its_id() -> None:
    roots: list[str] = []

    @flow(name="sub")
    def sub() -> None:
        context = FlowRunContext.get()
        assert context is not None
        roots.append(context.engine.root_id + standing_of(context.engine))

    tries: list[int] = []

    @flow(retries=1)
    def main() -> None:
        sub()
        sub()
        tries.append(1)
        if len(tries) < 2:
            raise ValueError

    main()
    first, second, *again = roots
    assert first.endswith("-1")
    assert second == first.removesuffix("1") + "2"
    assert again == [first, second]


def test_the_failure_of_a_submitted_subflow_is_its_parents_if_it_is_returned() -> None:
    @flow
    def bad() -> None:
        raise LookupError("inside")

    @flow
    def main() -> Any:
        return bad.submit()

    with pytest.raises(LookupError, match="inside"):
        main()
