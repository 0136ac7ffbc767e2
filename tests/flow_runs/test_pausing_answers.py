"""What is no answer: what does not fit, what others wrote, what comes a second time; and secrets in answers."""

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import entrepot.runtime
from entrepot import settings
from entrepot._clock import SystemClock
from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot.engine.world import World, use_world
from entrepot.errors import (
    InputError,
    NotResumableError,
    PauseTimeoutError,
    RunNotFoundError,
)
from entrepot.flow_runs import (
    pause_flow_run,
    resume_flow_run,
)
from entrepot.flow_runs.answering import Waiting, give, waiting
from entrepot.flows import flow
from entrepot.runs import default_recorder
from entrepot_test_people import HUNTER, SOON, Approval, answering, run_of, says, states


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "entrepot")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


class TestRefusals:
    def test_an_answer_that_does_not_fit_the_schema_never_comes_to_the_flow(self) -> None:
        @flow
        def asks() -> bool:
            return pause_flow_run(Approval, poll_interval=SOON).ok

        def first_wrong(one: Waiting) -> None:
            for wrong, field in (({"ok": "perhaps"}, "ok"), ({}, "ok"), ({"ok": True, "x": 1}, "x"), (5, "")):
                with pytest.raises(InputError) as caught:
                    resume_flow_run(one.pause.run_id, wrong)
                assert caught.value.field == field
            resume_flow_run(one.pause.run_id, {"ok": True})

        with answering(first_wrong):
            assert asks()

    def test_what_the_model_refuses_is_said_and_asked_again(self, lines: Callable[[], str]) -> None:
        @flow
        def asks() -> str:
            return pause_flow_run(Approval, poll_interval=SOON).reason

        with answering(says({"ok": True, "reason": "because"}), says({"ok": True, "reason": "x"})) as seen:
            assert asks() == "x"
        assert seen[1].pause.refused == "it does not fit: reason: that is no reason"
        assert "The answer to pause-1 is refused: it does not fit: reason: that is no reason" in lines()
        assert states("asks") == ["Running", "Paused", "Running", "Completed"]

    def test_input_where_none_is_waited_for_is_refused(self) -> None:
        @flow
        def asks() -> None:
            pause_flow_run(poll_interval=SOON)

        def first_wrong(one: Waiting) -> None:
            with pytest.raises(InputError, match="waits for no input"):
                resume_flow_run(one.pause.run_id, {"ok": True})
            resume_flow_run(one.pause.run_id)

        with answering(first_wrong):
            asks()

    def test_only_the_first_of_two_answers_counts(self) -> None:
        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=0.3)

        def twice(one: Waiting) -> None:
            give(one.pause, 1)
            with pytest.raises(NotResumableError, match="answered, asked anew or given up"):
                give(one.pause, 2)

        with answering(twice):
            assert asks() == 1

    def test_who_does_not_wait_cannot_be_answered(self) -> None:
        @flow
        def calm() -> None:
            pass

        calm()
        default_recorder().flush()
        with pytest.raises(NotResumableError, match="waits for no answer; it is Completed"):
            resume_flow_run(run_of("calm").run_id)
        with pytest.raises(RunNotFoundError):
            resume_flow_run("nobody")

    def test_a_question_of_a_line_that_was_completed_without_it_waits_for_nobody(self) -> None:
        @flow
        def outer() -> None:
            run_id = entrepot.runtime.flow_run.id
            for root in (run_id, "another-line"):
                asked = Pause(
                    root_run_id=root,
                    key="pause-1",
                    run_id=f"a-dead-subflow-of-{root}",
                    question="q",
                    schema=None,
                    message="yes?",
                    asked=datetime.now(UTC),
                    deadline=None,
                )
                pauses.ask(asked, lambda _, /, *, new=False: True)
            assert len(waiting()) == 2

        outer()
        assert [one.pause.root_run_id for one in waiting()] == ["another-line"]

    def test_too_large_an_answer_is_refused(self) -> None:
        @flow
        def asks() -> int:
            return len(pause_flow_run(str, poll_interval=SOON))

        def first_large(one: Waiting) -> None:
            with pytest.raises(InputError, match="1,048,576"):
                resume_flow_run(one.pause.run_id, "x" * (1 << 20))
            resume_flow_run(one.pause.run_id, "x")

        with answering(first_large):
            assert asks() == 1

    def test_what_json_cannot_say_is_refused(self) -> None:
        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=SOON)

        def first_odd(one: Waiting) -> None:
            with pytest.raises(InputError, match="JSON"):
                resume_flow_run(one.pause.run_id, object())
            resume_flow_run(one.pause.run_id, 1)

        with answering(first_odd):
            assert asks() == 1


