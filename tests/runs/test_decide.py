"""What a run may do next: the laws hold in every story that can be told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from entrepot.runs.decide import EDGES, TERMINAL, Intent, Reason, Rejection, RunView, Transition, decide

STATES = sorted(EDGES)
state_types = st.sampled_from(STATES)
epochs = st.integers(min_value=1, max_value=5)
views = st.one_of(
    st.just(RunView()), st.builds(RunView, epoch=epochs, state_type=state_types, known=st.just(frozenset({"old"})))
)
intents = st.builds(Intent, transition_id=st.sampled_from(["old", "new"]), epoch=epochs, state_type=state_types)


def tell(*story: tuple[int, str]) -> list[Reason | None]:
    """Return what becomes of each (attempt, state): None where it is taken, else why not."""
    view, answers = RunView(), []
    for number, (epoch, state_type) in enumerate(story):
        answer = decide(view, Intent(str(number), epoch, state_type))
        if isinstance(answer, Transition):
            view = RunView(answer.epoch, answer.state_type, {*view.known, str(number)})
            answers.append(None)
        else:
            answers.append(answer.reason)
    return answers


class TestStories:
    @pytest.mark.parametrize("end", sorted(TERMINAL))
    def test_a_plain_run_is_taken_whole(self, end: str) -> None:
        assert tell((1, "PENDING"), (1, "RUNNING"), (1, end)) == [None, None, None]

    def test_a_cached_task_ends_without_running(self) -> None:
        assert tell((1, "PENDING"), (1, "COMPLETED")) == [None, None]

    def test_a_task_whose_upstream_failed_never_starts(self) -> None:
        assert tell((1, "PENDING"), (1, "PENDING"), (1, "FAILED")) == [None] * 3

    def test_a_retry_after_a_wait_is_a_new_attempt(self) -> None:
        assert tell((1, "RUNNING"), (1, "SCHEDULED"), (2, "RUNNING"), (2, "COMPLETED")) == [None] * 4

    def test_a_retry_without_a_wait_is_a_new_attempt(self) -> None:
        assert tell((1, "RUNNING"), (2, "RUNNING"), (3, "RUNNING"), (3, "FAILED")) == [None] * 4

    def test_the_first_word_of_an_attempt_may_be_its_last(self) -> None:
        assert tell((1, "CRASHED")) == [None]
        assert tell((1, "RUNNING"), (2, "CANCELLED")) == [None, None]

    def test_a_pause_is_left_again(self) -> None:
        assert tell((1, "RUNNING"), (1, "PAUSED"), (1, "RUNNING"), (1, "COMPLETED")) == [None] * 4

    def test_what_is_being_cancelled_may_still_complete_but_not_run_again(self) -> None:
        assert tell((1, "RUNNING"), (1, "CANCELLING"), (1, "RUNNING"), (1, "COMPLETED")) == [
            None,
            None,
            Reason.ILLEGAL,
            None,
        ]

    def test_an_attempt_does_not_start_twice(self) -> None:
        assert tell((1, "RUNNING"), (1, "RUNNING")) == [None, Reason.ILLEGAL]

    def test_a_running_attempt_does_not_become_pending(self) -> None:
        assert tell((1, "RUNNING"), (1, "PENDING")) == [None, Reason.ILLEGAL]

    def test_the_late_word_of_an_older_attempt_is_refused(self) -> None:
        assert tell((1, "RUNNING"), (2, "RUNNING"), (1, "COMPLETED"), (2, "COMPLETED")) == [
            None,
            None,
            Reason.OLDER_ATTEMPT,
            None,
        ]

    @pytest.mark.parametrize("end", sorted(TERMINAL))
    def test_nothing_leaves_an_end(self, end: str) -> None:
        assert tell((1, end), (1, "RUNNING"), (2, "RUNNING"), (9, "COMPLETED")) == [None, *[Reason.TERMINAL] * 3]

    @pytest.mark.parametrize(
        "intent", [Intent("a", 1, "NAPPING"), Intent("a", 0, "RUNNING"), Intent("a", 1, "running")]
    )
    def test_what_is_no_state_or_no_attempt_is_refused(self, intent: Intent) -> None:
        answer = decide(RunView(), intent)
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.UNKNOWN_STATE

    def test_a_rejection_explains_itself(self) -> None:
        answer = decide(RunView(2, "RUNNING"), Intent("a", 1, "COMPLETED"))
        assert isinstance(answer, Rejection)
        assert answer.message == "attempt 1 speaks, but attempt 2 has begun since"


class TestLaws:
    @given(views, intents)
    def test_it_is_a_function(self, view: RunView, intent: Intent) -> None:
        assert decide(view, intent) == decide(view, intent)

    @given(views, intents)
    def test_a_known_id_changes_nothing(self, view: RunView, intent: Intent) -> None:
        if intent.transition_id in view.known:
            answer = decide(view, intent)
            assert isinstance(answer, Rejection)
            assert answer.reason is Reason.REPEATED

    @given(views, intents)
    def test_what_is_taken_is_what_was_asked(self, view: RunView, intent: Intent) -> None:
        answer = decide(view, intent)
        if isinstance(answer, Transition):
            assert (answer.epoch, answer.state_type) == (intent.epoch, intent.state_type)
            assert answer.begins_attempt == (intent.epoch > view.epoch)

    def test_every_edge_leads_to_a_state_and_ends_have_none(self) -> None:
        assert set().union(*EDGES.values()) <= set(EDGES)
        assert {state for state, edges in EDGES.items() if not edges} == TERMINAL

    def test_every_state_can_reach_every_end(self) -> None:
        for state in set(EDGES) - TERMINAL:
            assert EDGES[state] >= TERMINAL


class Run(RuleBasedStateMachine):
    """Authors of several attempts speak in any order, and repeat themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.view = RunView()
        self.said: list[Intent] = []
        self.taken: list[Intent] = []

    def tell(self, intent: Intent) -> Transition | Rejection:
        before = self.view
        answer = decide(before, intent)
        if isinstance(answer, Transition):
            assert before.state_type not in TERMINAL
            assert answer.epoch >= before.epoch
            if answer.epoch == before.epoch:
                assert answer.state_type in EDGES[before.state_type]
            assert intent not in self.taken
            self.view = RunView(answer.epoch, answer.state_type, {*before.known, intent.transition_id})
            self.taken.append(intent)
        return answer

    @rule(epoch=epochs, state_type=state_types)
    def say(self, epoch: int, state_type: str) -> None:
        intent = Intent(f"t{len(self.said)}", epoch, state_type)
        self.said.append(intent)
        self.tell(intent)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        before = self.view
        answer = self.tell(data.draw(st.sampled_from(self.taken)))
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.REPEATED
        assert self.view == before

    @precondition(lambda self: self.view.state_type in TERMINAL)
    @rule(intent=intents)
    def shout_after_the_end(self, intent: Intent) -> None:
        before = self.view
        assert isinstance(self.tell(intent), Rejection)
        assert self.view == before

    @invariant()
    def attempts_only_count_up(self) -> None:
        counted = [intent.epoch for intent in self.taken]
        assert counted == sorted(counted)

    @invariant()
    def there_is_one_end_at_most_and_it_is_last(self) -> None:
        ends = [number for number, intent in enumerate(self.taken) if intent.state_type in TERMINAL]
        assert ends in ([], [len(self.taken) - 1])

    @invariant()
    def saying_everything_again_changes_nothing(self) -> None:
        view = RunView()
        for intent in [*self.taken, *self.taken]:
            answer = decide(view, intent)
            if isinstance(answer, Transition):
                view = RunView(answer.epoch, answer.state_type, {*view.known, intent.transition_id})
        assert view == self.view


TestRun = Run.TestCase
TestRun.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
