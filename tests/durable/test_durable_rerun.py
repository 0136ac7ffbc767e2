"""`rerun_from=`: what had completed before a task run began is used again; all else is computed anew, and replaces."""

import asyncio
import threading
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, NO_CACHE
from entrepot.errors import NotResumableError, RunNotFoundError
from entrepot.runs import RunHistory, RunSummary, default_path, default_recorder

KEPT: dict[str, Any] = {"persist_result": True, "version": "1"}


class BrokenError(Exception):
    """What a flow here fails with."""


class Factory:
    """A flow whose tasks return a new number at each call, and what they were called with."""

    def __init__(self, *, asynchronous: bool = False) -> None:
        self.calls: list[str] = []
        self.broken = False

        def work(name: str, *of: object) -> int:
            self.calls.append(" ".join([name, *map(str, of)]))
            return len(self.calls)

        @task(**KEPT)
        def first(n: int) -> int:
            return work("first", n)

        @task(**KEPT, cache_policy=INPUTS)
        def shared(n: int) -> int:
            return work("shared", n)

        @task(**KEPT, cache_policy=NO_CACHE)
        def plain(n: int) -> int:
            return work("plain", n)

        @task(version="1")
        def lost(n: int) -> int:
            return work("lost", n)

        @flow(**KEPT)
        def sub(n: int) -> int:
            return first(n) + plain(n)

        def body() -> list[int]:
            found = [first(1), shared(2), plain(3), plain(3), sub(4), lost(5)]
            found += [shared(6), plain(3), sub(4), first(7)]
            if self.broken:
                raise BrokenError
            return found

        async def abody() -> list[int]:
            return body()

        self.shared = shared
        made = flow(abody if asynchronous else body, name="factory", version="1")
        self.flow: Any = (lambda **kwargs: asyncio.run(made(**kwargs))) if asynchronous else made

    def run(self, **kwargs: Any) -> list[int]:
        self.calls.clear()
        found: list[int] = self.flow(**kwargs)
        default_recorder().flush()
        return found


@pytest.fixture(params=["sync", "async"])
def factory(request: pytest.FixtureRequest) -> Factory:
    return Factory(asynchronous=request.param == "async")


def inside(name: str, *, number: int = 0) -> RunSummary:
    """Return a run by its name, of the newest top-level runs."""
    default_recorder().flush()
    history = RunHistory(default_path())
    tops = [run for run in history.list() if run.parent_run_id is None]
    waiting = [*history.get(tops[number].run_id).children]
    while waiting:
        one = waiting.pop(0)
        if name in {one.name, one.definition}:
            return one
        waiting = [*one.children, *waiting]
    raise AssertionError(name)


def test_from_a_task_on_all_is_computed_anew_and_what_was_before_is_used(factory: Factory) -> None:
    before = factory.run()
    after = factory.run(rerun_from=inside("shared-2").run_id)
    assert factory.calls == ["lost 5", "shared 6", "plain 3", "first 4", "plain 4", "first 7"]
    assert after[:5] == before[:5]
    assert after[9] != before[9]


def test_what_is_computed_anew_replaces_what_was_kept_for_all(factory: Factory) -> None:
    factory.run()
    again = factory.run(rerun_from=inside("shared-2").run_id)
    assert factory.shared(6) == again[6]
    assert factory.shared(2) == again[1]
    third = factory.run()  # a run of its own: the results that are for all runs are there, the others are not
    assert (third[1], third[6]) == (again[1], again[6])
    assert "shared 6" not in factory.calls
    assert "first 1" in factory.calls


def test_the_first_task_starts_all_again(factory: Factory) -> None:
    before = factory.run()
    calls = list(factory.calls)
    assert factory.run(rerun_from=inside("first-1").run_id) == before
    assert factory.calls == calls


def test_inside_a_subflow_what_it_did_before_is_used(factory: Factory) -> None:
    factory.run()
    sub = inside("sub")
    (_, plain) = RunHistory(default_path()).get(sub.run_id).children
    factory.run(rerun_from=plain.run_id)
    assert factory.calls[0] == "plain 4"
    assert "first 1" not in factory.calls


