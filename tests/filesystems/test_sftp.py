"""`SFTP`: a folder on a server that is who it is expected to be; against OpenSSH's, where it is installed."""

import contextlib
import getpass
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest
from pydantic import ValidationError
from servers import ATTEMPTS, ServerProcess, free_ports

from entrepot.errors import ConfigurationError, StorageAccessError, StorageUnreachableError
from entrepot.filesystems import SFTP, RemoteFileSystem
from entrepot.protocols.storage import Storage
from entrepot.storage import FileStorage, open_storage
from entrepot.testing import StorageContract
from entrepot_test_secrets import leaks

PASSWORD = "pass-w0rd of the sftp user"


@dataclass
class Server:
    """A server, and how to get in."""

    port: int
    host_key: str
    folder: str  # as the server has it
    options: dict[str, Any]

    def block(self, **options: Any) -> SFTP:
        given = {"host": "127.0.0.1", "port": self.port, "path": self.folder, "host_key": self.host_key, **self.options}
        return SFTP(**{**given, **options})


@dataclass
class Daemon:
    """What runs it."""

    port: int
    process: ServerProcess

    def ready(self) -> None:
        """Raise until it answers."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            if not connection.recv(4).startswith(b"SSH"):
                raise ConnectionError("another server has its port")


def make_key(file: Path) -> str:
    """Make a pair of keys; return the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text()


