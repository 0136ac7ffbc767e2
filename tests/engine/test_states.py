"""States: what they are, and what they give back."""

import copy
import itertools
import os
import pickle
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from entrepot.errors import CancelledRunError, CrashedRunError, FailedRunError, MissingResultError, NotReadyError
from entrepot.states import (
    AwaitingRetry,
    Cached,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateType,
    new_id,
    next_id,
)

MADE = {
    Scheduled: (StateType.SCHEDULED, "Scheduled"),
    AwaitingRetry: (StateType.SCHEDULED, "AwaitingRetry"),
    Pending: (StateType.PENDING, "Pending"),
    NotReady: (StateType.PENDING, "NotReady"),
    Running: (StateType.RUNNING, "Running"),
    Retrying: (StateType.RUNNING, "Retrying"),
    Paused: (StateType.PAUSED, "Paused"),
    Completed: (StateType.COMPLETED, "Completed"),
    Cached: (StateType.COMPLETED, "Cached"),
    Failed: (StateType.FAILED, "Failed"),
    Cancelled: (StateType.CANCELLED, "Cancelled"),
    Crashed: (StateType.CRASHED, "Crashed"),
}


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_each_constructor_makes_its_state(make: object) -> None:
    state = make("why")
    assert (state.type, state.name) == MADE[make]
    assert state.message == "why"
    assert state.timestamp.utcoffset().total_seconds() == 0
    assert repr(state) == f"{state.name}('why')"


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_each_state_is_of_one_kind(make: object) -> None:
    state = make()
    kinds = ["scheduled", "pending", "running", "paused", "cancelling", "completed", "failed", "cancelled", "crashed"]
    assert [kind for kind in kinds if getattr(state, f"is_{kind}")()] == [state.type.value.lower()]
    assert state.is_final() is (make in {Completed, Cached, Failed, Cancelled, Crashed})
    assert state.is_cached() is (make is Cached)


def test_a_name_may_be_given() -> None:
    assert Completed("I am done", name="Ha!").name == "Ha!"
    assert State("COMPLETED").name == "Completed"
    assert State("COMPLETED").type is StateType.COMPLETED
    with pytest.raises(ValueError, match="DONE"):
        State("DONE")


def test_a_state_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Completed().name = "Failed"


def test_states_are_equal_by_id_whatever_their_data() -> None:
    state = Completed(data=[1])
    assert state == copy.copy(state)
    assert state != Completed(data=[1])
    assert len({state, copy.copy(state)}) == 1
    assert state != "Completed()"


def test_a_state_survives_pickling() -> None:
    state = Failed("broken", data=ValueError("x"))
    again = pickle.loads(pickle.dumps(state))
    assert (again, again.type, again.message) == (state, StateType.FAILED, "broken")
    assert pickle.loads(pickle.dumps(Pending())).data is Pending().data


def test_data_is_never_shown() -> None:
    state = Completed("done", data="hunter2")
    assert "hunter2" not in repr(state) + str(state)


class TestResult:
    def test_of_a_completed_run_is_its_data_none_included(self) -> None:
        assert Completed(data=3).result() == 3
        assert Completed().result() is None
        assert Cached(data=None).result() is None

    def test_of_a_completed_run_that_was_not_kept_is_missing(self) -> None:
        with pytest.raises(MissingResultError, match="persist_result"):
            State(StateType.COMPLETED).result()

    def test_of_a_failed_run_is_its_own_exception(self) -> None:
        error = ValueError("boom")
        with pytest.raises(ValueError, match="boom") as caught:
            Failed(data=error).result()
        assert caught.value is error
        assert Failed(data=error).result(raise_on_failure=False) is error

    @pytest.mark.parametrize(
        ("state", "kind"),
        [
            (Failed("why"), FailedRunError),
            (Failed("why", data="text"), FailedRunError),
            (Crashed("why"), CrashedRunError),
            (Cancelled("why"), CancelledRunError),
            (NotReady("why"), NotReadyError),
        ],
    )
    def test_without_an_exception_is_one_of_our_tree(self, state: State, kind: type[Exception]) -> None:
        with pytest.raises(kind, match="why"):
            state.result()
        assert type(state.result(raise_on_failure=False)) is kind

    def test_of_an_interrupted_run_is_an_error_chained_to_the_interrupt(self) -> None:
        interrupt = KeyboardInterrupt()
        with pytest.raises(CrashedRunError) as caught:
            Crashed(data=interrupt).result()
        assert caught.value.__cause__ is interrupt

    def test_of_several_is_that_of_the_first_that_did_not_complete(self) -> None:
        error = ValueError("second")
        with pytest.raises(ValueError, match="second"):
            Failed(data=[Completed(), Failed(data=error), Failed(data=KeyError())]).result()
        with pytest.raises(ValueError, match="second"):
            Failed(data=Failed(data=error)).result()

    @pytest.mark.parametrize("state", [Pending(), Running(), Scheduled(), Paused()])
    def test_of_a_run_under_way_is_missing(self, state: State) -> None:
        with pytest.raises(MissingResultError, match=state.name):
            state.result()
        with pytest.raises(MissingResultError):
            state.result(raise_on_failure=False)


class TestIds:
    def test_are_random_uuids(self) -> None:
        ids = {make() for make in (new_id, next_id) for _ in range(1000)}
        assert len(ids) == 2000
        pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
        assert all(pattern.fullmatch(one) for one in ids)

    def test_of_which_there_are_many_are_neighbours_in_order_and_differ_in_eight_digits(self) -> None:
        ids = [next_id() for _ in range(3000)]
        series = [list(same) for _, same in itertools.groupby(ids, key=lambda one: one[:6])]
        assert [len(same) for same in series[1:-1]] == [256] * (len(series) - 2)
        assert all(same == sorted(same) for same in series)
        assert len({one[:8] for one in ids}) == 3000

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_differ_between_parent_and_child_after_a_fork(self) -> None:
        code = (
            "import os\n"
            "from entrepot.states import next_id\n"
            "next_id()\n"
            "child = os.fork()\n"
            "os.write(1, (' '.join(next_id() for _ in range(100)) + '\\n').encode())\n"  # one write each
            "child and os.waitpid(child, 0)\n"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        ids = ran.stdout.split()
        assert len(ids) == len(set(ids)) == 200
