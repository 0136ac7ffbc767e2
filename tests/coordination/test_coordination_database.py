"""The file that processes share: its schema is pinned, its transactions are whole, its troubles are one clear error."""

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from entrepot.coordination import database as databases
from entrepot.coordination.database import default_path, reading, writing
from entrepot.coordination.schema import LADDER
from entrepot.errors import StorageAccessError, StorageError, StorageFullError, StorageUnreachableError

GOLDEN = Path(__file__).parents[1] / "golden" / "coordination"
SET = "INSERT INTO variables VALUES (?, '1', '[]', '', '')"
PATIENCE = 120.0  # seconds, where others hold the lock for a moment: on a busy machine that may be a long one
NAMES = "SELECT name FROM variables ORDER BY name"


def names() -> list[str]:
    with reading() as connection:
        assert connection is not None
        return [name for (name,) in connection.execute(NAMES)]


class TestSchema:
    def test_it_is_the_pinned_one(self) -> None:
        with writing() as connection:
            rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        found = "\n\n".join([f"-- user_version {version}", *[" ".join(row[0].split()) for row in rows]]) + "\n"
        assert found == (GOLDEN / "schema.sql").read_text()

    @pytest.mark.parametrize("number", range(1, len(LADDER) + 1))
    def test_a_rung_once_released_is_not_changed(self, number: int) -> None:
        rung = "\n\n".join(" ".join(statement.split()) for statement in LADDER[number - 1]) + "\n"
        assert rung == (GOLDEN / f"rung-{number}.sql").read_text()


class TestTransactions:
    def test_reading_makes_no_file(self, entrepot_home: Path) -> None:
        with reading() as connection:
            assert connection is None
        assert not entrepot_home.exists()

    def test_the_file_is_for_its_owner_only_and_so_are_its_companions(self, entrepot_home: Path) -> None:
        with writing() as connection:
            connection.execute(SET, ("a",))
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in entrepot_home.iterdir()}
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
        assert stat.S_IMODE(entrepot_home.stat().st_mode) == 0o700

    def test_what_is_committed_is_there_for_readers(self) -> None:
        with writing() as connection:
            connection.execute(SET, ("a",))
        assert names() == ["a"]

    def test_an_error_undoes_all_of_it(self) -> None:
        with pytest.raises(ZeroDivisionError):
            _write_one("a", then=ZeroDivisionError)
        assert names() == []

    def test_an_interrupt_at_any_moment_leaves_the_next_one_whole(self) -> None:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                _write_one("a", then=KeyboardInterrupt)
        with writing() as connection:
            pass
        connection.execute("BEGIN IMMEDIATE")  # as an interrupt between two lines of `writing` would leave it
        connection.execute(SET, ("b",))
        with writing() as connection:
            connection.execute(SET, ("c",))
        assert names() == ["c"]

    def test_a_mistake_in_a_statement_is_not_called_trouble_with_the_file(self) -> None:
        with pytest.raises(sqlite3.OperationalError, match="no such table"), writing() as connection:
            connection.execute("SELECT * FROM nonsense")
        with writing() as connection:
            connection.execute(SET, ("a",))
        with pytest.raises(sqlite3.IntegrityError), writing() as connection:
            connection.execute(SET, ("a",))

    def test_a_reader_cannot_write(self) -> None:
        with writing():
            pass
        with pytest.raises(StorageAccessError), reading() as connection:
            cast("sqlite3.Connection", connection).execute(SET, ("a",))

    def test_a_reader_sees_one_moment(self) -> None:
        with writing() as connection:
            connection.execute(SET, ("a",))
        with reading() as connection:
            assert connection is not None
            before = connection.execute(NAMES).fetchall()
            other = sqlite3.connect(default_path())
            other.execute(SET, ("b",))
            other.commit()
            other.close()
            assert connection.execute(NAMES).fetchall() == before
        assert names() == ["a", "b"]

    def test_what_must_survive_a_loss_of_power_is_synced_and_the_rest_is_not(self) -> None:
        found = []
        for durable in (False, True, False):
            with writing(durable=durable) as connection:
                found.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        assert found == [1, 2, 1]

    def test_another_home_is_another_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with writing() as connection:
            connection.execute(SET, ("a",))
        monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "other"))
        with writing() as connection:
            connection.execute(SET, ("b",))
        assert names() == ["b"]

    def test_a_removed_file_is_made_again(self) -> None:
        for name in ("a", "b"):
            with writing() as connection:
                connection.execute(SET, (name,))
            assert names() == [name]
            for file in default_path().parent.iterdir():
                file.unlink()

    def test_threads_take_turns(self) -> None:
        def work(first: str) -> None:
            for number in range(20):
                _write_one(f"{first}{number:02}")

        threads = [threading.Thread(target=work, args=(first,)) for first in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(names()) == 80

    def test_processes_take_turns(self) -> None:
        script = (
            "import sys; from entrepot.coordination.database import writing\n"
            "for number in range(25):\n"
            f"    with writing(patience={PATIENCE}) as connection:\n"
            f"        connection.execute({SET!r}, (sys.argv[1] + str(number),))\n"
        )
        workers = [subprocess.Popen([sys.executable, "-c", script, first]) for first in "abcd"]
        assert [worker.wait() for worker in workers] == [0] * 4
        assert len(names()) == 100
        with reading() as connection:
            assert connection is not None
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class TestForks:
    @pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
    def test_a_child_has_connections_of_its_own(self) -> None:
        with writing() as connection:
            connection.execute(SET, ("before",))
        assert names() == ["before"]
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_write_one, args=("child",))
        child.start()
        _write_one("parent")
        child.join(60)
        assert child.exitcode == 0
        assert names() == ["before", "child", "parent"]

    @pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
    def test_forks_amid_the_writing_of_other_threads_hang_nobody(self) -> None:
        end = threading.Event()

        def work() -> None:
            for number in range(100_000):
                if end.is_set():
                    break
                _write_one(f"thread{number}")

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for number in range(10):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        _write_one(f"child{number}")
                        code = 0
                    finally:
                        os._exit(code)  # whatever happened, it is no second run of the tests
                assert os.waitpid(child, 0)[1] == 0
        finally:
            end.set()
            thread.join()
        assert sum(name.startswith("child") for name in names()) == 10


