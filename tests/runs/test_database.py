"""The file: its schema is pinned, its ladder is climbed once, and only its owner can read it."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot._database import NewerSchemaError
from entrepot.runs import database as databases
from entrepot.runs.database import LADDER, open_for_reading, open_for_writing

GOLDEN = Path(__file__).parents[1] / "golden" / "runs"


def schema_of(connection: sqlite3.Connection) -> str:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return "\n\n".join([f"-- user_version {version}", *[" ".join(row[0].split()) for row in rows]]) + "\n"


def test_the_schema_is_the_pinned_one(database: Path) -> None:
    connection = open_for_writing(database, patience=1)
    found = schema_of(connection)
    connection.close()
    assert found == (GOLDEN / "schema.sql").read_text()


@pytest.mark.parametrize("number", range(1, len(LADDER) + 1))
def test_a_rung_once_released_is_not_changed(number: int) -> None:
    rung = "\n\n".join(" ".join(statement.split()) for statement in LADDER[number - 1]) + "\n"
    assert rung == (GOLDEN / f"rung-{number}.sql").read_text()


def test_the_file_is_for_its_owner_only_and_so_are_its_companions(database: Path) -> None:
    connection = open_for_writing(database, patience=1)
    connection.execute("UPDATE flushes SET count = 1")
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in database.parent.iterdir()}
    connection.close()
    assert modes == {"runs.db": 0o600, "runs.db-wal": 0o600, "runs.db-shm": 0o600}
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(database: Path) -> None:
    database.parent.mkdir(mode=0o755)
    database.parent.chmod(0o755)
    open_for_writing(database, patience=1).close()
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o755


def test_readers_do_not_wait_for_a_writer(database: Path) -> None:
    writer = open_for_writing(database, patience=1)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE flushes SET count = 7")
    reader = open_for_reading(database, patience=0)
    assert reader is not None
    assert reader.execute("SELECT count FROM flushes").fetchone() == (0,)
    writer.execute("COMMIT")
    assert reader.execute("SELECT count FROM flushes").fetchone() == (7,)
    reader.close()
    writer.close()


def test_a_reader_cannot_write(database: Path) -> None:
    open_for_writing(database, patience=1).close()
    reader = open_for_reading(database)
    assert reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("UPDATE flushes SET count = 1")
    reader.close()


def test_reading_makes_no_file(database: Path) -> None:
    assert open_for_reading(database) is None
    assert not database.parent.exists()


def test_an_empty_file_has_no_runs(database: Path) -> None:
    database.parent.mkdir()
    database.touch()
    assert open_for_reading(database) is None


def test_an_older_file_climbs_the_new_rungs_and_keeps_its_rows(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = open_for_writing(database, patience=1)
    connection.execute("UPDATE flushes SET count = 5")
    connection.close()
    longer = (*LADDER, ("ALTER TABLE flushes ADD COLUMN reason TEXT", "UPDATE flushes SET reason = 'climbed'"))
    monkeypatch.setattr(databases, "LADDER", longer)
    for open_database in (lambda: open_for_reading(database), lambda: open_for_writing(database, patience=1)):
        connection = open_database()
        assert connection.execute("SELECT count, reason FROM flushes").fetchall() == [(5, "climbed")]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(longer),)
        connection.close()


def test_a_rung_that_breaks_leaves_the_older_file_as_it_was(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = open_for_writing(database, patience=1)
    before = schema_of(connection)
    connection.close()
    monkeypatch.setattr(databases, "LADDER", (*LADDER, ("CREATE TABLE half (a)", "NONSENSE")))
    with pytest.raises(sqlite3.OperationalError):
        open_for_writing(database, patience=1)
    connection = sqlite3.connect(database)
    assert schema_of(connection) == before
    connection.close()


def test_a_file_of_a_newer_version_is_left_alone(database: Path) -> None:
    open_for_writing(database, patience=1).close()
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version={len(LADDER) + 1}")
    connection.close()
    with pytest.raises(NewerSchemaError, match=f"has version {len(LADDER) + 1} of the schema"):
        open_for_writing(database, patience=1)
    with pytest.raises(NewerSchemaError):
        open_for_reading(database)


def test_many_processes_can_make_the_file_at_once(database: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from entrepot.runs.database import open_for_writing;"
        " c = open_for_writing(Path(sys.argv[1]), patience=30);"
        " c.execute('UPDATE flushes SET count = count + 1'); c.close()"
    )
    makers = [subprocess.Popen([sys.executable, "-c", script, str(database)]) for _ in range(6)]
    assert [maker.wait() for maker in makers] == [0] * 6
    connection = open_for_writing(database, patience=1)
    assert connection.execute("SELECT count FROM flushes").fetchall() == [(6,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert [entry.name for entry in database.parent.iterdir()] == ["runs.db"]
