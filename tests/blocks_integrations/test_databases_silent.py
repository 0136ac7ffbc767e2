"""`SqlAlchemyConnector` where the network goes silent: what is sent is taken, and nothing comes back."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url, text

from entrepot.blocks import SqlAlchemyConnector
from entrepot.errors import ConfigurationError, DatabaseError
from entrepot_test_clocks import HeldClock

pytestmark = pytest.mark.one_python


class Swallowing:
    """Stands before a server on a Unix socket, by TCP; once `silent`, it takes what is sent and passes nothing on.

    Attributes:
        silent: Whether it is.
        clock: Of those who wait for answers; it stands still while it is not.
        until: It is from the moment that a client says this.
    """

    def __init__(self, server: Path) -> None:
        self.silent = threading.Event()
        self.clock = HeldClock()
        self.clock.hold()
        self.until = b""
        self._server = server
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hush(self) -> None:
        self.silent.set()
        self.clock.go_on()

    def speak(self) -> None:
        self.clock.hold()
        self.silent.clear()

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self.until and self.until in data:
                    self.hush()
                if not self.silent.is_set():
                    target.sendall(data)
            if not self.silent.is_set():
                target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(postgres: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Swallowing]:
    folder = make_url(postgres["url"]).query["host"]
    proxy = Swallowing(Path(str(folder)) / ".s.PGSQL.5432")
    monkeypatch.setattr("entrepot.blocks._postgres.time", SimpleNamespace(monotonic=proxy.clock))
    try:
        yield proxy
    finally:
        proxy.close()


def _behind(proxy: Swallowing, postgres: dict[str, Any], **options: Any) -> SqlAlchemyConnector:
    url = make_url(postgres["url"])
    return SqlAlchemyConnector(
        driver=url.drivername, username=url.username, password=url.password or None, database=url.database,
        host="127.0.0.1", port=proxy.port, pool_size=1, **options,
    )  # fmt: skip


def test_a_statement_whose_answer_never_comes_is_given_up(proxy: Swallowing, postgres: dict[str, Any]) -> None:
    block = _behind(proxy, postgres, timeout=2, statement_timeout=0.5)
    with pytest.raises(DatabaseError, match="broke off: no answer within 1 s") as caught, block.connection() as held:  # noqa: PT012  all of it
        held.execute(text("SELECT 1"))
        proxy.hush()
        block._guarded(lambda: held.execute(text("SELECT 2")))
    assert caught.value.retryable
    proxy.speak()
    assert block.fetch_one("SELECT 3") == (3,)


def test_a_pooled_connection_that_died_in_silence_is_replaced(proxy: Swallowing, postgres: dict[str, Any]) -> None:
    block = _behind(proxy, postgres, timeout=1)  # no end to statements
    assert block.fetch_one("SELECT 1") == (1,)
    proxy.hush()
    with pytest.raises(DatabaseError, match="cannot be reached") as caught:
        block.fetch_one("SELECT 2")
    assert caught.value.retryable
    proxy.speak()
    assert block.fetch_one("SELECT 3") == (3,)


def test_what_went_wrong_is_told_though_it_cannot_be_rolled_back(proxy: Swallowing, postgres: dict[str, Any]) -> None:
    block = _behind(proxy, postgres, timeout=1)
    with pytest.raises(ZeroDivisionError), block.connection() as held:  # noqa: PT012  all of it
        held.execute(text("SELECT 1"))
        proxy.hush()
        1 / 0  # noqa: B018
    proxy.speak()
    assert block.fetch_one("SELECT 3") == (3,)


def test_a_server_that_lets_in_and_says_nothing_more_is_given_up(proxy: Swallowing, postgres: dict[str, Any]) -> None:
    proxy.until = b"version()"
    with pytest.raises(DatabaseError, match="no answer within") as caught:
        _behind(proxy, postgres, timeout=1).check()
    assert proxy.silent.is_set()
    assert caught.value.retryable


def test_the_server_ends_a_statement_that_takes_too_long(
    postgres: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(
        "entrepot.blocks._postgres.time", standing
    )  # or the block gives up before a server that is slow
    block = SqlAlchemyConnector(**postgres, statement_timeout=0.5, connect_args={"options": "-c work_mem=5MB"})
    with pytest.raises(DatabaseError, match="statement timeout"):
        block.fetch_one("SELECT pg_sleep(60)")
    assert block.fetch_one("SHOW statement_timeout") == ("500ms",)
    assert block.fetch_one("SHOW work_mem") == ("5MB",)
    assert block.fetch_one("SELECT sum(n) FROM generate_series(1, 10) AS n") == (55,)


def test_slow_answers_that_come_in_time_are_whole(proxy: Swallowing, postgres: dict[str, Any]) -> None:
    block = _behind(proxy, postgres, statement_timeout=60)
    with ThreadPoolExecutor(4) as pool:
        sums = pool.map(
            lambda _: sum(row[0] for row in block.fetch_all("SELECT n FROM generate_series(1, 20000) AS n")), range(4)
        )
        assert set(sums) == {200010000}
    rows = [
        row for batch in block.fetch_batches("SELECT n FROM generate_series(1, 3000) AS n", size=700) for row in batch
    ]
    assert len(rows) == 3000


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError):
        SqlAlchemyConnector(driver="sqlite", statement_timeout=seconds)


def test_a_driver_that_ends_no_statements_says_so() -> None:
    with pytest.raises(ConfigurationError, match="statement_timeout works with PostgreSQL"):
        SqlAlchemyConnector(driver="sqlite", statement_timeout=1).fetch_one("SELECT 1")
