"""`SqlAlchemyConnector`, on SQLite and on a real PostgreSQL."""

import asyncio
import contextlib
import copy
import os
import pickle
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from entrepot.blocks import SqlAlchemyConnector
from entrepot.errors import ConfigurationError, DatabaseError
from entrepot_test_secrets import leaks, our_frames

SECRET = "s3cret of the database"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlAlchemyConnector]:
    if request.param == "sqlite":
        block = SqlAlchemyConnector(driver="sqlite", database=str(tmp_path / "file.db"))
    else:
        block = SqlAlchemyConnector(**request.getfixturevalue("postgres"))
    block.execute("DROP TABLE IF EXISTS sales")
    block.execute("CREATE TABLE sales (day TEXT, amount INTEGER NOT NULL CHECK (amount > 0))")
    yield block
    block.close()


def test_a_change_that_is_asked_for_rows_is_undone_and_says_so(database: SqlAlchemyConnector) -> None:
    for ask in (database.fetch_all, database.fetch_one):
        with pytest.raises(DatabaseError, match=r"returns no rows; use execute\(\); nothing was changed") as caught:
            ask("INSERT INTO sales VALUES ('mon', 1)")
        assert not caught.value.retryable
    with pytest.raises(DatabaseError, match=r"returns no rows|refused"):  # a cursor of PostgreSQL takes questions only
        list(database.fetch_batches("INSERT INTO sales VALUES ('mon', 1)"))
    assert database.fetch_all("SELECT * FROM sales") == []


def test_a_file_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        SqlAlchemyConnector(driver="sqlite", database="sales.db").check().endswith(f" at sqlite:///{tmp_path}/sales.db")
    )
    assert SqlAlchemyConnector(driver="sqlite", database=":memory:").check().endswith(" at sqlite:///:memory:")


def test_rows_are_written_and_read(database: SqlAlchemyConnector) -> None:
    assert database.execute("INSERT INTO sales VALUES (:day, :amount)", {"day": "mon", "amount": 1}) == 1
    assert database.execute_many(
        "INSERT INTO sales VALUES (:day, :amount)", [{"day": f"d{n}", "amount": n} for n in range(2, 6)]
    ) in {4, -1}
    rows = database.fetch_all("SELECT * FROM sales WHERE amount > :least ORDER BY amount", {"least": 3})
    assert [tuple(row) for row in rows] == [("d4", 4), ("d5", 5)]
    row = database.fetch_one("SELECT amount FROM sales ORDER BY amount DESC")
    assert row is not None
    assert row.amount == 5
    assert database.fetch_one("SELECT 1 FROM sales WHERE amount > 9") is None
    batches = list(database.fetch_batches("SELECT amount FROM sales ORDER BY amount", size=2))
    assert [[row.amount for row in batch] for batch in batches] == [[1, 2], [3, 4], [5]]
    assert database.execute_many("INSERT INTO sales VALUES (:day, :amount)", []) == 0


def test_the_async_twins_do_the_same(database: SqlAlchemyConnector) -> None:
    async def use() -> Any:
        await database.aexecute("INSERT INTO sales VALUES ('x', 1)")
        await database.aexecute_many("INSERT INTO sales VALUES (:d, 2)", [{"d": "y"}])
        return await database.afetch_all("SELECT 1 FROM sales"), await database.afetch_one("SELECT 7")

    rows, one = asyncio.run(use())
    assert (len(rows), tuple(one)) == (2, (7,))


def test_what_fails_changes_nothing_and_says_why(database: SqlAlchemyConnector) -> None:
    many = [{"day": "x", "amount": 1}, {"day": SECRET, "amount": -1}]
    with pytest.raises(DatabaseError, match="refused the statement") as caught:
        database.execute_many("INSERT INTO sales VALUES (:day, :amount)", many)
    assert not caught.value.retryable
    assert database.fetch_all("SELECT * FROM sales") == []
    with pytest.raises(ZeroDivisionError), database.connection() as connection:  # noqa: PT012  both belong to it
        connection.exec_driver_sql("INSERT INTO sales VALUES ('y', 1)")
        1 / 0  # noqa: B018
    assert database.fetch_all("SELECT * FROM sales") == []


def test_a_block_used_by_many_threads_gives_each_a_connection(database: SqlAlchemyConnector) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: database.execute("INSERT INTO sales VALUES ('x', :n)", {"n": n + 1}), range(40)))
    assert len(database.fetch_all("SELECT * FROM sales")) == 40


def test_pandas_takes_the_engine(database: SqlAlchemyConnector) -> None:
    frame = pd.DataFrame({"day": ["a", "b"], "amount": [1, 2]})
    with database.engine().begin() as connection:
        frame.to_sql("sales", connection, if_exists="append", index=False)
    pd.testing.assert_frame_equal(pd.read_sql("SELECT * FROM sales ORDER BY amount", database.engine()), frame)


