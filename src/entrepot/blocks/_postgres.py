"""How long PostgreSQL is waited for: by the network, by the server, and here."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

__all__ = ["give_up_in_time"]

T = TypeVar("T")

_MOST_GRACE: Final = 5.0  # seconds


class _TimelyConnection(psycopg.Connection[Any]):
    """A connection of psycopg on which no answer is waited for without end.

    Where something between takes packets and passes none on, no option of libpq helps: packets are acknowledged, and
    what the server says of its own time-out does not arrive.
    """

    answer_seconds: float | None = None

    @contextmanager
    def within(self, seconds: float) -> "Iterator[None]":
        """Wait for each answer this long at most."""
        before, self.answer_seconds = self.answer_seconds, seconds
        try:
            yield
        finally:
            self.answer_seconds = before

    def wait(self, gen: Generator[Any, Any, T], *rest: Any, **options: Any) -> T:
        """Wait for an answer; all that psycopg does after connecting comes through here.

        Raises:
            OperationalError: If there was none in time. The connection is closed then: what comes late answers nothing.
        """
        if self.answer_seconds is not None:
            gen = _ending(gen, time.monotonic() + self.answer_seconds, self._give_up)
        return super().wait(gen, *rest, **options)

    def _give_up(self) -> psycopg.OperationalError:
        self.pgconn.finish()
        return psycopg.OperationalError(f"no answer within {self.answer_seconds:g} s")


def give_up_in_time(engine: "Engine", *, timeout: float, statement_timeout: float | None) -> None:
    """Let an engine that uses psycopg wait for no answer without end.

    Args:
        engine: A new one.
        timeout: Seconds for what a server can answer at once: what it is, that it is alive, that nothing is kept.
        statement_timeout: Seconds after which the server ends a statement; it gets a few more to say so.
    """
    import sqlalchemy.event  # noqa: PLC0415  who has an engine has loaded it

    most = None if statement_timeout is None else statement_timeout + min(statement_timeout, _MOST_GRACE)
    dialect: Any = engine.dialect

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> _TimelyConnection:
        connection = _TimelyConnection.connect(*arguments, **options)
        connection.answer_seconds = timeout  # SQLAlchemy asks what it is connected to, until it lends it
        return connection

    def lend(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.answer_seconds = most

    def in_time(call: Callable[[Any], T]) -> Callable[[Any], T]:
        def called(connection: Any) -> T:
            with connection.within(timeout):
                return call(connection)

        return called

    sqlalchemy.event.listen(engine, "do_connect", connect)
    sqlalchemy.event.listen(engine, "checkout", lend)
    dialect.do_ping, dialect.do_rollback = in_time(dialect.do_ping), in_time(dialect.do_rollback)


def _ending(gen: Generator[Any, Any, T], deadline: float, give_up: Any) -> Generator[Any, Any, T]:
    """Pass on what psycopg's generator says and is told (it is woken ten times a second), until the deadline."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            if time.monotonic() > deadline:
                raise give_up()
    except StopIteration as done:
        found: T = done.value
        return found
