"""The contract of task runners, as a test class to inherit."""

# ruff: noqa: S101  assertions are what a contract is made of

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import pytest

from entrepot import settings
from entrepot.context import get_run_context
from entrepot.engine.world import World, use_world
from entrepot.errors import CrashedRunError, NotReadyError, SerializationError, TimedOutError
from entrepot.flows import flow
from entrepot.protocols.task_runner import Place, TaskRunner
from entrepot.tasks import task

__all__ = ["TaskRunnerContract"]

_PATIENCE = 30.0  # seconds until a test calls it a hang
_SHORT = 0.2  # seconds after which something is stopped here
_MANY = 2000
_variable: contextvars.ContextVar[str] = contextvars.ContextVar("entrepot_contract", default="nothing")


class _OwnError(Exception):
    """What a submitted call raises here."""


def _squared(number: int) -> int:
    return number * number


def _spin() -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        pass


def _leave_by_error(runner: TaskRunner, calls: int) -> list[Future[Any]]:
    """Submit calls, and let an error come through once one of them has run."""
    started = threading.Event()
    futures: list[Future[Any]] = []
    try:
        with runner as entered:
            futures += [entered.submit(started.set) for _ in range(calls)]
            started.wait(_PATIENCE)
            raise _OwnError  # noqa: TRY301  it is to come through the runner
    except _OwnError:
        return futures