def test_check_says_what_answered(database: SqlAlchemyConnector) -> None:
    assert database.check().startswith(f"connected to {database.driver.partition('+')[0]} ")


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_does_not_speak_on_its_parents_connections(database: SqlAlchemyConnector) -> None:
    database.execute("INSERT INTO sales VALUES ('x', 1)")
    child = os.fork()
    if child == 0:
        os._exit(0 if len(database.fetch_all("SELECT * FROM sales")) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(database.fetch_all("SELECT * FROM sales")) == 1


def test_a_server_that_restarted_is_no_error(postgres: dict[str, Any]) -> None:
    block = SqlAlchemyConnector(**postgres, pool_size=1)
    pid = block.fetch_one("SELECT pg_backend_pid()")
    assert pid is not None
    other = SqlAlchemyConnector(**postgres, pool_size=2)
    other.fetch_one("SELECT pg_terminate_backend(:pid)", {"pid": pid[0]})
    assert block.fetch_one("SELECT 1") is not None


def _end(connection: Any, postgres: dict[str, Any]) -> None:
    """End the server's side of a connection."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = SqlAlchemyConnector(**postgres, pool_size=2)
    assert other.fetch_one("SELECT pg_terminate_backend(:pid, 5000)", {"pid": pid}) == (True,)


def test_what_went_wrong_first_is_what_is_told_where_the_connection_is_lost_too(postgres: dict[str, Any]) -> None:
    block = SqlAlchemyConnector(**postgres)
    with pytest.raises(ZeroDivisionError), block.connection() as connection:  # noqa: PT012  both belong to it
        _end(connection, postgres)
        1 / 0  # noqa: B018
    assert block.fetch_one("SELECT 1") == (1,)


def test_a_transaction_whose_end_is_not_known_is_not_to_be_repeated(postgres: dict[str, Any]) -> None:
    block = SqlAlchemyConnector(**postgres)
    with pytest.raises(DatabaseError, match=r"broke off at the end of a transaction: .*look before") as caught:  # noqa: SIM117
        with block.connection() as connection:
            _end(connection, postgres)
    assert not caught.value.retryable


def test_it_is_saved_sealed_and_shows_no_secret(entrepot_home: Path) -> None:
    block = SqlAlchemyConnector(
        url=f"postgresql+psycopg://me:{SECRET.replace(' ', '%20')}@db.example.test:5433/sales?sslmode=require",
        connect_args={"options": f"-c x={SECRET}", "connect_timeout": 3},
    )
    assert (block.username, block.host, block.port, block.database) == ("me", "db.example.test", 5433, "sales")
    assert block.query == {"sslmode": "require"}
    assert block.password is not None
    assert block.password.get_secret_value() == SECRET
    block.save("warehouse")
    assert SqlAlchemyConnector.load("warehouse") == block
    assert not leaks(f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}", SECRET)
    assert not leaks(pickle.dumps(block), SECRET)
    assert all(not leaks(file.read_bytes(), SECRET) for file in entrepot_home.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "options",
    [
        {"driver": "postgresql+psycopg", "host": "127.0.0.1", "port": 1, "username": "me", "password": SECRET},
        {"driver": "postgresql+psycopg", "host": "127.0.0.1", "port": 1, "connect_args": {"passfile": SECRET}},
    ],
)
def test_a_server_that_does_not_answer_is_one_error_without_the_password(options: dict[str, Any]) -> None:
    block = SqlAlchemyConnector(**options)
    with pytest.raises(DatabaseError, match="cannot be reached") as caught:
        block.fetch_all("SELECT 1")
    assert caught.value.retryable
    assert not leaks(our_frames(caught.value), SECRET)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"driver": "nosuchdialect"}, "no database engine"),
        ({"driver": "postgresql+psycopg2"}, "'psycopg2', which is not installed"),
    ],
)
def test_drivers_that_are_not_there_say_what_to_install(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        SqlAlchemyConnector(**options, host="h").engine()


@pytest.mark.parametrize(("statement", "match"), [("SELEC", "SELEC"), ("SELECT * FROM nosuch", "nosuch")])
def test_a_statement_that_is_wrong_is_not_to_be_repeated(
    database: SqlAlchemyConnector, statement: str, match: str
) -> None:
    with pytest.raises(DatabaseError, match=f"refused the statement: .*{match}") as caught:
        database.fetch_all(statement)
    assert not caught.value.retryable


def test_a_table_that_is_locked_is(tmp_path: Path) -> None:
    block = SqlAlchemyConnector(driver="sqlite", database=str(tmp_path / "x"), connect_args={"timeout": 0})
    block.execute("CREATE TABLE t (a)")
    with block.connection() as held:
        held.exec_driver_sql("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseError, match="locked") as caught:
            block.execute("INSERT INTO t VALUES (2)")
    assert caught.value.retryable
    assert len(block.fetch_all("SELECT * FROM t")) == 1


def test_words_of_the_server_do_not_repeat_the_statement(postgres: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="unrecognized role option") as caught:
        SqlAlchemyConnector(**postgres).execute(f"CREATE ROLE x PASSWORD '{SECRET}' NONSENSE")
    assert SECRET not in str(caught.value)


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    block = SqlAlchemyConnector(driver="sqlite")
    block.execute("CREATE TABLE t (a)")
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: block.execute("INSERT INTO t VALUES (:n)", {"n": n}), range(20)))
        assert len(asyncio.run(block.afetch_all("SELECT * FROM t"))) == 20
    finally:
        block.close()


def test_a_pool_that_is_used_up_says_so(tmp_path: Path) -> None:
    block = SqlAlchemyConnector(driver="sqlite", database=str(tmp_path / "x"), pool_size=1, timeout=0.05)
    with contextlib.ExitStack() as stack:
        for _ in range(11):  # SQLAlchemy opens ten beyond those that it keeps
            stack.enter_context(block.connection())
        with pytest.raises(DatabaseError, match=r"were in use for 0\.05 s") as caught:
            block.fetch_one("SELECT 1")
    assert caught.value.retryable


def test_a_server_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        block = SqlAlchemyConnector(
            driver="postgresql+psycopg", host="127.0.0.1", port=silent.getsockname()[1], timeout=0.1
        )
        with pytest.raises(DatabaseError, match="cannot be reached"):
            block.check()


def test_secrets_in_options_of_the_url_are_secrets() -> None:
    url = f"postgresql+psycopg://127.0.0.1:1/db?user=me&password={SECRET.replace(' ', '%20')}"
    block = SqlAlchemyConnector(url=url)
    block.save("by-url")
    assert SqlAlchemyConnector.load("by-url") == block
    assert block.query["user"] == "me"
    with pytest.raises(DatabaseError, match="cannot be reached") as caught:
        block.check()
    assert not leaks(f"{block!r} {block.model_dump_json()} {our_frames(caught.value)}", SECRET)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="both in the url and for itself: database"):
        SqlAlchemyConnector(url="sqlite:///x", database="y")
    block = SqlAlchemyConnector(url="postgresql://me@h/db", password=SECRET)
    assert (block.username, block.password is not None) == ("me", True)


def test_what_was_written_for_prefect_works_or_says_what_to_write(tmp_path: Path) -> None:
    block = SqlAlchemyConnector(connection_info=f"sqlite:///{tmp_path}/file.db")
    assert block == SqlAlchemyConnector(url=f"sqlite:///{tmp_path}/file.db")
    with block as database:
        engine = database.engine()
        assert database.fetch_one("SELECT 1") == (1,)
        with pytest.raises(DatabaseError, match="fetch_batches"):
            database.fetch_many("SELECT 1", size=2)
        assert database.engine() is engine
    assert block.engine() is not engine
    block.close()
    for given in ({"connection_info": {"driver": SECRET}}, {"connection_info": "sqlite://", "url": "sqlite://"}):
        with pytest.raises(ValidationError, match="give one URL, as text: url=") as caught:
            SqlAlchemyConnector(**given)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("driver", "match"), [("sqlite+aiosqlite", "asyncio only"), ("postgres", "write 'postgresql'")]
)
def test_usual_mistakes_in_the_driver_are_told(driver: str, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        SqlAlchemyConnector(driver=driver).engine()


def test_bad_input_is_refused_without_repeating_it() -> None:
    for options in ({"url": f"no url {SECRET}"}, {"driver": "a b"}, {"driver": "sqlite", "port": 0}):
        with pytest.raises(ValidationError) as caught:
            SqlAlchemyConnector(**options)
        assert SECRET not in str(caught.value)


def test_the_url_of_the_engine_prints_no_option_that_is_a_secret() -> None:
    block = SqlAlchemyConnector(
        driver="postgresql+psycopg",
        host="localhost",
        username="me",
        password=SECRET,
        query={"sslpassword": SECRET, "sslmode": "require"},
    )
    engine = block.engine()
    for url in (engine.url, copy.copy(engine.url), engine.url.set(database="x"), engine.url._replace(port=1)):
        assert leaks(f"{engine!r} {url!r} {url!s} {url}", SECRET) == []
        assert "sslmode=require&sslpassword=***" in str(url)
        assert url.query["sslpassword"] == SECRET
    assert pickle.loads(pickle.dumps(engine.url)) == engine.url
    assert engine.url.render_as_string(hide_password=False).count("s3cret") == 2
    assert engine.dialect.create_connect_args(engine.url)[1]["sslpassword"] == SECRET
