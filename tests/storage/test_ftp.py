"""FTP, with a real server on loopback: what went wrong is never taken for an absent object or an empty folder."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from entrepot import errors
from entrepot.storage import FileStorage
from entrepot.testing import StorageContract
from entrepot_test_tls import make_certificate

pytestmark = pytest.mark.one_python

PASSWORD = "p4ssword of the server"


class Server:
    """An FTP server in a thread; `fault` says by command how it answers instead, "cut" that a download breaks off."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.fault: dict[str, str] = {}
        server = self

        class Downloads(DTPHandler):
            def send(self, data: bytes) -> Any:
                if "cut" in server.fault:
                    super().send(data[: len(data) // 2])
                    if server.fault["cut"] == "hang up":
                        self.cmd_channel.close()
                    else:
                        self.cmd_channel.respond(server.fault["cut"])
                    self.close()
                    return 0
                return super().send(data)

        class Handler(FTPHandler):
            dtp_handler = Downloads
            use_sendfile = False
            authorizer = DummyAuthorizer()
            auth_failed_timeout = 0

            def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
                answer = server.fault.get(cmd)
                if answer == "hang up":
                    self.close()
                elif answer is not None:
                    self.respond(answer)
                else:
                    super().process_command(cmd, *args, **kwargs)

        for name, value in options.items():
            setattr(Handler, name, value)
        Handler.authorizer.add_user("me", PASSWORD, str(folder), perm="elradfmwMT")
        self._loop = IOLoop()
        self._server = FTPServer(("127.0.0.1", 0), Handler, ioloop=self._loop)
        self.address = self._server.address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            self._loop.loop(timeout=0.02, blocking=False)
        self._server.close_all()

    def storage(self) -> FileStorage:
        host, port = self.address
        return FileStorage.from_url(f"ftp://{host}:{port}/store", username="me", password=PASSWORD, timeout=120)

    def close(self) -> None:
        self._over.set()
        self._thread.join(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    try:
        yield found
    finally:
        found.close()


class TestFtp(StorageContract):
    exclusive = False

    @pytest.fixture
    def storage(self, server: Server) -> FileStorage:
        return server.storage()


@pytest.mark.parametrize("command", ["MLSD", "PASV", "EPSV", "TYPE", "NOOP", "RETR"])
@pytest.mark.parametrize("answer", ["421 Too many users.", "425 Can't open data connection.", "hang up"])
def test_trouble_is_an_error_and_never_a_miss(server: Server, command: str, answer: str) -> None:
    storage = server.storage()
    storage.put("a/b", b"content")
    server.fault = {command: answer, **({"PASS": answer} if command == "NOOP" else {})}
    asked = {"read": lambda: storage.get("a/b"), "stat": lambda: storage.stat("a/b"), "list": lambda: [*storage.list()]}
    expected = {"MLSD": {"stat", "list"}, "RETR": {"read"}}.get(command, {*asked})
    if command in {"PASV", "EPSV"}:
        server.fault = dict.fromkeys(("PASV", "EPSV"), answer)
    for name in sorted(expected):
        with pytest.raises(errors.StorageUnreachableError) as caught:
            asked[name]()
        assert PASSWORD not in str(caught.value)
    server.fault = {}
    assert bytes(storage.get("a/b")) == b"content"
    assert [each.path for each in storage.list()] == ["a/b"]


@pytest.mark.parametrize("end", ["426 Transfer aborted.", "hang up"])
def test_a_download_that_breaks_off_is_no_short_value(server: Server, end: str) -> None:
    storage = server.storage()
    content = bytes(range(256)) * 4096
    storage.put("large", content)
    server.fault = {"cut": end}
    with pytest.raises(errors.StorageUnreachableError):
        storage.get("large")
    server.fault = {}
    assert storage.get("large") == content
    assert storage.get("large", start=300_000, length=5) == content[300_000:300_005]
    assert storage.get("large") == content


def test_threads_take_turns_on_the_one_connection(server: Server) -> None:
    storage = server.storage()
    for number in range(8):
        storage.put(f"n/{number}", str(number).encode() * 1000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: bytes(storage.get(f"n/{n % 8}")), range(64)))
    assert found == [str(n % 8).encode() * 1000 for n in range(64)]


def test_a_server_that_does_not_know_mlsd_is_asked_for_long_listings(tmp_path: Path) -> None:
    commands = {name: facts for name, facts in FTPHandler.proto_cmds.items() if name not in {"MLSD", "MLST"}}
    server = Server(tmp_path, proto_cmds=commands)
    try:
        storage = server.storage()
        storage.put("a/b c", b"12345")
        assert [(each.path, each.size) for each in storage.list()] == [("a/b c", 5)]
        assert storage.stat("a/b c").size == 5
        with pytest.raises(errors.ObjectNotFoundError):
            storage.get("a/x")
        server.fault = dict.fromkeys(("PASV", "EPSV"), "425 Can't open data connection.")
        with pytest.raises(errors.StorageUnreachableError):
            [*storage.list()]
    finally:
        server.close()


def test_a_listing_leads_out_of_no_folder(tmp_path: Path) -> None:
    class Leading(AbstractedFS):
        def format_mlsx(self, *args: Any, **options: Any) -> Iterator[bytes]:
            yield from super().format_mlsx(*args, **options)
            for kind, name in (("dir", ".."), ("dir", "."), ("file", "../up"), ("dir", "../../up")):
                yield f"type={kind};size=3; {name}\r\n".encode()

    server = Server(tmp_path, abstracted_fs=Leading)
    try:
        storage = server.storage()
        storage.put("a/b", b"12345")
        assert [each.path for each in storage.list()] == ["a/b"]
    finally:
        server.close()


def test_a_password_that_is_not_right_is_one_clear_error(server: Server) -> None:
    host, port = server.address
    with pytest.raises(errors.StorageAccessError) as caught:
        FileStorage.from_url(f"ftp://me:{PASSWORD[:4]}x@{host}:{port}/store")
    assert PASSWORD[:4] not in str(caught.value)


class Encrypting:
    """Speaks FTP until the log-in, encrypted as soon as it is asked to; `said` is what came."""

    def __init__(self, certificate: Path) -> None:
        self.said: list[str] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"ftp://127.0.0.1:{self._listening.getsockname()[1]}/store"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.sendall(b"220 Hello\r\n")
            self.said.append(connection.recv(100).decode().strip())
            connection.sendall(b"234 Go on\r\n")
            connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            for answer in (b"331 Who are you?\r\n", b"530 No\r\n"):
                self.said.append(connection.recv(100).decode().strip())
                connection.sendall(answer)

    def close(self) -> None:
        self._listening.close()
        self._thread.join(60)


def test_a_server_whose_certificate_is_not_known_is_not_told_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_certificate(tmp_path / "server.pem", "127.0.0.1")
    server = Encrypting(file)
    with pytest.raises(errors.StorageAccessError, match="certificate of ftp:"):
        FileStorage.from_url(server.url, username="me", password=PASSWORD, tls=True, timeout=120)
    server.close()
    assert server.said == ["AUTH TLS"]
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server = Encrypting(file)
    with pytest.raises(errors.StorageAccessError, match="refused"):
        FileStorage.from_url(server.url, username="me", password=PASSWORD, tls=True, timeout=120)
    server.close()
    assert server.said == ["AUTH TLS", "USER me", f"PASS {PASSWORD}"]
    with pytest.raises(errors.ConfigurationError, match="write tls=True"):
        FileStorage.from_url(server.url, tls="tls")


def test_what_may_not_be_read_is_refused_and_not_absent(server: Server, tmp_path: Path) -> None:
    storage = server.storage()
    storage.put("a/b", b"content")
    server.fault = {"RETR": "550 Permission denied.", "DELE": "550 Permission denied."}
    for act in (lambda: storage.get("a/b"), lambda: storage.delete("a/b")):
        with pytest.raises(errors.StorageAccessError):
            act()
    server.fault = {"STOR": "552 Exceeded storage allocation."}
    with pytest.raises(errors.StorageFullError):
        storage.put("a/c", b"x")
    server.fault = {}
    assert [each.path for each in storage.list()] == ["a/b"]
    assert sorted(path.name for path in (tmp_path / "store" / "a").iterdir()) == ["b"]
