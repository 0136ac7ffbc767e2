"""FileStorage beyond the contract, on real servers: outages, refusals, races, large objects, and what it shows."""

import http.server
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.cached import SimpleCacheFileSystem
from fsspec.implementations.local import LocalFileSystem
from gcsfs.core import GCSFileSystem
from servers import GCSServer, S3Server

from entrepot.errors import (
    ConfigurationError,
    InvalidPathError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageAccessError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from entrepot.protocols.storage import Storage
from entrepot.storage import FileStorage

pytestmark = pytest.mark.one_python

MIB = 1024 * 1024
QUICK = {"connect_timeout": 1, "read_timeout": 1, "retries": {"total_max_attempts": 1}}
ONCE = {**QUICK, "connect_timeout": 60, "read_timeout": 60}  # where there is an answer


def operations(storage: Storage) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: storage.get("a/b"),
        "get a range": lambda: storage.get("a/b", start=3, length=3),
        "stat": lambda: storage.stat("a/b"),
        "list": lambda: list(storage.list()),
        "list a folder": lambda: list(storage.list("x")),
        "put": lambda: storage.put("a/b", b"1"),
        "put a large one": lambda: storage.put("a/b", bytes(17 * MIB)),
        "create": lambda: storage.create("a/b", b"1"),
        "delete": lambda: storage.delete("a/b"),
    }


# --- outages and refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3_server", "moto_server", "rclone_server"])
def test_a_missing_bucket_is_an_outage_that_names_it_and_never_a_miss(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(name)
    for bucket in ("no-such-bucket", "Not_A_Bucket!"):
        storage = FileStorage.from_url(f"s3://{bucket}/folder", **server.storage_options())
        for what, act in operations(storage).items():
            with pytest.raises(StorageUnreachableError, match="create it, or check its name") as caught:
                act()
            assert bucket in str(caught.value), what
            assert server.endpoint_url in str(caught.value), what
            assert not isinstance(caught.value, ObjectNotFoundError), what


def test_a_missing_bucket_of_google_is_an_outage_too(gcs_server: GCSServer) -> None:
    storage = FileStorage.from_url("gs://no-such-bucket/folder", **gcs_server.storage_options())
    for what, act in operations(storage).items():
        with pytest.raises(StorageUnreachableError, match="no-such-bucket"):
            act()
        assert what


@pytest.mark.parametrize("wrong", [{"key": "AKIAWRONGWRONG"}, {"secret": "wrong-secret-value"}])
def test_wrong_credentials_are_a_refusal_that_does_not_show_them(s3_server: S3Server, wrong: dict[str, str]) -> None:
    options = {**s3_server.storage_options(), **wrong}
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}/folder", **options)
    for act in operations(storage).values():
        with pytest.raises(StorageAccessError, match="check the credentials") as caught:
            act()
        shown = "".join(traceback.format_exception(caught.value)) + repr(storage) + storage.location
        assert options["secret"] not in shown
        assert "AKIAWRONGWRONG" not in str(caught.value)


def test_a_dead_endpoint_is_an_outage_after_waiting_for_less_than_ten_seconds(
    closed_port: int, waits: list[float]
) -> None:
    endpoint = f"http://127.0.0.1:{closed_port}"
    storage = FileStorage.from_url("s3://bucket/folder", key="k", secret="s", endpoint_url=endpoint)
    for act in (lambda: storage.get("a"), lambda: storage.create("a", b"")):
        waits.clear()
        with pytest.raises(StorageUnreachableError, match=f"127.0.0.1:{closed_port}"):
            act()
        assert 0 < sum(waits) < 10  # between its attempts: how long those take themselves, the machine decides


def test_credentials_in_an_endpoint_are_not_shown(closed_port: int) -> None:
    endpoint = f"http://someone:hidden@127.0.0.1:{closed_port}"
    storage = FileStorage.from_url(
        "s3://bucket/folder", key="k", secret="hidden", endpoint_url=endpoint, config_kwargs=QUICK
    )
    with pytest.raises(StorageUnreachableError) as caught:
        storage.get("a")
    assert "hidden" not in str(caught.value)
    assert f"http://127.0.0.1:{closed_port}" in str(caught.value)


