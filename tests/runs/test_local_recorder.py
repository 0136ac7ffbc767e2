"""The local recorder: what was recorded is written, once, in order, and safe when `flush` says so."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot.runs import LocalRecorder, RunHistory, default_recorder
from entrepot.runs import local as locals_
from entrepot.runs.batch import LONGEST_TEXT
from entrepot.runs.default import NULL_RECORDER

from .conftest import Teller

OpenRecorder = Callable[..., LocalRecorder]


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class TestRecording:
    def test_what_was_flushed_is_there_for_others(
        self, recorder: LocalRecorder, database: Path, teller: Teller
    ) -> None:
        for event in teller.whole("r1", tags=["a"], parameters={"n": "1"}):
            recorder.record(event)
        assert recorder.flush() is True
        assert rows(
            database, "SELECT run_id, kind, name, definition, tags, parameters, epoch, state_name FROM runs"
        ) == [("r1", "flow", "name-of-r1", "etl", '["a"]', '{"n": "1"}', 1, "Completed")]
        assert rows(database, "SELECT run_id, state_type, timestamp FROM transitions ORDER BY number") == [
            ("r1", "RUNNING", "2026-01-02T03:04:06.000000+00:00"),
            ("r1", "COMPLETED", "2026-01-02T03:04:07.000000+00:00"),
        ]

    def test_nothing_is_made_before_the_first_event(self, recorder: LocalRecorder, database: Path) -> None:
        assert recorder.flush() is True
        recorder.close()
        assert not database.parent.exists()

    def test_without_a_flush_it_is_written_soon(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        recorder.record(teller.created("r1"))
        wait_until(lambda: recorder._dirty)
        assert rows(database, "SELECT run_id FROM runs") == [("r1",)]

    def test_a_flush_does_not_wait_for_the_window(
        self, recorder: LocalRecorder, teller: Teller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locals_, "_WINDOW", 3600.0)
        recorder.record(teller.created("r1"))
        wait_until(lambda: recorder._batch)
        recorder.record(teller.created("r2"))
        assert recorder.flush() is True

    def test_many_events_are_few_commits(
        self, recorder: LocalRecorder, database: Path, teller: Teller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locals_, "_WINDOW", 3600.0)  # as if they all came within it, however slow this machine is
        commits = []
        real = LocalRecorder._commit
        monkeypatch.setattr(
            LocalRecorder, "_commit", lambda self, events, **kw: (commits.append(len(events)), real(self, events, **kw))
        )
        for number in range(6000):
            recorder.record(teller.created(f"r{number}"))
        assert recorder.flush()
        assert sum(commits) == 6000
        assert max(commits) <= 4000
        assert len(commits) <= 10
        assert rows(database, "SELECT count(*) FROM runs") == [(6000,)]

    def test_a_program_that_is_faster_than_the_writer_waits_for_it_and_loses_nothing(
        self,
        open_recorder: Callable[..., LocalRecorder],
        database: Path,
        teller: Teller,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        recorder = open_recorder(limit=100, patience=120)
        for number in range(5000):
            recorder.record(teller.created(f"r{number}"))
            assert recorder.unwritten <= 100 + 4000  # the batch that is being written is one more
        assert recorder.flush()
        assert rows(database, "SELECT count(*) FROM runs") == [(5000,)]
        assert "dropped" not in caplog.text

    def test_events_of_many_threads_are_all_kept(self, recorder: LocalRecorder, database: Path) -> None:
        def work(name: str) -> None:
            teller = Teller()
            for number in range(200):
                run_id = f"{name}-{number}"
                recorder.record(teller.created(run_id))
                recorder.record(teller.entered(run_id, "RUNNING", transition_id=run_id + "r"))
                recorder.record(teller.entered(run_id, "COMPLETED", transition_id=run_id + "c"))
            recorder.flush()

        threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert recorder.flush()
        assert rows(database, "SELECT count(*) FROM runs WHERE state_type = 'COMPLETED'") == [(1000,)]
        assert rows(database, "SELECT count(*) FROM transitions") == [(2000,)]

    def test_after_close_it_opens_again(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        recorder.record(teller.created("r1"))
        recorder.close()
        assert not (database.parent / "runs.db-wal").exists()
        recorder.record(teller.created("r2"))
        assert recorder.flush()
        assert rows(database, "SELECT run_id FROM runs ORDER BY number") == [("r1",), ("r2",)]

    def test_closing_while_others_record_and_flush_loses_nothing_and_hangs_nobody(
        self, recorder: LocalRecorder, database: Path
    ) -> None:
        done = threading.Event()
        count = 0

        def work() -> None:
            nonlocal count
            teller = Teller()
            while not done.is_set():
                recorder.record(teller.created(f"r{count}"))
                count += 1
                assert recorder.flush()

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(50):
            recorder.close()
        done.set()
        thread.join(120)
        assert not thread.is_alive()
        assert recorder.flush()
        assert rows(database, "SELECT count(*) FROM runs") == [(count,)]

    def test_a_flush_is_synced_and_a_batch_is_not(
        self, recorder: LocalRecorder, teller: Teller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        real = locals_.open_for_writing

        def traced(path: Path, **options: float) -> sqlite3.Connection:
            connection = real(path, **options)
            connection.set_trace_callback(said.append)
            return connection

        monkeypatch.setattr(locals_, "open_for_writing", traced)
        recorder.record(teller.created("r1"))
        wait_until(lambda: recorder._dirty)
        assert not [statement for statement in said if "FULL" in statement]
        said.clear()
        assert recorder.flush()  # nothing is left to write, but what was written is not synced yet
        kinds = [statement.split()[0] for statement in said]
        assert kinds == ["PRAGMA", "BEGIN", "UPDATE", "COMMIT"]
        assert said[0] == "PRAGMA synchronous=FULL"
        said.clear()
        assert recorder.flush()  # and now there is nothing to sync
        assert said == []

    def test_the_order_is_the_order_of_recording(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        for event in teller.whole("r1", "PENDING", "RUNNING", "FAILED"):
            recorder.record(event)
        recorder.flush()
        (run,) = RunHistory(database).list()
        assert [transition.state_type for transition in RunHistory(database).get(run.run_id).transitions] == [
            "PENDING",
            "RUNNING",
            "FAILED",
        ]


class TestRules:
    def flush_each(self, recorder: LocalRecorder, events: list[object], *, together: bool) -> None:
        for event in events:
            recorder.record(event)
            if not together:
                assert recorder.flush()
        assert recorder.flush()

    @pytest.mark.parametrize("together", [True, False])
    def test_saying_everything_twice_changes_nothing(
        self, recorder: LocalRecorder, database: Path, teller: Teller, *, together: bool
    ) -> None:
        events = teller.whole("r1", "PENDING", "RUNNING", "COMPLETED")
        self.flush_each(recorder, events, together=together)
        before = rows(database, "SELECT * FROM runs"), rows(database, "SELECT * FROM transitions")
        self.flush_each(recorder, events, together=together)
        assert (rows(database, "SELECT * FROM runs"), rows(database, "SELECT * FROM transitions")) == before

    @pytest.mark.parametrize("together", [True, False])
    def test_an_older_attempt_is_not_heard(
        self, recorder: LocalRecorder, database: Path, teller: Teller, *, together: bool
    ) -> None:
        events = [
            teller.created("r1"),
            teller.entered("r1", "RUNNING", 1),
            teller.entered("r1", "RUNNING", 2, state_name="Retrying"),
            teller.entered("r1", "FAILED", 1),
            teller.entered("r1", "COMPLETED", 2),
        ]
        self.flush_each(recorder, events, together=together)
        run = RunHistory(database).get("r1")
        assert [(one.epoch, one.state_name) for one in run.transitions] == [
            (1, "Running"),
            (2, "Retrying"),
            (2, "Completed"),
        ]
        assert (run.epoch, run.state_type) == (2, "COMPLETED")

    @pytest.mark.parametrize("together", [True, False])
    def test_nothing_leaves_an_end(
        self, recorder: LocalRecorder, database: Path, teller: Teller, *, together: bool
    ) -> None:
        events = [*teller.whole("r1"), teller.entered("r1", "FAILED"), teller.entered("r1", "RUNNING", 2)]
        self.flush_each(recorder, events, together=together)
        run = RunHistory(database).get("r1")
        assert (run.epoch, run.state_type) == (1, "COMPLETED")
        assert len(run.transitions) == 2

    @pytest.mark.parametrize("together", [True, False])
    def test_states_told_before_their_run_are_kept(
        self, recorder: LocalRecorder, database: Path, teller: Teller, *, together: bool
    ) -> None:
        early = [teller.entered("r1", "RUNNING"), teller.entered("r1", "COMPLETED")]
        self.flush_each(recorder, early, together=together)
        history = RunHistory(database)
        assert history.list(kind=None) == []
        assert history.get("r1").state_type == "COMPLETED"
        self.flush_each(recorder, [teller.created("r1")], together=together)
        (run,) = history.list()
        assert (run.name, run.state_type, run.epoch) == ("name-of-r1", "COMPLETED", 1)

    def test_a_run_is_described_once(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        for name in ("first", "second"):
            recorder.record(teller.created("r1", name=name))
            assert recorder.flush()
        assert rows(database, "SELECT name FROM runs") == [("first",)]


class TestOddEvents:
    def test_a_name_of_a_state_that_is_no_utf8_is_spelled_out(
        self, recorder: LocalRecorder, database: Path, teller: Teller
    ) -> None:
        recorder.record(teller.created("r1"))
        recorder.record(teller.entered("r1", "COMPLETED", state_name="Done \udcff"))
        assert recorder.flush()
        assert rows(database, "SELECT state_name FROM transitions") == [("Done \\udcff",)]

    def test_an_odd_event_is_dropped_alone_and_said(
        self, recorder: LocalRecorder, database: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder.record(teller.created("r1"))
        recorder.record(teller.entered("r1", "RUNNING", result_location=object()))
        recorder.record(None)  # type: ignore[arg-type]
        recorder.record(teller.created("r2", process_id=2**70))
        recorder.record(teller.created("r3"))
        assert recorder.flush() is False
        assert recorder.flush() is True
        assert rows(database, "SELECT run_id FROM runs ORDER BY number") == [("r1",), ("r3",)]
        assert len([record for record in caplog.records if "cannot be kept" in record.getMessage()]) == 3

    @pytest.mark.parametrize("together", [True, False])
    def test_an_id_that_another_run_has_used_changes_nothing(
        self, recorder: LocalRecorder, database: Path, teller: Teller, *, together: bool
    ) -> None:
        recorder.record(teller.entered("r1", "RUNNING", transition_id="same"))
        assert together or recorder.flush()
        recorder.record(teller.created("r2"))
        recorder.record(teller.entered("r2", "COMPLETED", transition_id="same"))
        recorder.flush()
        assert rows(database, "SELECT run_id, state_type FROM runs ORDER BY run_id") == [
            ("r1", "RUNNING"),
            ("r2", None),
        ]

    def test_odd_texts_are_kept(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        recorder.record(teller.created("r1", name="caf\u00e9 \U0001f600 \udcff", tags=["\ud800"]))
        recorder.record(teller.entered("r1", "FAILED", message="x" * 1_000_000))
        assert recorder.flush()
        run = RunHistory(database).get("r1")
        assert run.name == "caf\u00e9 \U0001f600 \\udcff"
        assert run.tags == ("\\ud800",)
        assert run.message == "x" * LONGEST_TEXT + "..."


class TestOutages:
    """The flow goes on; one warning says what is not recorded and where; flush says no; later it is all there."""

    @pytest.fixture(autouse=True)
    def _no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locals_, "_FIRST_PAUSE", 0.05)
        monkeypatch.setattr(locals_, "_LONGEST_PAUSE", 0.1)

    def warnings(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    def test_a_locked_file(
        self, open_recorder: OpenRecorder, database: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder = open_recorder(patience=0.3)
        recorder.record(teller.created("r1"))
        assert recorder.flush()
        lock = sqlite3.connect(database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        for number in range(2, 5):
            recorder.record(teller.created(f"r{number}"))
            assert recorder.flush() is False
        (warning,) = self.warnings(caplog)
        assert str(database) in warning
        assert "another program holds it locked" in warning
        lock.execute("ROLLBACK")
        lock.close()
        wait_until(lambda: recorder.unwritten == 0)
        assert recorder.flush() is True
        assert rows(database, "SELECT run_id FROM runs ORDER BY number") == [("r1",), ("r2",), ("r3",), ("r4",)]
        assert self.warnings(caplog)[1:] == [f"the run history is written to {database} again; 0 events were lost"]

    def test_a_short_lock_is_waited_for(self, open_recorder: OpenRecorder, database: Path, teller: Teller) -> None:
        recorder = open_recorder(patience=120)
        recorder.record(teller.created("r1"))
        assert recorder.flush()
        lock = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN IMMEDIATE")
        threading.Timer(0.4, lambda: lock.execute("ROLLBACK")).start()
        recorder.record(teller.created("r2"))
        assert recorder.flush() is True
        lock.close()

    def test_a_home_that_cannot_be_made(
        self, open_recorder: OpenRecorder, tmp_path: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        path = tmp_path / "file" / "runs.db"
        recorder = open_recorder(path)
        recorder.record(teller.created("r1"))
        assert recorder.flush() is False
        (warning,) = self.warnings(caplog)
        assert "see that its folder can be written" in warning
        (tmp_path / "file").unlink()
        assert recorder.flush() is True
        assert rows(path, "SELECT run_id FROM runs") == [("r1",)]

    @pytest.mark.parametrize("content", [b"this is no database at all, " * 200, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_damaged_file(
        self, content: bytes, recorder: LocalRecorder, database: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        database.parent.mkdir()
        database.write_bytes(content)
        recorder.record(teller.created("r1"))
        assert recorder.flush() is False
        (warning,) = self.warnings(caplog)
        assert "move the file away" in warning
        assert database.read_bytes() == content
        database.rename(database.with_suffix(".bad"))
        assert recorder.flush() is True
        assert rows(database, "SELECT run_id FROM runs") == [("r1",)]

    def test_a_file_of_a_newer_version(
        self, recorder: LocalRecorder, database: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        database.parent.mkdir()
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA user_version=99")
        connection.close()
        recorder.record(teller.created("r1"))
        assert recorder.flush() is False
        (warning,) = self.warnings(caplog)
        assert "upgrade entrepot" in warning

    @pytest.mark.parametrize(
        ("statement", "error"),
        [
            ("BEGIN", sqlite3.OperationalError("attempt to write a readonly database")),
            ("INSERT", sqlite3.OperationalError("database or disk is full")),
            ("COMMIT", sqlite3.OperationalError("disk I/O error")),
            ("COMMIT", sqlite3.DatabaseError("database disk image is malformed")),
        ],
    )
    def test_a_failing_statement_loses_nothing_and_writes_nothing_twice(
        self,
        statement: str,
        error: Exception,
        recorder: LocalRecorder,
        database: Path,
        teller: Teller,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Broken:
            def __init__(self, connection: sqlite3.Connection) -> None:
                self.connection = connection

            def __getattr__(self, name: str) -> object:
                return getattr(self.connection, name)

            def execute(self, sql: str, *args: object) -> object:
                if sql.startswith(statement) and broken:
                    raise error
                return self.connection.execute(sql, *args)

            def executemany(self, sql: str, *args: object) -> object:
                if sql.startswith(statement) and broken:
                    raise error
                return self.connection.executemany(sql, *args)

        broken = True
        real = locals_.open_for_writing
        monkeypatch.setattr(locals_, "open_for_writing", lambda path, **options: Broken(real(path, **options)))
        for event in teller.whole("r1"):
            recorder.record(event)
        assert recorder.flush() is False
        assert rows(database, "SELECT count(*) FROM runs") == [(0,)]
        broken = False
        assert recorder.flush() is True
        assert rows(database, "SELECT count(*) FROM runs") == [(1,)]
        assert rows(database, "SELECT count(*) FROM transitions") == [(2,)]

    def test_memory_is_bounded_and_what_is_dropped_is_counted(
        self, open_recorder: OpenRecorder, tmp_path: Path, teller: Teller, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        recorder = open_recorder(tmp_path / "file" / "runs.db", limit=10)
        recorder.record(teller.created("first"))
        assert recorder.flush() is False  # the first waits in the writer's hands, and a mark in the queue
        for number in range(100):
            recorder.record(teller.created(f"r{number}"))
        assert recorder.unwritten <= 12
        assert "10 events wait" in self.warnings(caplog)[1]
        (tmp_path / "file").unlink()
        assert recorder.flush() is False  # some are lost, and the flow that asks is told
        wait_until(lambda: recorder.unwritten == 0)
        assert recorder.flush() is True
        kept = [row[0] for row in rows(tmp_path / "file" / "runs.db", "SELECT run_id FROM runs ORDER BY number")]
        assert kept == ["first", *[f"r{number}" for number in range(len(kept) - 1)]]
        assert f"{101 - len(kept)} events were lost" in self.warnings(caplog)[2]

    def test_a_removed_file_is_made_again(self, recorder: LocalRecorder, database: Path, teller: Teller) -> None:
        recorder.record(teller.created("r1"))
        assert recorder.flush()
        for entry in database.parent.iterdir():
            entry.unlink()
        recorder.record(teller.created("r2"))
        assert recorder.flush() is True
        assert rows(database, "SELECT run_id FROM runs") == [("r2",)]

    def test_closing_in_an_outage_waits_for_no_other_try_and_keeps_the_rest_for_later(
        self, open_recorder: OpenRecorder, tmp_path: Path, teller: Teller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locals_, "_FIRST_PAUSE", 3600.0)
        monkeypatch.setattr(locals_, "_LONGEST_PAUSE", 3600.0)
        (tmp_path / "file").write_text("in the way")
        recorder = open_recorder(tmp_path / "file" / "runs.db")
        recorder.record(teller.created("r1"))
        recorder.close()
        assert recorder.unwritten >= 1
        (tmp_path / "file").unlink()
        assert recorder.flush() is True
        assert rows(tmp_path / "file" / "runs.db", "SELECT run_id FROM runs") == [("r1",)]

    def test_where_no_thread_can_start_a_flush_writes_itself(
        self, recorder: LocalRecorder, database: Path, teller: Teller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread at interpreter shutdown")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for event in teller.whole("r1"):
                recorder.record(event)
            assert recorder.flush() is True
            assert rows(database, "SELECT run_id, state_type FROM runs") == [("r1", "COMPLETED")]
            recorder.close()


class TestProcesses:
    RECORD = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from entrepot.protocols.recorder import RunCreated, RunTransition
from entrepot.runs import LocalRecorder

recorder = LocalRecorder(Path(sys.argv[1]), patience=60)  # others may stand still while they have the lock
now = datetime.now(UTC)

def record(name, count):
    for number in range(count):
        run_id = f"{name}-{number}"
        recorder.record(RunCreated(run_id, "flow", run_id, "f", "k", now))
        recorder.record(RunTransition(run_id + "r", run_id, 1, "RUNNING", "Running", now))
        recorder.record(RunTransition(run_id + "c", run_id, 1, "COMPLETED", "Completed", now))
"""

    def run(self, database: Path, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # Newer Pythons warn of any fork in a process with threads, which is what these tests are about.
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", self.RECORD + script, str(database), *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def check(self, database: Path, runs: int) -> None:
        assert rows(database, "PRAGMA integrity_check") == [("ok",)]
        assert rows(database, "SELECT count(*) FROM runs WHERE state_type = 'COMPLETED'") == [(runs,)]
        assert rows(database, "SELECT count(*) FROM transitions") == [(2 * runs,)]

    def test_what_was_recorded_before_exit_is_written(self, database: Path) -> None:
        found = self.run(database, "record('a', 300)")
        assert (found.returncode, found.stderr) == (0, "")
        self.check(database, 300)
        assert [entry.name for entry in database.parent.iterdir()] == ["runs.db"]

    def test_what_exit_handlers_record_is_written_too(self, database: Path) -> None:
        script = "import atexit\natexit.register(lambda: (record('late', 3), recorder.flush()))\nrecord('a', 3)"
        assert self.run(database, script).returncode == 0
        self.check(database, 6)

    def test_what_cannot_be_written_by_the_end_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        found = self.run(tmp_path / "file" / "runs.db", "record('a', 2)")
        assert found.returncode == 0
        assert "runs.db: 6 events, among them the flow runs a-0, a-1" in found.stderr

    def test_writers_in_many_processes_lose_nothing(self, database: Path) -> None:
        script = self.RECORD + "record(sys.argv[2], 200)\nassert recorder.flush()\nrecord(sys.argv[2] + 'x', 100)"
        writers = [subprocess.Popen([sys.executable, "-c", script, str(database), f"p{number}"]) for number in range(4)]
        assert [writer.wait(60) for writer in writers] == [0] * 4
        self.check(database, 4 * 300)

    def test_killed_processes_lose_nothing_that_was_flushed(self, database: Path) -> None:
        script = (
            self.RECORD + "n = 0\nwhile True:\n    record(f'{sys.argv[2]}-{n}', 5)\n    assert recorder.flush()\n"
            "    n += 1\n    print(n, flush=True)"
        )
        acknowledged = {}
        for turn in range(10):
            writer = subprocess.Popen(
                [sys.executable, "-c", script, str(database), f"p{turn}"], stdout=subprocess.PIPE, text=True
            )
            assert writer.stdout is not None
            for _ in range(3 + turn):
                count = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split("\n")
            acknowledged[turn] = max([count, *[int(line) for line in rest[:-1]]])
            writer.wait()
        assert rows(database, "PRAGMA integrity_check") == [("ok",)]
        for turn, count in acknowledged.items():
            query = f"SELECT count(*) FROM runs WHERE run_id LIKE 'p{turn}-%' AND state_type = 'COMPLETED'"
            assert rows(database, query)[0][0] >= 5 * count

    @pytest.mark.parametrize("pause", ["", "time.sleep(0.06)", "recorder.flush()"])
    def test_a_forked_child_and_its_parent_both_write_and_nothing_is_written_twice(
        self, database: Path, pause: str
    ) -> None:
        script = f"""
record("before", 50)
for turn in range(5):
    {pause or "pass"}
    pid = os.fork()
    if pid == 0:
        record(f"child{{turn}}", 50)
        os._exit(0 if recorder.flush() else 1)
    record(f"parent{{turn}}", 50)
    assert os.waitpid(pid, 0)[1] == 0
"""
        found = self.run(database, script)
        assert (found.returncode, found.stderr) == (0, "")
        self.check(database, 550)

    def test_forks_amid_the_writing_of_other_threads_hang_nobody(self, database: Path) -> None:
        script = """
import threading
done = threading.Event()
counts = [0, 0]

def work(me):
    while not done.is_set():
        record(f"t{me}-{counts[me]}", 1)
        assert recorder.flush()
        counts[me] += 1

threads = [threading.Thread(target=work, args=(me,)) for me in range(2)]
for thread in threads: thread.start()
for turn in range(12):
    pid = os.fork()
    if pid == 0:
        record(f"child{turn}", 1)
        os._exit(0 if recorder.flush() else 1)
    assert os.waitpid(pid, 0)[1] == 0
done.set()
for thread in threads: thread.join()
print(sum(counts) + 12)
"""
        found = self.run(database, script)
        assert (found.returncode, found.stderr) == (0, "")
        self.check(database, int(found.stdout))

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_a_child_of_multiprocessing_writes_before_it_ends(
        self, database: Path, tmp_path: Path, method: str
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            self.RECORD
            + f"""
import multiprocessing
if __name__ == "__main__":
    record("parent", 5)
    context = multiprocessing.get_context({method!r})
    child = context.Process(target=record, args=("child", 5))
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
        )
        found = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(program), str(database)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, "")
        self.check(database, 10)


class TestDefault:
    def test_it_is_one_for_each_home(
        self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = default_recorder()
        assert default_recorder() is first
        monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "other"))
        second = default_recorder()
        assert second is not first
        teller = Teller()
        second.record(teller.created("r1"))
        assert second.flush()
        assert (tmp_path / "other" / "runs.db").exists()
        assert not entrepot_home.exists()

    def test_a_change_of_home_loses_nothing(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        default_recorder().record(Teller().created("r1"))
        monkeypatch.setenv("ENTREPOT_HOME", str(entrepot_home) + "2")
        default_recorder()
        assert rows(entrepot_home / "runs.db", "SELECT run_id FROM runs") == [("r1",)]

    def test_switched_off_it_keeps_nothing(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "false")
        recorder = default_recorder()
        assert recorder is NULL_RECORDER
        recorder.record(Teller().created("r1"))
        assert recorder.flush() is True
        recorder.close()
        assert not entrepot_home.exists()

    def test_importing_the_package_loads_no_database(self) -> None:
        script = "import sys, entrepot.runs; print('sqlite3' in sys.modules, 'json' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["False", "False"]
