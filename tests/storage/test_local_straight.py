"""A small object is read by its whole path, in few system calls, and still never through a symbolic link."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from entrepot.errors import ObjectNotFoundError, StorageError
from entrepot.storage import LocalStorage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "root"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    storage = LocalStorage(root)
    storage.put("records/ab/one.json", b"one")
    assert storage.get("records/ab/one.json") == b"one"  # it knows by now how it can read
    return storage


def test_what_is_large_or_asked_for_in_part_is_the_same(storage: LocalStorage) -> None:
    for size in (0, 1, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, 100_000):
        data = os.urandom(size)
        storage.put("object", data)
        assert storage.get("object") == data
        assert storage.get("object", length=size + 1) == data
        assert storage.get("object", length=size // 2) == data[: size // 2]
        assert storage.get("object", length=0) == b""
        assert storage.get("object", start=size // 2) == data[size // 2 :]


def test_a_root_that_is_a_link_is_read_all_the_same(tmp_path: Path, storage: LocalStorage, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    linked = LocalStorage(tmp_path / "link")
    for _ in range(2):
        assert linked.get("records/ab/one.json") == b"one"


@pytest.mark.parametrize("place", ["records", "records/ab", "records/ab/one.json"])
def test_what_was_read_and_is_behind_a_link_now_is_refused(storage: LocalStorage, root: Path, place: str) -> None:
    shutil.move(root / place, root.parent / "elsewhere")  # the very same bytes, where somebody else may write
    (root / place).symlink_to(root.parent / "elsewhere")
    with pytest.raises(StorageError, match="symbolic link") as caught:
        storage.get("records/ab/one.json")
    assert not isinstance(caught.value, ObjectNotFoundError)
    (root / place).unlink()
    shutil.move(root.parent / "elsewhere", root / place)
    assert storage.get("records/ab/one.json") == b"one"


def test_a_link_to_a_place_inside_the_root_is_refused_too(storage: LocalStorage, root: Path) -> None:
    storage.put("other/one.json", b"another one")
    shutil.rmtree(root / "records/ab")
    (root / "records/ab").symlink_to(root / "other")
    with pytest.raises(StorageError, match="symbolic link"):
        storage.get("records/ab/one.json")


def test_a_root_that_was_moved_or_replaced_is_seen_at_once(storage: LocalStorage, root: Path) -> None:
    root.rename(root.parent / "moved")
    with pytest.raises(ObjectNotFoundError):
        storage.get("records/ab/one.json")
    LocalStorage(root).put("records/ab/one.json", b"of the new one")
    assert storage.get("records/ab/one.json") == b"of the new one"
    shutil.rmtree(root)
    root.symlink_to(root.parent / "moved")  # the root itself may be a link: that is its owner's choice
    assert storage.get("records/ab/one.json") == b"one"


def test_what_is_no_file_is_refused_as_before(storage: LocalStorage, root: Path) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(StorageError):
            storage.get(name)
    with pytest.raises(ObjectNotFoundError):
        storage.get("nothing")


def test_where_nothing_says_where_files_are_the_long_way_is_taken(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> str:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setattr(os, "readlink", refuse)
    assert storage.get("records/ab/one.json") == b"one"
    assert LocalStorage(storage.location).get("records/ab/one.json") == b"one"
