"""Large payloads from stores that answer slowly: several parts at once, in bounded memory, checked like any other."""

import threading
from pathlib import Path

import pytest
from servers import S3Server

from entrepot.crypto.digest import Digester
from entrepot.errors import IntegrityError, StorageUnreachableError
from entrepot.protocols.storage import Buffer
from entrepot.results.payloads import read_payload
from entrepot.storage import FileStorage, MemoryStorage, PrefixedStorage, ReadOnlyStorage
from entrepot_test_results import RING, Wrapped

MIB = 1 << 20
PATH = "payloads/aa/x.bin"


class Slow(Wrapped):
    """Lets reads go on only once as many of them wait as are of use at once, and counts them."""

    at_once = 3

    def __init__(self, size: int) -> None:
        super().__init__(MemoryStorage())
        self.data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        self.inner.put(PATH, self.data)
        self.digest = Digester(RING).digest([self.data])
        self.fails_at: int | None = None
        self.now = self.most = 0
        self.lengths: list[int] = []
        self._lock = threading.Lock()
        self._meet = threading.Barrier(self.at_once)

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.lengths.append(length or 0)
        if start < 3 * 4 * MIB:
            self._meet.wait(60)  # broken, if they came one after another
        try:
            if start == self.fails_at:
                raise StorageUnreachableError("no answer", location="x")
            return super().get(path, start=start, length=length)
        finally:
            with self._lock:
                self.now -= 1


@pytest.mark.parametrize("size", [12 * MIB, 40 * MIB + 7, 12 * MIB - 1])
def test_parts_are_read_at_once_and_never_more_than_are_of_use(size: int) -> None:
    storage = Slow(size)
    assert read_payload(storage, PATH, size=size, digest=storage.digest, ring=RING) == storage.data
    assert storage.most == 3
    assert max(storage.lengths) == 4 * MIB


@pytest.mark.parametrize("at", [0, 5 * MIB, 40 * MIB - 1])
def test_one_altered_byte_anywhere_is_noticed(at: int) -> None:
    storage = Slow(40 * MIB)
    spoilt = bytearray(storage.data)
    spoilt[at] ^= 1
    storage.inner.put(PATH, spoilt)
    with pytest.raises(IntegrityError, match="digest"):
        read_payload(storage, PATH, size=len(spoilt), digest=storage.digest, ring=RING)


@pytest.mark.parametrize("change", [-1, 1, -9 * MIB, 9 * MIB])
def test_a_payload_that_ends_early_or_goes_on_is_noticed(change: int) -> None:
    storage = Slow(40 * MIB)
    storage.inner.put(PATH, (storage.data + bytes(9 * MIB))[: 40 * MIB + change])
    with pytest.raises(IntegrityError, match="goes on" if change > 0 else "ends after"):
        read_payload(storage, PATH, size=40 * MIB, digest=storage.digest, ring=RING)


def test_a_part_that_cannot_be_read_is_an_outage_and_ends_the_others() -> None:
    storage = Slow(400 * 1024 * 1024 // 4)
    storage.fails_at = 16 * MIB
    with pytest.raises(StorageUnreachableError):
        read_payload(storage, PATH, size=len(storage.data), digest=storage.digest, ring=RING)
    assert storage.now == 0
    assert len(storage.lengths) < 12


def test_wrappers_say_what_the_store_inside_says(tmp_path: Path) -> None:
    storage = Slow(12 * MIB)
    assert PrefixedStorage(storage, "a").at_once == ReadOnlyStorage(storage).at_once == 3
    assert not hasattr(ReadOnlyStorage(MemoryStorage()), "at_once")
    assert FileStorage.from_url(f"file://{tmp_path}").at_once == 1


def test_a_payload_comes_back_from_a_real_server(s3_server: S3Server) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}/results", **s3_server.storage_options())
    assert storage.at_once > 1
    data = bytes(range(256)) * (64 * 1024)
    storage.put(PATH, data)
    digest = Digester(RING).digest([data])
    assert read_payload(storage, PATH, size=len(data), digest=digest, ring=RING) == data
    with pytest.raises(IntegrityError):
        read_payload(storage, PATH, size=len(data) - 1, digest=digest, ring=RING)
