"""A proxy in front of an HTTP server that does to requests what networks and busy servers do, by a seed.

Each client gets a port of its own, so that the requests of one can be counted while others are at work.
"""

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["FAULTS", "FaultyProxy", "Port"]

FAULTS: Final = ("500", "503", "lost reply", "cut request", "cut reply", "slow")
_BUSY: Final = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>injected</Message></Error>'


class FaultyProxy:
    """Passes requests on to a server, and answers back, except where it does one of `FAULTS`.

    Args:
        endpoint: The server's URL.
        rate: How often faults begin, 0 to 1; some last for several requests.
        seed: When, and which: of each port, the same in each run.
    """

    def __init__(self, endpoint: str, *, rate: float, seed: int) -> None:
        parts = urlsplit(endpoint)
        self.server = (parts.hostname or "", parts.port or 80)
        self.rate = rate
        self._seed = seed
        self._ports: list[Port] = []

    def port(self, script: Callable[[str, str], str] | None = None) -> "Port":
        """Open another port.

        Args:
            script: Says for a method and a target what fault a request meets, "" for none; else the dice do.
        """
        dice = random.Random(f"{self._seed}/{len(self._ports)}")

        storm: list[str] = []

        def draw(_method: str, _target: str) -> str:
            if not storm and dice.random() < self.rate:
                # One in four lasts longer than anybody tries.
                storm.extend(dice.choice(FAULTS) for _ in range(dice.choice((1, 1, 1, 5))))
            return storm.pop() if storm else ""

        port = Port(self.server, script or draw)
        self._ports.append(port)
        return port

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was done."""
        return sum((port.faults for port in self._ports), Counter())

    @property
    def requests(self) -> int:
        """How many requests came."""
        return sum(port.requests for port in self._ports)

    def close(self) -> None:
        """Close all ports."""
        for port in self._ports:
            port.close()


class Port:
    """Where one client asks.

    Attributes:
        requests: How many requests came.
        faults: What was done to them.
    """

    def __init__(self, server: tuple[str, int], choose: Callable[[str, str], str]) -> None:
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self._server = server
        self._choose = choose
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The URL."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxy connection", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError), client:
            incoming = _Stream(client)
            with socket.create_connection(self._server) as server:
                outgoing = _Stream(server)
                while self._pass_on(incoming, outgoing):
                    pass

    def _pass_on(self, client: "_Stream", server: "_Stream") -> bool:
        """Do one request; return whether the connection goes on."""
        head, headers = client.head()
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if "expect" in headers:
            client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
        body = client.body(headers)
        with self._lock:
            self.requests += 1
            fault = self._choose(method, target)
            if fault:
                self.faults[fault] += 1
        if fault in {"500", "503"}:
            code = b"InternalError" if fault == "500" else b"SlowDown"
            text = _BUSY % code if method != "HEAD" else b""
            client.send(b"HTTP/1.1 %s Busy\r\nContent-Length: %d\r\n\r\n%s" % (fault.encode(), len(text), text))
            return True
        if fault == "cut request":
            server.send(head + body[: len(body) // 2] if body else head[: len(head) // 2])
            return False
        server.send(head + body)
        answer, headers = server.head()
        while answer.startswith(b"HTTP/1.1 100"):
            answer, headers = server.head()
        empty = method == "HEAD" or answer[9:12] in {b"204", b"304"}
        content = b"" if empty else server.body(headers)
        if fault == "lost reply":
            return False
        if fault == "cut reply":
            whole = answer + content
            client.send(answer + content[: len(content) // 2] if content else whole[: len(whole) // 2])
            return False
        if fault == "slow":
            whole = answer + content
            step = max(1, len(whole) // 8)
            for start in range(0, len(whole), step):
                client.send(whole[start : start + step])
                time.sleep(0.005)  # what makes it slow
        else:
            client.send(answer + content)
        return headers.get("connection", "").lower() != "close"


class _Stream:
    """Reads HTTP messages, as they are, from a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def head(self) -> tuple[bytes, dict[str, str]]:
        head = self._until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        return head, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks()
        return self._exactly(int(headers.get("content-length", "0")))

    def _chunks(self) -> bytes:
        found = b""
        while True:
            line = self._until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            found += line + (self._exactly(size + 2) if size else self._until(b"\r\n"))
            if not size:
                return found

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found + mark

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _more(self) -> None:
        data = self._connection.recv(1 << 18)
        if not data:
            raise EOFError
        self._rest += data
