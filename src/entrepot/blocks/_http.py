"""HTTP requests to addresses that were checked first, for webhooks.

A name is resolved once, every address that it has is checked, and the connection goes to a checked address: what the
name resolves to a moment later does not matter. Redirects go through the same gate. Proxies of the environment are not
used: they would connect for us to what we did not check.
"""

import http.client
import io
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from entrepot._version import __version__
from entrepot.blocks._addresses import Address, parse_address, why_blocked
from entrepot.blocks._timed import TimedReader, arm, in_time
from entrepot.errors import BlockedAddressError, WebhookError

__all__ = ["HTTPClient", "HTTPResponse", "Request", "Resolver", "check_headers", "check_url", "resolve"]

MAX_REDIRECTS: Final = 5
MAX_RESPONSE_BYTES: Final = 1 << 20

Resolver = Callable[[str, int], Sequence[str]]
"""Turns a host and a port into addresses, as text."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_URL: Final = re.compile(r"[\x00-\x20\x7f]")
_HOST: Final = re.compile(r"[a-z0-9_.-]+\Z", re.ASCII)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)
_NOT_IN_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_FRAMING: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
_SAFE_ANYWHERE: Final = frozenset({"accept", "content-type", "user-agent"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REDIRECTS_KEEPING_METHOD: Final = frozenset({307, 308})
_SEE_OTHER: Final = 303
_FIRST_ERROR_STATUS: Final = 400
_READ_SIZE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """What a server answered.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: The first megabyte at most.
        truncated: Whether there was more.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server took the request: a status below 400."""
        return self.status < _FIRST_ERROR_STATUS

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body, parsed.

        Raises:
            WebhookError: If it is no JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # the second: nested without end
            size = f"{len(self.body)} bytes" + (", cut short" if self.truncated else "")
            raise WebhookError(f"the answer ({size}) is no JSON; read .text instead", status=self.status) from None

    def raise_for_status(self) -> "HTTPResponse":
        """Return this answer if it is `ok`.

        Raises:
            WebhookError: If it is not.
        """
        if self.ok:
            return self
        reason = http.client.responses.get(self.status, "unknown status")
        raise WebhookError(f"the server answered {self.status} {reason}; nothing was accepted", status=self.status)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. It may hold secrets everywhere, so it shows none of its fields but the origin."""

    method: str = field(repr=False)
    scheme: str = field(repr=False)
    host: str = field(repr=False)
    port: int = field(repr=False)
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown of a URL, whose path is often the secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}")


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def check_url(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and request target of a URL that a webhook may have.

    Raises:
        ValueError: If it may not be called; the message does not repeat the URL, which is a secret.
    """
    if _NOT_IN_URL.search(url):
        raise ValueError("the URL has a space or a control character in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the URL cannot be understood: check its host and port") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("the URL must start with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL has a user name or password in it: use an Authorization header instead")
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            host = ""
    if not (_is_ipv6(host) if ":" in host else _HOST.match(host)):
        raise ValueError("the URL has no usable host")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|") if parts.query else ""
    )
    return scheme, host, _DEFAULT_PORTS[scheme] if port is None else port, target


def _is_ipv6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address) and "%" not in host
    except ValueError:
        return False


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that may be sent.

    Raises:
        ValueError: If a name or value could not be sent as it is, or is not the caller's to set. Neither is shown:
            a validation error must not repeat what stands in a field of secrets.
    """
    for name, value in headers.items():
        if not _TOKEN.match(name):
            raise ValueError("the name of a header is empty or has a character that a name cannot have")
        if name.lower() in _FRAMING:
            raise ValueError("a header is one that the client sets itself (the length of the body, say): leave it out")
        if _NOT_IN_HEADER.search(value):
            raise ValueError("the value of a header has a line break or a character that HTTP cannot send")
    return dict(headers)


@dataclass(frozen=True, slots=True)
class HTTPClient:
    """Sends requests to checked addresses.

    Attributes:
        timeout: Seconds for everything: all redirects, and the answer to its last byte.
        refuse: Says why an address may not be called, or None where it may.
        resolver: Looks addresses up.
        tls: For https; by default the system's certificate authorities decide.
    """

    timeout: float
    refuse: Callable[[Address], str | None] = why_blocked
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = None

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HTTPResponse:
        """Send a request, follow redirects, and return the answer, whatever its status.

        Raises:
            BlockedAddressError: If the host, or one that it redirects to, has an address that may not be called.
            WebhookError: If there is no answer, or a redirect leads nowhere good. URLs are not shown.
        """
        deadline = time.monotonic() + self.timeout
        try:
            request = Request(method, *check_url(url), check_headers(headers or {}), body)
        except ValueError as error:
            raise WebhookError(f"the webhook was not called: {error}", status=None) from None
        finally:
            del url, headers  # tracebacks can be logged with the locals of every frame; the request prints nothing
        for _ in range(MAX_REDIRECTS + 1):
            response = self._exchange(request, deadline)
            if response.status not in _REDIRECTS or "location" not in response.headers:
                return response
            request = _redirected(request, response)
        raise WebhookError(
            f"{request.origin} redirected more than {MAX_REDIRECTS} times; use the final URL", status=response.status
        )

    def connect(self, url: str) -> str:
        """Connect without sending a request, and return the address that answered.

        Raises:
            BlockedAddressError: As for `send`.
            WebhookError: If there is no connection.
        """
        try:
            request = Request("GET", *check_url(url), {}, None)
        except ValueError as error:
            raise WebhookError(f"the webhook cannot be called: {error}", status=None) from None
        finally:
            del url
        connection = self._connected(request, time.monotonic() + self.timeout)
        try:
            return str(connection.getpeername()[0])
        finally:
            connection.close()

    def _exchange(self, request: Request, deadline: float) -> HTTPResponse:
        raw = self._connected(request, deadline)
        # The TLS is done already: the class only decides whether the port shows in the Host header.
        kind = http.client.HTTPSConnection if request.scheme == "https" else http.client.HTTPConnection
        connection = kind(request.host, request.port)
        connection.auto_open = 0  # never connect again by itself: that would be past the check
        connection.sock = _TimedSocket(raw, deadline)
        try:
            connection.request(request.method, request.target, body=request.body, headers=_sent(request))
            answer = connection.getresponse()
            body = answer.read(MAX_RESPONSE_BYTES + 1) if request.method != "HEAD" else b""
            if answer.length and len(body) <= MAX_RESPONSE_BYTES and request.method != "HEAD":
                raise http.client.IncompleteRead(body, answer.length)  # which reads of some length do not tell
        except TimeoutError:
            raise WebhookError(
                f"{request.origin} did not answer within {self.timeout:g} s; it may have received the call", status=None
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise WebhookError(
                f"{request.origin} broke off without a usable answer ({type(error).__name__}); "
                "it may have received the call",
                status=None,
            ) from None  # the frames of `http.client` have the headers, and its words may repeat what the server said
        finally:
            connection.close()
            raw.close()
        return HTTPResponse(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=body[:MAX_RESPONSE_BYTES],
            truncated=len(body) > MAX_RESPONSE_BYTES,
        )

    def _connected(self, request: Request, deadline: float) -> socket.socket:
        """Return a connection to a checked address, with TLS for the host's name where the scheme says so."""
        addresses = self._checked_addresses(request, deadline)
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            share = (deadline - time.monotonic()) / (len(addresses) - position)
            if share <= 0:
                failure = TimeoutError("timed out")
                break
            try:
                return self._open(request, address, share)
            except ssl.SSLCertVerificationError as error:
                raise WebhookError(
                    f"the certificate of {request.origin} is not valid for it: {error.verify_message}; "
                    "check the URL, or name the authority in SSL_CERT_FILE",
                    status=None,
                ) from error
            except OSError as error:
                failure = error
        why = "no answer in time" if isinstance(failure, TimeoutError) else f"{getattr(failure, 'strerror', failure)}"
        raise WebhookError(
            f"cannot connect to {request.origin}: {why}; check the URL and the network", status=None
        ) from failure

    def _checked_addresses(self, request: Request, deadline: float) -> list[Address]:
        try:
            said = in_time(lambda: self.resolver(request.host, request.port), deadline)
            found = [parse_address(address) for address in said]
        except (OSError, ValueError) as error:  # UnicodeError from odd host names is a ValueError
            raise WebhookError(
                f"the host of {request.origin} cannot be resolved; check the URL and the network", status=None
            ) from (error if isinstance(error, OSError) else None)
        if not found:
            raise WebhookError(f"the host of {request.origin} has no address; check the URL", status=None)
        for address in found:
            # All must pass: a public host has no business with a private address beside its public ones.
            why = self.refuse(address)
            if why is not None:
                raise BlockedAddressError(
                    f"{request.origin} leads to {address}, a {why} address, which webhooks do not call; "
                    "if that is meant, set allow_private_urls=True",
                    address=str(address),
                )
        return found

    def _open(self, request: Request, address: Address, timeout: float) -> socket.socket:
        # An address, not a name: nothing is resolved here a second time.
        connection = socket.create_connection((str(address), request.port), timeout=timeout)
        if request.scheme != "https":
            return connection
        try:
            tls = self.tls or ssl.create_default_context()
            return tls.wrap_socket(connection, server_hostname=request.host)
        except BaseException:
            connection.close()
            raise


class _TimedSocket:
    """What `http.client` needs of a socket, such that all that it does together ends at a deadline."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        arm(self._raw, self._deadline)
        self._raw.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002  http.client reads bytes and nothing else
        return io.BufferedReader(TimedReader(self._raw, self._deadline), _READ_SIZE)

    def close(self) -> None:
        """Do nothing: `http.client` lets go of its socket before the answer is read; the owner closes it."""


def _sent(request: Request) -> dict[str, str]:
    """Return the headers of a request, with our own where it has none of that name."""
    ours = {"User-Agent": f"entrepot/{__version__}", "Accept": "*/*", "Connection": "close"}
    given = {name.lower() for name in request.headers}
    return {name: value for name, value in ours.items() if name.lower() not in given} | dict(request.headers)


def _redirected(request: Request, response: HTTPResponse) -> Request:
    """Return the request that a redirect asks for; methods change as in the Fetch standard (browsers, curl -L)."""
    try:
        base = f"{request.origin}{request.target}"
        scheme, host, port, target = check_url(urljoin(base, response.headers["location"]))
    except ValueError as error:
        raise WebhookError(
            f"{request.origin} redirected to something that cannot be called: {error}", status=response.status
        ) from None
    method, body, headers = request.method, request.body, dict(request.headers)
    becomes_get = method not in {"GET", "HEAD"} if response.status == _SEE_OTHER else method == "POST"
    if response.status not in _REDIRECTS_KEEPING_METHOD and becomes_get:
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    there = Request(method, scheme, host, port, target, headers, body)
    if request.scheme == "https" and scheme == "http":
        raise WebhookError(
            f"{request.origin} redirected to {there.origin}, which is not encrypted; it was not called",
            status=response.status,
        )
    upgraded = host == request.host and (request.port, port) == (80, 443)
    if there.origin == request.origin or upgraded:
        return there
    if body is not None:
        # With 307 and 308, mostly. It was meant for the first host, and may be confidential.
        raise WebhookError(
            f"{request.origin} redirected ({response.status}) to {there.origin}, another server, which would have been"
            " sent the body too; it was not called: use the final URL",
            status=response.status,
        )
    # Headers were meant for the first host: another one gets none that could be a credential.
    kept = {name: value for name, value in headers.items() if name.lower() in _SAFE_ANYWHERE}
    return Request(method, scheme, host, port, target, kept, body)
