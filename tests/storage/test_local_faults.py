"""Every system call of a write fails in turn: what is read afterwards is the old object or the new one."""

import contextlib
import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot import _folders
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    EntrepotError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageAccessError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from entrepot.protocols.storage import MakesDurable
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, PrefixedStorage, _below, _posix, local
from entrepot.testing import FaultyStorage

OLD = b"old" * 1000
NEW = [b"new" * 40_000, bytearray(b"er"), memoryview(b"est" * 5)]
WHOLE = b"".join(bytes(part) for part in NEW)
CALLS = frozenset(
    {"open", "close", "fstat", "mkdir", "writev", "fsync", "link", "replace", "unlink", "stat", "pread", "scandir"}
    | {"read", "readlink"}
)


class Injector:
    """The system calls, counted; the nth of them fails, before or after it is done."""

    def __init__(self, fail_at: int | None = None, *, error: BaseException | None = None, after: bool = False) -> None:
        self.fail_at = fail_at
        self.error = error
        self.after = after
        self.calls: list[str] = []
        self.failed = ""
        self.short = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            now = len(self.calls) == self.fail_at
            if now and not self.after and name != "close":  # a close that fails has closed all the same
                self.failed = name
                raise self.error or AssertionError
            if self.short and name == "writev":
                return os.write(args[0], bytes(args[1][0][:7]) or b"")
            result = real(*args, **kwargs)
            if now:
                self.failed = name
                if name == "open":
                    os.close(result)  # so that the test itself leaks nothing
                raise self.error or AssertionError
            return result

        return call


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Injector]:
    def use(*args: Any, **kwargs: Any) -> Injector:
        injector = Injector(*args, **kwargs)
        monkeypatch.setattr(_posix, "os", injector)
        monkeypatch.setattr(local, "os", injector)
        monkeypatch.setattr(_below, "os", injector)
        monkeypatch.setattr(_folders, "os", injector)
        return injector

    return use