def _write_one(name: str, then: type[BaseException] | None = None) -> None:
    with writing(patience=PATIENCE) as connection:
        connection.execute(SET, (name,))
        if then is not None:
            raise then


class TestTrouble:
    def test_a_locked_file_is_waited_for_and_then_said(self) -> None:
        with writing():
            pass
        lock = sqlite3.connect(default_path(), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        message = r"state\.db.*another program keeps it locked"
        with pytest.raises(StorageUnreachableError, match=message) as caught, writing(patience=0.2):
            pytest.fail("it was entered")
        assert caught.value.location == str(default_path())
        lock.execute("ROLLBACK")
        lock.close()
        _write_one("a")
        assert names() == ["a"]

    def test_a_short_lock_is_waited_for(self) -> None:
        with writing():
            pass
        lock = sqlite3.connect(default_path(), isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: lock.execute("ROLLBACK"))
        timer.start()
        _write_one("a")
        timer.join()
        lock.close()

    def test_while_one_thread_waits_for_another_process_others_can_read(self) -> None:
        _write_one("a")
        lock = sqlite3.connect(default_path(), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=_write_one, args=("b",))
        waiting.start()
        time.sleep(0.1)
        assert names() == ["a"]
        lock.execute("ROLLBACK")
        lock.close()
        waiting.join()
        assert names() == ["a", "b"]

    def test_a_full_disk(self) -> None:
        with writing() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(StorageFullError, match="make space"), writing() as connection:
            connection.executemany(SET, [(f"{number:0200}",) for number in range(1000)])
        assert names() == []
        _write_one("a")

    def test_a_file_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _write_one("a")
        databases._connections.close()

        def read_only(path: Path, *_: object, **__: object) -> sqlite3.Connection:
            uri = f"file:{path}?mode=ro"
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

        monkeypatch.setattr(databases, "open_for_writing", read_only)  # permissions do not bind every tester
        with pytest.raises(StorageAccessError, match="can be written"):
            _write_one("b")
        assert names() == ["a"]

    def test_a_home_that_cannot_be_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "file" / "home"))
        with pytest.raises(StorageError, match="see that its folder can be written"):
            _write_one("a")

    @pytest.mark.parametrize("content", [b"this is no database at all, " * 200, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_damaged_file(self, content: bytes) -> None:
        default_path().parent.mkdir()
        default_path().write_bytes(content)
        with pytest.raises(StorageError, match="damaged: move it away"):
            _write_one("a")
        with pytest.raises(StorageError, match="damaged: move it away"):
            names()
        assert default_path().read_bytes() == content

    def test_a_file_of_a_newer_version(self) -> None:
        _write_one("a")
        databases._connections.close()
        connection = sqlite3.connect(default_path())
        connection.execute(f"PRAGMA user_version={len(LADDER) + 1}")
        connection.close()
        with pytest.raises(StorageError, match="upgrade entrepot"):
            _write_one("b")