def test_a_host_that_does_not_exist_is_an_outage() -> None:
    storage = FileStorage.from_url(
        "s3://bucket/x", key="k", secret="s", endpoint_url="http://no-such-host.invalid", config_kwargs=QUICK
    )
    with pytest.raises(StorageUnreachableError, match=r"no-such-host\.invalid"):
        storage.stat("a")


def test_a_server_that_never_answers_is_an_outage() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        storage = FileStorage.from_url("s3://b/x", key="k", secret="s", endpoint_url=endpoint, config_kwargs=QUICK)
        storage._dialect.patience = 1
        acts = operations(storage)
        for what in ("get", "put", "create", "list"):
            start = time.monotonic()
            with pytest.raises(StorageUnreachableError, match="no usable answer"):
                acts[what]()
            assert time.monotonic() - start < 60, what


class Answer(http.server.BaseHTTPRequestHandler):
    """Says the same to everyone."""

    protocol_version = "HTTP/1.1"
    status = 500
    body = b""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815  as http.server wants them

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[Callable[..., Storage]]:
    """Return a store whose server gives one answer to everything."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def make(status: int, code: str = "", protocol: str = "s3") -> Storage:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message></Error>" if code else ""
        handler = type("Handler", (Answer,), {"status": status, "body": body.encode()})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        if protocol == "gs":
            return FileStorage.from_url("gs://bucket/x", endpoint_url=endpoint, token="anon", project="p")
        return FileStorage.from_url("s3://bucket/x", key="k", secret="s", endpoint_url=endpoint, config_kwargs=ONCE)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalError", StorageUnreachableError),
        (503, "SlowDown", StorageUnreachableError),
        (503, "", StorageUnreachableError),
        (502, "", StorageUnreachableError),
        (429, "TooManyRequests", StorageUnreachableError),
        (403, "AccessDenied", StorageAccessError),
        (403, "RequestTimeTooSkewed", StorageAccessError),
        (400, "ExpiredToken", StorageAccessError),
        (403, "", StorageAccessError),
        (507, "XMinioStorageFull", StorageFullError),
        (507, "", StorageFullError),
        (400, "KeyTooLongError", StorageError),
    ],
)
def test_an_answer_of_an_s3_server_becomes_our_error(
    answering: Callable[..., Storage], status: int, code: str, kind: type[StorageError]
) -> None:
    storage = answering(status, code)
    for what in ("get", "put", "delete", "list"):
        with pytest.raises(kind) as caught:
            operations(storage)[what]()
        assert type(caught.value) is kind
        assert "s3://bucket/x" in str(caught.value)
        assert caught.value.location == "s3://bucket/x"


@pytest.mark.parametrize(("status", "kind"), [(403, StorageAccessError), (507, StorageFullError), (400, StorageError)])
def test_an_answer_of_a_google_server_becomes_our_error(
    answering: Callable[..., Storage], status: int, kind: type[StorageError]
) -> None:
    storage = answering(status, protocol="gs")
    for what in ("get", "put", "delete", "list"):
        with pytest.raises(kind) as caught:
            operations(storage)[what]()
        assert type(caught.value) is kind


# --- create -------------------------------------------------------------------------------------------------------


def test_a_store_that_ignores_conditions_is_noticed_once_and_said(
    rclone_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"s3://{rclone_server.bucket()}/folder"
    with caplog.at_level(logging.WARNING, "entrepot.storage"):
        for _ in range(3):
            storage = FileStorage.from_url(url, **rclone_server.storage_options())
            assert not storage.creates_exclusively
    assert [record.message for record in caplog.records if "does not create objects exclusively" in record.message] == [
        caplog.records[0].message
    ]
    assert url in caplog.records[0].message
    storage.create("a", b"1")
    with pytest.raises(ObjectExistsError):
        storage.create("a", b"2")
    assert storage.get("a") == b"1"


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_a_store_that_heeds_conditions_is_asked_once_and_left_clean(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.bucket()
    storage = FileStorage.from_url(f"s3://{bucket}", **server.storage_options())
    assert storage.creates_exclusively
    answer = server.client().list_objects_v2(Bucket=bucket)
    assert answer.get("Contents", []) == []
    assert server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    writes = []
    dialect = storage._dialect
    write = dialect.write
    dialect.write = lambda *args, **kwargs: (writes.append(args[0]), write(*args, **kwargs))  # type: ignore[method-assign]
    assert storage.creates_exclusively
    storage.create("a", b"1")
    assert writes == ["a"]


def test_a_probe_that_gets_no_answer_is_an_outage_and_not_remembered(s3_server: S3Server) -> None:
    bucket = f"later-{os.getpid()}-{time.monotonic_ns()}"
    storage = FileStorage.from_url(f"s3://{bucket}/x", **s3_server.storage_options())
    with pytest.raises(StorageUnreachableError, match=bucket):
        storage.create("a", b"1")
    s3_server.bucket(bucket)
    storage.create("a", b"1")
    assert storage.creates_exclusively


def test_a_store_that_refuses_every_write_is_not_taken_for_one_without_conditions(
    answering: Callable[..., Storage],
) -> None:
    storage = answering(501, "NotImplemented")
    with pytest.raises(StorageError, match="NotImplemented"):
        storage.create("a", b"1")
    with pytest.raises(StorageError, match="NotImplemented"):  # nothing was concluded from it
        assert not storage.creates_exclusively


def test_a_store_that_refuses_conditions_is_one_without(s3_server: S3Server) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    write = storage._dialect.write

    def refuse(path: str, views: Any, *, exclusive: bool) -> None:
        if exclusive:
            raise NotImplementedError
        write(path, views, exclusive=False)

    storage._dialect.write = refuse  # type: ignore[method-assign]
    assert not storage.creates_exclusively
    storage.create("a", b"1")
    with pytest.raises(ObjectExistsError):
        storage.create("a", b"2")


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_a_large_object_is_created_once_too(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.bucket()
    storage = FileStorage.from_url(f"s3://{bucket}", **server.storage_options())
    asked: list[str] = []
    call = storage._dialect.fs._call_s3

    async def listen(method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return await call(method, *args, **kwargs)

    storage._dialect.fs._call_s3 = listen
    parts = [b"a" * (7 * MIB + 1), bytearray(b"b" * (7 * MIB)), memoryview(b"c" * (6 * MIB))]
    storage.create("large", parts)
    for content in ([b"other" * MIB * 4], b"small"):
        with pytest.raises(ObjectExistsError):
            storage.create("large", content)
    assert storage.get("large") == b"".join(parts)
    # Neither of these servers decides between two uploads in parts that end at once: each would be said to have won.
    assert set(asked) == {"put_object", "delete_object", "get_object"}
    storage.put("large", parts)
    assert "complete_multipart_upload" in asked
    assert server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_of_many_clients_that_create_a_large_object_one_wins(s3_server: S3Server) -> None:
    url = f"s3://{s3_server.bucket()}"
    start = threading.Barrier(3)

    def write(number: int) -> bool:
        storage = FileStorage.from_url(url, **s3_server.storage_options())
        assert storage.creates_exclusively
        start.wait()
        try:
            storage.create("large", [b"%d" % number * (9 * MIB), b"%d" % number * (9 * MIB)])
        except ObjectExistsError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        won = list(pool.map(write, range(3)))
    assert won.count(True) == 1
    content = FileStorage.from_url(url, **s3_server.storage_options()).get("large")
    assert bytes(content) == b"%d" % won.index(True) * (18 * MIB)


def test_a_conflict_is_tried_again_until_it_is_decided(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415  only here

    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    assert storage.creates_exclusively
    fs = storage._dialect.fs
    pipe = fs._pipe_file
    tries = []

    async def conflict_twice(*args: Any, **kwargs: Any) -> None:
        tries.append(args[0])
        if len(tries) <= 2:
            answer = {"Error": {"Code": "ConditionalRequestConflict"}, "ResponseMetadata": {"HTTPStatusCode": 409}}
            raise OSError("conflict") from ClientError(answer, "PutObject")  # type: ignore[arg-type]
        await pipe(*args, **kwargs)

    fs._pipe_file = conflict_twice
    storage.create("a", b"1")
    assert len(tries) == 3
    assert storage.get("a") == b"1"


# --- content ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\n--==0==--\nrest", b"before\r\n--==0==\nafter", b"--==0==--"])
def test_what_looks_like_the_end_of_a_request_to_google_is_content(gcs_server: GCSServer, content: bytes) -> None:
    storage = FileStorage.from_url(f"gs://{gcs_server.bucket()}", **gcs_server.storage_options())
    storage.create("a", content)
    assert storage.get("a") == content
    with pytest.raises(ObjectExistsError):
        storage.create("a", content)
    storage.put("a", content * 2)
    assert storage.get("a") == content * 2


def test_a_large_object_goes_to_google_and_back_in_chunks(gcs_server: GCSServer) -> None:
    storage = FileStorage.from_url(f"gs://{gcs_server.bucket()}", **gcs_server.storage_options())
    content = os.urandom(MIB) * 65
    storage.put("put", content)
    storage.create("create", [content[:MIB], content[MIB:]])
    with pytest.raises(ObjectExistsError):
        storage.create("create", content)
    assert storage.get("put") == storage.get("create") == content


@pytest.mark.parametrize("write", ["put", "create"])
def test_a_large_object_is_sent_to_s3_without_a_joined_copy(s3_server: S3Server, write: str) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    parts = [bytes(16 * MIB) for _ in range(6)]
    getattr(storage, write)("warm", b"1")
    tracemalloc.start()
    try:
        getattr(storage, write)("large", parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert storage.stat("large").size == 96 * MIB
    assert peak < 80 * MIB  # four parts of 8 MiB at a time, some of them twice on their way


def test_a_name_that_s3fs_would_cut_is_refused(s3_server: S3Server) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    storage.put("a", b"1")
    for act in (storage.get, storage.stat, storage.delete, lambda path: storage.put(path, b"2")):
        with pytest.raises(InvalidPathError, match="versionId"):
            act("a?versionId=b")
    assert storage.get("a") == b"1"


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_folder_markers_of_other_tools_are_no_objects(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.bucket()
    server.client().put_object(Bucket=bucket, Key="folder/", Body=b"")
    server.client().put_object(Bucket=bucket, Key="folder/object", Body=b"1")
    storage = FileStorage.from_url(f"s3://{bucket}", **server.storage_options())
    assert [info.path for info in storage.list()] == ["folder/object"]
    with pytest.raises(ObjectNotFoundError):
        storage.get("folder")


def test_a_write_by_someone_else_is_seen_at_once(s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    storage = FileStorage.from_url(f"s3://{bucket}", **s3_server.storage_options())
    assert list(storage.list("a")) == []
    for size in (1, 2):
        s3_server.client().put_object(Bucket=bucket, Key="a/b", Body=b"x" * size)
        assert [info.size for info in storage.list("a")] == [storage.stat("a/b").size] == [size]
        assert storage.get("a/b") == b"x" * size
    s3_server.client().delete_object(Bucket=bucket, Key="a/b")
    assert list(storage.list("a")) == []


def test_a_file_system_that_keeps_listings_is_asked_afresh(gcs_server: GCSServer) -> None:
    bucket = gcs_server.bucket()
    fs = GCSFileSystem(skip_instance_cache=True, **gcs_server.storage_options())
    storage = FileStorage(fs, bucket)
    other = FileStorage.from_url(f"gs://{bucket}", **gcs_server.storage_options())
    storage.put("a/b", b"1")
    for size in (2, 3):
        fs.ls(f"{bucket}/a")
        other.put("a/b", b"x" * size)
        assert storage.stat("a/b").size == size
        fs.ls(f"{bucket}/a")
        other.put(f"a/{size}", b"")
        assert f"a/{size}" in {info.path for info in storage.list("a")}
    other.delete("a/b")
    with pytest.raises(ObjectNotFoundError):
        storage.stat("a/b")


def test_a_listing_of_more_than_a_page_is_whole(s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    client = s3_server.client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: client.put_object(Bucket=bucket, Key=f"a/{n:04}", Body=b""), range(1005)))
    storage = FileStorage.from_url(f"s3://{bucket}", **s3_server.storage_options())
    assert sorted(info.path for info in storage.list("a")) == [f"a/{n:04}" for n in range(1005)]


def test_an_empty_folder_in_a_bucket_that_is_there_is_empty(s3_server: S3Server, gcs_server: GCSServer) -> None:
    for storage in (
        FileStorage.from_url(f"s3://{s3_server.bucket()}/x", **s3_server.storage_options()),
        FileStorage.from_url(f"gs://{gcs_server.bucket()}/x", **gcs_server.storage_options()),
    ):
        assert list(storage.list()) == list(storage.list("y/z")) == []


# --- processes ----------------------------------------------------------------------------------------------------


def test_a_forked_child_opens_connections_of_its_own(s3_server: S3Server) -> None:
    script = (
        "import os, sys, json; from entrepot.storage import FileStorage\n"
        "storage = FileStorage.from_url(sys.argv[1], **json.loads(sys.argv[2]))\n"
        "storage.put('a', b'parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert storage.get('a') == b'parent'; storage.create('b', b'child'); os._exit(0)\n"
        "_, status = os.waitpid(child, 0)\n"
        "print(status, storage.get('b'))"
    )
    options = json.dumps(s3_server.storage_options())
    command = [sys.executable, "-W", "ignore", "-c", script, f"s3://{s3_server.bucket()}", options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "0 b'child'\n", done.stderr


def test_its_bounds_survive_being_sent(s3_server: S3Server) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    copy: FileStorage = pickle.loads(pickle.dumps(storage))
    assert copy._dialect.fs.retries == storage._dialect.fs.retries == 1
    assert copy._dialect.fs.config_kwargs["connect_timeout"] == 3
    assert not copy._dialect.fs.dircache.use_listings_cache


# --- other file systems -------------------------------------------------------------------------------------------


class Moving(AbstractFileSystem):
    """Folders with a move that refuses to replace: with an error, or without a word."""

    protocol = "moving"
    cachable = False

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.silent = silent
        self.broken = False
        disk = LocalFileSystem()
        for name in ("ls", "info", "makedirs", "rm_file"):
            setattr(self, name, getattr(disk, name))

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return LocalFileSystem().open(path, mode)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if self.broken:
            raise OSError("the line broke")
        if Path(path2).exists():
            if self.silent:
                return
            raise FileExistsError(path2)
        Path(path1).rename(path2)


@pytest.mark.parametrize("silent", [True, False])
def test_a_move_that_refuses_to_replace_is_helped(tmp_path: Path, silent: bool) -> None:  # noqa: FBT001  parametrised
    storage = FileStorage(Moving(silent=silent), str(tmp_path))
    storage.put("a/b", b"1")
    storage.put("a/b", b"2")
    assert storage.get("a/b") == b"2"
    assert not list(tmp_path.rglob(".tmp-*"))
    storage._dialect.fs.broken = True
    with pytest.raises(StorageError, match="a/c"):
        storage.put("a/c", b"1")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_family_that_cannot_swap_says_so_in_our_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = FileStorage(Moving(silent=False), str(tmp_path))
    storage.put("a", b"1")
    assert not storage.can_swap()
    assert "cannot replace an object only if it is still the one that was read" in caplog.text
    asked: list[Callable[[], object]] = [
        lambda: storage.get_tagged("a"),
        lambda: storage.swap("a", b"2", "1"),
        lambda: storage.swap("b", b"2", None),
    ]
    for ask in asked:
        with pytest.raises(StorageError, match="cannot replace an object only if"):
            ask()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_system_that_keeps_old_copies_is_refused(tmp_path: Path) -> None:
    cache = SimpleCacheFileSystem(fs=LocalFileSystem(), cache_storage=str(tmp_path))
    with pytest.raises(ConfigurationError, match="gives back what was there before"):
        FileStorage(cache, "/x")


def test_a_file_system_that_cannot_write_says_so(tmp_path: Path) -> None:
    import zipfile  # noqa: PLC0415  only here

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/b", b"1")
    from fsspec.implementations.zip import ZipFileSystem  # noqa: PLC0415  only here

    storage = FileStorage(ZipFileSystem(str(tmp_path / "a.zip")), "")
    assert storage.get("a/b") == b"1"
    assert [info.path for info in storage.list()] == ["a/b"]
    for write in (storage.put, storage.create):
        with pytest.raises(StorageError):
            write("c", b"2")


def test_what_libraries_say_of_refusals_is_not_printed_where_nobody_set_up_logging() -> None:
    code = "import logging, entrepot.storage.files as _; logging.getLogger('gcsfs').error('what the server said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "what the server said" not in done.stderr
