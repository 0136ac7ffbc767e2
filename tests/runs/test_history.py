"""Reading the history: runs are found by id, beginning of id, or name; trees are whole; errors say what is near."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from entrepot.errors import EntrepotError, RunNotFoundError
from entrepot.protocols.recorder import RunEvent, RunTransition
from entrepot.runs import LocalRecorder, RunDetails, RunHistory
from entrepot.runs.decide import EDGES, TERMINAL

from .conftest import Teller


def record(database: Path, *events: RunEvent) -> RunHistory:
    recorder = LocalRecorder(database)
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()
    return RunHistory(database)


class TestList:
    def test_where_there_is_no_file_there_are_no_runs(self, database: Path) -> None:
        assert RunHistory(database).list() == []
        assert not database.parent.exists()

    def test_the_newest_flow_comes_first_and_tasks_are_left_out(self, database: Path, teller: Teller) -> None:
        history = record(
            database,
            *teller.whole("f1"),
            *teller.whole("t1", kind="task", caller="f1"),
            *teller.whole("f2", "RUNNING"),
        )
        assert [run.run_id for run in history.list()] == ["f2", "f1"]
        assert [run.run_id for run in history.list(kind="task")] == ["t1"]
        assert [run.run_id for run in history.list(kind=None)] == ["f2", "t1", "f1"]
        assert [run.run_id for run in history.list(limit=1)] == ["f2"]

    def test_runs_are_chosen_by_state_and_flow(self, database: Path, teller: Teller) -> None:
        history = record(
            database,
            *teller.whole("f1", "RUNNING", "FAILED"),
            *teller.whole("f2", definition="other"),
            teller.created("f3"),
            teller.entered("f3", "COMPLETED", state_name="Cached"),
        )
        assert [run.run_id for run in history.list(state="failed")] == ["f1"]
        assert [run.run_id for run in history.list(state="CACHED")] == ["f3"]
        assert [run.run_id for run in history.list(state="completed")] == ["f3", "f2"]
        assert [run.run_id for run in history.list(flow="other")] == ["f2"]
        assert history.list(flow="other", state="failed") == []

    def test_a_limit_of_none_is_all(self, database: Path, teller: Teller) -> None:
        history = record(database, *[teller.created(f"r{number}") for number in range(30)])
        assert len(history.list()) == 20
        assert len(history.list(limit=None)) == 30

    def test_the_facts_come_back_typed(self, database: Path, teller: Teller) -> None:
        created = teller.created("f1", parameters={"n": "1"}, tags=("a", "b"))
        running = teller.entered("f1", "RUNNING")
        completed = teller.entered("f1", "COMPLETED", message="all well")
        (run,) = record(database, created, running, completed).list()
        assert run.created == created.created
        assert (run.started, run.ended) == (running.timestamp, completed.timestamp)
        assert run.duration == timedelta(seconds=1)
        assert run.is_terminal
        assert (run.parameters, run.tags, run.process_id) == ({"n": "1"}, ("a", "b"), 4242)
        assert (run.epoch, run.state_type, run.state_name, run.message) == (1, "COMPLETED", "Completed", "all well")

    def test_a_run_that_goes_on_has_no_duration(self, database: Path, teller: Teller) -> None:
        (run,) = record(database, *teller.whole("f1", "RUNNING")).list()
        assert run.duration is None
        assert not run.is_terminal


class TestGet:
    def test_a_run_comes_with_its_past(self, database: Path, teller: Teller) -> None:
        story = [
            teller.created("f1"),
            teller.entered("f1", "RUNNING", cache_key="k", result_location="/x", message="m"),
            teller.entered("f1", "COMPLETED"),
        ]
        run = record(database, *story).get("f1")
        assert list(run.transitions) == story[1:]

    def test_what_ran_inside_is_a_tree_in_order(self, database: Path, teller: Teller) -> None:
        history = record(
            database,
            *teller.whole("f1", "RUNNING"),
            *teller.whole("t1", kind="task", caller="f1"),
            teller.created("sub", parent_run_id="t1", flow_run_id="f1"),
            *teller.whole("t2", kind="task", parent_run_id=None, flow_run_id="f1"),
            *teller.whole("t3", kind="task", caller="sub"),
            *teller.whole("elsewhere"),
        )

        def shape(run: RunDetails) -> object:
            return {run.run_id: [shape(child) for child in run.children]}

        assert shape(history.get("f1")) == {"f1": [{"t1": [{"sub": [{"t3": []}]}]}, {"t2": []}]}
        assert shape(history.get("sub")) == {"sub": [{"t3": []}]}
        assert [one.state_type for one in history.get("f1").children[0].transitions] == ["RUNNING", "COMPLETED"]

    def test_a_wide_tree_is_whole(self, database: Path, teller: Teller) -> None:
        tasks = [teller.created(f"t{number}", kind="task", caller="f1") for number in range(1200)]
        inner = [teller.created(f"i{number}", kind="task", caller=f"t{number}") for number in range(1200)]
        run = record(database, teller.created("f1"), *tasks, *inner).get("f1")
        assert [child.run_id for child in run.children] == [task.run_id for task in tasks]
        assert all(len(child.children) == 1 for child in run.children)

    def test_a_run_that_is_said_to_have_called_itself_is_no_endless_tree(self, database: Path, teller: Teller) -> None:
        history = record(database, teller.created("a", caller="b"), teller.created("b", caller="a"))
        assert [child.run_id for child in history.get("a").children] == ["b"]

    def test_the_beginning_of_a_flow_runs_id_is_not_mistaken_for_one_of_its_tasks(
        self, database: Path, teller: Teller
    ) -> None:
        history = record(
            database,
            *teller.whole("12345678-aaaa"),
            *teller.whole("1234ffff-bbbb", kind="task", caller="12345678-aaaa"),
        )
        assert history.get("1234").run_id == "12345678-aaaa"
        assert history.get("1234f").run_id == "1234ffff-bbbb"

    def test_a_unique_beginning_of_an_id_is_enough(self, database: Path, teller: Teller) -> None:
        history = record(database, teller.created("12345678-aaaa"), teller.created("12345999-bbbb"))
        assert history.get("123456").run_id == "12345678-aaaa"
        with pytest.raises(RunNotFoundError, match=r"several runs: 12345999-bbbb .*, 12345678-aaaa .*; say more"):
            history.get("12345")

    @pytest.mark.parametrize("wanted", ["1234%", "____", "123456_8", "", "%"])
    def test_wildcards_mean_themselves(self, database: Path, teller: Teller, wanted: str) -> None:
        history = record(database, teller.created("12345678-aaaa"))
        with pytest.raises(RunNotFoundError):
            history.get(wanted)

    def test_a_name_finds_its_run_unless_there_are_two(self, database: Path, teller: Teller) -> None:
        history = record(
            database,
            teller.created("1111-a", name="brave-otter"),
            teller.created("2222-b", name="calm-fox"),
            teller.created("3333-c", name="calm-fox"),
        )
        assert history.get("brave-otter").run_id == "1111-a"
        with pytest.raises(RunNotFoundError, match=r"name of several runs: 3333-c .*, 2222-b"):
            history.get("calm-fox")

    def test_a_slip_gets_the_near_names(self, database: Path, teller: Teller) -> None:
        history = record(database, teller.created("1111-a", name="brave-otter"))
        with pytest.raises(RunNotFoundError, match="no run 'brave-oter'; near: brave-otter") as caught:
            history.get("brave-oter")
        assert caught.value.run_id == "brave-oter"

    def test_without_a_history_the_error_says_so(self, database: Path) -> None:
        with pytest.raises(RunNotFoundError, match="no run was recorded"):
            RunHistory(database).get("x")

    def test_what_is_no_text_is_not_found(self, database: Path, teller: Teller) -> None:
        history = record(database, teller.created("f1"))
        with pytest.raises(RunNotFoundError):
            history.get("\udcff\udcfe\udcfd\udcfc")


@pytest.mark.parametrize("content", [b"this is no database at all, " * 200, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_one_clear_error(database: Path, content: bytes) -> None:
    database.parent.mkdir()
    database.write_bytes(content)
    for read in (lambda: RunHistory(database).list(), lambda: RunHistory(database).get("x")):
        with pytest.raises(EntrepotError, match=r"runs\.db cannot be read: .*move it away"):
            read()


def test_a_file_of_a_newer_version_is_one_clear_error(database: Path, teller: Teller) -> None:
    record(database, teller.created("f1"))
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(EntrepotError, match="version 99"):
        RunHistory(database).list()


def test_reading_goes_on_while_a_recorder_writes(database: Path, teller: Teller) -> None:
    recorder = LocalRecorder(database)
    history = RunHistory(database)
    for number in range(50):
        for event in teller.whole(f"r{number}"):
            recorder.record(event)
        assert recorder.flush()
        assert len(history.list(limit=None)) == number + 1
        assert history.get(f"r{number}").is_terminal
    recorder.close()


intents = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from(sorted(EDGES)), st.integers(0, 12)),
    max_size=25,
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=intents, cuts=st.sets(st.integers(0, 25)))
def test_however_a_story_is_cut_into_batches_the_history_is_the_same(
    story: list[tuple[str, int, str, int]], cuts: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    teller = Teller()
    events = [
        teller.entered(run_id, state, epoch, transition_id=f"{run_id}-{said}") for run_id, epoch, state, said in story
    ]
    folder = tmp_path_factory.mktemp("story")
    found = []
    for name, flushes in (("whole", set()), ("cut", cuts)):
        recorder = LocalRecorder(folder / f"{name}.db")
        for number, event in enumerate(events):
            recorder.record(event)
            if number in flushes:
                assert recorder.flush()
        recorder.close()
        history = RunHistory(folder / f"{name}.db")
        found.append({run_id: history.get(run_id) for run_id in {event.run_id for event in events}})
    assert found[0] == found[1]
    for run in found[0].values():
        past: list[RunTransition] = list(run.transitions)
        assert [one.epoch for one in past] == sorted(one.epoch for one in past)
        assert len({one.transition_id for one in past}) == len(past)
        assert not any(one.state_type in TERMINAL for one in past[:-1])
        assert (run.epoch, run.state_type) == (past[-1].epoch, past[-1].state_type)
