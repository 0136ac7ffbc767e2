"""Mapped reads: as safe as others, because they are only done where nobody else can change the file."""

import mmap
import os
from pathlib import Path

import pytest

from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers.pickle import PickleSerializer
from entrepot.storage import EncryptedStorage, LocalStorage, PrefixedStorage, ReadOnlyStorage
from entrepot_test_results import RING, Kept

np = pytest.importorskip("numpy")

MIB = 1 << 20


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A store that maps."""
    kept = Kept(LocalStorage(tmp_path))
    kept.store = ResultStore(kept.storage, ring=RING, clock=kept.clock, mapped=True)
    return kept


@pytest.fixture
def mappings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is mapped from files."""
    sizes: list[int] = []
    real = mmap.mmap

    def noted(fd: int, size: int, **options: int) -> mmap.mmap:
        if fd >= 0:
            sizes.append(size)
        return real(fd, size, **options)

    monkeypatch.setattr(mmap, "mmap", noted)
    return sizes


def array(size: int = 3 * MIB) -> "np.ndarray":
    return np.arange(size, dtype=np.uint8)


def payload(kept: Kept, folder: Path) -> Path:
    (path,) = kept.paths("payloads")
    return folder / path


def test_a_large_array_is_mapped_and_is_the_readers_own(kept: Kept, tmp_path: Path, mappings: list[int]) -> None:
    record = kept.write("key", array(), "pickle")
    value = kept.store.fetch("key").value
    assert mappings == [record.size]
    assert np.array_equal(value, array())
    value[:] = 7  # writable, and nobody else's
    assert np.array_equal(kept.store.fetch("key").value, array())
    payload(kept, tmp_path).unlink()
    assert (value == 7).all()


def test_a_small_value_and_a_store_that_was_not_asked_map_nothing(
    kept: Kept, tmp_path: Path, mappings: list[int]
) -> None:
    kept.write("small", array(100_000), "pickle")
    kept.write("large", array(), "pickle")
    assert np.array_equal(kept.store.fetch("small").value, array(100_000))
    assert np.array_equal(Kept(LocalStorage(tmp_path)).store.fetch("large").value, array())
    assert mappings == []


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o640, 0o604, 0o666])
def test_a_file_that_others_may_open_is_read_and_not_mapped(
    kept: Kept, tmp_path: Path, mappings: list[int], mode: int
) -> None:
    kept.write("key", array(), "pickle")
    payload(kept, tmp_path).chmod(mode)
    assert np.array_equal(kept.store.fetch("key").value, array())
    assert mappings == []


def test_a_file_that_is_known_by_another_name_too_is_read_and_not_mapped(
    kept: Kept, tmp_path: Path, mappings: list[int]
) -> None:
    kept.write("key", array(), "pickle")
    os.link(payload(kept, tmp_path), tmp_path / "another name")
    assert np.array_equal(kept.store.fetch("key").value, array())
    assert mappings == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_read_and_not_mapped(kept: Kept, tmp_path: Path, mappings: list[int]) -> None:
    kept.write("key", array(), "pickle")
    os.chown(payload(kept, tmp_path), 12345, 12345)
    assert np.array_equal(kept.store.fetch("key").value, array())
    assert mappings == []


@pytest.mark.parametrize("spoil", ["flip", "cut", "longer", "gone", "a folder"])
def test_what_was_altered_is_not_believed_and_no_deserialiser_sees_it(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    kept.write("key", array(), "pickle")
    path = payload(kept, tmp_path)
    data = bytearray(path.read_bytes())
    if spoil == "flip":
        data[-1] ^= 1
    path.unlink()
    if spoil == "a folder":
        path.mkdir()
    elif spoil != "gone":
        written = {"flip": data, "cut": data[:-1], "longer": data + b"x"}[spoil]
        path.touch(0o600)
        path.write_bytes(written)
    seen: list[object] = []
    monkeypatch.setattr(PickleSerializer, "loads", lambda _, data: seen.append(data))
    assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    assert seen == []


def test_without_descriptors_left_it_is_read(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write("key", array(), "pickle")
    real = mmap.mmap

    def none_left(fd: int, size: int, **options: int) -> mmap.mmap:
        if fd >= 0:
            raise OSError(24, "too many open files")
        return real(fd, size, **options)

    monkeypatch.setattr(mmap, "mmap", none_left)
    assert np.array_equal(kept.store.fetch("key").value, array())


def test_wrappers_map_what_the_store_inside_maps_and_an_encrypted_store_maps_nothing(tmp_path: Path) -> None:
    local = LocalStorage(tmp_path)
    local.put("a/object", b"123")
    assert PrefixedStorage(local, "a").map("object") == b"123"
    assert ReadOnlyStorage(local).map("a/object") == b"123"
    assert ReadOnlyStorage(PrefixedStorage(local, "a")).map("object") == b"123"
    assert not hasattr(EncryptedStorage(local, RING), "map")


def test_an_empty_file_is_not_mapped(tmp_path: Path) -> None:
    local = LocalStorage(tmp_path)
    local.put("object", b"")
    assert local.map("object") is None
