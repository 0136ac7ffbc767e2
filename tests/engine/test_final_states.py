"""What decides how a flow ended: what it raised, or what it returned."""

# ruff: noqa: PLW0108  the functions of these flows are lambdas: what they call is no flow

from typing import Any

import pytest

from entrepot import State, flow, task
from entrepot.errors import CancelledRunError, FailedRunError, NotReadyError
from entrepot.states import Cancelled, Completed, Failed, Running


@task
def good(value: Any = 1) -> Any:
    return value


@task
def bad() -> None:
    raise ValueError("bad")


def ended(body: Any, **options: Any) -> State[Any]:
    return flow(body, name="f", **options)(return_state=True)


class TestValues:
    def test_a_value_completes_whatever_its_tasks_did(self) -> None:
        def body() -> str:
            bad.submit()
            bad(return_state=True)
            return "value"

        state = ended(body)
        assert state.is_completed()
        assert state.result() == "value"

    def test_an_exception_fails(self) -> None:
        state = ended(lambda: bad())
        assert state.is_failed()
        assert state.message == "Flow run encountered an exception: ValueError: bad"

    def test_a_value_that_only_holds_states_somewhere_is_a_value(self) -> None:
        failed = Failed("x")
        for value in ([failed, 1], {"a": failed}, [[failed]]):
            state = ended(lambda: value)  # noqa: B023  called here and now
            assert state.is_completed()
            assert state.result() is value


class TestStates:
    def test_a_returned_state_decides(self) -> None:
        assert ended(lambda: Completed(data=3)).result() == 3
        assert ended(lambda: Completed("Big win!")).result() is None
        state = ended(lambda: Failed("lost", name="Lost"))
        assert (state.is_failed(), state.name, state.message) == (True, "Lost", "lost")
        with pytest.raises(FailedRunError, match="lost"):
            flow(lambda: Failed("lost"))()
        with pytest.raises(CancelledRunError):
            flow(lambda: Cancelled())()

    def test_the_state_of_a_task_decides(self) -> None:
        assert ended(lambda: good(5, return_state=True)).result() == 5
        with pytest.raises(ValueError, match="bad"):
            flow(lambda: bad(return_state=True))()

    def test_several_states_decide_together(self) -> None:
        state = ended(lambda: [Completed(data=1), Completed(data=2)])
        assert state.is_completed()
        assert state.message == "All states completed."
        assert [one.result() for one in state.result()] == [1, 2]
        state = ended(lambda: (Completed(), Failed("a"), Failed("b")))
        assert (state.is_failed(), state.message) == (True, "2/3 states did not complete.")
        assert ended(lambda: [Failed(), Cancelled()]).is_cancelled()

    def test_a_state_that_is_no_end_fails(self) -> None:
        state = ended(lambda: Running())
        assert state.is_failed()
        assert "Running()" in state.message

    def test_one_state_may_be_returned_by_many_runs(self, journal: Any) -> None:
        state = Completed(data=1)
        for _ in range(3):
            assert flow(lambda: state, name="f")() == 1
        ids = [transition.transition_id for said in journal.transitions.values() for transition in said]
        assert len(ids) == len(set(ids)) == 6


class TestFutures:
    def test_a_returned_future_decides_and_gives_its_result(self) -> None:
        assert flow(lambda: good.submit(4))() == 4
        with pytest.raises(ValueError, match="bad"):
            flow(lambda: bad.submit())()
        assert ended(lambda: bad.submit()).message == "Task run encountered an exception: ValueError: bad"

    def test_futures_anywhere_in_the_value_decide_and_are_replaced(self) -> None:
        assert flow(lambda: good.map([1, 2]))() == [1, 2]
        assert flow(lambda: {"a": [good.submit(1), 5], "b": "c"})() == {"a": [1, 5], "b": "c"}
        with pytest.raises(ValueError, match="bad"):
            flow(lambda: {"a": [good.submit(1), bad.submit()]})()
        assert ended(lambda: [good.submit(), bad.submit(), bad.submit()]).message == "2/3 states did not complete."

    def test_a_future_that_could_not_start_fails_the_flow(self) -> None:
        state = ended(lambda: good.submit(bad.submit()))
        assert state.is_failed()
        with pytest.raises(NotReadyError):
            state.result()

    def test_a_task_may_return_futures_of_its_own(self) -> None:
        assert task(lambda: good.map([1, 2]))() == [1, 2]

    def test_a_returned_failure_is_retried(self, journal: Any) -> None:
        attempts: list[int] = []

        def body() -> Any:
            attempts.append(1)
            return bad.submit() if len(attempts) == 1 else good.submit(2)

        assert flow(body, name="f", retries=1)() == 2
        assert journal.states("f") == ["Running", "Retrying", "Completed"]


class TestSubflows:
    def test_are_runs_of_their_own_below_their_caller(self, journal: Any) -> None:
        @task
        def step() -> int:
            return 1

        @flow(retries=1)
        def child(attempts: list[int]) -> int:
            attempts.append(step())
            if len(attempts) == 1:
                raise KeyError
            return len(attempts)

        @flow
        def parent() -> int:
            return child([])

        assert parent() == 2
        above, below = journal.run("parent"), journal.run("child")
        assert (below.kind, below.parent_run_id, below.flow_run_id) == ("flow", above.run_id, above.run_id)
        assert (above.parent_run_id, above.flow_run_id) == (None, None)
        steps = [run for run in journal.created.values() if run.definition == "step"]
        assert {run.flow_run_id for run in steps} == {run.parent_run_id for run in steps} == {below.run_id}
        assert journal.states("child") == ["Running", "Retrying", "Completed"]
        assert len(journal.flushes) == 1  # the outer flow's; everything was said by then
        assert journal.flushes[0] == sum(map(len, journal.transitions.values())) + len(journal.created)

    def test_a_task_within_a_task_is_below_it(self, journal: Any) -> None:
        inner = task(lambda: 1, name="inner")
        flow(lambda: task(lambda: inner(), name="outer")(), name="f")()
        assert journal.run("inner").parent_run_id == journal.run("outer").run_id
        assert journal.run("inner").flow_run_id == journal.run("f").run_id

    def test_a_failed_subflow_raises_in_its_caller(self) -> None:
        child = flow(lambda: bad(), name="child")

        def parent() -> str:
            with pytest.raises(ValueError, match="bad"):
                child()
            return "handled"

        assert flow(parent)() == "handled"