def test_a_subflow_can_be_where_it_starts(factory: Factory) -> None:
    factory.run()
    factory.run(rerun_from=inside("sub").run_id)
    assert factory.calls[:2] == ["first 4", "plain 4"]


def test_a_run_that_failed_can_be_done_again_from_an_earlier_task_on(factory: Factory) -> None:
    factory.broken = True
    with pytest.raises(BrokenError):
        factory.run()
    factory.broken = False
    factory.run(rerun_from=inside("plain-2").run_id)
    assert factory.calls[:2] == ["plain 3", "first 4"]


def test_of_a_run_that_resumed_another_what_both_did_is_used(factory: Factory) -> None:
    factory.broken = True
    with pytest.raises(BrokenError):
        factory.run()
    factory.broken = False
    first = next(run for run in RunHistory(default_path()).list() if run.parent_run_id is None)
    before = factory.run(resume=first.run_id)
    after = factory.run(rerun_from=inside("lost").run_id)
    assert factory.calls[0] == "lost 5"
    assert after[:5] == before[:5]


def test_a_rerun_that_failed_is_resumed_with_what_it_had_taken_over() -> None:
    CALLS.clear()
    with pytest.raises(BrokenError):
        two_steps()
    with pytest.raises(BrokenError):
        two_steps(rerun_from=inside("second-1").run_id)
    assert CALLS == ["first", "second", "second"]
    default_recorder().flush()
    (rerun, _) = RunHistory(default_path()).list()
    with pytest.raises(BrokenError):
        two_steps(resume=rerun.run_id)
    assert CALLS == ["first", "second", "second"]


CALLS: list[str] = []


@task(**KEPT)
def first() -> None:
    CALLS.append("first")


@task(**KEPT)
def second() -> None:
    CALLS.append("second")


@flow(version="1")
def two_steps() -> None:
    first()
    second()
    raise BrokenError


def test_what_ran_beside_the_task_and_ended_after_it_began_is_not_taken_for_earlier() -> None:
    calls: list[str] = []
    gates = {name: asyncio.Event() for name in ("slow", "quick")}

    @task(**KEPT)
    async def slow() -> None:
        calls.append("slow")
        gates["slow"].set()
        await gates["quick"].wait()

    @task(**KEPT)
    async def quick() -> None:
        await gates["slow"].wait()
        calls.append("quick")
        gates["quick"].set()

    @flow(version="1")
    async def f() -> None:
        await asyncio.gather(slow(), quick())

    asyncio.run(f())
    gates.update({name: asyncio.Event() for name in gates})
    asyncio.run(f(rerun_from=inside("quick").run_id))
    assert calls == ["slow", "quick"] * 2


class TestRefusals:
    def test_the_run_as_a_whole(self, factory: Factory) -> None:
        factory.run()
        (run, *_) = (run for run in RunHistory(default_path()).list() if run.parent_run_id is None)
        with pytest.raises(NotResumableError, match="it is a whole flow run"):
            factory.run(rerun_from=run.run_id)

    def test_a_task_of_another_flow(self, factory: Factory) -> None:
        factory.run()
        with pytest.raises(NotResumableError, match="part of a run of"):
            two_steps(rerun_from=inside("first-1").run_id)

    def test_a_task_that_there_is_not(self, factory: Factory) -> None:
        factory.run()
        with pytest.raises(RunNotFoundError):
            factory.run(rerun_from="no-such-task")

    def test_a_name_that_several_have(self, factory: Factory) -> None:
        factory.run()
        factory.run()
        with pytest.raises(RunNotFoundError, match="the name of several runs"):
            factory.run(rerun_from="lost-1")

    def test_a_run_that_goes_on(self) -> None:
        began, may_end = threading.Event(), threading.Event()

        @flow
        def f(*, again: bool = False) -> None:
            first()
            if not again:
                began.set()
                may_end.wait(120)

        thread = threading.Thread(target=f)
        thread.start()
        assert began.wait(120)
        with pytest.raises(NotResumableError, match="wait for its end"):
            f(again=True, rerun_from=inside("first-1").run_id)
        may_end.set()
        thread.join()
