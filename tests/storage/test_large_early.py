"""Large files are synced while they are written: they are whole, and an early sync that fails is not forgotten."""

import errno
import os
from pathlib import Path
from typing import Self

import pytest

from entrepot.errors import StorageError, StorageFullError
from entrepot.storage import LocalStorage, _early, _posix

PARTS = [bytes(range(256)) * 5, b"x", bytes(range(250)) * 9]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make files large that are not, and count the early syncs."""
    calls: list[int] = []

    def sync(fd: int) -> None:
        calls.append(fd)
        os.fsync(fd)

    monkeypatch.setattr(_posix, "_LARGE", 1000)
    monkeypatch.setattr(_early, "STEP", 100)
    monkeypatch.setattr(_early, "_sync_data", sync)
    return calls


@pytest.mark.parametrize("replace", [False, True])
def test_a_large_file_is_synced_while_it_is_written_and_is_whole(
    tmp_path: Path, synced: list[int], *, replace: bool
) -> None:
    storage = LocalStorage(tmp_path)
    (storage.put if replace else storage.create)("a/b", PARTS)
    assert bytes(storage.get("a/b")) == b"".join(PARTS)
    assert synced


def test_small_files_are_synced_once(tmp_path: Path, synced: list[int]) -> None:
    LocalStorage(tmp_path).put("a/b", b"small")
    assert not synced


@pytest.mark.parametrize("failing", [1, 2])
def test_an_early_sync_that_fails_is_the_failure_of_the_write(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    storage = LocalStorage(tmp_path)
    storage.put("a/b", b"old")

    def sync(fd: int) -> None:
        synced.append(fd)
        if len(synced) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_early, "_sync_data", sync)
    if failing > 1:  # so that there is a second one whatever the threads do
        monkeypatch.setattr(_early, "ThreadPoolExecutor", _AtOnce)
    with pytest.raises(StorageError, match="Input/output error"):
        storage.put("a/b", PARTS)
    assert bytes(storage.get("a/b")) == b"old"
    assert os.listdir(tmp_path / "a") == ["b"]  # noqa: PTH208  the hidden ones too


def test_a_full_disk_is_told_from_an_early_sync_that_is_under_way(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.writev, [0]

    def write(fd: int, views: list[memoryview]) -> int:
        written[0] += 1
        if written[0] > 3:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(fd, views)

    monkeypatch.setattr(os, "writev", write)
    with pytest.raises(StorageFullError):
        LocalStorage(tmp_path).create("a/b", PARTS)
    assert synced
    assert os.listdir(tmp_path / "a") == []  # noqa: PTH208


class _AtOnce:
    """A pool that does what it is given before it returns."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, work: "object", *args: object) -> "_early.Future[None]":
        future: _early.Future[None] = _early.Future()
        try:
            future.set_result(work(*args))  # type: ignore[operator]
        except OSError as error:
            future.set_exception(error)
        return future