class TestSecrets:
    def test_an_answer_lies_nowhere_in_clear(self, entrepot_home: Path, lines: Callable[[], str]) -> None:
        @flow
        def asks() -> str:
            return pause_flow_run(Approval, poll_interval=SOON).token.get_secret_value()

        with answering(says({"ok": True, "token": HUNTER})):
            assert asks() == HUNTER
        default_recorder().flush()
        for file in entrepot_home.rglob("*"):
            if file.is_file():
                assert HUNTER.encode() not in file.read_bytes(), file
        assert HUNTER not in lines()

    def test_initial_data_that_is_secret_does_not_either(self, entrepot_home: Path) -> None:
        @flow
        def asks() -> str:
            wanted = Approval.with_initial_data(token=HUNTER)
            return pause_flow_run(wanted, poll_interval=SOON).token.get_secret_value()

        with answering(says({"ok": True})):
            assert asks() == HUNTER
        for file in entrepot_home.rglob("*"):
            if file.is_file():
                assert HUNTER.encode() not in file.read_bytes(), file


class TestAttacks:
    """Somebody can write `state.db`, but does not have the keyring."""

    @staticmethod
    def change(home: Path, statement: str, *values: object) -> None:
        connection = sqlite3.connect(home / "state.db", timeout=30)
        connection.execute(statement, values)
        connection.commit()
        connection.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE pauses SET answer = '{\"ok\": true}'",
            "UPDATE pauses SET answer = ''",
            "UPDATE pauses SET answer = 'x\udcff'",
        ],
    )
    def test_who_has_no_keys_cannot_answer(self, statement: str, entrepot_home: Path, lines: Callable[[], str]) -> None:
        @flow
        def asks() -> bool:
            return pause_flow_run(Approval, poll_interval=SOON).ok

        plain = statement.encode("utf-8", "replace").decode()
        with answering(lambda _: self.change(entrepot_home, plain), says({"ok": False})):
            assert asks() is False
        assert "it does not verify" in lines()

    def test_an_answer_is_no_answer_to_another_question(self, entrepot_home: Path, lines: Callable[[], str]) -> None:
        @flow
        def asks() -> list[bool]:
            return [pause_flow_run(bool, poll_interval=SOON) for _ in range(2)]

        move = "UPDATE pauses SET answer = (SELECT answer FROM pauses WHERE key = 'pause-1') WHERE key = 'pause-2'"
        with answering(says(answer=True), lambda _: self.change(entrepot_home, move), says(answer=False)):
            assert asks() == [True, False]
        assert "it does not verify" in lines()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE pauses SET message = 'Delete the test data?'",
            'UPDATE pauses SET schema = replace(schema, \'"title":"Value"\', \'"title":"Other"\')',
        ],
    )
    def test_an_answer_to_other_words_is_none(
        self, statement: str, entrepot_home: Path, lines: Callable[[], str]
    ) -> None:
        """People see another question than the flow's, and answer it."""

        @flow
        def asks() -> bool:
            return pause_flow_run(bool, poll_interval=0.2)

        def fooled(one: Waiting) -> None:
            self.change(entrepot_home, statement)
            resume_flow_run(one.pause.run_id, run_input=True)

        with answering(fooled, says(answer=False)) as seen:
            assert asks() is False
        assert "the question that people saw, was altered" in lines()
        assert (seen[1].pause.message, seen[1].pause.schema) == (seen[0].pause.message, seen[0].pause.schema)

    def test_a_schema_that_is_none_is_an_error_for_who_answers(self, entrepot_home: Path) -> None:
        class Jumping(SystemClock):
            ahead = timedelta(0)

            def now(self) -> datetime:
                return super().now() + self.ahead

        clock = Jumping()

        @flow
        def asks() -> bool:
            return pause_flow_run(bool, timeout=600, poll_interval=SOON)

        def sees_nonsense(one: Waiting) -> None:
            for schema in ("", "[]", "{}", '{"properties": 3}'):
                self.change(entrepot_home, "UPDATE pauses SET schema = ?", schema)
                with pytest.raises(InputError, match="not understood"):
                    resume_flow_run(one.pause.run_id, run_input=True)
            clock.ahead = timedelta(hours=1)

        with (
            use_world(World(settings.current(), default_recorder(), clock)),
            answering(sees_nonsense),
            pytest.raises(PauseTimeoutError),
        ):
            asks()
