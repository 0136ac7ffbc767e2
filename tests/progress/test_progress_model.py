"""The board: what events come to, and that runs that are over weigh nothing."""

import gc
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.progress.model import ENDED, Board, FlowView, Phase, phase_of
from entrepot.protocols.recorder import LogLine, RunEvent

from .conftest import START, STATES, Teller


def board_of(*events: RunEvent) -> Board:
    board = Board()
    for event in events:
        board.apply(event)
    return board


def only(board: Board) -> FlowView:
    (flow,) = board.flows()
    return flow


def counted(counts: object) -> dict[str, int]:
    return {phase.name: counts[phase] for phase in Phase if counts[phase]}  # type: ignore[index]


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("Pending", Phase.WAITING),
        ("Scheduled", Phase.WAITING),
        ("NotReady", Phase.NOT_READY),
        ("AwaitingRetry", Phase.RETRYING),
        ("Retrying", Phase.RETRYING),
        ("Running", Phase.RUNNING),
        ("Paused", Phase.PAUSED),
        ("Completed", Phase.COMPLETED),
        ("Cached", Phase.CACHED),
        ("Failed", Phase.FAILED),
        ("TimedOut", Phase.FAILED),
        ("Crashed", Phase.CRASHED),
        ("Cancelled", Phase.CANCELLED),
    ],
)
def test_states_have_phases(state: str, phase: Phase) -> None:
    assert phase_of(STATES[state], state) is phase


def test_names_that_users_gave_count_as_their_type() -> None:
    assert phase_of("COMPLETED", "Skipped") is Phase.COMPLETED
    assert phase_of("FAILED", "Cached") is Phase.FAILED
    assert phase_of("SOMETHING", "New") is Phase.WAITING


class TestCounts:
    def test_a_run_is_counted_where_it_is(self, teller: Teller) -> None:
        board = board_of(teller.flow("f"))
        seen = []
        for event in [
            teller.task("t"),
            teller.enters("t", "Running"),
            teller.enters("t", "AwaitingRetry"),
            teller.enters("t", "Retrying", 2),
            teller.enters("t", "Completed", 2),
        ]:
            board.apply(event)
            (group,) = only(board).groups
            assert group.counts == only(board).counts
            seen.append(counted(group.counts))
        assert seen == [{"WAITING": 1}, {"RUNNING": 1}, {"RETRYING": 1}, {"RETRYING": 1}, {"COMPLETED": 1}]

    def test_what_an_older_attempt_says_late_changes_nothing(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"), teller.task("t"), teller.enters("t", "Retrying", 2), teller.enters("t", "Failed", 1)
        )
        assert counted(only(board).counts) == {"RETRYING": 1}

    def test_nothing_leaves_an_end(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"), teller.task("t"), teller.enters("t", "Failed"), teller.enters("t", "Completed", 2)
        )
        assert counted(only(board).counts) == {"FAILED": 1}

    def test_runs_are_grouped_by_kind_name_and_flow_run(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"),
            teller.task("a", "load"),
            teller.task("b", "load"),
            teller.flow("sub", "load", inside="f"),
            teller.task("c", "load", inside="sub"),
            teller.task("d", "save"),
        )
        flow = only(board)
        assert [(group.name, group.is_flow, group.total) for group in flow.groups] == [
            ("load", False, 2),
            ("load", True, 1),
            ("save", False, 1),
        ]
        assert [(inner.name, inner.groups[0].total) for inner in flow.subflows] == [("name-of-sub", 1)]
        assert sum(flow.counts) == 4  # subflows are no task runs

    def test_only_runs_that_were_under_way_together_are_wide(self, teller: Teller) -> None:
        one_by_one = [event for n in "ab" for event in (teller.task(n, "loop"), teller.enters(n, "Completed"))]
        board = board_of(teller.flow("f"), *one_by_one, teller.task("c", "map"), teller.task("d", "map"))
        assert [(group.name, group.wide) for group in only(board).groups] == [("loop", False), ("map", True)]

    def test_the_run_that_started_last_is_known(self, teller: Teller) -> None:
        running = teller.enters("b", "Running")
        board = board_of(teller.flow("f"), teller.task("a"), teller.enters("a", "Running"), teller.task("b"), running)
        assert only(board).groups[0].current == ("name-of-b", running.timestamp)

    def test_a_run_that_was_told_twice_counts_once(self, teller: Teller) -> None:
        assert sum(only(board_of(teller.flow("f"), teller.task("t"), teller.task("t"))).counts) == 1

    def test_what_belongs_to_no_known_flow_is_left_out(self, teller: Teller) -> None:
        board = board_of(
            teller.task("outside", inside=None),
            teller.flow("sub-of-another-process", inside="elsewhere"),
            teller.task("t", inside="elsewhere"),
            teller.enters("never-told", "Running"),
            LogLine("t", START, 20, "x", "y"),
        )
        assert board.quiet
        assert len(board) == 0


class TestFailures:
    def test_they_are_kept_with_what_they_said(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"),
            teller.flow("sub", inside="f"),
            teller.task("deep", inside="sub"),
            teller.enters("deep", "TimedOut", message="too slow"),
            teller.enters("sub", "Crashed", message="killed"),
        )
        assert [(one.name, one.state_name, one.message) for one in only(board).failures] == [
            ("name-of-deep", "TimedOut", "too slow"),
            ("name-of-sub", "Crashed", "killed"),
        ]

    def test_many_of_one_group_leave_room_for_others(self, teller: Teller) -> None:
        board = board_of(teller.flow("f"))
        for number in range(50):
            board.apply(teller.task(f"t{number}", "noisy"))
            board.apply(teller.enters(f"t{number}", "Failed"))
        board.apply(teller.task("q", "quiet"))
        board.apply(teller.enters("q", "Failed"))
        flow = only(board)
        assert [one.name for one in flow.failures] == ["name-of-t0", "name-of-t1", "name-of-t2", "name-of-q"]
        assert flow.failed == 51

    @pytest.mark.parametrize("state", ["Cancelled", "NotReady", "Completed"])
    def test_consequences_and_good_ends_are_none(self, state: str, teller: Teller) -> None:
        flow = only(board_of(teller.flow("f"), teller.task("t"), teller.enters("t", state)))
        assert not flow.failures
        assert flow.failed == 0


