"""LocalStorage beyond the contract: modes, links, foreign files, roots that are not there, and how much it asks."""

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from entrepot.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageAccessError,
    StorageError,
    StorageUnreachableError,
)
from entrepot.storage import LocalStorage, _posix, _renameat2, local

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_for_their_owner_only_and_so_are_new_folders(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        storage = LocalStorage(tmp_path / "new" / "root")
        storage.put("a/b/put", b"1")
        storage.create("a/b/create", b"1")
    finally:
        os.umask(old)
    for folder in ("new", "new/root", "new/root/a", "new/root/a/b"):
        assert mode_of(tmp_path / folder) == 0o700
    assert mode_of(tmp_path / "new/root/a/b/put") == mode_of(tmp_path / "new/root/a/b/create") == 0o600


def test_making_a_store_and_reading_from_it_touch_nothing(storage: LocalStorage, root: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        storage.get("a")
    storage.delete("a")
    assert list(storage.list()) == []
    assert not root.exists()


def test_a_relative_root_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage("here")
    monkeypatch.chdir("/")
    storage.put("a", b"1")
    assert (tmp_path / "here/a").read_bytes() == b"1"
    assert storage.location == str(tmp_path / "here")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStorage("~/results").location == str(tmp_path / "results")
    assert LocalStorage(Path("~/results")).location == str(tmp_path / "results")


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    LocalStorage(tmp_path / "root").put("a/b", b"1")
    assert (tmp_path / "disk/a/b").read_bytes() == b"1"


# --- roots that are not there -------------------------------------------------------------------------------------


def test_a_root_that_has_to_be_there_and_is_not_is_an_outage(root: Path) -> None:
    storage = LocalStorage(root, create=False)
    for act in (
        lambda: storage.get("a"),
        lambda: storage.stat("a"),
        lambda: storage.put("a", b""),
        lambda: storage.create("a", b""),
        lambda: storage.delete("a"),
        lambda: list(storage.list()),
        lambda: storage.read_into("a", memoryview(bytearray(1))),
    ):
        with pytest.raises(StorageUnreachableError, match="mount its disk"):
            act()
    assert not root.exists()
    root.mkdir()
    storage.put("a", b"1")
    assert storage.get("a") == b"1"


def test_a_root_that_is_a_file_is_an_outage(root: Path, storage: LocalStorage) -> None:
    root.write_bytes(b"")
    for act in (lambda: storage.get("a"), lambda: storage.put("a", b""), lambda: list(storage.list())):
        with pytest.raises(StorageUnreachableError, match="not a folder"):
            act()


@as_root
def test_what_may_not_be_read_or_written_is_a_refusal(root: Path, storage: LocalStorage) -> None:
    storage.put("a/b", b"1")
    (root / "a/b").chmod(0)
    with pytest.raises(StorageAccessError):
        storage.get("a/b")
    (root / "a").chmod(0o500)
    for act in (lambda: storage.put("a/b", b""), lambda: storage.create("a/c", b""), lambda: storage.delete("a/b")):
        with pytest.raises(StorageAccessError, match="give this user access"):
            act()
    (root / "a").chmod(0)
    with pytest.raises(StorageAccessError):
        list(storage.list())
    (root / "a").chmod(0o700)


# --- links and other things inside --------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "not there")
    return outside


@pytest.mark.parametrize("path", ["folder/secret", "file", "folder/new", "dangling"])
def test_a_link_inside_is_not_followed_to_read(storage: LocalStorage, outside: Path, path: str) -> None:
    for act in (
        lambda: storage.get(path),
        lambda: storage.stat(path),
        lambda: storage.read_into(path, memoryview(bytearray(9))),
    ):
        with pytest.raises(StorageError, match="symbolic link") as caught:
            act()
        assert not isinstance(caught.value, ObjectNotFoundError)


def test_a_linked_folder_inside_is_not_followed_to_write_list_or_delete(storage: LocalStorage, outside: Path) -> None:
    for act in (
        lambda: storage.put("folder/secret", b"changed"),
        lambda: storage.create("folder/new", b"new"),
        lambda: storage.put("folder/deep/new", b"new"),
        lambda: storage.delete("folder/secret"),
        lambda: list(storage.list("folder")),
    ):
        with pytest.raises(StorageError, match="symbolic link"):
            act()
    assert [p.name for p in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert list(storage.list()) == []


def test_writing_where_a_link_is_replaces_the_link_and_not_its_target(storage: LocalStorage, outside: Path) -> None:
    with pytest.raises(ObjectExistsError):
        storage.create("file", b"new")
    with pytest.raises(ObjectExistsError):
        storage.create("dangling", b"new")
    storage.put("file", b"new")
    storage.put("dangling", b"new")
    assert (outside / "secret").read_bytes() == b"secret"
    assert storage.get("file") == storage.get("dangling") == b"new"
    assert not (outside / "not there").exists()


def test_a_link_is_deleted_and_not_its_target(storage: LocalStorage, outside: Path, root: Path) -> None:
    storage.delete("file")
    assert (outside / "secret").exists()
    assert not (root / "file").is_symlink()


def test_a_folder_swapped_for_a_link_under_way_leads_nowhere(
    storage: LocalStorage, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("a/b", b"inside")
    (tmp_path / "outside").mkdir()
    write = _posix.write_durably

    def swap_and_write(*args: object, **kwargs: object) -> None:
        (root / "a").rename(root / "moved")
        (root / "a").symlink_to(tmp_path / "outside")
        write(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "write_durably", swap_and_write)
    storage.put("a/b", b"new")
    assert list((tmp_path / "outside").iterdir()) == []
    assert (root / "moved/b").read_bytes() == b"new"


def test_a_pipe_or_socket_in_the_store_neither_blocks_nor_lists(storage: LocalStorage, root: Path) -> None:
    storage.put("a", b"1")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    for path in ("pipe", "socket"):
        with pytest.raises(StorageError):
            storage.get(path)
        with pytest.raises(StorageError):
            storage.stat(path)
    assert [info.path for info in storage.list()] == ["a"]


def test_files_whose_names_cannot_be_paths_are_no_objects(storage: LocalStorage, root: Path) -> None:
    storage.put("a", b"1")
    for name in (b"\xff", b"new\nline", b".tmp-0123", b"back\\slash"):
        Path(os.fsdecode(os.path.join(os.fsencode(root), name))).write_bytes(b"")  # noqa: PTH118  bytes
    (root / ".tmp-folder").mkdir()
    (root / ".tmp-folder/file").write_bytes(b"")
    assert [info.path for info in storage.list()] == ["a"]


def test_a_folder_is_no_object_and_is_not_replaced_by_one(storage: LocalStorage) -> None:
    storage.put("a/b", b"1")
    for write in (storage.put, storage.create):
        with pytest.raises(StorageError, match="folder has that name") as caught:
            write("a", b"2")
        assert not isinstance(caught.value, ObjectExistsError)
        with pytest.raises(StorageError, match="is an object"):
            write("a/b/c", b"2")
    assert storage.get("a/b") == b"1"
    assert [info.path for info in storage.list()] == ["a/b"]


def test_a_folder_that_vanishes_during_a_listing_is_empty(storage: LocalStorage, root: Path) -> None:
    for number in range(3):
        storage.put(f"{number}/object", b"")
    listing = storage.list()
    first = next(listing)
    for number in range(3):
        if f"{number}/object" != first.path:
            (root / str(number) / "object").unlink()
            (root / str(number)).rmdir()
    assert list(listing) == []


def test_an_object_shorter_than_it_was_said_to_be_is_read_to_its_end(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reads of more than 2 GiB, and of files on some network mounts, come in pieces.
    storage.put("a", b"0123456789")
    real = os.pread

    class Short:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def pread(fd: int, size: int, offset: int) -> bytes:
            return real(fd, min(size, 3), offset)

        @staticmethod
        def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
            piece = real(fd, min(buffers[0].nbytes, 2), offset)
            buffers[0][: len(piece)] = piece
            return len(piece)

    monkeypatch.setattr(_posix, "os", Short())
    assert bytes(storage.get("a")) == b"0123456789"
    assert bytes(storage.get("a", start=2, length=5)) == b"23456"
    memory = bytearray(12)
    assert storage.read_into("a", memoryview(memory), start=1) == 9
    assert memory == b"123456789\0\0\0"


# --- file systems without hard links, and lost answers ------------------------------------------------------------


class NoLinks:
    """The system calls, where `link` says what a file system without hard links says."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def link(self, *args: object, **kwargs: object) -> None:
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("name", ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK"])
def test_without_hard_links_create_renames_exclusively(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_posix, "os", NoLinks(getattr(errno, name)))
    storage.create("a/b", b"first")
    with pytest.raises(ObjectExistsError):
        storage.create("a/b", b"second")
    assert storage.get("a/b") == b"first"
    assert sorted(p.name for p in (root / "a").iterdir()) == ["b"]


def test_with_neither_links_nor_exclusive_renames_create_fails_and_writes_nothing(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: int, old: str, folder: int, new: str) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), new)

    monkeypatch.setattr(_posix, "os", NoLinks(errno.EPERM))
    monkeypatch.setattr(_renameat2, "rename_exclusively", refuse)
    with pytest.raises(StorageError, match="hard links"):
        storage.create("a", b"1")
    assert list(root.iterdir()) == []
    storage.put("a", b"1")
    assert storage.get("a") == b"1"


def test_a_link_whose_answer_was_lost_is_a_success(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    class LostAnswer:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def link(*args: object, **kwargs: object) -> None:
            os.link(*args, **kwargs)  # type: ignore[arg-type]
            os.link(*args, **kwargs)  # type: ignore[arg-type]  # the repetition meets our own link

    monkeypatch.setattr(_posix, "os", LostAnswer())
    storage.create("a", b"1")
    assert storage.get("a") == b"1"
    assert [info.path for info in storage.list()] == ["a"]


# --- at once ------------------------------------------------------------------------------------------------------


def test_processes_that_create_the_same_object_have_one_winner(root: Path) -> None:
    script = (
        "import sys, time; from entrepot.storage import LocalStorage; from entrepot.errors import ObjectExistsError\n"
        "storage = LocalStorage(sys.argv[1]); sys.stdin.readline(); won = []\n"
        "for number in range(40):\n"
        "    try: storage.create(f'{number % 4}/{number}', (sys.argv[2] * 5000).encode())\n"
        "    except ObjectExistsError: continue\n"
        "    won.append(number)\n"
        "print(won)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    winners = {}
    for number, process in enumerate(processes):
        out, _ = process.communicate(timeout=120)
        for won in json.loads(out):
            assert won not in winners
            winners[won] = number
    assert len(winners) == 40
    storage = LocalStorage(root)
    for won, number in winners.items():
        assert storage.get(f"{won % 4}/{won}") == str(number).encode() * 5000
    assert not list(root.rglob(".tmp-*"))


def test_folders_made_by_many_threads_at_once_are_made_once(storage: LocalStorage) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        try:
            start.wait()
            storage.put(f"a/b/c/d/{number}", b"1")
        except BaseException as error:  # noqa: BLE001  for the main thread to see
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(storage.list("a/b/c/d"))) == 8


def test_it_loads_neither_fsspec_nor_cryptography_nor_a_client(tmp_path: Path) -> None:
    script = (
        "import sys; from entrepot.storage import LocalStorage, MemoryStorage, PrefixedStorage, open_storage\n"
        "open_storage(sys.argv[1]).put('a', b'1'); open_storage('memory://x').put('a', b'1')\n"
        "heavy = {'fsspec', 'cryptography', 'pydantic', 'asyncio', 'http', 'sqlite3', 'blake3', 'ctypes', 'logging'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
