"""`resume=`: what is not done again, what is, and which runs cannot be resumed."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, NO_CACHE
from entrepot.engine import snapshots
from entrepot.engine.world import World, current_world, use_world
from entrepot.errors import NotResumableError, OptionError, ParameterError, RunNotFoundError
from entrepot.protocols.recorder import RunCreated
from entrepot.runs import RunDetails, RunHistory, RunSummary, default_path, default_recorder
from entrepot.states import Completed, Failed
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage

KEPT: dict[str, Any] = {"persist_result": True, "version": "1"}  # by version: their code is a list that changes


def newest() -> RunSummary:
    default_recorder().flush()
    return next(run for run in RunHistory(default_path()).list() if run.parent_run_id is None)


def details(run: RunSummary) -> RunDetails:
    default_recorder().flush()
    return RunHistory(default_path()).get(run.run_id)


class BrokenError(Exception):
    """What a flow here fails with."""


class Bench:
    """A flow of which one task fails until it is mended, and what its tasks were called with."""

    def __init__(self, *, asynchronous: bool = False, **options: Any) -> None:
        self.calls: list[str] = []
        self.broken = True

        def work(name: str, n: int) -> int:
            self.calls.append(f"{name}-{n}")
            return n * 10

        @task(**KEPT)
        def keyed(n: int) -> int:
            return work("keyed", n)

        @task(**KEPT, cache_policy=NO_CACHE)
        def plain(n: int) -> int:
            return work("plain", n)

        @task(version="1")
        def lost(n: int) -> int:
            return work("lost", n)

        @task(version="1")
        def last(n: int) -> int:
            if self.broken:
                raise ConnectionError("not now")
            return n

        @task(**KEPT)
        async def akeyed(n: int) -> int:
            return work("akeyed", n)

        def body(n: int = 1, **more: int) -> list[int]:
            found = [keyed(n), keyed(n), plain(n), plain(n), keyed.submit(n + 1).result(), lost(n)]
            return [*found, *[keyed(m) for m in more.values()], last(n)]

        async def abody(n: int = 1, **more: int) -> list[int]:
            found = await asyncio.gather(akeyed(n), akeyed(n + 1))
            return [*found, *body(n, **more)]

        made = flow(abody if asynchronous else body, name="bench", version="1", **options)
        self.flow: Any = (lambda *args, **kwargs: asyncio.run(made(*args, **kwargs))) if asynchronous else made


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(asynchronous=request.param == "async")


def fail(bench: Bench, *args: Any, **kwargs: Any) -> RunSummary:
    with pytest.raises(ConnectionError):
        bench.flow(*args, **kwargs)
    bench.calls.clear()
    return newest()


class TestResuming:
    @pytest.mark.parametrize("wanted", [lambda run: run.run_id, lambda run: run.run_id[:8], lambda run: run.name])
    def test_what_completed_and_was_kept_is_not_run_again(
        self, bench: Bench, wanted: Callable[[RunSummary], str]
    ) -> None:
        run = fail(bench, 1)
        bench.broken = False
        assert bench.flow(1, resume=wanted(run))[-7:] == [10, 10, 10, 10, 20, 10, 1]
        assert bench.calls == ["lost-1"]

    def test_it_is_a_run_of_its_own_that_names_the_first(self, bench: Bench) -> None:
        first = fail(bench, 1)
        second = fail(bench, 1, resume=first.run_id)
        bench.broken = False
        bench.flow(1, resume=second.run_id)
        assert [run.root_run_id for run in RunHistory(default_path()).list()] == [first.run_id, first.run_id, None]
        assert bench.calls == ["lost-1"]

    def test_none_resumes_nothing(self, bench: Bench) -> None:
        fail(bench, 1)
        fail(bench, 1, resume=None, rerun_from=None)
        assert newest().root_run_id is None

    def test_other_inputs_are_computed(self, bench: Bench) -> None:
        run = fail(bench, 1)
        bench.broken = False
        bench.flow(2, resume=run.run_id)
        calls = [call for call in bench.calls if not call.startswith("a")]
        assert calls == ["plain-2", "plain-2", "keyed-3", "lost-2"]  # keyed-2 was computed as the second one of then

    def test_return_state_and_resume_go_together(self, bench: Bench) -> None:
        run = fail(bench, 1)
        assert bench.flow(1, resume=run.run_id, return_state=True).is_failed()

    def test_other_code_is_run(self) -> None:
        calls = []

        def make(version: str) -> Any:
            @task(persist_result=True, cache_policy=NO_CACHE, version=version)
            def plain() -> None:
                calls.append(version)

            @flow
            def f() -> None:
                plain()
                raise BrokenError

            return f

        for version, expected in (("1", ["1"]), ("2", ["1", "2"]), ("1", ["1", "2"])):
            wanted = newest().run_id if calls else None
            with pytest.raises(BrokenError):
                make(version)(resume=wanted)
            assert calls == expected

    def test_a_finished_subflow_whose_result_was_kept_is_not_run_again(self) -> None:
        calls = []

        @flow(**KEPT)
        def sub(n: int) -> int:
            calls.append(n)
            return n

        @flow
        def f() -> list[int]:
            found = [sub(1), sub(1), sub(2)]
            if len(calls) < 4:
                raise BrokenError
            return found

        with pytest.raises(BrokenError):
            f()
        calls.append(0)
        assert f(resume=newest().run_id) == [1, 1, 2]
        assert calls == [1, 1, 2, 0]
        assert [child.state_name for child in details(newest()).children] == ["Cached"] * 3

    def test_tasks_in_a_subflow_are_found_again_whatever_the_order_of_its_calls(self) -> None:
        calls = []

        @task(**KEPT)
        def keyed(of: int, n: int) -> int:
            calls.append((of, n))
            return n

        @flow(version="1")
        def sub(of: int) -> list[int]:
            return [keyed(of, 1), keyed(0, 1)]

        @flow
        def f(order: list[int], *, ends: bool) -> list[list[int]]:
            found = [sub(of) for of in order]
            if ends:
                raise BrokenError
            return found

        with pytest.raises(BrokenError):
            f([1, 2, 3], ends=True)
        assert len(calls) == 6
        f([3, 1, 2], ends=False, resume=newest().run_id)
        assert len(calls) == 6

    def test_a_call_inside_a_task_that_is_not_called_again_serves_no_other_call(self) -> None:
        charged = []

        @task(**KEPT, cache_policy=NO_CACHE)
        def charge(amount: int) -> int:
            charged.append(amount)
            return len(charged)

        @task(**KEPT, cache_policy=NO_CACHE)
        def order(amount: int) -> int:
            return charge(amount)

        broken = True

        @flow(version="1")
        def f() -> list[int]:
            found = [order(5), order(5)]
            if broken:
                raise BrokenError
            return [*found, order(5), charge(5)]

        with pytest.raises(BrokenError):
            f()
        broken = False
        assert f(resume=newest().run_id) == [1, 2, 3, 4]

    def test_a_state_that_was_returned_counts_if_it_completed(self) -> None:
        calls = []

        @task(**KEPT)
        def says(well: bool) -> Any:  # noqa: FBT001
            calls.append(well)
            return Completed(data="done") if well else Failed("no")

        @flow(version="1")
        def f() -> None:
            says(True)  # noqa: FBT003
            says(False, return_state=True)  # noqa: FBT003
            raise BrokenError

        for expected in ([True, False], [True, False, False]):
            with pytest.raises(BrokenError):
                f(resume=newest().run_id if calls else None)
            assert calls == expected

    def test_inputs_without_an_identity_are_computed_again_and_that_is_said(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "entrepot")
        calls = []

        @task(**KEPT, cache_policy=NO_CACHE)
        def plain(thing: object) -> int:
            calls.append(1)
            return 1

        @flow(version="1")
        def f() -> None:
            plain(object())
            plain(object())
            raise BrokenError

        with pytest.raises(BrokenError):
            f()
        with pytest.raises(BrokenError):
            f(resume=newest().run_id)
        assert len(calls) == 4
        said = [record for record in caplog.records if "are not found by runs that resume" in record.getMessage()]
        assert len(said) == 1

    def test_a_result_whose_inputs_changed_meanwhile_is_not_found_by_what_they_were(self) -> None:
        calls = []

        @task(**KEPT, cache_policy=NO_CACHE)
        def grow(numbers: list[int]) -> int:
            calls.append(list(numbers))
            numbers.append(1)
            return len(numbers)

        @flow(version="1")
        def f() -> None:
            grow([])
            raise BrokenError

        for _ in range(2):
            with pytest.raises(BrokenError):
                f(resume=newest().run_id if calls else None)
        assert calls == [[], []]

    def test_a_refreshed_result_is_computed_at_each_call_of_a_run_and_not_by_the_run_that_resumes_it(self) -> None:
        calls = []
        storage = MemoryStorage()

        @task(**KEPT, refresh_cache=True, cache_policy=INPUTS, result_storage=storage)
        def fresh(n: int) -> int:
            calls.append(n)
            return len(calls)

        @flow(version="1")
        def f() -> list[int]:
            found = [fresh(1), fresh(1)]
            if len(calls) < 4:
                raise BrokenError(found)
            return found

        assert f.fn is not None
        with pytest.raises(BrokenError, match="1, 2"):
            f()
        with pytest.raises(BrokenError, match="1, 2"):
            f(resume=newest().run_id)
        assert calls == [1, 1]
        assert fresh.with_options(refresh_cache=None)(1) == 2

    def test_a_refresh_that_was_ended_between_its_two_writes_is_finished(self) -> None:
        inner = MemoryStorage()
        calls = []
        broken = True

        class Breaks(FaultyStorage):
            def put(self, path: str, data: Any) -> None:
                if broken and calls:
                    raise OSError("the second write")
                inner.put(path, data)

        @task(**KEPT, cache_policy=INPUTS, result_storage=Breaks(inner))
        def fresh(n: int) -> int:
            calls.append(n)
            return len(calls)

        again = fresh.with_options(refresh_cache=True)

        @flow(version="1")
        def f() -> int:
            return again(1)

        broken = False
        assert fresh(1) == 1
        broken = True
        with pytest.raises(OSError, match="second"):
            f()
        broken = False
        assert f(resume=newest().run_id) == 2
        assert fresh(1) == 2
        assert len(calls) == 2

    def test_another_attempt_of_a_flow_finds_what_the_last_one_kept(self) -> None:
        calls = []

        @task(**KEPT, cache_policy=NO_CACHE)
        def plain(n: int) -> int:
            calls.append(n)
            return len(calls)

        tries = []

        @flow(retries=2, version="1")
        def f() -> list[int]:
            tries.append(1)
            found = [plain(1) for _ in tries]
            if len(tries) < 3:
                raise BrokenError
            return found

        assert f() == [1, 2, 3]
        assert f() == [4, 5, 6, 7]  # another run finds nothing

    def test_what_the_caller_sees_is_where_it_is_kept(self) -> None:
        @task(**KEPT, cache_policy=NO_CACHE)
        def plain() -> int:
            return 1

        @flow(version="1")
        def f() -> None:
            plain()
            raise BrokenError

        for _ in range(2):
            with pytest.raises(BrokenError):
                f(resume=newest().run_id if default_path().exists() else None)
        (found,) = details(newest()).children
        assert found.state_name == "Cached"
        assert found.transitions[-1].result_location is not None


class TestRefusals:
    def refused(self, bench: Bench, wanted: Any, *args: Any, **kwargs: Any) -> str:
        with pytest.raises(NotResumableError) as caught:
            bench.flow(*args, resume=wanted, **kwargs)
        return str(caught.value)

    def test_a_run_that_completed(self, bench: Bench) -> None:
        bench.broken = False
        bench.flow(1)
        assert "it has completed; to do it again" in self.refused(bench, newest().run_id, 1)

    def test_a_run_that_another_one_has_completed(self, bench: Bench) -> None:
        first = fail(bench, 1)
        bench.broken = False
        bench.flow(1, resume=first.run_id)
        message = self.refused(bench, first.run_id, 1)
        assert f"{newest().name} ({newest().run_id}) has completed it" in message

    def test_a_run_of_another_flow(self, bench: Bench) -> None:
        run = fail(bench, 1)

        @flow
        def other() -> None: ...

        with pytest.raises(NotResumableError, match=r"and this flow is .*other"):
            other(resume=run.run_id)

    def test_a_task_run_and_a_subflow(self) -> None:
        inside: list[str] = []

        @flow
        def sub() -> None: ...

        @flow
        def f() -> None:
            task(lambda: 1, name="t")()
            sub()
            raise BrokenError

        with pytest.raises(BrokenError):
            f()
        default_recorder().flush()
        top = RunHistory(default_path()).list(flow="f")[0]
        inside += [child.run_id for child in details(top).children]
        for run_id, what in zip(inside, ("a task run", "a subflow"), strict=True):
            with pytest.raises(NotResumableError, match=f"it is {what}; .*{top.run_id}"):
                f(resume=run_id)

    @pytest.mark.parametrize("wanted", ["", 7, True])
    def test_what_is_no_id(self, bench: Bench, wanted: Any) -> None:
        assert "takes the id of a run" in self.refused(bench, wanted)

    def test_a_run_that_there_is_not(self, bench: Bench) -> None:
        with pytest.raises(RunNotFoundError):
            bench.flow(resume="3f2a3f2a")
        fail(bench)
        with pytest.raises(RunNotFoundError):
            bench.flow(resume="3f2a3f2a")

    def test_inside_a_flow(self, bench: Bench) -> None:
        run = fail(bench)

        @flow
        def outer() -> None:
            bench.flow(resume=run.run_id)

        if not isinstance(bench.flow, type(outer)):
            return  # a coroutine cannot be run here
        with pytest.raises(NotResumableError, match="together with them"):
            outer()

    def test_both_options(self, bench: Bench) -> None:
        with pytest.raises(OptionError):
            bench.flow(resume="a", rerun_from="b")

    def test_a_run_that_goes_on(self) -> None:
        began, may_end = threading.Event(), threading.Event()

        @flow
        def f() -> None:
            began.set()
            may_end.wait(120)

        thread = threading.Thread(target=f)
        thread.start()
        assert began.wait(120)
        with pytest.raises(NotResumableError, match="it is Running in a process that lives"):
            f(resume=newest().run_id)
        may_end.set()
        thread.join()

    def test_a_run_that_somebody_else_resumes_at_this_moment(self, bench: Bench) -> None:
        began, may_end = threading.Event(), threading.Event()
        broken = True

        @flow
        def f() -> None:
            if broken:
                raise BrokenError
            began.set()
            may_end.wait(120)

        with pytest.raises(BrokenError):
            f()
        run = newest()
        broken = False
        thread = threading.Thread(target=f, kwargs={"resume": run.run_id})
        thread.start()
        assert began.wait(120)
        with pytest.raises(NotResumableError, match="somebody else resumes it"):
            f(resume=run.run_id)
        may_end.set()
        thread.join()
        with pytest.raises(NotResumableError, match="has completed it"):
            f(resume=run.run_id)

    def test_wrong_arguments_leave_it_to_be_resumed(self, bench: Bench) -> None:
        run = fail(bench)
        with pytest.raises(ParameterError):
            bench.flow(1, 2, 3, resume=run.run_id)
        bench.broken = False
        assert bench.flow(resume=run.run_id)

    def test_a_flow_with_parameters_of_these_names_gets_them_itself(self) -> None:
        @flow
        def train(resume: str, rerun_from: int = 0) -> tuple[str, int]:
            return resume, rerun_from

        assert train(resume="checkpoint", rerun_from=3) == ("checkpoint", 3)


MOOD = {"broken": True}


@flow(persist_result=True)
def moody(n: int) -> int:
    if MOOD["broken"]:
        raise BrokenError
    return n


class TestWithoutHistory:
    """A flow of a module: where another process would find it, more is kept of its runs than the history."""

    @pytest.fixture
    def run(self) -> RunSummary:
        TALLY.clear()
        with pytest.raises(BrokenError):
            tallied(1)
        found = newest()
        default_recorder().close()
        return found

    def test_the_whole_id_is_enough_where_the_history_was_lost(self, run: RunSummary) -> None:
        for file in default_path().parent.glob("runs.db*"):
            file.unlink()
        with pytest.raises(RunNotFoundError):
            tallied(1, resume=run.run_id[:8])
        with pytest.raises(BrokenError):
            tallied(1, resume=run.run_id)
        assert TALLY == [1]

    def test_but_not_once_a_run_that_the_new_history_knows_has_completed_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(BrokenError):
            moody(1)
        run = newest()
        default_recorder().close()
        for file in default_path().parent.glob("runs.db*"):
            file.unlink()
        monkeypatch.setitem(MOOD, "broken", value=False)
        assert moody(1, resume=run.run_id) == 1
        with pytest.raises(NotResumableError, match="has completed it"):
            moody(1, resume=run.run_id)

    def test_and_where_it_is_damaged(self, run: RunSummary) -> None:
        default_path().write_bytes(b"no database " * 500)
        with pytest.raises(BrokenError):
            tallied(1, resume=run.run_id)
        assert TALLY == [1]

    def test_another_flow_is_refused_all_the_same(self, run: RunSummary) -> None:
        default_path().unlink()
        with pytest.raises(NotResumableError, match="this flow is"):
            module_flow(resume=run.run_id)


TALLY: list[int] = []


@task(**KEPT)
def tally(n: int) -> None:
    TALLY.append(n)


@flow
def tallied(n: int) -> None:
    tally(n)
    raise BrokenError


class TestWhatIsSaid:
    def test_a_flow_that_kept_something_says_how_to_resume_it(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "entrepot")
        run = fail(Bench(), 1)
        assert f"call it again with resume='{run.run_id}'" in caplog.text  # it is in no file
        caplog.clear()

        @flow
        def keeps_nothing() -> None:
            raise BrokenError

        with pytest.raises(BrokenError):
            keeps_nothing()
        assert "resume" not in caplog.text

    def test_a_flow_that_keeps_nothing_leaves_nothing(self, entrepot_home: Any) -> None:
        @flow
        def keeps_nothing(n: int) -> int:
            return task(lambda: n)()

        keeps_nothing(1)
        assert sorted(entry.name for entry in entrepot_home.iterdir() if "db-" not in entry.name) == [
            "processes",
            "runs.db",
        ]

    def test_the_history_knows_a_run_before_its_first_result_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        real = snapshots._keep
        monkeypatch.setattr(snapshots, "_keep", lambda top, given: seen.append(top.id) or real(top, given))

        @task(persist_result=True)
        def kept() -> list[str]:
            return [run.run_id for run in RunHistory(default_path()).list()]

        @flow
        def f() -> list[str]:
            return kept()

        assert f() == seen

    def test_the_process_and_the_entrypoint_are_told(self) -> None:
        told = []

        class Listens:
            def record(self, event: Any) -> None:
                if isinstance(event, RunCreated):
                    told.append((event.kind, event.process, event.entrypoint))

            def flush(self) -> bool:
                return True

        with use_world(World(current_world().settings, Listens())):  # type: ignore[arg-type]
            module_flow()
        (flow_told, task_told) = told
        assert flow_told[1] == task_told[1] != ""
        assert flow_told[2].endswith("test_durable_resume:module_flow")
        assert task_told[2] is None


@task
def module_task() -> None: ...


@flow
def module_flow() -> None:
    module_task()


def test_the_record_of_a_result_names_the_root(entrepot_home: Any) -> None:
    bench = Bench()
    run = fail(bench, 1)
    bench.broken = False
    bench.flow(1, resume=run.run_id)
    records = [json.loads(path.read_bytes().split(b"\n")[0]) for path in entrepot_home.glob("results/records/*/*")]
    assert {record["run"]["root"] for record in records} == {run.run_id}
