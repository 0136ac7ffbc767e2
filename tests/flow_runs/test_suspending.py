"""Runs that come by a second time, tried again or resumed, find their own answers and no others."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from entrepot import settings
from entrepot.context import CURRENT
from entrepot.coordination import pauses
from entrepot.engine.world import World, use_world
from entrepot.errors import (
    PausedRunError,
    PauseTimeoutError,
)
from entrepot.flow_runs import (
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from entrepot.flow_runs.answering import give, waiting
from entrepot.flows import flow
from entrepot.input import RunInput
from entrepot.runs import default_recorder
from entrepot.testing.fakes import FrozenClock
from entrepot_test_people import SOON, Approval, answering, run_of, says, states


class Answer(RunInput):
    said: str


class TestAgain:
    """A run that comes by a second time finds its own answers, and no others."""

    def test_a_flow_that_is_tried_again_does_not_ask_again(self) -> None:
        tries = []

        @flow(retries=1)
        def asks() -> tuple[int, int]:
            found = pause_flow_run(int, poll_interval=SOON), pause_flow_run(int, poll_interval=SOON)
            tries.append(found)
            if len(tries) == 1:
                raise ValueError("once more")
            return found

        with answering(says(1), says(2)):
            assert asks() == (1, 2)
        assert tries == [(1, 2), (1, 2)]

    def test_subflows_of_a_flow_that_is_tried_again_find_theirs(self) -> None:
        tries = []

        @flow
        def inner(city: str) -> int:
            return pause_flow_run(int, poll_interval=SOON)

        @flow(retries=1)
        def outer() -> list[int]:
            cities = ["Oslo", "Rome", "Oslo"] if not tries else ["Rome", "Oslo", "Oslo"]
            found = [inner(city) for city in cities]
            tries.append(found)
            if len(tries) == 1:
                raise ValueError("once more")
            return found

        with answering(says(1), says(2), says(3)):
            assert outer() == [2, 1, 3]

    def test_a_subflow_that_is_tried_again_finds_its_own(self) -> None:
        tries = []

        @flow(retries=1)
        def inner() -> int:
            found = pause_flow_run(int, poll_interval=SOON)
            tries.append(found)
            if len(tries) == 1:
                raise ValueError("once more")
            return found

        @flow
        def outer() -> list[int]:
            return [inner(), inner()]

        with answering(says(1), says(2)):
            assert outer() == [1, 2]
        assert tries == [1, 1, 2]


def resumed(fn: Callable[[], Any], root_run_id: str) -> Any:
    """Run a flow as the continuation of another run."""

    @flow(name=fn.__name__)
    def again() -> Any:
        CURRENT.get().engine.root_id = root_run_id  # type: ignore[union-attr]  # what resuming does
        return fn()

    return again()


class TestSuspending:
    def test_it_leaves_the_process_as_suspended(self) -> None:
        @flow(retries=3)
        def asks() -> None:
            suspend_flow_run(int)

        with pytest.raises(PausedRunError, match="entrepot runs resume") as caught:
            asks()
        run = run_of("asks")
        assert caught.value.run_id == run.run_id
        assert [(one.state_type, one.state_name) for one in run.transitions] == [
            ("RUNNING", "Running"),
            ("PAUSED", "Suspended"),
        ]
        assert [one.pause.run_id for one in waiting()] == [run.run_id]

    def test_an_async_flow_does_too_and_its_caller_with_it(self) -> None:
        @flow
        async def inner() -> None:
            await suspend_flow_run(int)

        @flow
        async def outer() -> None:
            await inner()

        with pytest.raises(PausedRunError):
            asyncio.run(outer())
        assert states("inner")[-1] == states("outer")[-1] == "Suspended"
        assert "waits for an answer: int; answer with" in run_of("inner").message
        resume_flow_run(run_of("outer").run_id, 1)
        assert waiting() == []

    def test_a_run_that_resumes_goes_on_with_the_answer(self) -> None:
        def body() -> int:
            return suspend_flow_run(int)

        with pytest.raises(PausedRunError):
            resumed(body, "root")
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        (one,) = waiting()
        give(one.pause, 7)
        assert resumed(body, "root") == 7

    def test_where_no_input_is_waited_for_resuming_is_enough(self) -> None:
        def body() -> str:
            suspend_flow_run()
            return "went on"

        with pytest.raises(PausedRunError):
            resumed(body, "root")
        assert resumed(body, "root") == "went on"
        assert resumed(body, "root") == "went on"  # its process died after that, say

    def test_a_run_that_resumes_too_late_fails(self) -> None:
        def body() -> None:
            suspend_flow_run(int, timeout=60)

        clock = FrozenClock()
        with use_world(World(settings.current(), default_recorder(), clock)):
            with pytest.raises(PausedRunError):
                resumed(body, "root")
            clock.sleep(61)
            with pytest.raises(PauseTimeoutError):
                resumed(body, "root")
        assert pauses.list_open() == []

    def test_an_answer_that_the_model_refuses_suspends_it_again(self) -> None:
        def body() -> str:
            return suspend_flow_run(Approval).reason

        with pytest.raises(PausedRunError):
            resumed(body, "root")
        give(waiting()[0].pause, {"ok": True, "reason": "because"})
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        (one,) = waiting()
        assert "that is no reason" in (one.pause.refused or "")
        give(one.pause, {"ok": True, "reason": "x"})
        assert resumed(body, "root") == "x"

    def test_a_changed_question_is_asked_anew(self) -> None:
        def body() -> bool:
            return suspend_flow_run(Approval.with_initial_data(description=words), key="approve").ok

        words = "Delete the test data?"
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        give(waiting()[0].pause, {"ok": True})
        words = "Delete the production data?"
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        assert waiting()[0].pause.message == words

    def test_a_question_before_it_that_is_new_takes_no_answer_of_another(self) -> None:
        def body() -> list[Any]:
            return [suspend_flow_run(kind) for kind in kinds]

        kinds: list[Any] = [int]
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        give(waiting()[0].pause, 1)
        kinds = [str, int]  # the code was changed
        with pytest.raises(PausedRunError):
            resumed(body, "root")
        (one,) = waiting()
        give(one.pause, "x")
        assert resumed(body, "root") == ["x", 1]


@settings_of(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), min_size=1, max_size=4))
def test_each_question_gets_its_own_answer_and_none_is_asked_twice(versions: list[list[str]]) -> None:
    """A flow is changed and resumed, again and again: it never takes an answer to one question for one to another."""
    root, given_so_far = str(uuid4()), 0
    for words in versions:

        def body(words: list[str] = words) -> list[str]:
            return [suspend_flow_run(Answer.with_initial_data(description=word)).said for word in words]

        answered = 0
        while True:
            try:
                found = resumed(body, root)
                break
            except PausedRunError:
                (one,) = [one for one in pauses.list_open() if one.root_run_id == root and one.message in words]
                answered += 1
                give(one, {"said": f"{one.message}-{given_so_far + answered}"})
        given_so_far += answered
        assert [answer[0] for answer in found] == words
        assert len(set(found)) == len(found)
        assert resumed(body, root) == found
