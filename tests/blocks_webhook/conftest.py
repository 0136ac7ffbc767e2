"""A real HTTP server on loopback whose answers a test writes."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Received:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Hook:
    """The server: `received` holds what came in, `answers` what goes out by path (else 200 "ok")."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.answers[path] = (status, {"Location": to}, b"")


def _make_handler(hook: Hook) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            with contextlib.suppress(OSError):  # the client may leave first: that is what some tests are about
                self.answer_if_they_stay()

        def answer_if_they_stay(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook.received.append(Received(self.command, self.path, headers, self.rfile.read(size)))
            answer = hook.answers.get(self.path, (200, {}, b"ok"))
            if callable(answer):
                self.close_connection = True
                answer(self)
                return
            status, extra, body = answer
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815  http.server's names

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def _serving(tls: Any = None) -> Iterator[Hook]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.daemon_threads = True
    hook = Hook(server.server_address[1])
    server.RequestHandlerClass = _make_handler(hook)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with _serving() as found:
        yield found


@pytest.fixture
def other_hook() -> Iterator[Hook]:
    """A second server: another port is another origin."""
    with _serving() as found:
        yield found


@pytest.fixture
def serving() -> Callable[..., contextlib.AbstractContextManager[Hook]]:
    """Start one more server, with TLS if a context is given."""
    return _serving
