"""Reading the log lines of runs: which belong to one, in what order, and what is new."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from entrepot.errors import EntrepotError, RunNotFoundError
from entrepot.protocols.recorder import LogLine, RunEvent
from entrepot.runs import LocalRecorder, RunHistory, RunLogs

from .conftest import Teller

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def line(run_id: str, message: str, level: int = 20, flow_run_id: str | None = None) -> LogLine:
    return LogLine(run_id, WHEN, level, "entrepot.flow_runs", message, flow_run_id)


@pytest.fixture
def tell(recorder: LocalRecorder) -> Callable[..., None]:
    def call(*events: RunEvent) -> None:
        for event in events:
            recorder.record(event)
        assert recorder.flush()

    return call


@pytest.fixture
def history(database: Path) -> RunHistory:
    return RunHistory(database)


def tree(teller: Teller) -> list[RunEvent]:
    """Return a flow with a task, in that a subflow, in that a task; and a stranger."""
    return [
        teller.created("flow"),
        teller.created("task", kind="task", caller="flow"),
        teller.created("sub", caller="task", flow_run_id="flow"),
        teller.created("deep", kind="task", caller="sub"),
        teller.created("other"),
    ]


def messages(logs: RunLogs, **options: object) -> list[str]:
    return [each.message for each in logs.read(**options)]  # type: ignore[arg-type]


class TestWhatIsThere:
    def test_is_the_run_with_everything_inside_in_the_order_of_writing(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        lines = [line(name, f"{name} {n}") for n in range(2) for name in ("deep", "flow", "other", "sub", "task")]
        tell(*tree(teller), *lines)
        inside = [each.message for each in lines if each.run_id != "other"]
        assert messages(RunLogs(history, "flow")) == inside
        assert messages(RunLogs(history, "task")) == [m for m in inside if not m.startswith("flow")]
        assert messages(RunLogs(history, "sub")) == [m for m in inside if m[:3] in {"sub", "dee"}]
        assert messages(RunLogs(history, "flow", children=False)) == ["flow 0", "flow 1"]

    def test_says_all_that_is_known(self, teller: Teller, tell: Callable[..., None], history: RunHistory) -> None:
        tell(*tree(teller), line("deep", "x", 40, "sub"))
        (found,) = RunLogs(history, "flow").read()
        assert (found.run_id, found.run_name, found.run_kind, found.flow_run_id) == (
            "deep",
            "name-of-deep",
            "task",
            "sub",
        )
        assert (found.timestamp, found.level, found.logger, found.message) == (WHEN, 40, "entrepot.flow_runs", "x")

    def test_can_be_a_part(self, teller: Teller, tell: Callable[..., None], history: RunHistory) -> None:
        tell(*tree(teller), *[line("flow", str(n), 10 * (n % 5 + 1)) for n in range(1200)])
        logs = RunLogs(history, "flow")
        assert messages(logs) == [str(n) for n in range(1200)]
        assert messages(logs, limit=2) == ["0", "1"]
        assert messages(logs, limit=2, tail=True) == ["1198", "1199"]
        assert messages(logs, tail=True) == messages(logs)
        assert messages(RunLogs(history, "flow", level=50), limit=2) == ["4", "9"]
        assert messages(RunLogs(history, "flow", level=50), limit=2, tail=True) == ["1194", "1199"]

    def test_is_nothing_where_there_is_no_history(self, history: RunHistory) -> None:
        logs = RunLogs(history, "flow")
        assert messages(logs) == []
        assert logs.read_new() == ()
        with pytest.raises(RunNotFoundError, match="no run was recorded"):
            history.find("flow")

    def test_a_run_is_found_as_by_get(self, teller: Teller, tell: Callable[..., None], history: RunHistory) -> None:
        tell(*tree(teller))
        assert history.find("name-of-deep").run_id == history.get("deep").run_id == "deep"
        with pytest.raises(RunNotFoundError, match="near: name-of-deep"):
            history.find("name-of-dep")

    def test_a_run_that_called_itself_ends_all_the_same(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        tell(
            teller.created("one", caller="two"), teller.created("two", caller="one"), line("one", "1"), line("two", "2")
        )
        assert messages(RunLogs(history, "one")) == ["1", "2"]
        logs = RunLogs(history, "elsewhere")
        assert [each.message for each in logs.read_new()] == []

    def test_a_damaged_file_is_said_to_be_one(self, database: Path, history: RunHistory) -> None:
        database.parent.mkdir(parents=True)
        database.write_bytes(b"no database" * 1000)
        with pytest.raises(EntrepotError, match="cannot be read"):
            list(RunLogs(history, "flow").read())


class TestWhatIsNew:
    def test_is_given_once(self, teller: Teller, tell: Callable[..., None], history: RunHistory) -> None:
        logs = RunLogs(history, "flow", level=20)
        tell(*tree(teller), line("flow", "old"))
        assert messages(logs) == ["old"]
        assert logs.read_new() == ()
        tell(line("other", "strange"), line("deep", "new"), line("task", "too low", 10), line("sub", "newer"))
        assert [each.message for each in logs.read_new()] == ["new", "newer"]
        assert logs.read_new() == ()
        tell(teller.created("late", kind="task", caller="deep"), line("late", "of a new run"))
        assert [each.message for each in logs.read_new()] == ["of a new run"]

    def test_without_children_is_of_the_run_alone(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        logs = RunLogs(history, "flow", children=False)
        tell(*tree(teller), line("deep", "not mine"), line("flow", "mine"))
        assert [each.message for each in logs.read_new()] == ["mine"]

    def test_waits_for_the_description_of_a_run_and_keeps_the_order(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        logs = RunLogs(history, "flow")
        tell(teller.created("flow"), line("flow", "1"), line("unborn", "2"), line("flow", "3"))
        assert [each.message for each in logs.read_new()] == ["1"]
        assert logs.read_new() == ()
        tell(teller.created("unborn", caller="flow"))
        assert [each.message for each in logs.read_new()] == ["2", "3"]

    def test_does_not_wait_for_one_that_never_comes(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        logs = RunLogs(history, "flow")
        tell(teller.created("flow"), line("never", "x"), line("never", "y"), line("flow", "mine"), line("never", "z"))
        seen: list[str] = []
        for _ in range(15):
            seen += [each.message for each in logs.read_new()]
        assert seen == ["mine"]

    def test_a_line_of_a_task_needs_no_description_where_its_flow_is_known(
        self, teller: Teller, tell: Callable[..., None], history: RunHistory
    ) -> None:
        logs = RunLogs(history, "flow")
        tell(teller.created("flow"), line("unborn", "early", flow_run_id="flow"))
        assert [(each.message, each.run_name) for each in logs.read_new()] == [("early", "")]
