"""Requests that go only where they may, over a real server on loopback."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.blocks._addresses import Address, why_blocked
from entrepot.blocks._http import HTTPClient, HTTPResponse, check_headers, check_url
from entrepot.errors import BlockedAddressError, WebhookError
from entrepot_test_clocks import HeldClock, hold_http
from entrepot_test_tls import make_certificate

SECRET = "T0KEN-IN-THE-URL"


def loopback_only(address: Address) -> str | None:
    """The rule, with one exception for the test's own server."""
    return None if str(address) == "127.0.0.1" else why_blocked(address)


def client(timeout: float = 60, **options: Any) -> HTTPClient:
    return HTTPClient(timeout=timeout, **{"refuse": loopback_only} | options)


class TestSending:
    def test_what_is_sent_arrives(self, hook: Any) -> None:
        answer = client().send("PUT", f"{hook.url}/a%20b?c=d", headers={"X-Token": "t", "Accept": "a/b"}, body=b"hello")
        (got,) = hook.received
        assert (got.method, got.path, got.body) == ("PUT", "/a%20b?c=d", b"hello")
        assert got.headers["x-token"] == "t"
        assert got.headers["accept"] == "a/b"
        assert got.headers["host"] == f"127.0.0.1:{hook.port}"
        assert got.headers["user-agent"].startswith("entrepot/")
        assert got.headers["content-length"] == "5"
        assert (answer.status, answer.body, answer.text, answer.ok, answer.truncated) == (200, b"ok", "ok", True, False)

    def test_an_error_status_is_an_answer(self, hook: Any) -> None:
        hook.answers["/no"] = (503, {"X-Why": "tired"}, b'{"error": 1}')
        answer = client().send("POST", f"{hook.url}/no")
        assert (answer.status, answer.ok, answer.headers["x-why"], answer.json()) == (503, False, "tired", {"error": 1})
        with pytest.raises(WebhookError, match="503 Service Unavailable") as caught:
            answer.raise_for_status()
        assert caught.value.status == 503

    def test_an_answer_that_is_no_json_says_so(self) -> None:
        with pytest.raises(WebhookError, match=r"\(2 bytes\) is no JSON"):
            HTTPResponse(200, {}, b"ok").json()
        with pytest.raises(WebhookError, match=r"\(100000 bytes\) is no JSON"):
            HTTPResponse(200, {}, b"[" * 100_000).json()

    def test_an_answer_shows_no_body_in_its_repr(self) -> None:
        assert SECRET not in repr(HTTPResponse(200, {"x": SECRET}, SECRET.encode()))

    def test_a_huge_answer_is_cut(self, hook: Any) -> None:
        hook.answers["/big"] = (200, {}, b"x" * 3_000_000)
        answer = client().send("GET", f"{hook.url}/big")
        assert (len(answer.body), answer.truncated) == (1 << 20, True)

    def test_an_endless_answer_is_cut(self, hook: Any) -> None:
        def pour(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while True:
                handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        hook.answers["/endless"] = pour
        assert client().send("GET", f"{hook.url}/endless").truncated

    def test_an_answer_that_breaks_off_is_none(self, hook: Any) -> None:
        def cut(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b'{"a": 1}')

        hook.answers["/x"] = cut
        with pytest.raises(WebhookError, match="broke off without a usable answer"):
            client().send("GET", f"{hook.url}/x")

    def test_a_head_request_has_no_body_to_read(self, hook: Any) -> None:
        hook.answers["/head"] = (204, {}, b"")
        assert client().send("HEAD", f"{hook.url}/head").status == 204

    def test_proxies_of_the_environment_are_not_used(self, hook: Any, other_hook: Any, monkeypatch: Any) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other_hook.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        client().send("GET", hook.url)
        assert len(hook.received) == 1
        assert other_hook.received == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    """The time of the client, which stands still until the server lets it go on."""
    return hold_http(monkeypatch)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """What servers wait for that never answer: the end of the test."""
    over = threading.Event()
    yield over
    over.set()


class TestSlowAndBrokenServers:
    def test_a_server_that_never_answers_times_out(self, hook: Any, clock: HeldClock, over: threading.Event) -> None:
        hook.answers["/slow"] = lambda handler: over.wait()
        self.expect_timeout(f"{hook.url}/slow")

    def test_a_server_that_drips_headers_times_out(self, hook: Any, clock: HeldClock, over: threading.Event) -> None:
        def drip(handler: Any) -> None:
            clock.go_on()
            while not over.wait(0.02):
                handler.wfile.write(b"H")
                handler.wfile.flush()

        hook.answers["/drip"] = drip
        self.expect_timeout(f"{hook.url}/drip")

    def test_a_server_that_drips_its_body_times_out(self, hook: Any, clock: HeldClock, over: threading.Event) -> None:
        def drip(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            clock.go_on()
            while not over.wait(0.02):
                handler.wfile.write(b"x")

        hook.answers["/drip"] = drip
        self.expect_timeout(f"{hook.url}/drip")

    def test_waiting_for_the_next_byte_counts_from_the_start(
        self, hook: Any, clock: HeldClock, over: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []

        class Noting(socket.socket):
            def settimeout(self, value: float | None) -> None:
                waits.append(value or 0.0)
                super().settimeout(value)

        def late(handler: Any) -> None:
            clock.pass_by(0.3)
            handler.wfile.write(b"H")
            handler.wfile.flush()
            over.wait()

        hook.answers["/late"] = late
        monkeypatch.setattr(socket, "socket", Noting)
        with pytest.raises(WebhookError, match="did not answer"):
            client(timeout=0.4).send("POST", f"{hook.url}/late")
        assert waits[-1] == pytest.approx(0.1)

    def test_a_server_that_accepts_and_says_nothing_times_out(self, clock: HeldClock) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            self.expect_timeout(f"http://127.0.0.1:{silent.getsockname()[1]}/")
            self.expect_timeout(f"https://127.0.0.1:{silent.getsockname()[1]}/", "cannot connect to .*: no answer")

    def expect_timeout(self, url: str, message: str = "did not answer within 0.4 s; it may have received") -> None:
        with pytest.raises(WebhookError, match=message) as caught:
            client(timeout=0.4).send("POST", url)
        assert caught.value.status is None

    @pytest.mark.parametrize(
        "garbage", [b"", b"not http\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200]
    )
    def test_garbage_is_one_clear_error(self, hook: Any, garbage: bytes) -> None:
        hook.answers["/garbage"] = lambda handler: handler.wfile.write(garbage)
        with pytest.raises(WebhookError, match="broke off without a usable answer"):
            client().send("GET", f"{hook.url}/garbage")

    def test_a_closed_port_is_one_clear_error(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            with pytest.raises(WebhookError, match=f"cannot connect to http://127.0.0.1:{port}: Connection refused"):
                client().send("GET", f"http://127.0.0.1:{port}/{SECRET}")

    def test_a_host_that_does_not_resolve_is_one_clear_error(self) -> None:
        def nobody(host: str, port: int) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with pytest.raises(WebhookError, match=r"the host of https://hooks.example.test cannot be resolved"):
            client(resolver=nobody).send("GET", f"https://hooks.example.test/{SECRET}")
        with pytest.raises(WebhookError, match="has no address"):
            client(resolver=lambda host, port: []).send("GET", "https://hooks.example.test")

    def test_a_name_server_that_never_answers_is_given_up(self) -> None:
        answered = threading.Event()

        def resolver(host: str, port: int) -> list[str]:
            answered.wait(60)
            return ["127.0.0.1"]

        try:
            with pytest.raises(WebhookError, match="cannot be resolved"):
                client(timeout=0.2, resolver=resolver).send("GET", "http://hook.test/")
        finally:
            answered.set()

    def test_the_next_address_is_tried_when_one_refuses(self, hook: Any) -> None:
        both = client(refuse=lambda address: None, resolver=lambda host, port: ["127.0.0.9", "127.0.0.1"])
        with pytest.MonkeyPatch.context() as patch:
            real = socket.create_connection
            tried: list[str] = []

            def connect(address: tuple[str, int], **options: Any) -> socket.socket:
                tried.append(address[0])
                if address[0] == "127.0.0.9":
                    raise ConnectionRefusedError(111, "Connection refused")
                return real(address, **options)

            patch.setattr(socket, "create_connection", connect)
            assert both.send("GET", f"http://hooks.example.test:{hook.port}/").ok
        assert tried == ["127.0.0.9", "127.0.0.1"]


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "0.0.0.0"),
            *("[::1]", "[::ffff:127.0.0.1]", "[::]", "[::127.0.0.1]", "10.0.0.1", "169.254.169.254"),
            *("[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "100.100.100.200", "192.168.0.1", "224.0.0.1"),
            *("\u2460\u2461\u2466.0.0.1", "\uff11\uff12\uff17.0.0.1"),
        ],
    )
    def test_spellings_of_addresses_that_are_not_public_are_refused_by_default(self, hook: Any, host: str) -> None:
        with pytest.raises(BlockedAddressError, match="set allow_private_urls=True") as caught:
            HTTPClient(timeout=60).send("POST", f"http://{host}:{hook.port}/{SECRET}", body=b"x")
        assert ip_address(caught.value.address)
        assert isinstance(caught.value, PermissionError)
        assert SECRET not in str(caught.value)
        assert hook.received == []

    def test_one_private_address_among_public_ones_is_enough_to_refuse(self) -> None:
        mixed = HTTPClient(timeout=60, resolver=lambda host, port: ["93.184.215.14", "10.0.0.1"])
        with pytest.raises(BlockedAddressError) as caught:
            mixed.send("GET", "http://hooks.example.test")
        assert caught.value.address == "10.0.0.1"

    def test_a_name_is_resolved_once_so_that_it_cannot_change_after_the_check(self, hook: Any) -> None:
        """DNS rebinding: the first answer passes the check, every later one is the target of the attack."""
        asked: list[str] = []

        def rebinding(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

        answer = client(resolver=rebinding).send("GET", f"http://hooks.example.test:{hook.port}/")
        assert answer.ok
        assert asked == ["hooks.example.test"]
        assert hook.received[0].headers["host"] == f"hooks.example.test:{hook.port}"

    def test_the_connection_goes_to_the_checked_address_and_no_name_is_resolved_below(
        self, hook: Any, monkeypatch: Any
    ) -> None:
        looked_up: list[object] = []
        real = socket.getaddrinfo

        def watching(host: Any, *args: Any, **options: Any) -> Any:
            looked_up.append(host)
            return real(host, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", watching)
        client(resolver=lambda host, port: ["127.0.0.1"]).send("GET", f"http://hooks.example.test:{hook.port}/")
        assert set(looked_up) <= {"127.0.0.1"}

    def test_a_rebinding_host_is_caught_when_a_redirect_comes_back_to_it(self, hook: Any) -> None:
        answers = iter([["127.0.0.1"], ["169.254.169.254"]])
        hook.redirect("/", "/again")
        with pytest.raises(BlockedAddressError) as caught:
            client(resolver=lambda host, port: next(answers)).send("GET", f"http://hooks.example.test:{hook.port}/")
        assert caught.value.address == "169.254.169.254"
        assert len(hook.received) == 1


class TestRedirects:
    @pytest.mark.parametrize(
        "target",
        [
            *("http://169.254.169.254/latest/meta-data/", "http://[::1]:80/", "http://10.0.0.1/", "//10.0.0.1/"),
            *("http://0x7f000002/", "http://[::ffff:10.0.0.1]/"),
        ],
    )
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_to_a_private_address_is_refused(self, hook: Any, target: str, status: int) -> None:
        hook.redirect("/out", target, status)
        with pytest.raises(BlockedAddressError):
            client().send("POST", f"{hook.url}/out")
        assert len(hook.received) == 1

    @pytest.mark.parametrize(
        "target",
        [
            "file:///etc/passwd",
            "ftp://example.test/",
            "gopher://x/",
            "javascript:1",
            "http://[::1",
            "http://u:p@example.test/",
        ],
    )
    def test_to_another_scheme_or_nonsense_is_refused(self, hook: Any, target: str) -> None:
        hook.redirect("/out", target)
        with pytest.raises(WebhookError, match="redirected to something that cannot be called"):
            client().send("GET", f"{hook.url}/out")

    @pytest.mark.parametrize(
        ("status", "method", "becomes"),
        [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (302, "PUT", "PUT"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
            (308, "PATCH", "PATCH"),
        ],
    )
    def test_change_the_method_as_browsers_do(self, hook: Any, status: int, method: str, becomes: str) -> None:
        hook.redirect("/out", "in", status)
        client().send(method, f"{hook.url}/out", headers={"Content-Type": "a/b", "X-Token": "t"}, body=b"body")
        last = hook.received[-1]
        assert (last.method, last.path) == (becomes, "/in")
        kept = method == becomes
        assert last.body == (b"body" if kept else b"")
        assert ("content-type" in last.headers) == kept
        assert last.headers["x-token"] == "t", "the same origin keeps the headers"

    def test_to_another_origin_carry_no_credentials(self, hook: Any, other_hook: Any) -> None:
        hook.redirect("/out", f"{other_hook.url}/in", 307)
        other_hook.redirect("/in", f"{hook.url}/back", 307)
        headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "Content-Type": "text/plain"}
        client().send("POST", f"{hook.url}/out", headers=headers)
        assert hook.received[0].headers["x-api-key"] == "k"
        for got in (other_hook.received[0], hook.received[1]):
            assert not {"authorization", "cookie", "x-api-key"} & got.headers.keys()
            assert (got.headers["content-type"], got.body) == ("text/plain", b"")

    @pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "POST"), (308, "PUT"), (302, "PUT")])
    def test_to_another_origin_do_not_hand_on_the_body(
        self, hook: Any, other_hook: Any, status: int, method: str
    ) -> None:
        hook.redirect("/out", f"{other_hook.url}/in", status)
        with pytest.raises(WebhookError, match="which would have been sent the body too") as caught:
            client().send(method, f"{hook.url}/out", body=b"confidential")
        assert caught.value.status == status
        assert other_hook.received == []

    def test_are_followed_five_times_and_no_more(self, hook: Any) -> None:
        for step in range(10):
            hook.redirect(f"/{step}", f"/{step + 1}")
        assert client().send("GET", f"{hook.url}/5").status == 200
        hook.received.clear()
        with pytest.raises(WebhookError, match="redirected more than 5 times"):
            client().send("GET", f"{hook.url}/0")
        assert len(hook.received) == 6

    def test_in_a_circle_end(self, hook: Any) -> None:
        hook.redirect("/", "/")
        with pytest.raises(WebhookError, match="more than 5"):
            client().send("GET", hook.url)

    def test_without_a_location_are_an_answer(self, hook: Any) -> None:
        hook.answers["/"] = (302, {}, b"")
        assert client().send("GET", hook.url).status == 302

    def test_share_one_deadline(self, hook: Any, clock: HeldClock) -> None:
        def slowly(handler: Any) -> None:
            clock.pass_by(0.25)
            handler.send_response(302)
            handler.send_header("Location", "/")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        hook.answers["/"] = slowly
        with pytest.raises(WebhookError):
            client(timeout=0.6).send("GET", hook.url)
        assert len(hook.received) == 3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hooks.example.test that signs itself."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "hooks.pem", "hooks.example.test")


class TestTLS:
    @pytest.fixture
    def server(self, certificate: Path, serving: Callable[..., Any]) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.names: list[str | None] = []
        context.sni_callback = lambda connection, name, ctx: self.names.append(name)
        with serving(context) as hook:
            yield hook

    def client(self, certificate: Path, **options: Any) -> HTTPClient:
        trusting = ssl.create_default_context(cafile=str(certificate))
        return client(tls=trusting, resolver=lambda host, port: ["127.0.0.1"], **options)

    def test_the_certificate_and_the_server_name_are_the_hosts_not_the_addresses(
        self, server: Any, certificate: Path
    ) -> None:
        answer = self.client(certificate).send("POST", f"https://hooks.example.test:{server.port}/x", body=b"b")
        assert answer.ok
        assert self.names == ["hooks.example.test"]
        assert server.received[0].headers["host"] == f"hooks.example.test:{server.port}"

    def test_a_certificate_for_another_host_is_refused(self, server: Any, certificate: Path) -> None:
        with pytest.raises(WebhookError, match=r"certificate of https://other.example.test:.* is not valid"):
            self.client(certificate).send("GET", f"https://other.example.test:{server.port}/")
        assert server.received == []

    def test_an_unknown_authority_is_refused(self, server: Any) -> None:
        with pytest.raises(WebhookError, match=r"certificate of .* SSL_CERT_FILE"):
            client(resolver=lambda host, port: ["127.0.0.1"]).send("GET", f"https://hooks.example.test:{server.port}/")

    def test_a_server_without_tls_is_one_clear_error(self, hook: Any, certificate: Path) -> None:
        with pytest.raises(WebhookError, match=r"cannot connect to https://hooks.example.test"):
            self.client(certificate).send("GET", f"https://hooks.example.test:{hook.port}/")

    def test_a_redirect_to_plain_http_is_refused(self, server: Any, hook: Any, certificate: Path) -> None:
        server.redirect("/out", f"http://hooks.example.test:{hook.port}/{SECRET}")
        with pytest.raises(WebhookError, match="which is not encrypted; it was not called") as caught:
            self.client(certificate).send("GET", f"https://hooks.example.test:{server.port}/out")
        assert hook.received == []
        assert SECRET not in str(caught.value)

    def test_connect_sends_no_request(self, server: Any, certificate: Path) -> None:
        assert self.client(certificate).connect(f"https://hooks.example.test:{server.port}/") == "127.0.0.1"
        assert server.received == []


class TestURLs:
    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("", "must start with https"),
            ("hooks.example.test/x", "must start with https"),
            ("file:///etc/passwd", "must start with https"),
            ("ftp://example.test", "must start with https"),
            ("http://", "no usable host"),
            ("http:///x", "no usable host"),
            ("http://exa mple.test/", "space or a control character"),
            ("http://example.test/\r\nX: y", "space or a control character"),
            ("\thttp://example.test/", "space or a control character"),
            ("http://user:pw@example.test/", "user name or password"),
            ("http://user@example.test/", "user name or password"),
            ("http://example.test:99999/", "cannot be understood"),
            ("http://example.test:x/", "cannot be understood"),
            ("http://[::1/", "cannot be understood"),
            ("http://[fe80::1%25eth0]/", "no usable host"),
            ("http://%31%32%37.0.0.1/", "no usable host"),
            ("http://" + "\u00e4" * 80 + ".test/", "no usable host"),
        ],
    )
    def test_that_cannot_be_called_say_why_without_showing_themselves(self, url: str, why: str) -> None:
        with pytest.raises(WebhookError, match=why) as caught:
            client().send("GET", url + SECRET if url.endswith("/") and len(url) > 8 else url)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__

    def test_other_alphabets_are_encoded(self) -> None:
        assert check_url("https://b\u00fccher.example/\u00e4?\u00f6=1#part") == (
            "https",
            "xn--bcher-kva.example",
            443,
            "/%C3%A4?%C3%B6=1",
        )

    @given(st.text(max_size=40))
    def test_any_text_is_a_url_or_a_value_error(self, text: str) -> None:
        for url in (text, f"https://{text}", f"https://example.test/{text}"):
            try:
                _, host, _, target = check_url(url)
            except ValueError:
                continue
            assert host.isascii()
            assert target.isascii()
            assert target.startswith("/")
            assert not set(" \r\n\t") & set(host + target)