class TaskRunnerContract:
    """What every task runner does. Inherit it, and give a fixture `task_runner` that returns one, not entered.

    Calls are closures, and are not pickled. What a runner runs in other processes is brought there by its `place`. The
    tests of flows use it, and those of the place itself, where there is one.
    """

    @pytest.fixture(autouse=True)
    def _without_history(self) -> Iterator[None]:
        """Let the flows of these tests leave nothing behind."""
        with use_world(World(settings.current())):
            yield

    # --- the runner itself ----------------------------------------------------------------------------------------

    def test_it_runs_calls_and_returns_their_results(self, task_runner: TaskRunner) -> None:
        """Results come back through futures, `None` too."""
        with task_runner as entered:
            futures = [entered.submit(partial(_squared, number)) for number in range(100)]
            nothing = entered.submit(lambda: None)
            assert [future.result(_PATIENCE) for future in futures] == [number * number for number in range(100)]
            assert nothing.result(_PATIENCE) is None

    def test_entering_returns_the_runner(self, task_runner: TaskRunner) -> None:
        """`with runner as same:` is how the engine uses it."""
        with task_runner as entered:
            assert entered is task_runner

    def test_an_error_stays_in_its_future(self, task_runner: TaskRunner) -> None:
        """One call's error is that call's own: `submit` does not raise it, and others run."""
        error = _OwnError("broken")

        def call() -> None:
            raise error

        with task_runner as entered:
            broken: Future[Any] = entered.submit(call)
            fine = entered.submit(lambda: "fine")
            assert broken.exception(_PATIENCE) is error
            assert fine.result(_PATIENCE) == "fine"

    def test_a_call_sees_the_context_variables_of_its_submitter(self, task_runner: TaskRunner) -> None:
        """As they were at `submit`; later changes are not seen."""
        with task_runner as entered:
            token = _variable.set("at submit")
            try:
                future = entered.submit(_variable.get)
                _variable.set("later")
                assert future.result(_PATIENCE) == "at submit"
            finally:
                _variable.reset(token)

    def test_a_call_cannot_change_its_submitters_context_variables(self, task_runner: TaskRunner) -> None:
        """Each call runs in a copy."""
        with task_runner as entered:
            entered.submit(partial(_variable.set, "inside")).result(_PATIENCE)
            assert _variable.get() == "nothing"

    def test_leaving_waits_for_what_was_submitted(self, task_runner: TaskRunner) -> None:
        """Nothing runs on after the runner was left."""
        done: list[int] = []
        with task_runner as entered:
            futures = [entered.submit(partial(done.append, number)) for number in range(50)]
        assert sorted(done) == list(range(50))
        assert all(future.done() for future in futures)

    def test_leaving_with_an_error_ends_every_future(self, task_runner: TaskRunner) -> None:
        """What has not started is cancelled, what runs is waited for: nobody who waits for a future waits for ever."""
        futures = _leave_by_error(task_runner, 200)
        assert len(futures) == 200  # noqa: PLR2004  as many as were submitted
        assert all(future.done() for future in futures)
        for future in futures:
            try:
                future.result(0)
            except CancelledError:
                assert future.cancelled()

    def test_it_takes_nothing_before_it_is_entered_and_after_it_was_left(self, task_runner: TaskRunner) -> None:
        """A `RuntimeError` says so; the call is not run."""
        ran: list[str] = []
        with pytest.raises(RuntimeError):
            task_runner.submit(lambda: ran.append("before"))
        with task_runner:
            pass
        with pytest.raises(RuntimeError):
            task_runner.submit(lambda: ran.append("after"))
        assert ran == []

    def test_a_duplicate_is_fresh_and_its_own(self, task_runner: TaskRunner) -> None:
        """Duplicates of an entered runner are not entered, and leaving one does not end the other."""
        with task_runner as entered:
            duplicate = entered.duplicate()
            assert type(duplicate) is type(entered)
            with pytest.raises(RuntimeError):
                duplicate.submit(lambda: None)
            with duplicate as other:
                assert other.submit(lambda: 1).result(_PATIENCE) == 1
            assert entered.submit(lambda: 2).result(_PATIENCE) == 2  # noqa: PLR2004  the second answer

    def test_it_can_be_entered_again_after_it_was_left(self, task_runner: TaskRunner) -> None:
        """One object may serve one run after another."""
        for number in range(3):
            with task_runner as entered:
                assert entered.submit(partial(_squared, number)).result(_PATIENCE) == number * number

    def test_it_is_not_entered_twice_at_a_time(self, task_runner: TaskRunner) -> None:
        """Two runs that shared one would end each other's work."""
        with task_runner, pytest.raises(RuntimeError):
            task_runner.__enter__()

    def test_calls_may_be_submitted_from_many_threads(self, task_runner: TaskRunner) -> None:
        """No call is lost, none runs twice."""
        ran: list[int] = []
        with task_runner as entered:

            def send(start: int) -> None:
                for number in range(start, start + 50):
                    entered.submit(partial(ran.append, number))

            threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 400, 50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(ran) == list(range(400))

    def test_it_has_a_name(self, task_runner: TaskRunner) -> None:
        """For messages and registries."""
        assert isinstance(task_runner.name, str)
        assert task_runner.name

    def test_it_runs_thousands(self, task_runner: TaskRunner) -> None:
        """None is lost, and none runs twice."""
        ran: list[int] = []
        with task_runner as entered:
            futures = [entered.submit(partial(ran.append, number)) for number in range(_MANY)]
            for future in futures:
                future.result(_PATIENCE)
        assert sorted(ran) == list(range(_MANY))

    def test_a_call_may_submit_another(self, task_runner: TaskRunner) -> None:
        """It need not wait for it, and does not."""
        with task_runner as entered:
            inner = entered.submit(lambda: entered.submit(lambda: "inner")).result(_PATIENCE)
            assert inner.result(_PATIENCE) == "inner"

    def test_an_exit_in_a_call_ends_no_more_than_that_call(self, task_runner: TaskRunner) -> None:
        """It is in the future, or goes to who submitted; the runner goes on."""
        with task_runner as entered:
            try:
                future: Future[Any] | None = entered.submit(partial(_raise, SystemExit(3)))
            except SystemExit:
                future = None
            if future is not None:
                assert isinstance(future.exception(_PATIENCE), SystemExit)
            assert entered.submit(lambda: "fine").result(_PATIENCE) == "fine"

    # --- flows on it --------------------------------------------------------------------------------------------------

    def test_a_flow_gets_the_results_of_what_it_submits_and_maps(self, task_runner: TaskRunner) -> None:
        """Futures among arguments, async tasks and subflows included."""

        @task
        def add(a: int, b: int) -> int:
            return a + b

        @task
        async def add_later(a: int, b: int) -> int:
            await asyncio.sleep(0)
            return a + b

        @flow
        def sub(a: int) -> int:
            return add(a, 1)

        @flow(task_runner=task_runner)
        def body() -> Any:
            one = add.submit(0, 1)
            mapped = add.map(range(100), one)
            return mapped.result(), add_later.submit(one, b=mapped[3]).result(), sub.submit(one).result()

        assert body() == (list(range(1, 101)), 5, 2)

    def test_a_failure_stays_with_its_task_and_what_needs_it_is_not_ready(self, task_runner: TaskRunner) -> None:
        """Nobody waits for ever."""

        @flow(task_runner=task_runner)
        def body() -> None:
            broken = task(partial(_raise, _OwnError("broken")), name="broken").submit()
            needs = task(_squared).submit(broken)
            with pytest.raises(NotReadyError):
                needs.result(_PATIENCE)
            with pytest.raises(_OwnError, match="broken"):
                broken.result(_PATIENCE)
            assert task(_squared).submit(3).result(_PATIENCE) == 9  # noqa: PLR2004  the square of three

        body()

    def test_the_code_of_a_task_knows_its_run(self, task_runner: TaskRunner) -> None:
        """Wherever it runs."""

        @flow(task_runner=task_runner)
        def body() -> None:
            future = task(lambda: get_run_context().task_run.id, name="look").submit()  # type: ignore[union-attr]
            assert future.result(_PATIENCE) == future.task_run_id

        body()

    def test_tasks_that_submit_tasks_do_not_wait_for_each_others_places(self, task_runner: TaskRunner) -> None:
        """Each run that submits has a runner of its own."""

        @task
        def total(depth: int) -> int:
            return 1 if depth == 0 else sum(task(_total_of).map([depth - 1] * 2).result(_PATIENCE))

        @flow(task_runner=task_runner)
        def body() -> int:
            return sum(total.map([2, 2, 2]).result(_PATIENCE))

        assert body() == 12  # noqa: PLR2004  three times four

    def test_a_task_that_takes_too_long_is_stopped_and_others_go_on(self, task_runner: TaskRunner) -> None:
        """Its state says `TimedOut`."""

        @flow(task_runner=task_runner)
        def body() -> None:
            slow = task(_spin, timeout_seconds=_SHORT).submit()
            fine = task(_squared).submit(3)
            with pytest.raises(TimedOutError):
                slow.result(_PATIENCE)
            assert slow.state.name == "TimedOut"
            assert fine.result(_PATIENCE) == 9  # noqa: PLR2004  the square of three

        start = time.monotonic()
        body()
        assert time.monotonic() - start < _PATIENCE

    def test_a_flow_that_takes_too_long_takes_its_tasks_with_it(self, task_runner: TaskRunner) -> None:
        """Nothing runs on."""
        futures: list[Any] = []

        @flow(task_runner=task_runner, timeout_seconds=2 * _SHORT)
        def body() -> None:
            futures.append(task(_spin).submit())
            futures.append(task(_spin).submit())

        start = time.monotonic()
        with pytest.raises(TimedOutError):
            body()
        assert time.monotonic() - start < _PATIENCE
        assert all(future.state.is_cancelled() for future in futures)

    # --- its place, where it has one ------------------------------------------------------------------------------

    @pytest.fixture
    def place(self, task_runner: TaskRunner) -> Iterator[Place]:
        """Give the place of the entered runner."""
        with task_runner as entered:
            place: Place | None = getattr(entered, "place", None)
            if place is None:
                pytest.skip("this runner calls the functions of tasks in its own threads")
            yield place

    def test_a_place_returns_raises_and_tells(self, place: Place) -> None:
        """What comes back, and what comes back on the way."""
        heard: list[object] = []

        def work(emit: Callable[[object], object]) -> int:
            emit("on the way")
            emit(2)
            return os.getpid()

        assert place.call(work, None, heard.append) != os.getpid()
        assert heard == ["on the way", 2]
        with pytest.raises(_OwnError, match="broken"):
            place.call(lambda _: _raise(_OwnError("broken")), None, heard.append)

    def test_a_place_says_what_it_cannot_bring(self, place: Place) -> None:
        """There, and back; it can be used afterwards."""
        lock = threading.Lock()
        with pytest.raises(SerializationError):
            place.call(lambda _: lock, None, print)
        with pytest.raises(SerializationError):
            place.call(lambda _: threading.Lock(), None, print)
        assert place.call(lambda _: 1, None, print) == 1

    def test_a_place_ends_what_takes_too_long(self, place: Place) -> None:
        """Whatever that does."""
        start = time.monotonic()
        with pytest.raises(TimedOutError):
            place.call(lambda _: time.sleep(_PATIENCE), _SHORT, print)
        assert time.monotonic() - start < _PATIENCE
        assert place.call(lambda _: 1, None, print) == 1

    def test_a_place_survives_the_end_of_a_process(self, place: Place) -> None:
        """The call says that it crashed; the next one is fine."""
        with pytest.raises(CrashedRunError):
            place.call(lambda _: os._exit(3), None, print)
        assert place.call(lambda _: 1, None, print) == 1


def _raise(error: BaseException) -> None:
    raise error


def _total_of(depth: int) -> int:
    return 1 if depth == 0 else 2 * _total_of(depth - 1)
