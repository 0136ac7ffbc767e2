"""A block for SQL databases, through SQLAlchemy: PostgreSQL, SQLite, MySQL and what else it has a dialect for."""

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self, TypeAlias, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot._secrets import mask
from entrepot.blocks._quiet import attempt, call_quietly
from entrepot.blocks._references import SecretReference, is_reference
from entrepot.blocks._sql import clear, hide, make_engine, may_pass, parts_of, said, unusable
from entrepot.blocks.core import Block
from entrepot.errors import DatabaseError, EntrepotError, SecretReferenceError
from entrepot.plugins.foreign import SQL_DIALECTS, SQL_PLUGINS, check_foreign

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine, Row

__all__ = ["SqlAlchemyConnector"]

T = TypeVar("T")

_Rows: TypeAlias = "list[Row[Any]]"  # up here: in the class, `list` is a method
_Many: TypeAlias = Sequence[Mapping[str, Any]]

_OPEN_AT_MOST: Final = 16
_CHANGES: Final = frozenset({"insert", "update", "delete", "merge", "replace"})  # what a rollback undoes anywhere
_engines: "OrderedDict[bytes, Engine]" = OrderedDict()
_engines_lock = threading.Lock()


class SqlAlchemyConnector(Block):
    """A SQL database: where it is, and how to get in.

    Connections are pooled for each process and shared by equal blocks; each call takes one for itself, so that one
    block may be used by many tasks at once. Parameters of statements are bound, never put into the text::

        database = SqlAlchemyConnector.load("warehouse")
        database.execute("INSERT INTO sales VALUES (:day, :amount)", {"day": today, "amount": 12})
        rows = database.fetch_all("SELECT * FROM sales WHERE amount > :least", {"least": 10})
    """

    _block_type_name: ClassVar[str] = "SQLAlchemy Connector"
    _block_type_slug: ClassVar[str] = "sqlalchemy-connector"
    _block_capabilities: ClassVar[tuple[str, ...]] = ("database",)
    _description: ClassVar[str] = "Query and change a SQL database, through SQLAlchemy."
    _stands_for: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"url": ("driver", "database", "username", "password", "host", "port", "query")}
    )

    driver: str = Field(description="Dialect and driver, as SQLAlchemy has them: 'postgresql+psycopg', 'sqlite'.")
    database: str | None = Field(default=None, description="The name of the database, or the file of SQLite.")
    username: str | None = Field(default=None, description="Who logs in.")
    password: SecretStr | None = Field(default=None, description="The password of that user.")
    host: str | None = Field(default=None, description="Name or address of the server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Port of the server; None for the usual one.")
    query: dict[str, str | SecretStr] = Field(
        default_factory=dict,
        description="Options in the URL, such as {'sslmode': 'verify-full'}; what sounds like a secret is kept as one.",
    )
    connect_args: dict[str, SecretStr | int | float | bool] = Field(
        default_factory=dict, description="Options of the driver's connect(); texts are kept as secrets."
    )
    pool_size: int = Field(default=5, ge=1, le=1000, description="Connections that a process keeps open.")
    timeout: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds to wait for a free connection of the pool, and for the server to answer a new one.",
    )
    statement_timeout: float | None = Field(
        default=None,
        gt=0,
        le=604_800,
        description="Seconds that each statement may take (PostgreSQL only); None for as long as it takes.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_url_apart(cls, data: Any) -> Any:
        """Let `url=` stand for the parts of it, and Prefect's `connection_info=`; the password is kept as a secret."""
        names = [name for name in ("url", "connection_info") if isinstance(data, dict) and name in data]
        if not names:
            return data
        given = {name: value for name, value in data.items() if name not in names}
        url = data[names[0]]
        if len(names) > 1 or (names == ["connection_info"] and not isinstance(url, str | SecretStr)):
            raise ValueError("give one URL, as text: url='postgresql+psycopg://...', or each part of it")
        if isinstance(url, SecretReference) or (isinstance(url, str) and is_reference(url)):
            raise ValueError("a URL is taken apart when the block is made: give its parts, and a reference as password")
        parts = parts_of(url.get_secret_value() if isinstance(url, SecretStr) else str(url))
        twice = sorted(parts.keys() & {name for name, value in given.items() if value is not None})
        if twice:
            raise ValueError(f"it stands both in the url and for itself: {', '.join(twice)}")
        return {**given, **parts}

    @field_validator("query")
    @classmethod
    def _hide_secrets(cls, value: dict[str, str | SecretStr]) -> dict[str, str | SecretStr]:
        return hide(value)

    @field_validator("driver")
    @classmethod
    def _check_driver(cls, value: str) -> str:
        if not value.replace("+", "").replace("_", "").isalnum() or value.count("+") > 1:
            raise ValueError("write dialect or dialect+driver, such as 'postgresql+psycopg' or 'sqlite'")
        return value

    # --- questions ----------------------------------------------------------------------------------------------

    def fetch_all(self, statement: str, parameters: Mapping[str, Any] | None = None) -> _Rows:
        """Return all rows of a query; each row is a tuple with names (`row.amount`).

        Args:
            statement: SQL; `:name` stands for a parameter.
            parameters: By name.

        Raises:
            DatabaseError: If the database cannot be reached, or refuses the statement.
            ConfigurationError: If SQLAlchemy or the driver is not installed.
        """
        return self._asked(statement, parameters, lambda found: list(found.all()))

    def fetch_one(self, statement: str, parameters: Mapping[str, Any] | None = None) -> "Row[Any] | None":
        """Return the first row of a query, or None; as `fetch_all`."""
        return self._asked(statement, parameters, lambda found: found.first())

    def fetch_batches(
        self, statement: str, parameters: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Iterator[_Rows]:
        """Yield the rows of a query in lists of at most `size`, without holding all of them; as `fetch_all`.

        The connection is in use until the last batch was taken or the iterator is closed.
        """
        with self.connection() as connection:
            found = self._guarded(
                lambda: connection.execution_options(stream_results=True).execute(_text(statement), parameters or {})
            )
            self._insist_on_rows(found, statement)
            while batch := self._guarded(lambda: list(found.fetchmany(size))):
                yield batch

    def fetch_many(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse what code that was written for Prefect asks for: a block keeps no cursor that this would go on with.

        Raises:
            DatabaseError: Always; it names `fetch_batches`.
        """
        raise DatabaseError(
            "a SqlAlchemyConnector keeps no cursor that fetch_many could go on with: use fetch_batches(statement,"
            " size=1000), which gives all rows, batch by batch",
            retryable=False,
        )

    # --- changes ------------------------------------------------------------------------------------------------

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Do one statement in a transaction of its own; return how many rows it changed (-1 where that is unknown).

        Args:
            statement: SQL; `:name` stands for a parameter.
            parameters: By name.

        Raises:
            DatabaseError: If the database cannot be reached, or refuses; nothing was changed then.
        """
        return self._done(statement, parameters or {})

    def execute_many(self, statement: str, parameters: _Many) -> int:
        """Do one statement for each of many sets of parameters, all or none of them; as `execute`."""
        return self._done(statement, list(parameters)) if parameters else 0

    @contextmanager
    def connection(self) -> "Iterator[Connection]":
        """Lend a connection of SQLAlchemy, in a transaction: committed at the end, rolled back on an error.

        Raises:
            DatabaseError: If the database cannot be reached.
        """
        connection = self._guarded(lambda: self.engine().connect())  # not kept here: it prints options of the URL
        try:
            yield connection
            call_quietly(connection.commit, self._not_committed)
        finally:
            # It rolls back what was not committed, as a server that is gone has done: what went wrong before is told.
            attempt(connection.close, self._failed)

    def engine(self) -> "Engine":
        """Return the engine of SQLAlchemy, for pandas (`pd.read_sql(..., database.engine())`) and the like.

        Raises:
            ConfigurationError: If SQLAlchemy or the driver is not installed, or the options make no engine.
        """
        return call_quietly(self._opened, lambda error: unusable(self.driver, error))

    def __enter__(self) -> Self:
        """Return this block, whose connections `close` at the end of the `with` block; it need not be in one."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pooled connections."""
        self.close()

    def close(self) -> None:
        """Close the pooled connections of this process; the next call opens new ones."""
        with _engines_lock:
            engine = _engines.pop(self._digest(), None)
        if engine is not None:
            engine.dispose()

    def check(self) -> str:
        """Connect, and return what answered, for people.

        Raises:
            DatabaseError: If the database cannot be reached, or does not let this user in.
        """
        with self.connection() as connection:
            self._guarded(lambda: connection.exec_driver_sql("SELECT 1").scalar())
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            return f"connected to {connection.dialect.name} {version} at {self._place()}".replace("  ", " ")

    async def afetch_all(self, statement: str, parameters: Mapping[str, Any] | None = None) -> _Rows:
        """Do what `fetch_all` does, off the event loop."""
        return await asyncio.to_thread(self.fetch_all, statement, parameters)

    async def afetch_one(self, statement: str, parameters: Mapping[str, Any] | None = None) -> "Row[Any] | None":
        """Do what `fetch_one` does, off the event loop."""
        return await asyncio.to_thread(self.fetch_one, statement, parameters)

    async def aexecute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Do what `execute` does, off the event loop."""
        return await asyncio.to_thread(self.execute, statement, parameters)

    async def aexecute_many(self, statement: str, parameters: _Many) -> int:
        """Do what `execute_many` does, off the event loop."""
        return await asyncio.to_thread(self.execute_many, statement, parameters)

    # --- how ----------------------------------------------------------------------------------------------------

    def _asked(
        self, statement: str, parameters: Mapping[str, Any] | None, take: "Callable[[CursorResult[Any]], T]"
    ) -> T:
        with self.connection() as connection:
            found = self._guarded(lambda: connection.execute(_text(statement), parameters or {}))
            self._insist_on_rows(found, statement)
            return self._guarded(lambda: take(found))

    def _insist_on_rows(self, found: "CursorResult[Any]", statement: str) -> None:
        if found.returns_rows:
            return
        word = "".join(statement.split(maxsplit=1)[:1]).lower()
        done = "nothing was changed" if word in _CHANGES else "whether it took effect is the database's to say"
        raise DatabaseError(f"{self._place()}: the statement returns no rows; use execute(); {done}", retryable=False)

    def _done(self, statement: str, parameters: Any) -> int:
        with self.connection() as connection:
            return self._guarded(lambda: int(connection.execute(_text(statement), parameters).rowcount))

    def _guarded(self, call: Callable[[], T]) -> T:
        """Return what a call of SQLAlchemy returns; an error of it leads to no frame with the password."""
        return call_quietly(call, self._failed)

    def _not_committed(self, error: Exception) -> EntrepotError:
        if getattr(error, "connection_invalidated", False):
            words = mask(said(error, self._texts()))
            return DatabaseError(
                f"{self._place()} broke off at the end of a transaction: {words}; whether the changes were kept is for"
                " the database to say: look before you make them again",
                retryable=False,
            )
        return self._failed(error)

    def _failed(self, error: Exception) -> EntrepotError:
        import sqlalchemy.exc  # noqa: PLC0415  who gets here has loaded it

        words = mask(said(error, self._texts()))
        if isinstance(error, sqlalchemy.exc.TimeoutError):
            return DatabaseError(
                f"all connections to {self._place()} were in use for {self.timeout:g} s; close what holds one, or raise"
                " pool_size or timeout",
                retryable=True,
            )
        if not isinstance(error, sqlalchemy.exc.DBAPIError):  # of SQLAlchemy itself, or of a driver's options
            return DatabaseError(f"{self._place()} refused the statement: {words}", retryable=False)
        if error.connection_invalidated:
            return DatabaseError(f"{self._place()} broke off: {words}", retryable=True)
        if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) and not error.statement:
            is_file = self.driver.partition("+")[0] == "sqlite"
            todo = "the file and its folder" if is_file else "host, port, user and password"
            return DatabaseError(f"{self._place()} cannot be reached: {words}; check {todo}", retryable=True)
        return DatabaseError(f"{self._place()} refused the statement: {words}", retryable=may_pass(error.orig))

    def _secrets(self) -> list[SecretStr]:
        options = (*self.connect_args.values(), *self.query.values())
        texts = [value for value in options if isinstance(value, SecretStr)]
        return texts if self.password is None else [self.password, *texts]

    def _texts(self) -> list[str]:
        """Return the secrets in clear, for taking them out of what a driver says."""
        texts = []
        for secret in self._secrets():
            with suppress(SecretReferenceError):  # what cannot be had now was masked when it was
                texts.append(secret.get_secret_value())
        return texts

    def _place(self) -> str:
        """Return where the database is, for people; of a file of SQLite with the folder that it was looked up from."""
        dialect = self.driver.partition("+")[0]
        if dialect == "sqlite" and self.host is None and self.database:
            is_path = not self.database.startswith((":", "file:"))
            return f"sqlite:///{Path(self.database).absolute() if is_path else self.database}"
        server = "" if self.host is None else self.host + ("" if self.port is None else f":{self.port}") + "/"
        return f"{dialect}://{server}{self.database or ''}"

    def _options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parts of the URL and the driver's options, in clear."""
        password = None if self.password is None else self.password.get_secret_value()
        url = {
            "drivername": self.driver,
            "username": self.username,
            "password": password,
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "query": clear(self.query),
        }
        return url, clear(self.connect_args)

    def _check_policy(self) -> None:
        """See that the settings allow what SQLAlchemy would import by name."""
        check_foreign(SQL_DIALECTS, self.driver.replace("+", "."), self.driver.partition("+")[0])
        given = clear(self.query).get("plugin", ())
        named = [given] if isinstance(given, str) else given
        check_foreign(SQL_PLUGINS, *(name for text in named for name in str(text).split(",")))

    def _digest(self) -> bytes:
        pool = (self.pool_size, self.timeout, self.statement_timeout)
        return hashlib.sha256(repr((self._options(), pool)).encode()).digest()

    def _opened(self) -> "Engine":
        """Return the engine of this block in this process, which is made on first need."""
        import sqlalchemy  # noqa: PLC0415  only who uses a database pays for it

        self._check_policy()
        key = self._digest()
        with _engines_lock:
            engine = _engines.get(key)
            if engine is None:
                url, arguments = self._options()
                engine = _engines[key] = make_engine(
                    sqlalchemy.URL.create(**url),
                    arguments,
                    hidden=frozenset(name for name, value in self.query.items() if isinstance(value, SecretStr)),
                    pool_size=self.pool_size,
                    timeout=self.timeout,
                    statement_timeout=self.statement_timeout,
                )
                if len(_engines) > _OPEN_AT_MOST:
                    _engines.popitem(last=False)[1].dispose()
            _engines.move_to_end(key)
            return engine


def _after_fork_in_child() -> None:
    """Leave the connections to the parent: two processes that speak on one confuse the server."""
    global _engines_lock  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _engines_lock = threading.Lock()
    engines = list(_engines.values())
    _engines.clear()
    for engine in engines:
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _text(statement: str) -> Any:
    import sqlalchemy  # noqa: PLC0415  only who uses a database pays for it

    return sqlalchemy.text(statement)
