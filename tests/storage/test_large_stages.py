"""Objects under way: nothing of them stays, nothing is seen too early, and nothing in plain where all is encrypted."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from entrepot.errors import ObjectExistsError, StorageError, StorageFullError
from entrepot.protocols.storage import Storage
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, stages
from entrepot.storage import encrypted as encrypted_module
from entrepot.storage.stages import stage_for
from entrepot_test_results import RING, Wrapped

MIB = 1 << 20
SECRET = b"the plain words " * 4096


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_store_that_cannot_stage_gets_its_objects_from_a_spool_file() -> None:
    storage = Wrapped(MemoryStorage())
    stage = stage_for(storage)
    stage.write(b"one, ")
    stage.write(memoryview(b"two"))
    assert storage.calls == []
    stage.commit("a", replace=False)
    with pytest.raises(ObjectExistsError):
        stage.commit("a", replace=False)
    stage.commit("a", replace=True)
    stage.close()
    assert storage.get("a") == b"one, two"
    assert [operation for operation, _ in storage.calls[:3]] == ["create", "create", "put"]


def test_a_local_file_under_way_is_its_owners_alone_and_gone_when_it_is_closed(tmp_path: Path) -> None:
    stage = LocalStorage(tmp_path / "store").stage()
    stage.write(b"half")
    (temporary,) = files(tmp_path)
    assert temporary.stat().st_mode & 0o777 == 0o600
    stage.close()
    assert files(tmp_path) == []


def test_a_local_file_has_its_name_only_once_it_is_synced_and_the_name_is_durable_on_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(fd: int) -> None:
        done.append("sync folder" if Path(f"/proc/self/fd/{fd}").readlink().is_dir() else "sync file")
        real_fsync(fd)

    def link(*args: object, **options: object) -> None:
        done.append("link")
        real_link(*args, **options)  # type: ignore[arg-type]

    storage = LocalStorage(tmp_path)
    storage.put("a/there", b"")  # its folder is made and synced
    stage = storage.stage()
    stage.write(b"1")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    stage.commit("a/b", replace=False)
    stage.close()
    assert done == ["sync file", "link", "sync folder"]


@pytest.mark.parametrize("call", ["writev", "fsync", "link", "replace"])
def test_a_local_file_whose_writing_fails_is_no_object_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage = LocalStorage(tmp_path)
    stage = storage.stage()
    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageFullError):  # noqa: PT012  whichever of the two comes to the call
        stage.write(b"1")
        stage.commit("a", replace=call == "replace")
    monkeypatch.undo()
    stage.close()
    assert files(tmp_path) == []
    assert [*storage.list()] == []


def test_no_room_for_a_spool_file_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stage = stage_for(Wrapped(MemoryStorage()))
    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(StorageFullError):
        stage.write(b"1")
    stage.close()


def test_a_spool_folder_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not there"))
    with pytest.raises(StorageError, match="not there"):
        stage_for(Wrapped(MemoryStorage()))


@pytest.mark.parametrize("local", [True, False], ids=["local", "spooled"])
def test_an_encrypted_object_under_way_is_nowhere_in_plain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    local: bool,  # noqa: FBT001  by name
) -> None:
    written: list[bytes] = []
    real = stages.write_all

    def noted(fd: int, views: list[memoryview]) -> None:
        written.extend(map(bytes, views))
        real(fd, views)

    monkeypatch.setattr(stages, "write_all", noted)
    inner: Storage = LocalStorage(tmp_path) if local else Wrapped(MemoryStorage())
    storage = EncryptedStorage(inner, RING)
    stage = storage.stage()
    for start in range(0, len(SECRET), 10_000):
        stage.write(SECRET[start : start + 10_000])
    stage.commit("a/b", replace=False)
    stage.close()
    assert storage.get("a/b") == SECRET
    assert len(b"".join(written)) > 2 * len(SECRET)
    assert SECRET[:16] not in b"".join(written)


def test_a_large_encrypted_object_is_the_same_whether_spooled_or_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = EncryptedStorage(LocalStorage(tmp_path), RING)
    monkeypatch.setattr(encrypted_module, "_HELD", 1000)
    storage.create("large", [SECRET[:7], SECRET[7:]])
    with pytest.raises(ObjectExistsError):
        storage.create("large", SECRET)
    storage.put("large", [SECRET, b"more"])
    assert storage.get("large") == SECRET + b"more"
    assert storage.stat("large").size == len(SECRET) + 4
    assert [path.name for path in files(tmp_path)] == ["large"]


def test_encrypting_a_large_object_takes_a_bounded_part_of_it_in_memory(tmp_path: Path) -> None:
    storage = EncryptedStorage(LocalStorage(tmp_path), RING)
    data = bytes(64 * MIB)
    tracemalloc.start()
    try:
        storage.put("large", data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB
    assert storage.stat("large").size == len(data)
