"""Large values: read and written with next to no memory beyond the value, and checked on the way."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from entrepot.crypto.digest import Digester
from entrepot.errors import IntegrityError, StorageUnreachableError
from entrepot.results.payloads import check_payload, read_payload, write_payload
from entrepot.results.reading import read_and_hash
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept, Wrapped

MIB = 1 << 20
PATH = "payloads/aa/x.bin"
EDGES = [0, 1, 4095, 4096, MIB, 2 * MIB - 1, 2 * MIB, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB]


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("wrapped", [False, True], ids=["read_into", "get"])
def test_payloads_of_every_size_are_read_and_checked(tmp_path: Path, size: int, wrapped: bool) -> None:  # noqa: FBT001  by name
    storage = Wrapped(LocalStorage(tmp_path)) if wrapped else LocalStorage(tmp_path)
    data = content(size)
    digest = Digester(RING).digest([data])
    write_payload(storage, PATH, [memoryview(data)], digest=digest, ring=RING)
    memory = read_payload(storage, PATH, size=size, digest=digest, ring=RING)
    assert memory == data
    assert not memory.readonly
    assert check_payload(storage, PATH, size=size, digest=digest, ring=RING) == ""
    for wrong in (data + b"x", data[:-1] if data else b"x", content(size)[::-1] + b"\x01"):
        storage.put(PATH, wrong)
        with pytest.raises(IntegrityError):
            read_payload(storage, PATH, size=size, digest=digest, ring=RING)
        assert check_payload(storage, PATH, size=size, digest=digest, ring=RING)


def test_the_digest_is_of_the_bytes_and_not_of_how_they_are_cut() -> None:
    data = content(5 * MIB)
    parts = [data[:7], data[7 : 3 * MIB], b"", data[3 * MIB :]]
    assert Digester(RING).digest(parts) == Digester(RING).digest([data])


def test_an_outage_in_the_middle_of_a_large_read_is_raised(tmp_path: Path) -> None:
    class Fails(LocalStorage):
        def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
            if start > 4 * MIB:
                raise StorageUnreachableError("the disk is gone", location=self.location)
            return super().read_into(path, buffer, start=start)

    data = content(20 * MIB)
    digest = Digester(RING).digest([data])
    LocalStorage(tmp_path).put(PATH, data)
    with pytest.raises(StorageUnreachableError):
        read_payload(Fails(tmp_path), PATH, size=len(data), digest=digest, ring=RING)


def test_chunks_that_come_out_of_order_are_hashed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = threading.Event()

    class Late(LocalStorage):
        def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
            if start == 0:
                assert second.wait(60)
            count = super().read_into(path, buffer, start=start)
            if start:
                second.set()
            return count

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    data = content(21 * MIB)
    digest = Digester(RING).digest([data])
    LocalStorage(tmp_path).put(PATH, data)
    assert read_payload(Late(tmp_path), PATH, size=len(data), digest=digest, ring=RING) == data


def test_an_outage_that_another_thread_meets_ends_the_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    class Fails(LocalStorage):
        def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
            if threading.current_thread() is not threading.main_thread():
                failed.set()
                raise StorageUnreachableError("the disk is gone", location=self.location)
            assert failed.wait(60)
            return super().read_into(path, buffer, start=start)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    data = content(40 * MIB)
    digest = Digester(RING).digest([data])
    LocalStorage(tmp_path).put(PATH, data)
    with pytest.raises(StorageUnreachableError):
        read_payload(Fails(tmp_path), PATH, size=len(data), digest=digest, ring=RING)


def test_an_error_of_the_hasher_is_raised_on_the_thread_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def update(self, _: object) -> None:
            raise RuntimeError("no more")

    data = content(3 * MIB)
    digest = Digester(RING).digest([data])
    storage = MemoryStorage()
    storage.put(PATH, data)
    monkeypatch.setattr(Digester, "hasher_for", lambda *_, **__: Broken())
    with pytest.raises(RuntimeError, match="no more"):
        read_payload(storage, PATH, size=len(data), digest=digest, ring=RING)


def test_a_child_process_that_changes_a_value_does_not_change_its_parents() -> None:
    program = """
import os
from entrepot.serializers.buffers import allocate
memory = allocate(8 << 20)
memory[0] = 1
child = os.fork()
if child == 0:
    memory[0] = 2
    os._exit(0)
os.waitpid(child, 0)
print(memory[0])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"


PEAK = """
import re, sys
import numpy as np
sys.path[:0] = {path!r}
from entrepot_test_results import Kept
from entrepot.storage.local import LocalStorage

def memory(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def forget_peak():
    open("/proc/self/clear_refs", "w").write("5")

kept = Kept(LocalStorage({folder!r}))
array = np.random.default_rng(0).integers(0, 256, 100 << 20, dtype=np.uint8)
kept.write("warm", np.zeros(3 << 20, np.uint8), "pickle")
kept.store.fetch("warm")
forget_peak()
before = memory("VmRSS")
kept.write("key", array, "pickle")
print("write", memory("VmHWM") - before)
del array
forget_peak()
before = memory("VmRSS")
value = kept.store.fetch("key").value
print("read", memory("VmHWM") - before - 100)
assert value.nbytes == 100 << 20
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_array_takes_no_memory_beyond_itself(tmp_path: Path) -> None:
    program = PEAK.format(path=[str(Path(__file__).parent.parent)], folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    peaks = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}
    assert set(peaks) == {"write", "read"}
    assert peaks["write"] < 16
    assert peaks["read"] < 16


def test_reading_from_a_storage_that_copies_takes_a_bounded_part_at_a_time() -> None:
    storage = Wrapped(MemoryStorage())
    kept = Kept(storage)
    kept.write("key", bytes(80 * MIB), "pickle")
    storage.calls.clear()
    assert kept.store.fetch("key").value == bytes(80 * MIB)
    assert len([path for operation, path in storage.calls if operation == "get"]) == 1 + 6


def test_a_payload_that_another_writer_had_not_synced_yet_is_durable_before_a_record_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    real, synced = os.fsync, list[str]()

    def dying(fd: int) -> None:
        folder = Path(f"/proc/self/fd/{fd}").readlink()
        if folder.is_dir() and "payloads" in folder.parts and any(folder.glob("*.bin")):
            raise Died
        real(fd)

    def logged(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    storage, data = LocalStorage(tmp_path), memoryview(content(MIB))
    digest = Digester(RING).digest([data])
    monkeypatch.setattr(os, "fsync", dying)
    with pytest.raises(Died):
        write_payload(storage, PATH, [data], digest=digest, ring=RING)
    monkeypatch.setattr(os, "fsync", logged)
    write_payload(storage, PATH, [data], digest=digest, ring=RING)
    assert synced == [str((tmp_path / PATH).parent)]


def test_nothing_is_read_into_memory_without_room(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put("empty", b"")
    assert read_and_hash(storage, "empty", memoryview(bytearray()), hashlib.sha256()) == 0
