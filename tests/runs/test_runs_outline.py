"""Outlines: many runs of one task are one branch with counts, and what is shown is what there is."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import RunNotFoundError
from entrepot.protocols.recorder import LogLine, RunEvent
from entrepot.runs import LocalRecorder, RunHistory
from entrepot.runs.outline import Outline, RunGroup, RunNode, read_outline

from .conftest import Teller


def outline_of(database: Path, events: Iterable[RunEvent], wanted: str = "f", **options: object) -> Outline:
    recorder = LocalRecorder(database)
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()
    return read_outline(RunHistory(database), wanted, **options)  # type: ignore[arg-type]


def mapped(teller: Teller, name: str, *ends: str, caller: str = "f") -> list[RunEvent]:
    return [
        event
        for number, end in enumerate(ends)
        for event in teller.whole(
            f"{name}-{number}", *(["RUNNING", end] if end else ["RUNNING"]), kind="task", caller=caller, definition=name
        )
    ]


def shape(node: RunNode) -> object:
    return [
        f"{branch.definition} x {branch.total}" if isinstance(branch, RunGroup) else {branch.run_id: shape(branch)}
        for branch in node.branches
    ]


def test_few_runs_are_shown_one_by_one_and_many_are_one_branch(database: Path, teller: Teller) -> None:
    events = [
        *teller.whole("f", "RUNNING"),
        *mapped(teller, "first", "COMPLETED"),
        *mapped(teller, "many", *["COMPLETED"] * 4),
        *mapped(teller, "few", *["COMPLETED"] * 3),
    ]
    outline = outline_of(database, events, fold=3)
    assert shape(outline.top) == [{"first-0": []}, "many x 4", {"few-0": []}, {"few-1": []}, {"few-2": []}]
    history = RunHistory(database)
    assert shape(read_outline(history, "f").top) == shape(read_outline(history, "f", fold=None).top)
    assert len(read_outline(history, "f").top.branches) == 8


def test_a_group_says_how_its_runs_went_and_shows_some_that_failed(database: Path, teller: Teller) -> None:
    ends = ["COMPLETED"] * 20 + ["FAILED"] * 14 + ["CRASHED"] + ["CANCELLED"]
    (group,) = outline_of(database, [*teller.whole("f", "RUNNING"), *mapped(teller, "load", *ends)]).top.branches
    assert isinstance(group, RunGroup)
    assert list(group.counts.items()) == [
        (("COMPLETED", "Completed"), 20),
        (("CANCELLED", "Cancelled"), 1),
        (("FAILED", "Failed"), 14),
        (("CRASHED", "Crashed"), 1),
    ]
    assert [node.run_id for node in group.failures] == [f"load-{number}" for number in range(20, 30)]
    assert group.more_failures == 5
    assert group.duration == timedelta(seconds=36 * 3 - 2)


def test_a_group_that_goes_on_has_no_duration(database: Path, teller: Teller) -> None:
    events = [*teller.whole("f", "RUNNING"), *mapped(teller, "load", "COMPLETED", "")]
    (group,) = outline_of(database, events, fold=1).top.branches
    assert isinstance(group, RunGroup)
    assert group.counts == {("COMPLETED", "Completed"): 1, ("RUNNING", "Running"): 1}
    assert group.started is not None
    assert group.duration is None


def test_what_ran_inside_a_failed_run_of_a_group_is_shown(database: Path, teller: Teller) -> None:
    subflows = [event for n in range(3) for event in teller.whole(f"s{n}", "RUNNING", "FAILED", caller="f")]
    inner = mapped(teller, "load", "FAILED", caller="s1")
    (group,) = outline_of(database, [*teller.whole("f", "RUNNING"), *subflows, *inner], fold=2).top.branches
    assert isinstance(group, RunGroup)
    assert [{node.run_id: shape(node)} for node in group.failures] == [{"s0": []}, {"s1": [{"load-0": []}]}, {"s2": []}]


def test_what_is_too_deep_is_counted(database: Path, teller: Teller) -> None:
    events = [
        *teller.whole("f", "RUNNING"),
        *teller.whole("s", caller="f"),
        *mapped(teller, "load", *["COMPLETED"] * 3, caller="s"),
    ]
    outline = outline_of(database, events, depth=1)
    (node,) = outline.top.branches
    assert isinstance(node, RunNode)
    assert (node.branches, node.inside) == ((), 3)
    assert outline.top.inside == 0
    outline = read_outline(RunHistory(database), "f", depth=0)
    assert (outline.top.branches, outline.top.inside) == ((), 1)


def test_whose_results_a_run_took_is_named(database: Path, teller: Teller) -> None:
    sources = [teller.created(f"t{number}", kind="task", caller="f", name=f"extract-{number}") for number in range(5)]
    sink = teller.created("sink", kind="task", caller="f", upstream=[f"t{n}" for n in range(5)] + ["unknown"])
    outline = outline_of(database, [teller.created("f"), *sources, sink])
    node = outline.top.branches[-1]
    assert isinstance(node, RunNode)
    assert node.more_sources == 3
    assert len(node.sources) == 3
    assert set(node.sources) <= {f"extract-{number}" for number in range(5)} | {"unknown"}


def test_the_past_of_the_run_and_its_log_are_known(database: Path, teller: Teller) -> None:
    events = [
        *teller.whole("f"),
        *mapped(teller, "load", "COMPLETED"),
        LogLine("load-0", teller.now(), 20, "x", "hello", "f"),
        LogLine("f", teller.now(), 20, "x", "hello", "f"),
        LogLine("elsewhere", teller.now(), 20, "x", "hello", "g"),
    ]
    outline = outline_of(database, events)
    assert outline.log_lines == 2
    assert [one.state_type for one in outline.past] == ["RUNNING", "COMPLETED"]


def test_a_run_of_which_only_states_were_told_has_a_place(database: Path, teller: Teller) -> None:
    outline = outline_of(database, [teller.entered("f", "RUNNING")])
    assert (outline.top.name, outline.top.branches) == ("", ())


def test_a_run_that_is_said_to_have_called_itself_is_no_endless_outline(database: Path, teller: Teller) -> None:
    outline = outline_of(database, [teller.created("a", caller="b"), teller.created("b", caller="a")], "a")
    assert shape(outline.top) == [{"b": []}]


def test_a_run_that_is_not_there_is_not_found(database: Path) -> None:
    with pytest.raises(RunNotFoundError):
        read_outline(RunHistory(database), "x")


trees = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from(["COMPLETED", "FAILED", "RUNNING"])),
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=trees, fold=st.one_of(st.none(), st.integers(0, 4)))
def test_however_runs_call_one_another_each_is_shown_or_counted_once(
    runs: list[tuple[int, str, str]], fold: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    teller = Teller()
    events = teller.whole("r0", "RUNNING")
    parents: dict[str, str] = {}
    for number, (caller, definition, end) in enumerate(runs, 1):
        above = f"r{caller % number}"
        parents[f"r{number}"] = above
        events += teller.whole(
            f"r{number}", *dict.fromkeys(["RUNNING", end]), kind="task", caller=above, definition=definition
        )
    outline = outline_of(tmp_path_factory.mktemp("outline") / "runs.db", events, "r0", fold=fold)
    stack = [outline.top]
    seen: list[str] = []
    while stack:
        node = stack.pop()
        seen.append(node.run_id)
        here = 0
        for branch in node.branches:
            if isinstance(branch, RunGroup):
                here += branch.total
                assert fold is not None
                assert branch.total > fold
                failed = branch.counts.get(("FAILED", "Failed"), 0)
                assert len(branch.failures) + branch.more_failures == failed
                stack.extend(branch.failures)
            else:
                here += 1
                stack.append(branch)
        assert here == sum(above == node.run_id for above in parents.values())
    assert len(seen) == len(set(seen))
    if fold is None:
        assert set(seen) == {"r0", *parents}
