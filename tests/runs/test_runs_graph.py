"""Graphs of runs: who called whom, what was waited for, whose results were taken; large ones are small."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import RunNotFoundError
from entrepot.protocols.recorder import RunEvent
from entrepot.runs import LocalRecorder, RunHistory
from entrepot.runs.graph import RunGraph, read_graph

from .conftest import Teller


def record(database: Path, events: Iterable[RunEvent]) -> RunHistory:
    recorder = LocalRecorder(database)
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()
    return RunHistory(database)


def graph_of(database: Path, events: Iterable[RunEvent], wanted: str = "f", **options: object) -> RunGraph:
    return read_graph(record(database, events), wanted, **options)  # type: ignore[arg-type]


def task(teller: Teller, run_id: str, *states: str, caller: str = "f", **facts: object) -> list[RunEvent]:
    return teller.whole(run_id, *states, kind="task", caller=caller, **facts)


def test_nodes_stand_below_their_callers_in_the_order_of_time(database: Path, teller: Teller) -> None:
    events = [
        *teller.whole("f", "RUNNING"),
        *task(teller, "a1", definition="a"),
        *teller.whole("sub", caller="f", definition="inner"),
        *task(teller, "deep", caller="sub"),
        *task(teller, "a2", definition="a"),
    ]
    graph = graph_of(database, events)
    assert [(node.id, node.parent, node.depth) for node in graph.nodes] == [
        ("f", None, 0),
        ("a1", "f", 1),
        ("sub", "f", 1),
        ("deep", "sub", 2),
        ("a2", "f", 1),
    ]
    assert graph.run.run_id == "f"


class TestSpans:
    def test_waiting_running_and_retrying_are_told_apart(self, database: Path, teller: Teller) -> None:
        story = [
            teller.created("f"),
            teller.entered("f", "RUNNING"),
            teller.entered("f", "SCHEDULED", state_name="AwaitingRetry"),
            teller.entered("f", "RUNNING", 2, state_name="Retrying"),
            teller.entered("f", "PAUSED", 2),
            teller.entered("f", "RUNNING", 2),
            teller.entered("f", "COMPLETED", 2),
        ]
        (node,) = graph_of(database, story).nodes
        assert [(one.kind, one.attempt, one.outcome) for one in node.spans] == [
            ("waiting", 1, "RUNNING"),
            ("running", 1, "SCHEDULED"),
            ("retrying", 1, "RUNNING"),
            ("running", 2, "PAUSED"),
            ("paused", 2, "RUNNING"),
            ("running", 2, "COMPLETED"),
        ]
        for one, other in zip(node.spans, node.spans[1:], strict=False):
            assert one.end == other.start
        assert node.attempts == 2

    def test_what_goes_on_goes_on_until_now(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), *task(teller, "t", "RUNNING")]
        now = teller.now() + timedelta(hours=1)
        graph = graph_of(database, events, now=now)
        assert graph.until == now
        assert [node.spans[-1].end for node in graph.nodes] == [now, now]
        assert [node.spans[-1].outcome for node in graph.nodes] == [None, None]
        assert [node.ended for node in graph.nodes] == [None, None]

    def test_what_is_known_to_be_gone_ends_with_the_last_word_of_any(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), *task(teller, "t", "RUNNING", "SCHEDULED")]
        graph = graph_of(database, events, now=None)
        last = events[-1].timestamp  # type: ignore[union-attr]
        assert graph.until == last
        assert graph.nodes[0].spans[-1].end == last

    def test_what_a_flow_left_behind_does_not_go_on_after_it(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), *task(teller, "t", "RUNNING"), teller.entered("f", "CRASHED")]
        graph = graph_of(database, events, now=teller.now() + timedelta(hours=1))
        assert graph.until == events[-1].timestamp  # type: ignore[union-attr]

    def test_a_run_that_was_not_ready_waited_and_no_more(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), teller.created("t", kind="task", caller="f")]
        not_ready = teller.entered("t", "PENDING", state_name="NotReady")
        events.append(not_ready)
        node = graph_of(database, events, now=teller.now()).nodes[1]
        assert [(one.kind, one.end) for one in node.spans] == [("waiting", not_ready.timestamp)]
        assert node.state_name == "NotReady"


class TestGroups:
    def test_many_runs_of_one_task_are_one_node(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), *task(teller, "first", definition="first")]
        for number in range(20):
            events += task(teller, f"m{number}", "RUNNING", "FAILED" if number in (3, 5) else "COMPLETED")
        node = graph_of(database, events, fold=10).nodes[-1]
        assert node.is_group
        assert (node.name, node.runs, node.depth) == ("etl", 20, 1)
        assert node.counts == {("COMPLETED", "Completed"): 18, ("FAILED", "Failed"): 2}
        assert (node.state_type, node.state_name) == ("FAILED", "Failed")
        assert len(node.failures) == 2
        assert node.duration == timedelta(seconds=20 * 3 - 2)
        assert max(node.activity) == 1
        assert len(graph_of(database, [], fold=20).nodes) == 22

    def test_how_many_were_under_way_is_known(self, database: Path, teller: Teller) -> None:
        runs = [f"m{number}" for number in range(5)]
        events = [
            *teller.whole("f", "RUNNING"),
            *[teller.created(run, kind="task", caller="f") for run in runs],
            *[teller.entered(run, "RUNNING") for run in runs],
            *[teller.entered(run, "COMPLETED") for run in runs],
        ]
        activity = graph_of(database, events, fold=1).nodes[-1].activity
        assert activity[0] == 1
        assert max(activity) == 5
        assert activity[-1] == 1
        assert list(activity) == sorted(activity[:50]) + sorted(activity[50:], reverse=True)

    def test_what_ran_inside_many_runs_is_together_too(self, database: Path, teller: Teller) -> None:
        events = teller.whole("f", "RUNNING")
        for number in range(4):
            events += teller.whole(f"s{number}", caller="f", definition="inner")
            events += task(teller, f"t{number}", caller=f"s{number}", definition="load")
        graph = graph_of(database, events, fold=3)
        assert [(node.name, node.runs, node.parent) for node in graph.nodes[1:]] == [
            ("inner", 4, "f"),
            ("load", 4, "group-1"),
        ]


class TestEdges:
    def test_who_took_whose_results(self, database: Path, teller: Teller) -> None:
        events = [
            *teller.whole("f", "RUNNING"),
            *task(teller, "a"),
            *task(teller, "b", upstream=["a"]),
            *task(teller, "c", upstream=["a", "b", "elsewhere", "c"]),
        ]
        assert sorted(graph_of(database, events).edges) == [("a", "b", 1), ("a", "c", 1), ("b", "c", 1)]

    def test_arrows_of_groups_are_counted(self, database: Path, teller: Teller) -> None:
        events = [*teller.whole("f", "RUNNING"), *task(teller, "a", definition="a")]
        for number in range(5):
            events += task(
                teller, f"m{number}", definition="m", upstream=["a", *([f"m{number - 1}"] if number else [])]
            )
        events += task(teller, "z", definition="z", upstream=[f"m{number}" for number in range(5)])
        assert sorted(graph_of(database, events, fold=2).edges) == [("a", "group-1", 5), ("group-1", "z", 5)]


def test_a_run_of_which_only_states_were_told_is_a_node(database: Path, teller: Teller) -> None:
    (node,) = graph_of(database, [teller.entered("f", "RUNNING")]).nodes
    assert (node.name, node.kind, node.created) == ("", "task", None)


def test_damaged_data_makes_no_endless_graph(database: Path, teller: Teller) -> None:
    events = [
        teller.created("a", caller="b", upstream=["b"]),
        teller.created("b", caller="a", upstream=["a"]),
    ]
    graph = graph_of(database, events, "a")
    assert [node.id for node in graph.nodes] == ["a", "b"]
    assert sorted(graph.edges) == [("a", "b", 1), ("b", "a", 1)]


def test_a_run_that_is_not_there_is_not_found(database: Path) -> None:
    with pytest.raises(RunNotFoundError):
        read_graph(RunHistory(database), "x")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.integers(0, 30)), max_size=40),
    fold=st.integers(1, 5),
)
def test_each_run_is_in_one_node_and_no_arrow_hangs_in_the_air(
    runs: list[tuple[int, str, int]], fold: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    teller = Teller()
    events = teller.whole("r0", "RUNNING")
    for number, (caller, definition, upstream) in enumerate(runs, 1):
        events += task(
            teller,
            f"r{number}",
            caller=f"r{caller % number}",
            definition=definition,
            upstream=[f"r{upstream % number}"],
        )
    graph = graph_of(tmp_path_factory.mktemp("graph") / "runs.db", events, "r0", fold=fold)
    ids = [node.id for node in graph.nodes]
    assert len(ids) == len(set(ids))
    assert sum(node.runs for node in graph.nodes) == len(runs) + 1
    for node in graph.nodes[1:]:
        assert node.parent in ids[: ids.index(node.id)]
        assert node.is_group == (node.runs > 1)
        assert all(one.start < one.end for one in node.spans)
    for edge in graph.edges:
        assert edge.source in ids
        assert edge.target in ids
        assert edge.source != edge.target
    moments: list[datetime] = [one.end for node in graph.nodes for one in node.spans]
    assert all(moment <= graph.until for moment in moments)
