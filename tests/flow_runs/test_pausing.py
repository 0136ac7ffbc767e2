"""Pausing: a flow waits, and goes on with a typed answer; sync and async, alone and at once."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from entrepot.context import CURRENT
from entrepot.coordination import pauses
from entrepot.errors import (
    InputError,
    MissingContextError,
    ParameterError,
    RunNotFoundError,
)
from entrepot.flow_runs import (
    apause_flow_run,
    aresume_flow_run,
    asuspend_flow_run,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from entrepot.flow_runs.answering import Waiting, waiting, waiting_run
from entrepot.flows import flow
from entrepot.runs import RunHistory, default_path, default_recorder
from entrepot.tasks import task
from entrepot_test_people import HUNTER, SOON, Approval, Point, answering, run_of, says, states, wait_until


class TestAnswers:
    @pytest.mark.parametrize(
        ("wanted", "answer", "value"),
        [
            (None, None, None),
            (Approval, {"ok": True, "reason": "x"}, Approval(ok=True, reason="x")),
            (Approval, Approval(ok=False, token=SecretStr(HUNTER)), Approval(ok=False, token=SecretStr(HUNTER))),
            (Point, {"x": 1}, Point(1)),
            (int, 5, 5),
            (int, {"value": 5}, 5),
            (list[str], ["a"], ["a"]),
            (dict, {"value": {"a": 1}}, {"a": 1}),
        ],
        ids=str,
    )
    def test_the_flow_goes_on_with_what_was_said(self, wanted: Any, answer: Any, value: Any) -> None:
        @flow
        def asks() -> Any:
            return pause_flow_run(wanted, poll_interval=SOON)

        @flow
        async def asks_too() -> Any:
            return await pause_flow_run(wanted, poll_interval=SOON)

        with answering(says(answer)):
            assert asks() == value
        with answering(says(answer)):
            assert asyncio.run(asks_too()) == value

    def test_its_states_say_that_it_waited_and_what_for(self) -> None:
        @flow
        def asks() -> None:
            pause_flow_run(Approval.with_initial_data(description="Publish it?"), poll_interval=SOON)

        with answering(says({"ok": True})) as seen:
            asks()
        assert states("asks") == ["Running", "Paused", "Running", "Completed"]
        assert run_of("asks").transitions[1].message == "Waits for an answer: Publish it?"
        assert seen[0].pause.message == "Publish it?"

    def test_several_questions_have_numbers_and_answers_of_their_own(self) -> None:
        @flow
        def asks() -> list[int]:
            return [pause_flow_run(int, poll_interval=SOON) for _ in range(3)]

        with answering(says(1), says(2), says(3)) as seen:
            assert asks() == [1, 2, 3]
        assert [one.pause.key for one in seen] == ["pause-1", "pause-2", "pause-3"]

    def test_a_question_with_a_key_is_asked_once_in_a_run(self) -> None:
        @flow
        def asks() -> list[int]:
            return [pause_flow_run(int, poll_interval=SOON, key="how-many") for _ in range(3)]

        with answering(says(1)) as seen:
            assert asks() == [1, 1, 1]
        assert seen[0].pause.key == "how-many"

    def test_tasks_that_were_submitted_go_on_meanwhile(self) -> None:
        done = threading.Event()

        @task
        def work() -> None:
            done.set()

        @flow
        def asks() -> None:
            work.submit()
            pause_flow_run(poll_interval=SOON)

        def after_the_work(one: Waiting) -> None:
            assert done.wait(120)
            resume_flow_run(one.pause.run_id)

        with answering(after_the_work):
            asks()

    def test_the_loop_goes_on_meanwhile(self) -> None:
        @flow
        async def asks() -> int:
            answered = asyncio.Event()

            async def asking() -> None:
                await apause_flow_run(poll_interval=SOON)
                answered.set()

            waits = asyncio.create_task(asking())
            run_id = CURRENT.get().flow_run.id  # type: ignore[union-attr]
            turns = 0
            while not waiting():
                turns += 1
                await asyncio.sleep(SOON)
            await aresume_flow_run(run_id)
            await answered.wait()
            await waits
            return turns

        assert asyncio.run(asks()) > 0

    def test_a_helper_in_a_thread_of_an_async_flow_waits_there(self) -> None:
        @flow
        async def asks() -> int:
            return await asyncio.to_thread(pause_flow_run, int, 3600, SOON)

        with answering(says(4)):
            assert asyncio.run(asks()) == 4

    def test_a_sync_flow_in_a_running_loop_waits_there(self) -> None:
        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=SOON)

        async def main() -> int:
            return asks()

        with answering(says(4)):
            assert asyncio.run(main()) == 4

    def test_without_a_history_it_can_be_answered_by_its_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "0")

        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=SOON)

        with answering(lambda one: resume_flow_run(one.pause.run_id[:8], 1)):
            assert asks() == 1


class TestSeveralAtOnce:
    def test_a_run_that_asks_two_things_at_once_is_paused_until_both_are_answered(self) -> None:
        @flow
        async def asks() -> list[Any]:
            return list(
                await asyncio.gather(
                    apause_flow_run(int, poll_interval=SOON, key="n"), apause_flow_run(str, poll_interval=SOON, key="s")
                )
            )

        def both() -> None:
            (one, *_) = wait_until(lambda: waiting() if len(waiting()) == 2 else None)
            run_id = one.pause.run_id
            with pytest.raises(InputError, match="waits for several answers"):
                resume_flow_run(run_id, 1)
            with pytest.raises(InputError, match="asks no 'x'"):
                resume_flow_run(run_id, 1, key="x")
            resume_flow_run(run_id, 1, key="n")
            wait_until(lambda: pauses.find(run_id, "n").taken)  # type: ignore[union-attr]
            resume_flow_run(run_id, "x")

        person = threading.Thread(target=both)
        person.start()
        assert asyncio.run(asks()) == [1, "x"]
        person.join()
        assert states("asks") == ["Running", "Paused", "Paused", "Running", "Completed"]

    def test_subflows_at_once_get_each_its_own_answer(self) -> None:
        @flow
        async def inner(city: str) -> tuple[str, str]:
            return city, await pause_flow_run(str, poll_interval=SOON)

        @flow
        async def outer() -> list[tuple[str, str]]:
            return list(await asyncio.gather(*[inner(city) for city in ("Oslo", "Rome", "Bonn")]))

        def answer_all() -> None:
            everything = wait_until(lambda: waiting() if len(waiting()) == 3 else None)
            default_recorder().flush()
            for one in everything:
                resume_flow_run(one.pause.run_id, RunHistory(default_path()).get(one.pause.run_id).parameters["city"])

        person = threading.Thread(target=answer_all)
        person.start()
        found = asyncio.run(outer())
        person.join()
        assert [city for city, _ in found] == ["Oslo", "Rome", "Bonn"]
        assert all(answer == repr(city) for city, answer in found)

    def test_a_subflow_is_answered_by_the_name_of_the_run_around_it(self) -> None:
        @flow
        def inner() -> int:
            return pause_flow_run(int, poll_interval=SOON)

        @flow
        def outer() -> int:
            return inner()

        def by_the_outer_run(_: Waiting) -> None:
            wait_until(lambda: (default_recorder().flush(), RunHistory(default_path()).list(flow="outer"))[1])
            resume_flow_run(RunHistory(default_path()).list(flow="outer")[0].name, 3)

        with answering(by_the_outer_run):
            assert outer() == 3


class TestPlaces:
    @pytest.mark.parametrize("call", [pause_flow_run, suspend_flow_run])
    def test_outside_flows_and_in_tasks_nothing_can_wait(self, call: Callable[[], object]) -> None:
        with pytest.raises(MissingContextError, match="outside flows"):
            call()

        @task
        def work() -> None:
            call()

        @flow
        def around() -> None:
            work()

        with pytest.raises(MissingContextError, match="in the task 'work'"):
            around()

    @pytest.mark.parametrize("call", [apause_flow_run, asuspend_flow_run])
    def test_the_async_ones_say_so_too(self, call: Callable[[], Awaitable[object]]) -> None:
        async def main() -> None:
            await call()

        with pytest.raises(MissingContextError, match="_flow_run"):
            asyncio.run(main())

    @pytest.mark.parametrize(
        "arguments",
        [
            {"timeout": "1"},
            {"timeout": -1},
            {"timeout": float("nan")},
            {"timeout": True},
            {"poll_interval": 0},
            {"poll_interval": "1"},
            {"key": ""},
            {"key": "a\nb"},
            {"key": 3},
            {"key": "x" * 201},
            {"wait_for_input": 3},
        ],
        ids=str,
    )
    def test_arguments_that_make_no_sense_are_refused(self, arguments: dict[str, Any]) -> None:
        @flow
        def asks() -> None:
            pause_flow_run(**arguments)

        with pytest.raises(ParameterError) as caught:
            asks()
        assert caught.value.parameter == next(iter(arguments))


def test_a_run_is_found_by_the_beginning_of_its_id_by_its_name_and_by_the_key() -> None:
    @flow
    def asks() -> None:
        pause_flow_run(poll_interval=SOON, key="go")

    def find(one: Waiting) -> None:
        default_recorder().flush()
        run_id = one.pause.run_id
        name = wait_until(lambda: RunHistory(default_path()).list(flow="asks"))[0].name
        assert [waiting_run(wanted).pause for wanted in (run_id, run_id[:8], name)] == [one.pause] * 3
        assert waiting_run(run_id, "go").name == name
        with pytest.raises(RunNotFoundError):
            waiting_run(run_id[:3])
        resume_flow_run(run_id)

    with answering(find):
        asks()
