"""How folders replace a file only if it is still the one that was read, and what happens where nobody can."""

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entrepot import task
from entrepot.cache_policies import INPUTS
from entrepot.errors import ObjectChangedError
from entrepot.storage import LocalStorage, MemoryStorage, _swaps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_swaps, "PATIENCE", 0.2)
    return tmp_path / "store"


@pytest.fixture
def storage(folder: Path) -> LocalStorage:
    return LocalStorage(folder)


class Stopped:
    """Another process that was stopped with the lock of an object, and had got as far as naming a file in it."""

    def __init__(self, folder: Path, line: str) -> None:
        (lock,) = folder.glob(f"{_swaps.LOCKS}/*/*")
        self.lock = lock
        self.descriptor = os.open(lock, os.O_RDWR)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        lock.write_text(line)

    def close(self) -> None:
        os.close(self.descriptor)


@pytest.fixture
def stopped(folder: Path, storage: LocalStorage) -> Iterator[Any]:
    storage.swap("a/b", b"1", storage.swap("a/b", b"0", None))  # makes the lock
    made: list[Stopped] = []

    def make(line: str) -> Stopped:
        made.append(Stopped(folder, line))
        return made[-1]

    yield make
    for each in made:
        each.close()


class TestLocks:
    def test_the_lock_of_one_who_stands_still_is_broken_and_what_he_was_to_rename_is_removed(
        self, folder: Path, storage: LocalStorage, stopped: Any
    ) -> None:
        late = folder / "a" / ".tmp-0123456789"
        late.write_bytes(b"late")
        lock = stopped("a/.tmp-0123456789").lock
        storage.swap("a/b", b"2", storage.get_tagged("a/b")[1])
        assert bytes(storage.get("a/b")) == b"2"
        assert not late.exists()
        assert [int(file.name) for file in lock.parent.iterdir()] == [2]
        storage.swap("a/b", b"3", storage.get_tagged("a/b")[1])  # the next lock is one like the first
        assert bytes(storage.get("a/b")) == b"3"

    @pytest.mark.parametrize("line", ["a/c", "../outside", "", "a/.tmp-x/../c"])
    def test_nothing_but_a_temporary_file_is_removed_whatever_a_lock_says(
        self, folder: Path, storage: LocalStorage, stopped: Any, line: str
    ) -> None:
        storage.put("a/c", b"kept")
        (folder.parent / "outside").write_bytes(b"kept")
        stopped(line)
        storage.swap("a/b", b"2", storage.get_tagged("a/b")[1])
        assert bytes(storage.get("a/c")) == b"kept"
        assert (folder.parent / "outside").read_bytes() == b"kept"

    def test_a_lock_that_nobody_has_is_taken_at_once(self, folder: Path, storage: LocalStorage, stopped: Any) -> None:
        gone = stopped("a/.tmp-0123456789")
        fcntl.flock(gone.descriptor, fcntl.LOCK_UN)  # as the kernel does when a process dies
        storage.swap("a/b", b"2", storage.get_tagged("a/b")[1])
        assert bytes(storage.get("a/b")) == b"2"
        assert [file.name for file in gone.lock.parent.iterdir()] == ["1"]

    def test_no_listing_shows_them(self, storage: LocalStorage, stopped: Any) -> None:
        assert [info.path for info in storage.list()] == ["a/b"]

    def test_no_temporary_file_stays(self, folder: Path, storage: LocalStorage, stopped: Any) -> None:
        tag = storage.get_tagged("a/b")[1]
        storage.swap("a/b", b"2", tag)
        with pytest.raises(ObjectChangedError):
            storage.swap("a/b", b"3", tag)
        assert [file.name for file in (folder / "a").iterdir()] == ["b"]

    def test_no_change_is_lost_among_many(self, storage: LocalStorage) -> None:
        storage.put("n", b"0")

        def add(times: int) -> None:
            while times:
                content, tag = storage.get_tagged("n")
                try:
                    storage.swap("n", b"%d" % (int(bytes(content)) + 1), tag)
                except ObjectChangedError:
                    continue
                times -= 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, [8] * 4))
        assert bytes(storage.get("n")) == b"32"


class Plain:
    """A store of somebody else's, without the capability."""

    def __init__(self) -> None:
        inner = MemoryStorage()
        for name in ("get", "put", "create", "delete", "list", "stat", "location", "creates_exclusively"):
            setattr(self, name, getattr(inner, name))


class TestStoresThatCannot:
    def test_that_is_said_once_and_each_process_computes_for_itself(self, caplog: pytest.LogCaptureFixture) -> None:
        calls: list[int] = []
        go_on = threading.Event()

        @task(cache_policy=INPUTS, single_flight=True, result_storage=Plain())
        def computed(number: int) -> int:
            calls.append(number)
            assert go_on.wait(60)
            return number

        go_on.set()
        assert [computed(number) for number in (1, 2, 1)] == [1, 2, 1]
        assert calls == [1, 2]
        assert caplog.text.count("do not wait for each other there") == 1
