"""Questions and answers in the file that processes share: each is kept once, and the first answer counts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot_test_processes import said_at_once

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def question(words: str = "ok?", **facts: object) -> Pause:
    made = Pause(
        root_run_id="root",
        key="",
        run_id="run-1",
        question=f"q-{words}",
        schema='{"type":"object"}',
        message=words,
        asked=NOW,
        deadline=LATER,
    )
    return replace(made, **facts)  # type: ignore[arg-type]


def everybody(key: str, /, *, new: bool = False) -> bool:
    return True


def nobody(key: str, /, *, new: bool = False) -> bool:
    return new


class TestAsking:
    def test_a_question_gets_the_next_number_of_its_line_of_runs(self) -> None:
        keys = [pauses.ask(question(words), everybody)[0].key for words in ("a", "b")]
        keys.append(pauses.ask(question("a", root_run_id="other"), everybody)[0].key)
        assert keys == ["pause-1", "pause-2", "pause-1"]

    def test_a_wish_for_a_key_is_met_if_it_is_free(self) -> None:
        keys = [pauses.ask(question(words, key="approve"), nobody)[0].key for words in ("a", "b", "c")]
        assert keys == ["approve", "approve-2", "approve-3"]

    def test_what_was_asked_is_found_as_it_was_asked(self) -> None:
        asked, before = pauses.ask(question(), everybody)
        assert before is None
        assert pauses.find("root", "pause-1") == asked == replace(question(), key="pause-1")
        assert pauses.find("root", "pause-2") is None
        assert pauses.list_open() == [asked]

    def test_a_later_run_asks_the_same_question_anew(self) -> None:
        first, _ = pauses.ask(question(), everybody)
        again = question(run_id="run-2", asked=LATER, deadline=None)
        asked, before = pauses.ask(again, everybody)
        assert (asked, before) == (replace(again, key="pause-1"), first)
        assert pauses.list_open() == [asked]

    def test_who_suspends_keeps_the_deadline(self) -> None:
        pauses.ask(question(), everybody)
        asked, _ = pauses.ask(question(run_id="run-2", deadline=None), everybody, renew=False)
        assert asked.deadline == LATER

    def test_one_that_somebody_else_has_is_asked_beside_it(self) -> None:
        pauses.ask(question(), everybody)
        asked, before = pauses.ask(question(), nobody)
        assert (asked.key, before) == ("pause-2", None)

    def test_what_was_answered_keeps_its_answer(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        assert pauses.answer(asked, "sealed", LATER)
        again, before = pauses.ask(question(run_id="run-2"), everybody)
        assert (again.answer, again.answered, again.run_id) == ("sealed", LATER, "run-2")
        assert before is not None
        assert before.run_id == "run-1"
        assert pauses.list_open() == []

    @pytest.mark.parametrize("change", [{"message": "other words"}, {"schema": None}])
    def test_in_other_words_it_is_asked_anew(self, change: dict[str, object]) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.answer(asked, "sealed", LATER)
        again, _ = pauses.ask(question(**change), everybody)
        assert again.answer is None
        assert pauses.list_open() == [again]


class TestAnswering:
    def test_the_first_answer_counts(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        assert pauses.answer(asked, "first", LATER)
        assert not pauses.answer(asked, "second", LATER)
        found = pauses.find("root", "pause-1")
        assert found is not None
        assert (found.answer, found.answered) == ("first", LATER)

    @pytest.mark.parametrize("change", [{"message": "x"}, {"schema": None}, {"question": "x"}, {"key": "pause-9"}])
    def test_an_answer_to_other_words_is_none(self, change: dict[str, object]) -> None:
        asked, _ = pauses.ask(question(), everybody)
        assert not pauses.answer(replace(asked, **change), "answer", LATER)  # type: ignore[arg-type]
        assert pauses.list_open() == [asked]

    def test_of_many_processes_one_answers(self) -> None:
        pauses.ask(question(), everybody)
        program = (
            "import sys\nfrom datetime import UTC, datetime\nfrom entrepot.coordination import pauses\n"
            "print('ready', flush=True)\nsys.stdin.readline()\n"
            "asked = pauses.find('root', 'pause-1')\n"
            "print(asked.answer is None and pauses.answer(asked, sys.argv[1], datetime.now(UTC)))"
        )
        said = said_at_once(*(("-c", program, number) for number in range(4)))
        assert sorted(said) == ["False", "False", "False", "True"]
        found = pauses.find("root", "pause-1")
        assert found is not None
        assert found.answer == str(said.index("True"))

    def test_one_that_is_refused_is_asked_again_with_the_reason(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.answer(asked, "bad", LATER)
        pauses.ask_again(asked, "too long")
        found = pauses.find("root", "pause-1")
        assert found == replace(asked, refused="too long")
        assert pauses.answer(asked, "good", LATER)
        found = pauses.find("root", "pause-1")
        assert found is not None
        assert (found.answer, found.refused) == ("good", None)

    def test_a_question_that_is_gone_can_be_put_back(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.withdraw(asked)
        pauses.ask_again(asked)
        assert pauses.list_open() == [asked]

    def test_that_it_was_taken_is_noted(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.take(asked, LATER)
        pauses.answer(asked, "yes", NOW)
        found = pauses.find("root", "pause-1")
        assert found is not None
        assert found.taken is None
        pauses.take(asked, LATER)
        found = pauses.find("root", "pause-1")
        assert found is not None
        assert found.taken == LATER


class TestWithdrawing:
    def test_what_nobody_answered_is_forgotten(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        assert pauses.withdraw(asked)
        assert pauses.list_open() == []
        assert not pauses.withdraw(asked)

    def test_what_was_answered_stays(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.answer(asked, "yes", LATER)
        assert not pauses.withdraw(asked)
        assert pauses.find("root", "pause-1") is not None

    def test_what_a_later_run_asks_stays(self) -> None:
        asked, _ = pauses.ask(question(), everybody)
        pauses.ask(question(run_id="run-2"), everybody)
        assert not pauses.withdraw(asked)


@pytest.mark.parametrize("look", [pauses.list_open, lambda: pauses.find("root", "pause-1")])
def test_where_nothing_was_asked_nothing_is_made(look: Callable[[], object], entrepot_home: object) -> None:
    assert not look()
    assert not entrepot_home.exists()  # type: ignore[attr-defined]