def open_files(folder: Path) -> int:
    """Return how many files and folders below one are open here; other threads have others open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since it was listed
            count += str(link.readlink()).startswith(str(folder))
    return count


def raised_by(act: Callable[[], object]) -> BaseException | None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001  interrupts too
        return error
    return None


SCENES: dict[str, tuple[bool, Callable[[LocalStorage], None]]] = {
    "put over an object": (True, lambda storage: storage.put("a/b", NEW)),
    "put a new object": (False, lambda storage: storage.put("a/b", NEW)),
    "create a new object": (False, lambda storage: storage.create("a/b", NEW)),
}
FAULTS = {
    "EIO": (lambda: OSError(errno.EIO, "injected"), StorageError),
    "ENOSPC": (lambda: OSError(errno.ENOSPC, "injected"), StorageFullError),
    "EDQUOT": (lambda: OSError(errno.EDQUOT, "injected"), StorageFullError),
    "EINTR": (lambda: OSError(errno.EINTR, "injected"), StorageError),
    "EACCES": (lambda: OSError(errno.EACCES, "injected"), StorageAccessError),
    "ESTALE": (lambda: OSError(errno.ESTALE, "injected"), StorageUnreachableError),
    "interrupt": (KeyboardInterrupt, KeyboardInterrupt),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_write_that_fails_anywhere_leaves_the_old_object_or_the_new_one(
    tmp_path: Path, inject: Callable[..., Injector], scene: str, fault: str, moment: str
) -> None:
    had_old, act = SCENES[scene]
    after = moment == "after"
    make, expected = FAULTS[fault]
    seen: list[str] = []
    for number in range(1, 60):
        root = tmp_path / str(number) / "root"
        storage = LocalStorage(root)
        if had_old:
            storage.put("a/b", OLD)
        files = open_files(tmp_path)
        injector = inject(number, error=make(), after=after)
        error = raised_by(functools.partial(act, storage))
        if error is not None:
            assert isinstance(error, expected), (number, injector.failed, error)
            assert not isinstance(error, ObjectNotFoundError)
        else:
            # Closing a folder that was only read from may fail without losing anything.
            assert injector.failed in {"", "close"}, injector.failed
        if isinstance(error, StorageError):
            assert error.location == str(root)
            assert "injected" not in str(error)
        inject()
        assert open_files(tmp_path) <= files + (fault == "interrupt" and after), (number, injector.failed)
        try:
            content = storage.get("a/b")
        except ObjectNotFoundError:
            content = None
        assert content in ((OLD if had_old else None), WHOLE), (number, injector.failed)
        if error is None:
            assert content == WHOLE
        assert not list(root.parent.rglob(".tmp-*")), (number, injector.failed)
        storage.put("a/b", b"and it goes on")
        assert storage.get("a/b") == b"and it goes on"
        if number > len(injector.calls):
            break
        seen.append(injector.failed)
    else:
        pytest.fail("the write never ended")
    assert {"open", "writev", "fsync", "close"} <= set(seen)
    assert ("link" if "create" in scene else "replace") in seen


def test_an_error_of_fsync_is_raised_and_fsync_is_not_called_again(
    tmp_path: Path, inject: Callable[..., Injector]
) -> None:
    storage = LocalStorage(tmp_path)
    storage.put("a", OLD)
    calls = inject()
    storage.put("a", OLD)
    first, second = (n for n, name in enumerate(calls.calls, 1) if name == "fsync")
    for number in (first, second):
        injector = inject(number, error=OSError(errno.EIO, "injected"))
        with pytest.raises(StorageError, match="Input/output error"):
            storage.put("a", WHOLE)
        assert injector.calls.count("fsync") == (1 if number == first else 2)
        assert ("replace" in injector.calls) == (number == second)


def test_writes_that_take_a_few_bytes_at_a_time_are_whole(tmp_path: Path, inject: Callable[..., Injector]) -> None:
    storage = LocalStorage(tmp_path)
    parts = [b"0123456789" * 10, b"x", b"", b"abcdefgh" * 5, bytearray(b"y" * 15)]
    inject().short = True
    storage.put("a", parts)
    inject()
    assert storage.get("a") == b"".join(parts)


def test_a_write_that_takes_nothing_is_an_error_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def writev(fd: int, parts: list[memoryview]) -> int:
            return 0

    monkeypatch.setattr(_posix, "os", Stuck())
    with pytest.raises(StorageError):
        LocalStorage(tmp_path).put("a", b"1")


@pytest.mark.parametrize("fault", ["EIO", "EACCES", "ESTALE"])
def test_a_read_that_fails_anywhere_is_an_error_and_never_a_miss(
    tmp_path: Path, inject: Callable[..., Injector], fault: str
) -> None:
    make, expected = FAULTS[fault]
    storage = LocalStorage(tmp_path)
    storage.put("a/b", OLD)
    reads: tuple[Callable[[], object], ...] = (
        lambda: storage.get("a/b"),
        lambda: storage.stat("a/b"),
        lambda: list(storage.list()),
        lambda: storage.delete("a/b"),
    )
    for read in reads:
        for number in range(1, 30):
            files = open_files(tmp_path)
            injector = inject(number, error=make())
            try:
                read()
            except EntrepotError as error:
                assert isinstance(error, expected), (injector.failed, error)  # noqa: PT017  the loop goes on
                assert not isinstance(error, ObjectNotFoundError)  # noqa: PT017
            inject()
            assert open_files(tmp_path) == files, injector.failed
            if number > len(injector.calls):
                break
        else:
            pytest.fail("it never ended")


@pytest.fixture
def counted(tmp_path: Path, inject: Callable[..., Injector]) -> Iterator[tuple[LocalStorage, Injector]]:
    storage = LocalStorage(tmp_path / "root")
    storage.put("a/b/first", b"1")
    yield storage, inject()
    inject()


def test_a_put_costs_one_sync_of_the_file_and_one_of_the_folder(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    storage.put("a/b/object", NEW)
    assert injector.calls.count("fsync") == 2
    assert injector.calls.count("writev") == 1
    # Root, two folders, the temporary file.
    assert injector.calls.count("open") == injector.calls.count("close") == 4
    assert injector.calls.count("mkdir") == injector.calls.count("link") == injector.calls.count("unlink") == 0


def test_a_create_costs_no_more_syncs_than_a_put(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    storage.create("a/b/object", NEW)
    assert injector.calls.count("fsync") == 2
    assert injector.calls.count("link") == injector.calls.count("unlink") == 1


def test_a_new_folder_costs_one_sync_of_the_folder_above(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    storage.put("a/new/newer/object", b"1")
    assert injector.calls.count("mkdir") == 2
    assert injector.calls.count("fsync") == 4


LONG_WAY = ["open", "open", "close", "open", "close", "open", "fstat", "close", "pread", "close"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say where files are")
def test_a_get_of_a_small_object_is_five_calls(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    short = ["open", "readlink", "fstat", "read", "close"]
    assert storage.get("a/b/first") == b"1"
    assert injector.calls == ["open", "readlink", "close", *short]  # once, it finds out whether that can be done
    injector.calls.clear()
    assert storage.get("a/b/first", length=1 << 20) == b"1"
    assert injector.calls == short


def test_any_other_get_goes_from_folder_to_folder(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    storage.put("a/b/first", bytes(1 << 20))
    injector.calls.clear()
    assert storage.get("a/b/first", start=1) == bytes((1 << 20) - 1)
    assert injector.calls == LONG_WAY


def test_many_buffers_are_written_in_batches_and_not_joined(counted: tuple[LocalStorage, Injector]) -> None:
    storage, injector = counted
    storage.put("a/b/object", [b"x"] * 2500)
    assert injector.calls.count("writev") == 3
    assert storage.get("a/b/object") == b"x" * 2500


class Log:
    """The folders that were synced, by path; the process can be made to die at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.dies_at: Path | None = None
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, fd: int) -> None:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        if self.dies_at is not None and path == str(self.dies_at) and any(self.dies_at.glob("[!.]*")):
            raise KeyboardInterrupt
        self._real(fd)
        self.synced.append(path)

    def die_at(self, folder: Path, act: Callable[[], object]) -> None:
        """Do it, up to the sync of a folder that has an object in it; and forget what was synced."""
        self.dies_at = folder
        with pytest.raises(KeyboardInterrupt):
            act()
        self.dies_at = None
        self.synced.clear()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the names of open files are read from /proc")