@contextlib.contextmanager
def serving(folder: Path, sftp: str = "internal-sftp") -> Iterator[Server]:
    """Run a server."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("sshd is not installed (apt-get install openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it goes to be without rights
    host_key, _ = make_key(folder / "host"), make_key(folder / "user")

    def start() -> Daemon:
        (port,) = free_ports(1)
        (folder / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\n"
            f"Subsystem sftp {sftp}\n"
        )
        command = [program, "-D", "-e", "-f", str(folder / "config")]
        return Daemon(port, ServerProcess("sshd", command, log=folder / "log"))

    for attempt in range(1, ATTEMPTS + 1):
        daemon = start()
        try:
            daemon.process.wait_until(daemon.ready)
            break
        except RuntimeError:  # another process may have taken its port before it did
            daemon.process.stop()
            if attempt == ATTEMPTS:
                raise
    try:
        options = {"username": getpass.getuser(), "private_key": (folder / "user").read_text()}
        yield Server(daemon.port, host_key, f"{folder}/data", options)
    finally:
        daemon.process.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as found:
        yield found


class TestSFTPStorage(StorageContract):
    exclusive = False

    @pytest.fixture
    def storage(self, server: Server) -> Storage:
        return FileStorage(server.block().as_storage()._dialect.fs, f"{server.folder}/contract/{uuid.uuid4().hex}")


def test_it_writes_reads_lists_and_checks(server: Server) -> None:
    block = server.block(path=f"{server.folder}/plain")
    block.write_path("a/b", b"1")
    assert (block.read_path("a/b"), block.list_paths()) == (b"1", ["a/b"])
    assert "wrote, read and deleted" in block.check()
    assert not leaks(f"{block!r} {block.model_dump_json()} {block.as_storage().location}", PASSWORD)


def test_a_server_that_is_not_known_is_not_told_the_password(server: Server) -> None:
    with pytest.raises(StorageAccessError, match=r"host key .* is not known.*ssh-keyscan"):
        server.block(host_key=None, known_hosts=os.devnull).check()
    with pytest.raises(StorageAccessError, match=r"host key .* is not known"):
        RemoteFileSystem(
            basepath=f"sftp://127.0.0.1:{server.port}/data", settings={**server.options, "known_hosts": os.devnull}
        ).check()


def test_a_server_with_another_key_than_is_known_is_refused(server: Server, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    with pytest.raises(StorageAccessError, match="another host key"):
        server.block(host_key=other).check()


def test_a_file_of_known_hosts_is_heeded(server: Server, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {server.host_key}")
    server.block(host_key=None, known_hosts=str(tmp_path / "known")).check()
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent"):
        server.block(host_key=None, known_hosts=str(tmp_path / "absent")).check()


def test_known_hosts_mean_what_they_mean_to_openssh(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, right, other = f"[127.0.0.1]:{server.port}", server.host_key.strip(), make_key(tmp_path / "other").strip()
    hashed = paramiko.HostKeys.hash_host(name)
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    known = tmp_path / ".ssh" / "known_hosts"
    url = f"sftp://127.0.0.1:{server.port}{server.folder}"
    for lines in (
        f"{hashed} {right}",
        f"{name} {other}\n{name} {right}",  # a server that is about to change its key
        f"# comment\n\n@cert-authority *.example {other}\n@revoked * {other}\nhalf a line\n{name},b {right} comment",
    ):
        known.write_text(f"{lines}\n")
        FileStorage.from_url(url, **server.options)
        FileStorage.from_url(url, known_hosts=str(known), **server.options)
    for lines, why in (
        (f"{hashed} {other}", "another host key"),
        (f"{name} {other}\n@revoked * {right}\n{name} {right}", "another host key"),
        (f"{name} {right}\n@revoked {name} {right}", "is not known"),
        (f"@cert-authority {name} {right}", "is not known"),
        (f"127.0.0.1 {right}\n|1|x|y {right}\n* {right}", "is not known"),
    ):
        known.write_text(f"{lines}\n")
        for options in ({}, {"known_hosts": str(known)}):
            with pytest.raises(StorageAccessError, match=why):
                FileStorage.from_url(url, **server.options, **options)


def test_urls_work_with_the_same_care(server: Server) -> None:
    url = f"sftp://{server.options['username']}@127.0.0.1:{server.port}{server.folder}/by-url"
    storage = open_storage(url, private_key=server.options["private_key"], host_key=server.host_key)
    storage.put("a", b"1")
    assert bytes(pickle.loads(pickle.dumps(storage)).get("a")) == b"1"


def test_wrong_credentials_and_keys_are_clear_errors_without_secrets(server: Server) -> None:
    for options, kind, match in (
        ({"password": PASSWORD, "private_key": None}, StorageAccessError, "refused"),
        ({"private_key": PASSWORD}, ConfigurationError, "private key cannot be read"),
        ({"host_key": "ssh-ed25519 AAAA"}, ConfigurationError, "host key cannot be read"),
        ({"host_key": None, "known_hosts": "/"}, ConfigurationError, "cannot read /"),
        ({"port": 1}, StorageUnreachableError, "check the endpoint"),
    ):
        with pytest.raises(kind, match=match) as caught:
            server.block(**options).check()
        shown = "".join(
            traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
        ).rpartition("in as_storage")[2]
        assert not leaks(shown, PASSWORD)


def test_a_connection_that_was_lost_is_made_again(server: Server) -> None:
    storage = server.block(path=f"{server.folder}/again").as_storage()
    storage.put("a", b"1")
    storage._dialect.fs.client.close()
    assert bytes(storage.get("a")) == b"1"


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_speaks_on_a_connection_of_its_own(server: Server) -> None:
    storage = server.block(path=f"{server.folder}/forked").as_storage()
    storage.put("a", b"1")
    child = os.fork()
    if child == 0:
        os._exit(0 if bytes(storage.get("a")) == b"1" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(storage.get("a")) == b"1"


def test_an_outage_is_not_taken_for_an_empty_store(server: Server) -> None:
    storage = server.block(path=f"{server.folder}/outage").as_storage()
    storage.put("a/b", b"1")
    fs = storage._dialect.fs
    port, fs.ssh_kwargs["port"] = fs.ssh_kwargs["port"], 1
    fs.client.close()
    for act in (
        lambda: storage.get("a/b"),
        lambda: storage.stat("a/b"),
        lambda: list(storage.list()),
        lambda: storage.put("c/d", b"2"),
        lambda: storage.create("a/b", b"2"),
        lambda: storage.delete("a/b"),
    ):
        with pytest.raises(StorageUnreachableError):
            act()
    fs.ssh_kwargs["port"] = port
    assert [item.path for item in storage.list()] == ["a/b"]


def test_a_server_that_cannot_replace_in_one_step_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "internal-sftp -P posix-rename") as server:
        block = server.block()
        for content in (b"1", b"2"):
            block.write_path("a", content)
            assert block.read_path("a") == content
        assert block.list_paths() == ["a"]


def test_more_threads_than_the_server_has_sessions_and_large_objects(server: Server) -> None:
    storage = server.block(path=f"{server.folder}/threads").as_storage()
    contents = {f"{n}/x": os.urandom(size) for n, size in enumerate([0, 1, 2**21, 2**21 + 1, *[999] * 16])}
    connected = threading.Barrier(len(contents), timeout=60)  # MaxSessions is 10

    def use(path: str) -> bool:
        storage.put(path, contents[path])
        connected.wait()
        return bytes(storage.get(path)) == contents[path]

    with ThreadPoolExecutor(len(contents)) as pool:
        assert all(pool.map(use, contents))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_stores_with_keys_of_every_kind_go_to_other_processes(server: Server, tmp_path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key"], check=True)
    authorized = Path(server.folder).parent / "user.pub"
    before = authorized.read_text()
    authorized.write_text(before + (tmp_path / "key.pub").read_text())
    try:
        storage = server.block(private_key=(tmp_path / "key").read_text()).as_storage()
        storage.put(kind, b"1")
        assert bytes(pickle.loads(pickle.dumps(storage)).get(kind)) == b"1"
    finally:
        authorized.write_text(before)


def test_a_server_that_is_silent_holds_up_no_other_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.storage._sftp._SECONDS", 600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        block = SFTP(host="127.0.0.1", port=silent.getsockname()[1], host_key=make_key(tmp_path / "key"))
        failed: list[BaseException] = []

        def open_it() -> None:
            try:
                block.as_storage()
            except StorageUnreachableError as error:
                failed.append(error)

        opening = threading.Thread(target=open_it)
        opening.start()
        connection, _ = silent.accept()
        with connection:
            RemoteFileSystem(basepath="memory://elsewhere").write_path("a", b"1")
            assert opening.is_alive()
        opening.join(60)
        assert len(failed) == 1


@pytest.mark.parametrize("host", ["me@files.test", "files.test/a", "files.test?a", "a b", "files.test\n"])
def test_a_host_is_nothing_but_a_host(host: str) -> None:
    with pytest.raises(ValidationError, match="name or the address alone"):
        SFTP(host=host)


def test_results_are_kept_on_it_and_found_by_another_process(server: Server, tmp_path: Path) -> None:
    server.block(path=f"{server.folder}/results").save("store")
    script = tmp_path / "script.py"
    script.write_text(
        "from entrepot import flow, task\n"
        "from entrepot.filesystems import SFTP\n"
        "@task(persist_result=True, result_storage=SFTP.load('store'), cache_key_fn=lambda *_: 'key')\n"
        "def add(a, b):\n    print('computed')\n    return a + b\n"
        "@flow\ndef main():\n    return add(1, 2)\n"
        "print('result', main())\n"
    )
    said = [subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout for _ in "ab"]
    assert ["computed" in each for each in said] == [True, False]
    assert all("result 3" in each for each in said)
