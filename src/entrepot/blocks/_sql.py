"""What `SqlAlchemyConnector` knows of SQLAlchemy and drivers: engines, URLs, and what errors mean."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from entrepot.errors import ConfigurationError, EntrepotError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["clear", "hide", "make_engine", "may_pass", "parts_of", "said", "unusable"]

_SECRET: Final = re.compile(r"pass|pwd|secret|token|credential|private|://[^/]*@", re.IGNORECASE)
_PATIENCE: Final = {  # the option that bounds connecting, in seconds, of drivers that would wait for minutes, or ever
    **dict.fromkeys(("psycopg", "psycopg2", "pymysql", "mysqldb"), "connect_timeout"),
    "mysqlconnector": "connection_timeout",
}  # not pg8000: its `timeout` ends each statement, too
_ALIVE: Final = {  # of libpq, for a server that is gone without a word: after a minute, and not after hours
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_LIBPQ: Final = frozenset({"psycopg", "psycopg2"})
_STARS: Final = "***"  # what SQLAlchemy writes in the place of a password
_PASSING_STATES: Final = ("08", "40", "53", "55P03", "57P")  # connection, deadlock, resources, locks, shutdown
_PASSING_SQLITE: Final = frozenset({5, 6})  # SQLITE_BUSY, SQLITE_LOCKED
_PASSING_MYSQL: Final = frozenset({1205, 1213})  # lock wait time-out, deadlock


def hide(options: Mapping[str, str | SecretStr]) -> dict[str, str | SecretStr]:
    """Return options of a URL, those that sound like secrets as such."""
    return {
        name: SecretStr(text) if isinstance(text, str) and (_SECRET.search(name) or _SECRET.search(text)) else text
        for name, text in options.items()
    }


def make_engine(
    url: "URL",
    arguments: dict[str, Any],
    *,
    hidden: frozenset[str] = frozenset(),
    pool_size: int,
    timeout: float,
    statement_timeout: float | None,
) -> "Engine":
    """Return a new engine.

    Args:
        url: Of the database.
        arguments: For the driver's `connect`.
        hidden: Names of the options in the URL that are secrets.
        pool_size: Connections that are kept open.
        timeout: Seconds to wait for a free one, and for the server to answer a new one.
        statement_timeout: Seconds that a statement may take, if there is an end to them.

    Raises:
        ConfigurationError: If the driver is one for asyncio, or none that can end statements.
    """
    import sqlalchemy  # noqa: PLC0415  only who uses a database pays for it

    kind: Any = url.get_dialect()
    if kind.is_async:
        raise ConfigurationError(
            f"the driver {url.drivername!r} is one for asyncio only; use another one, such as 'postgresql+psycopg' or"
            " 'sqlite': the methods that start with 'a' work with any",
            setting="driver",
        )
    option = _PATIENCE.get(kind.driver)
    if option is not None and option not in url.query:
        arguments = {option: max(2, math.ceil(timeout)), **arguments}
    if kind.driver in _LIBPQ:
        arguments = {**{name: value for name, value in _ALIVE.items() if name not in url.query}, **arguments}
    if statement_timeout is not None:
        url, arguments = _ended(url, arguments, kind.driver, statement_timeout)
    pool: dict[str, Any] = {"pool_size": pool_size, "pool_timeout": timeout}
    if issubclass(kind.get_pool_class(url), sqlalchemy.SingletonThreadPool):
        # SQLite in memory: each connection has a database of its own, so there is one, for all threads in turn.
        pool.update(poolclass=sqlalchemy.QueuePool, pool_size=1, max_overflow=0)
        arguments = {"check_same_thread": False, **arguments}
    elif not issubclass(kind.get_pool_class(url), sqlalchemy.QueuePool):
        pool = {}
    engine = sqlalchemy.create_engine(
        url,
        connect_args=arguments,
        pool_pre_ping=True,  # a server that restarted is no error
        hide_parameters=True,  # values have no place in messages
        **pool,
    )
    if kind.driver == "psycopg":
        from entrepot.blocks._postgres import give_up_in_time  # noqa: PLC0415  it needs psycopg

        give_up_in_time(engine, timeout=timeout, statement_timeout=statement_timeout)
    if hidden:
        engine.url = _discreet(engine.url, hidden)
    return engine


def _ended(url: "URL", arguments: dict[str, Any], driver: str, seconds: float) -> "tuple[URL, dict[str, Any]]":
    """Return what lets the server end each statement after some time; options that were given go before it."""
    if driver not in _LIBPQ:
        raise ConfigurationError(
            "statement_timeout works with PostgreSQL, by the drivers psycopg and psycopg2; leave it out, and give what"
            " your driver has for it in connect_args",
            setting="statement_timeout",
        )
    given = arguments.get("options", url.query.get("options", ""))
    ours = f"-c statement_timeout={max(1, math.ceil(seconds * 1000))}"
    return url.difference_update_query(["options"]), {**arguments, "options": f"{ours} {given}".strip()}


def _discreet(url: "URL", hidden: frozenset[str]) -> "URL":
    """Return a URL that prints without these options: SQLAlchemy itself hides the password alone."""
    import sqlalchemy  # noqa: PLC0415  only who uses a database pays for it

    class DiscreetURL(sqlalchemy.URL):
        __slots__ = ()

        def render_as_string(self, hide_password: bool = True) -> str:  # noqa: FBT001, FBT002  SQLAlchemy's signature
            plain = sqlalchemy.URL(*self)
            if not hide_password:
                return plain.render_as_string(hide_password=False)
            shown = {name: _STARS if name in hidden else value for name, value in self.query.items()}
            return str(plain.set(query=shown)).replace(quote_plus(_STARS), _STARS)

        def __reduce__(self) -> tuple[Any, ...]:
            return sqlalchemy.URL, tuple(self)

    return DiscreetURL(*url)


def parts_of(url: str) -> dict[str, Any]:
    """Return the fields that a URL stands for.

    Raises:
        ValueError: If it is none. It is not repeated: it may have a password in it.
    """
    try:
        from sqlalchemy import make_url  # noqa: PLC0415  only who gives a URL pays for it
    except ImportError:
        raise ValueError('to read a URL SQLAlchemy is needed: pip install "entrepot[sql]"') from None
    try:
        parts = make_url(url)
    except Exception:  # noqa: BLE001  whatever it says, it may repeat the URL
        raise ValueError("it is no URL of a database; write 'dialect+driver://user:password@host/database'") from None
    if any(not isinstance(value, str) for value in parts.query.values()):
        raise ValueError("an option stands in the URL twice")
    found = {
        "driver": parts.drivername,
        "username": parts.username,
        "password": None if parts.password is None else SecretStr(str(parts.password)),
        "host": parts.host,
        "port": parts.port,
        "database": parts.database,
        "query": dict(parts.query),
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def unusable(driver: str, error: Exception) -> EntrepotError:
    """Return the error for a driver of which no engine can be made."""
    if isinstance(error, ModuleNotFoundError):
        todo = 'pip install "entrepot[sql]"' if error.name == "sqlalchemy" else "install the driver that it names"
        return ConfigurationError(
            f"the database driver {driver!r} needs the module {error.name!r}, which is not installed; {todo}",
            setting="driver",
        )
    if driver.partition("+")[0] == "postgres":
        return ConfigurationError("no database engine is called 'postgres': write 'postgresql'", setting="driver")
    return ConfigurationError(
        f"no database engine can be made of this block ({type(error).__name__}): check driver, query and connect_args",
        setting="driver",
    )


def clear(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with secrets in clear."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in options.items()
    }


def may_pass(error: BaseException | None) -> bool:
    """Say whether a refusal is of the kind that goes away: something was locked, or too many were at it."""
    state = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
    if state:
        return state.startswith(_PASSING_STATES)
    first = error.args[0] if error is not None and error.args else None
    return getattr(error, "sqlite_errorcode", None) in _PASSING_SQLITE or first in _PASSING_MYSQL


def said(error: Exception, secrets: Sequence[str]) -> str:
    """Return the driver's own first words, without the statement and secrets."""
    own = getattr(error, "orig", None) or error
    first = getattr(getattr(own, "diag", None), "message_primary", None)  # PostgreSQL's others repeat the statement
    words = " ".join(str(first or own).split()).partition(" (Background on this error")[0]
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            if form:
                words = words.replace(form, "***")
    return words[:300]