class TestHeaders:
    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": f"{SECRET}\r\nX-B: c"},
            {"X-A": f"{SECRET}\n"},
            {"X-A": f"{SECRET}\0"},
            {"X-A": f"{SECRET}\u20ac"},
            {"X A": SECRET},
            {"": SECRET},
            {"X-\u00e4": SECRET},
            {"Host": SECRET},
            {"content-length": SECRET},
            {"Transfer-Encoding": SECRET},
        ],
    )
    def test_that_cannot_be_sent_are_refused_without_their_values(self, hook: Any, headers: dict[str, str]) -> None:
        with pytest.raises(WebhookError) as caught:
            client().send("GET", hook.url, headers=headers)
        assert SECRET not in str(caught.value)
        assert hook.received == []

    @given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=2))
    def test_any_text_is_a_header_or_a_value_error(self, headers: dict[str, str]) -> None:
        try:
            checked = check_headers(headers)
        except ValueError:
            return
        assert all("\n" not in name + value and "\r" not in name + value for name, value in checked.items())


def test_a_client_is_safe_to_share_between_threads(hook: Any) -> None:
    shared = client()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: statuses.append(shared.send("POST", f"{hook.url}/{n}", body=b"x").status))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert statuses == [200] * 12
    assert {got.path for got in hook.received} == {f"/{n}" for n in range(12)}
