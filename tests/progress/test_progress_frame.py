"""What the display says: it fits, failures come first, and nothing that a run says can steer a terminal."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from entrepot._secrets import remember_secret
from entrepot.progress.frame import frame, summary
from entrepot.progress.model import Board, FlowView
from entrepot.protocols.recorder import RunEvent

from .conftest import START, STATES, Teller


def shown(*events: RunEvent, width: int = 120, height: int = 40, seconds: float = 60, plain: bool = False) -> list[str]:
    board = Board()
    for event in events:
        board.apply(event)
    now = START + timedelta(seconds=seconds)
    return [line.plain for line in frame(list(board.flows()), width=width, height=height, now=now, plain=plain)]


def ended(*events: RunEvent) -> Sequence[FlowView]:
    board = Board()
    for event in events:
        board.apply(event)
    return board.take_ended()


def mapped(teller: Teller, name: str, states: Sequence[str], inside: str = "f", message: str = "") -> list[RunEvent]:
    ids = [f"{name}-{number}" for number in range(1, len(states) + 1)]
    return [
        *[teller.task(run_id, name, inside=inside, name=run_id) for run_id in ids],
        *[teller.enters(run_id, state, message=message) for run_id, state in zip(ids, states, strict=True) if state],
    ]


class TestWhatIsShown:
    def test_a_flow_is_a_line_with_its_time_and_sums(self, teller: Teller) -> None:
        events = [teller.flow("f", name="brave-otter"), teller.enters("f", "Running")]
        (line,) = shown(*events, seconds=65)
        assert line[1:] == " etl · brave-otter  1 min 5 s"
        lines = shown(*events, *mapped(teller, "load", ["Completed", "Cached", "Running", ""]), seconds=65)
        assert lines[0][1:] == (
            " etl · brave-otter  1 min 5 s  2/4 task runs  1 running · 1 waiting · 1 cached · 1 completed"
        )

    def test_a_mapped_group_is_one_bar(self, teller: Teller) -> None:
        states = ["Completed"] * 6 + ["Failed"] * 2 + ["Running"] + [""]
        lines = shown(teller.flow("f"), *mapped(teller, "load", states))
        bar = lines[-1]
        assert bar.split() == [
            *["load", "━" * 27 + "─" * 3, "8/10"],
            *["2", "failed", "·", "1", "running", "·", "1", "waiting", "·", "6", "completed"],
        ]

    def test_states_have_colours(self, teller: Teller) -> None:
        board = Board()
        for event in [teller.flow("f"), *mapped(teller, "load", ["Completed", "Cached", "Failed", "Retrying", ""])]:
            board.apply(event)
        (line,) = [
            line
            for line in frame(list(board.flows()), width=120, height=9, now=START)
            if line.plain.startswith("  load")
        ]
        styles = [(line.plain[start:end], str(style)) for start, end, style in line.spans]
        assert styles[:5] == [
            ("━" * 6, "green"),
            ("━" * 6, "blue"),
            ("━" * 6, "red"),
            ("━" * 6, "yellow"),
            ("─" * 6, "dim"),
        ]

    def test_a_single_run_is_a_line_while_it_runs(self, teller: Teller) -> None:
        story = [teller.flow("f"), teller.task("t", name="load-1"), teller.enters("t", "Running")]
        assert shown(*story, seconds=12)[-1].split()[1:] == ["load-1", "10.0", "s"]
        retry = teller.enters("t", "AwaitingRetry")
        assert shown(*story, retry)[-1].split()[1:3] == ["load-1", "retrying"]
        assert len(shown(*story, retry, teller.enters("t", "Completed"))) == 1
        assert len(shown(teller.flow("f"), teller.task("t"))) == 1  # what waits is counted above

    def test_runs_one_by_one_are_a_count_and_no_bar(self, teller: Teller) -> None:
        events: list[RunEvent] = [teller.flow("f")]
        for number in range(3):
            events += mapped(teller, "load", ["Completed" if number < 2 else "Running"])
        line = shown(*events)[-1]
        assert re.fullmatch(r"  load +2 done  1 running · 2 completed|  load +2 done  1 running  . load-1 .*", line)
        assert "━" not in line

    def test_subflows_are_indented(self, teller: Teller) -> None:
        lines = shown(
            teller.flow("f"),
            teller.flow("s", "inner", inside="f", name="calm-fox"),
            teller.flow("d", "deep", inside="s", name="old-crow"),
            *mapped(teller, "load", ["Running"] * 2, inside="d"),
        )
        assert [line[: len(line) - len(line.lstrip())] for line in lines] == ["", "  ", "    ", "      "]
        assert "inner · calm-fox" in lines[1]

    def test_flows_at_once_are_all_shown(self, teller: Teller) -> None:
        lines = shown(teller.flow("f", "one"), teller.flow("g", "two"))
        assert [line.split()[1] for line in lines] == ["one", "two"]


class TestFailures:
    def test_they_come_first(self, teller: Teller) -> None:
        message = "Task run encountered an exception: ValueError: no 'x'"
        lines = shown(teller.flow("f"), *mapped(teller, "load", ["Running", "Failed", "Completed"], message=message))
        assert lines[0] == "✗ load-2  ValueError: no 'x'"
        assert "etl" in lines[1]

    def test_at_most_five_are_shown(self, teller: Teller) -> None:
        events: list[RunEvent] = [teller.flow("f")]
        for name in "abc":
            events += mapped(teller, name, ["Failed"] * 10)
        lines = shown(*events)
        assert [line.split()[1] for line in lines[:5]] == ["a-1", "a-2", "a-3", "b-1", "b-2"]
        assert lines[5] == "  ... and 25 more failed"

    def test_other_kinds_are_named(self, teller: Teller) -> None:
        lines = shown(teller.flow("f"), *mapped(teller, "load", ["TimedOut"], message="took more than 3 s"))
        assert lines[0] == "✗ load-1 TimedOut  took more than 3 s"


class TestWhatDoesNotFit:
    def test_what_matters_least_is_cut_and_counted(self, teller: Teller) -> None:
        events: list[RunEvent] = [teller.flow("f")]
        for number in range(20):
            events += mapped(teller, f"old{number}", ["Completed"] * 2)
        events += mapped(teller, "busy", ["Running", "Running"])
        events += mapped(teller, "bad", ["Failed", "Completed"])
        lines = shown(*events, height=6)
        assert [line.split()[1] for line in lines[:2]] == ["bad-1", "etl"]
        assert [line.split()[0] for line in lines[2:5]] == ["old0", "busy", "bad"]
        assert lines[5] == "  ... and 19 more"

    def test_a_long_name_is_cut(self, teller: Teller) -> None:
        lines = shown(teller.flow("f", "x" * 500), *mapped(teller, "y" * 500, ["Failed", ""], message="z" * 5000))
        assert all(len(line) < 300 for line in lines)


class TestLetters:
    def test_a_terminal_without_unicode_gets_ascii(self, teller: Teller) -> None:
        lines = shown(teller.flow("f"), *mapped(teller, "load", ["Failed", "Running", ""]), plain=True)
        assert all(line.isascii() for line in lines)
        assert "###" in lines[-1]

    def test_nothing_that_a_run_says_steers_the_terminal(self, teller: Teller) -> None:
        nasty = "\x1b[2J\x07\r\nb\u202e[red]"
        lines = shown(
            teller.flow("f", nasty, name=nasty),
            teller.task("t", nasty, name=nasty),
            teller.task("u", nasty, name=nasty),
            teller.enters("t", "Failed", message=nasty),
        )
        assert all(line.isprintable() for line in lines)
        assert "[red]" in lines[0]

    def test_secrets_are_masked(self, teller: Teller) -> None:
        remember_secret("hunter2-hunter2")
        lines = shown(
            teller.flow("f", name="with-hunter2-hunter2"),
            *mapped(teller, "hunter2-hunter2", ["Failed", "Running"], message="x" * 195 + "hunter2-hunter2"),
        )
        assert len(lines) == 3
        assert not any("hunter2" in line for line in lines)


class TestSummary:
    @pytest.mark.parametrize(("state", "mark"), [("Completed", "✓"), ("Failed", "✗"), ("Crashed", "✗")])
    def test_it_says_how_the_flow_ended(self, state: str, mark: str, teller: Teller) -> None:
        (flow,) = ended(
            teller.flow("f", name="brave-otter"),
            *mapped(teller, "load", ["Completed", "Failed"], message="ValueError: no"),
            *mapped(teller, "once", ["Completed"]),
            teller.enters("f", state),
        )
        lines = [line.plain for line in summary(flow, width=120)]
        assert lines[0] == "✗ load-2  ValueError: no"
        assert lines[1] == f"{mark} etl · brave-otter  {state}  7.0 s  3 task runs  1 failed · 2 completed"
        assert lines[2].split()[0] == "load"
        assert len(lines) == 3

    def test_many_groups_are_cut(self, teller: Teller) -> None:
        events: list[RunEvent] = [teller.flow("f")]
        for number in range(30):
            events += mapped(teller, f"g{number}", ["Completed"] * 2)
        (flow,) = ended(*events, teller.enters("f", "Completed"))
        lines = [line.plain for line in summary(flow, width=120)]
        assert len(lines) == 14
        assert lines[-1] == "  ... and 18 more"


@given(
    story=st.lists(
        st.tuples(st.sampled_from("fgh"), st.text(max_size=8), st.sampled_from(sorted(STATES)), st.text(max_size=20)),
        max_size=30,
    ),
    width=st.integers(1, 200),
    height=st.integers(1, 30),
    plain=st.booleans(),
)
def test_any_picture_fits_and_is_printable(
    story: list[tuple[str, str, str, str]],
    width: int,
    height: int,
    plain: bool,  # noqa: FBT001  hypothesis gives it by name
) -> None:
    teller = Teller()
    board = Board()
    for top in "fgh":
        board.apply(teller.flow(top))
    for number, (inside, name, state, message) in enumerate(story):
        board.apply(teller.task(f"t{number}", name, inside=inside, name=name))
        board.apply(teller.enters(f"t{number}", state, message=message))
    lines: list[Text] = frame(list(board.flows()), width=width, height=height, now=START, plain=plain)
    assert len(lines) <= height
    assert all(line.plain.isprintable() for line in lines)
