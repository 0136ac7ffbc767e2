"""The contract of task runners, as a test class to inherit."""

# ruff: noqa: S101  assertions are what a contract is made of

import contextvars
import threading
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import pytest

from entrepot.protocols.task_runner import TaskRunner

__all__ = ["TaskRunnerContract"]

_PATIENCE = 30.0  # seconds until a test calls it a hang
_variable: contextvars.ContextVar[str] = contextvars.ContextVar("entrepot_contract", default="nothing")


class _OwnError(Exception):
    """What a submitted call raises here."""


def _squared(number: int) -> int:
    return number * number


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

    Calls are functions of this module or closures, and are not pickled: runners in other processes need a contract of
    their own.
    """

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
