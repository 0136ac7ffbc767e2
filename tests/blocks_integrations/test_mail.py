"""`EmailServer`, against a real SMTP server on loopback."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pydantic import ValidationError

from entrepot.blocks import EmailServer
from entrepot.errors import ConfigurationError, NotificationError
from entrepot_test_secrets import leaks, our_frames
from entrepot_test_tls import make_certificate

PASSWORD = "the mail passw0rd"
BEYOND_ASCII = "the mäil passw0rd"


class Box:
    """What the server got."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], EmailMessage]] = []
        self.tls: list[bool] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802  aiosmtpd's name
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  as above
        message: Any = message_from_bytes(envelope.content, policy=policy.default)
        self.got.append((list(envelope.rcpt_tos), message))
        self.tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 kept"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 'localhost' that only this test trusts, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem", "localhost")


Start = Callable[..., tuple[EmailServer, Box]]


@pytest.fixture
def start(certificate: Path) -> Iterator[Start]:
    """Start a server and return a block for it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []

    def begin(security: str = "starttls", **options: Any) -> tuple[EmailServer, Box]:
        box = Box()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

        def authenticator(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            right = (
                isinstance(data, LoginPassword)
                and data.login == b"me"
                and data.password.decode() in {PASSWORD, BEYOND_ASCII}
            )
            return AuthResult(success=right, handled=False)

        starttls = {"tls_context": context, "require_starttls": True}
        kinds = {"none": {"auth_require_tls": False}, "starttls": starttls, "tls": {"auth_require_tls": False}}

        async def listen() -> asyncio.Server:
            made = lambda: SMTP(box, hostname="localhost", authenticator=authenticator, loop=loop, **kinds[security])  # noqa: E731
            return await loop.create_server(made, "127.0.0.1", 0, ssl=context if security == "tls" else None)

        server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        given = {
            "host": "localhost",
            "port": port,
            "security": security,
            "username": "me",
            "password": PASSWORD,
            "sender": "Alerts <alerts@example.test>",
            "ca_file": str(certificate),
            "timeout": 120,
        }
        return EmailServer(**{**given, **options}), box

    yield begin
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_message_arrives_as_it_was_sent(start: Start, security: str) -> None:
    block, box = start(security)
    number = block.send(
        ["Anna <a@example.test>", "b@example.test"],
        "Ümläut and a very long subject " + "x" * 120,
        "Hello\n.\nWörld",
        html="<p>Hello</p>",
        attachments={"täble.csv": b"a,b\r\n1,2\n\0"},
    )
    ((to, message),) = box.got
    assert to == ["a@example.test", "b@example.test"]
    assert box.tls == [security != "none"]
    assert message["Message-ID"] == number
    assert message["From"] == "Alerts <alerts@example.test>"
    assert message["Subject"] == "Ümläut and a very long subject " + "x" * 120
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == "Hello\n.\nWörld"
    (attachment,) = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_payload(decode=True)) == ("täble.csv", b"a,b\r\n1,2\n\0")


def test_notify_goes_to_the_recipients_of_the_block(start: Start) -> None:
    block, box = start(recipients=["team@example.test"])
    block.notify("it failed", "Flow 'x'")
    asyncio.run(block.anotify("again"))
    assert [(to, message["Subject"]) for to, message in box.got] == [
        (["team@example.test"], "Flow 'x'"),
        (["team@example.test"], "A message of Entrepot"),
    ]
    assert block.check() == f"connected to localhost:{block.port} as me"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"password": PASSWORD[::-1]}, "does not let 'me' in"),
        ({"ca_file": None}, "certificate that is not valid"),
        ({"host": "127.0.0.1"}, "certificate that is not valid"),
        ({"port": 1}, "cannot be reached"),
    ],
)
def test_what_goes_wrong_is_one_error_without_secrets(start: Start, options: dict[str, Any], match: str) -> None:
    block, box = start(**options)
    with pytest.raises(NotificationError, match=match) as caught:
        block.send("a@example.test", "subject", f"text with {PASSWORD}")
    assert box.got == []
    assert not leaks(our_frames(caught.value).replace(f"text with {PASSWORD}", ""), PASSWORD)


def test_a_refused_recipient_is_told(start: Start) -> None:
    block, _ = start()
    with pytest.raises(
        NotificationError, match=r"refuses nobody@example\.test \(550\); the others were sent it"
    ) as some:
        block.send(["a@example.test", "nobody@example.test"], "s", "b")
    with pytest.raises(NotificationError, match=r"refuses nobody@example\.test \(550\); check the address"):
        block.send("nobody@example.test", "s", "b")
    assert "a@example.test" not in str(some.value)


def test_an_attachment_is_of_the_kind_that_its_name_says(start: Start) -> None:
    block, box = start()
    files = {
        "report.csv": b"a,b\r\n1,2\r\n",
        "umlauts.txt": "\u00e4".encode(),
        "bad.txt": b"\xff\xfe",
        "plot.png": b"\x89PNG",
        "logs.txt.gz": b"\x1f\x8b",
        "mail.eml": b"From: x\r\n\r\nx",
        "no-suffix": b"?",
    }
    block.send("a@example.test", "s", "b", attachments=files)
    parts = list(box.got[0][1].iter_attachments())
    assert {part.get_filename(): part.get_content_type() for part in parts} == {
        "report.csv": "text/csv",
        "umlauts.txt": "text/plain",
        "bad.txt": "text/plain",
        "plot.png": "image/png",
        "logs.txt.gz": "application/gzip",
        "mail.eml": "application/octet-stream",
        "no-suffix": "application/octet-stream",
    }
    assert {part.get_filename(): part.get_payload(decode=True) for part in parts} == files
    assert parts[1].get_content() == "\u00e4"


ODD_ADDRESSES = [
    "",
    "group: a@b.test;",
    "a b@c.test",
    "=?utf-8?q?other=40x.test=2C?= <a@b.test>",  # programs would show two
    "a@b.test\u2028Bcc: x@y.test",
    "other@x.test <a@b.test>",
]


@pytest.mark.parametrize("text", ["a@b\r\nBcc: x@y", "no address", "a@b, c@d", "@b", "a@", *ODD_ADDRESSES])
def test_an_address_cannot_be_more_than_one(start: Start, text: str) -> None:
    block, box = start()
    with pytest.raises(ValueError, match="address"):
        block.send(text, "s", "b")
    with pytest.raises(ValidationError):
        EmailServer(host="h", sender=text)
    assert box.got == []


def test_headers_cannot_be_injected(start: Start) -> None:
    block, box = start()
    with pytest.raises(ValueError, match="line break"):
        block.send("a@example.test", "s\nBcc: x@example.test", "b")
    with pytest.raises(ValueError, match="line break"):
        block.send("a@example.test", "s", "b", attachments={"x\r\nX-Evil: 1": b""})
    with pytest.raises(ValueError, match="nobody"):
        block.notify("x")
    assert box.got == []


def test_a_password_never_goes_in_clear_to_another_machine() -> None:
    with pytest.raises(ValidationError, match="in clear"):
        EmailServer(host="203.0.113.9", security="none", username="me", password=PASSWORD, sender="a@b.test")
    with pytest.raises(ValidationError, match="no username"):
        EmailServer(host="h", password=PASSWORD, sender="a@b.test")
    with pytest.raises(ValidationError, match="other way round"):
        EmailServer(host="h", username="me", sender="a@b.test")


def test_a_name_that_leads_to_another_machine_later_gets_no_password(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, box = start("none")
    monkeypatch.setattr("entrepot.blocks.mail._is_loopback", lambda address: False)
    with pytest.raises(NotificationError, match="another machine") as caught:
        block.send("a@example.test", "s", "b")
    assert box.got == []
    assert not leaks(our_frames(caught.value), PASSWORD)


def test_passwords_and_names_may_be_of_any_script(start: Start) -> None:
    block, box = start("tls", password=BEYOND_ASCII)
    block.send('"Jürgen, Büro" <a@example.test>', "s", "b")
    ((to, message),) = box.got
    assert to == ["a@example.test"]
    (address,) = message["To"].addresses
    assert (address.display_name, address.addr_spec) == ("Jürgen, Büro", "a@example.test")
    with pytest.raises(NotificationError, match="does not let 'me' in"):
        start("tls", password=BEYOND_ASCII[::-1])[0].check()


def test_a_subject_of_a_notification_may_be_any_text(start: Start) -> None:
    block, box = start(recipients=["team@example.test"])
    block.notify("b", "flow\r\nBcc: x@example.test\n")
    ((to, message),) = box.got
    assert (to, message["Subject"]) == (["team@example.test"], "flow Bcc: x@example.test")


def test_text_that_has_no_encoding_is_one_clear_error(start: Start) -> None:
    block, _ = start()
    with pytest.raises(ValueError, match="lone surrogates"):
        block.send("a@example.test", "s", "\ud800")


@pytest.mark.parametrize(("content", "match"), [(None, "No such file"), ("no certificate", "no certificate in it")])
def test_a_file_of_certificates_that_cannot_be_read_is_told(tmp_path: Path, content: str | None, match: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=match):
        EmailServer(host="h", sender="a@b.test", ca_file=str(file)).check()


Answer = Callable[[Any], None]


@contextlib.contextmanager
def scripted(answer: Answer, timeout: float) -> Iterator[EmailServer]:
    """Run a server that answers one connection as a test has it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        yield EmailServer(host="127.0.0.1", port=port, security="none", sender="a@b.test", timeout=timeout)
        thread.join(60)


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def slow(connection: socket.socket) -> None:
    while True:  # each line comes in time, and there is no last one
        connection.sendall(b"220-wait\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, slow])
def test_a_server_that_never_answers_is_given_up(answer: Answer) -> None:
    with scripted(answer, 0.3) as block, pytest.raises(NotificationError, match="did not answer within"):
        block.check()


def test_what_was_taken_is_sent_whatever_the_server_says_to_goodbye() -> None:
    def rude(connection: socket.socket) -> None:
        connection.sendall(b"220 hello\r\n")
        for line in connection.makefile("rb"):
            connection.sendall(b"500 go away\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")

    with scripted(rude, 60) as block:
        assert block.check().startswith("connected")