class TestTheEnd:
    def test_top_level_flows_say_when_they_begin_and_end(self, teller: Teller) -> None:
        board = Board()
        turns = [
            board.apply(event)
            for event in [
                teller.flow("f"),
                teller.flow("sub", inside="f"),
                teller.enters("f", "Running"),
                teller.enters("sub", "Completed"),
                teller.enters("f", "Completed"),
            ]
        ]
        assert turns == [True, False, False, False, True]
        assert not board.quiet
        assert [flow.run_id for flow in board.take_ended()] == ["f"]
        assert board.quiet
        assert board.take_ended() == []

    def test_what_a_flow_leaves_behind_is_forgotten_with_it(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"),
            teller.flow("other"),
            teller.flow("sub", inside="f"),
            teller.task("stray", inside="sub"),
            teller.task("kept", inside="other"),
            teller.enters("f", "Crashed"),
            teller.enters("stray", "Running"),
        )
        assert len(board) == 2
        assert [flow.run_id for flow in board.flows()] == ["other"]

    def test_a_task_that_outlives_its_subflow_is_still_counted(self, teller: Teller) -> None:
        board = board_of(
            teller.flow("f"),
            teller.flow("sub", inside="f"),
            teller.task("t", inside="sub"),
            teller.enters("sub", "Completed"),
            teller.enters("t", "Completed"),
        )
        assert counted(only(board).counts) == {"COMPLETED": 1}
        assert not only(board).subflows


class TestSize:
    def test_runs_that_are_over_weigh_nothing(self, teller: Teller) -> None:
        def run(numbers: range) -> None:
            for number in numbers:
                board.apply(teller.task(f"t{number}"))
                board.apply(teller.enters(f"t{number}", "Running"))
                board.apply(teller.enters(f"t{number}", "Completed"))

        board = board_of(teller.flow("f"))
        run(range(100))
        tracemalloc.start()
        try:
            run(range(100, 5000))
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(board) == 1
        assert grown < 20_000  # 4 bytes a run
        assert sum(only(board).counts) == 5000

    def test_groups_that_are_over_are_let_go(self, teller: Teller) -> None:
        board = board_of(teller.flow("f"))
        for number in range(5000):
            board.apply(teller.task("t", f"task-{number}"))
            board.apply(teller.enters("t", "Completed"))
        flow = only(board)
        assert len(flow.groups) <= 300
        assert flow.groups[-1].name == "task-4999"
        assert sum(flow.counts) == 5000

    def test_groups_with_failures_or_work_stay(self, teller: Teller) -> None:
        board = board_of(teller.flow("f"), teller.task("w", "works"), teller.task("x", "fails"))
        board.apply(teller.enters("x", "Failed"))
        for number in range(1000):
            board.apply(teller.task("t", f"task-{number}"))
            board.apply(teller.enters("t", "Completed"))
        assert {group.name for group in only(board).groups} >= {"works", "fails"}

    def test_of_many_subflows_some_are_seen(self, teller: Teller) -> None:
        board = board_of(teller.flow("f"), *[teller.flow(f"s{number}", inside="f") for number in range(80)])
        flow = only(board)
        assert len(flow.subflows) + flow.more_subflows == 80
        assert flow.more_subflows > 0


stories = st.lists(
    st.tuples(
        st.integers(0, 8),  # which run
        st.sampled_from(["create", *sorted(STATES)]),
        st.integers(1, 3),  # attempt
    ),
    max_size=60,
)


@given(story=stories)
def test_whatever_is_told_counts_are_those_of_the_runs(story: list[tuple[int, str, int]]) -> None:
    """Runs 0 and 1 are flows (1 inside 0); 2 to 4 are tasks of 0, the rest of 1. Told in any order, late and twice."""
    teller = Teller()
    board = board_of(teller.flow("r0"))
    told: dict[str, tuple[Phase, int]] = {}  # what a careful listener would believe
    alive = {"r0"}
    for number, said, epoch in story:
        run_id = f"r{number}"
        inside = "r0" if number < 5 else "r1"
        if number == 0:
            continue
        if said == "create":
            board.apply(teller.flow(run_id, inside=inside) if number == 1 else teller.task(run_id, inside=inside))
            if run_id not in told and inside in alive:
                told[run_id] = (Phase.WAITING, 1)
                alive.add(run_id)
            elif run_id in told and run_id not in alive:
                return  # the engine never tells of a run again after its end; the board may count it twice
        else:
            board.apply(teller.enters(run_id, said, epoch))
            if run_id in alive and epoch >= told[run_id][1]:
                told[run_id] = (phase_of(STATES[said], said), epoch)
                if told[run_id][0] in ENDED:
                    alive.discard(run_id)
    flow = only(board)
    expected = Counter(phase for run_id, (phase, _) in told.items() if run_id != "r1")
    assert Counter({phase: flow.counts[phase] for phase in Phase if flow.counts[phase]}) == expected
    assert len(board) == len(alive)
    for one in [flow, *flow.subflows]:
        for group in one.groups:
            assert min(group.counts) >= 0
            assert group.done + sum(group.counts[phase] for phase in Phase if phase not in ENDED) == group.total