class TestWhatAnotherWriterHadNotSynced:
    """A writer died, or is slow, between the name and its fsync: nobody else may build on that name yet."""

    def test_an_object_that_exists_is_durable_when_create_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, log = LocalStorage(tmp_path), Log(monkeypatch)
        log.die_at(tmp_path / "a", lambda: storage.create("a/b", b"1"))
        with pytest.raises(ObjectExistsError):
            storage.create("a/b", b"2")
        assert log.synced[-1] == str(tmp_path / "a")
        assert storage.get("a/b") == b"1"
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]

    @pytest.mark.parametrize("wrap", ["plain", "prefixed", "encrypted", "faulty"])
    def test_a_store_can_be_asked_to_make_an_object_durable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrap: str
    ) -> None:
        wraps: dict[str, Callable[[LocalStorage], Any]] = {
            "plain": lambda storage: storage,
            "prefixed": lambda storage: PrefixedStorage(storage, "x"),
            "encrypted": lambda storage: EncryptedStorage(storage, Keyring.generate()),
            "faulty": FaultyStorage,
        }
        storage, log = wraps[wrap](LocalStorage(tmp_path)), Log(monkeypatch)
        assert isinstance(storage, MakesDurable)
        storage.put("a/b", b"1")
        log.synced.clear()
        storage.make_durable("a/b")
        assert log.synced == [str(tmp_path / ("x/a" if wrap == "prefixed" else "a"))]
        with pytest.raises(ObjectNotFoundError):
            storage.make_durable("none/b")

    def test_stores_without_such_a_moment_cannot_be_asked(self) -> None:
        assert not isinstance(PrefixedStorage(MemoryStorage(), "x"), MakesDurable)
        assert not isinstance(FaultyStorage(MemoryStorage()), MakesDurable)

    def test_a_trouble_of_that_sync_is_raised(self, tmp_path: Path, inject: Callable[..., Injector]) -> None:
        storage = LocalStorage(tmp_path)
        storage.put("a", OLD)
        calls = inject()
        with pytest.raises(ObjectExistsError):
            storage.create("a", NEW)
        last = max(n for n, name in enumerate(calls.calls, 1) if name == "fsync")
        inject(last, error=OSError(errno.EIO, "injected"))
        with pytest.raises(StorageError, match="Input/output error"):
            storage.create("a", NEW)
        inject(1, error=OSError(errno.EIO, "injected"))
        with pytest.raises(StorageError):
            storage.make_durable("a")
