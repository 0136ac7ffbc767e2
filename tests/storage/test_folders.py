"""Families that fsspec knows and we do not: what their libraries make of an outage is not believed."""

import errno
import functools
import http.server
import socket
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from entrepot.errors import ObjectNotFoundError, StorageError, StorageUnreachableError
from entrepot.storage import FileStorage


class Remote(AbstractFileSystem):
    """Folders of another machine, which may be away.

    Attributes:
        away: What the library raises then, for all or for some paths.
        cut: How many bytes come of each file, if not all.
    """

    protocol = "remote-folders"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.disk = LocalFileSystem()
        self.away: dict[str, Exception] = {}
        self.cut: int | None = None

    def _look(self, path: str) -> None:
        for name, error in self.away.items():
            if name in path:
                raise error

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:  # noqa: FBT001, FBT002  fsspec's signature
        self._look(path)
        return self.disk.ls(path, detail=detail)

    def info(self, path: str, **options: Any) -> Any:
        self._look(path)
        return self.disk.info(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self._look(path)
        return bytes(self.disk.cat_file(path, start, end))[: self.cut]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002  the same
        self.disk.makedirs(path, exist_ok=exist_ok)

    def rm_file(self, path: str) -> None:
        self._look(path)
        self.disk.rm_file(path)

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        Path(path1).replace(path2)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return self.disk.open(path, mode)


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def storage(remote: Remote, tmp_path: Path) -> FileStorage:
    found = FileStorage(remote, str(tmp_path / "store"))
    for path in ("a/1", "a/b/2", "c/3"):
        found.put(path, path.encode())
    return found


@pytest.mark.parametrize(
    "error", [ConnectionResetError(errno.ECONNRESET, "gone"), OSError(errno.EHOSTUNREACH, "gone"), TimeoutError()]
)
def test_a_folder_that_cannot_be_listed_is_not_left_out(remote: Remote, storage: FileStorage, error: Exception) -> None:
    remote.away = {"/a/b": error}
    with pytest.raises(StorageUnreachableError):
        list(storage.list())
    assert [each.path for each in storage.list("c")] == ["c/3"]
    remote.away = {"/store": error}
    for prefix in ("", "c", "none"):
        with pytest.raises(StorageUnreachableError):
            list(storage.list(prefix))


def test_a_library_that_takes_an_outage_for_absence_is_asked_for_the_root_too(
    remote: Remote, storage: FileStorage
) -> None:
    remote.away = {"/a/1": FileNotFoundError("/a/1"), "/store": ConnectionResetError(errno.ECONNRESET, "gone")}
    for ask in (storage.get, storage.stat, storage.delete):
        with pytest.raises(StorageUnreachableError):
            ask("a/1")
    remote.away = {"/a/1": FileNotFoundError("/a/1"), "/store": RuntimeError("what no library should raise")}
    with pytest.raises(StorageError) as caught:
        storage.get("a/1")
    assert not isinstance(caught.value, ObjectNotFoundError)


def test_an_absence_with_another_cause_is_none(remote: Remote, storage: FileStorage) -> None:
    absent = FileNotFoundError("/c")
    absent.__cause__ = type("ConnectError", (Exception,), {"__module__": "httpx"})()
    remote.away = {"/c": absent}
    with pytest.raises(StorageUnreachableError):
        list(storage.list())


def test_what_is_absent_is_absent_where_the_root_may_not_be_asked_for_or_is_not_there_yet(
    remote: Remote, storage: FileStorage, tmp_path: Path
) -> None:
    with pytest.raises(ObjectNotFoundError):
        FileStorage(remote, str(tmp_path / "new")).get("x")
    assert list(FileStorage(remote, str(tmp_path / "new")).list()) == []
    remote.away = {"/a/1": FileNotFoundError("/a/1"), "/store": PermissionError(errno.EACCES, "no")}
    with pytest.raises(ObjectNotFoundError):
        storage.get("a/1")


def test_a_listing_leads_out_of_no_folder(
    remote: Remote, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = remote.ls

    def leading(path: str, **options: Any) -> Any:
        return [
            *whole(path, **options),
            *({"name": f"{path}/{up}", "type": "directory", "size": 0} for up in ("..", ".", "../..", "")),
            {"name": f"{path}/../up", "type": "file", "size": 3},
        ]

    monkeypatch.setattr(remote, "ls", leading)
    assert sorted(each.path for each in storage.list()) == ["a/1", "a/b/2", "c/3"]


def test_a_file_that_breaks_off_is_no_short_value(remote: Remote, storage: FileStorage) -> None:
    remote.cut = 2
    with pytest.raises(StorageUnreachableError):
        storage.get("a/1")
    remote.cut = None
    assert storage.get("a/1") == b"a/1"
    assert storage.get("a/1", start=1, length=100) == b"/1"


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_web_server_that_went_away_has_no_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "store" / "x").mkdir(parents=True)
    (tmp_path / "store" / "x" / "y").write_bytes(b"hello")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    storage = FileStorage.from_url(f"http://127.0.0.1:{server.server_address[1]}/store")
    try:
        assert [(each.path, each.size) for each in storage.list()] == [("x/y", 5)]
        assert storage.get("x/y") == b"hello"
        with pytest.raises(ObjectNotFoundError):
            storage.get("x/z")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    with socket.socket() as taken:  # by nobody else: who would answer in its place
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(server.server_address)
        for ask in (lambda: storage.get("x/y"), lambda: storage.stat("x/y"), lambda: list(storage.list())):
            with pytest.raises(StorageUnreachableError):
                ask()


@pytest.mark.parametrize("protocol", ["zip", "tar"])
def test_an_archive_is_listed_folder_by_folder(protocol: str, tmp_path: Path) -> None:
    files = {"top.txt": b"1", "a/one.txt": b"22", "a/b/two.txt": b"333"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    archive = tmp_path / f"archive.{protocol}"
    with zipfile.ZipFile(archive, "w") if protocol == "zip" else tarfile.open(archive, "w") as made:
        for name in files:
            (made.write if isinstance(made, zipfile.ZipFile) else made.add)(tmp_path / name, name)
    storage = FileStorage.from_url(f"{protocol}://", fo=str(archive))
    assert {info.path: info.size for info in storage.list()} == {name: len(files[name]) for name in files}
    assert sorted(info.path for info in storage.list("a")) == ["a/b/two.txt", "a/one.txt"]
    assert [info.path for info in storage.list("a/b")] == ["a/b/two.txt"]
    assert list(storage.list("absent")) == []
    assert {name: bytes(storage.get(name)) for name in files} == files
    with pytest.raises(ObjectNotFoundError):
        storage.get("a/absent")
