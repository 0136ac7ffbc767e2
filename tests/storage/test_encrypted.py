"""EncryptedStorage beyond the contract: what the other store sees, what is refused, and how little is fetched."""

from pathlib import Path

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, ObjectNotFoundError, StorageAccessError, UnknownKeyError
from entrepot.protocols.storage import ObjectInfo
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, PrefixedStorage, ReadOnlyStorage
from entrepot.testing import FaultyStorage

CHUNK = 256 * 1024


@pytest.fixture
def ring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def inner() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def storage(inner: MemoryStorage, ring: Keyring) -> EncryptedStorage:
    return EncryptedStorage(inner, ring)


def test_the_other_store_sees_ciphertext_only_and_never_the_same_twice(
    storage: EncryptedStorage, inner: MemoryStorage
) -> None:
    plain = b"a secret that repeats. " * 100
    storage.put("a", plain)
    first = inner.get("a")
    storage.put("a", plain)
    assert first != inner.get("a")
    for sealed in (first, inner.get("a")):
        assert b"secret" not in sealed
    assert storage.get("a") == plain


def test_every_changed_bit_and_every_cut_of_a_small_object_is_refused(
    storage: EncryptedStorage, inner: MemoryStorage
) -> None:
    storage.put("a", b"small")
    sealed = inner.get("a")
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        inner.put("a", changed)
        with pytest.raises((IntegrityError, UnknownKeyError)):
            storage.get("a")
    for size in range(len(sealed)):
        inner.put("a", sealed[:size])
        with pytest.raises(IntegrityError):
            storage.get("a")
    inner.put("a", sealed + b"\0")
    with pytest.raises(IntegrityError):
        storage.get("a")


@pytest.mark.parametrize("size", [CHUNK, 3 * CHUNK + 5, 20 * CHUNK])
def test_a_large_object_that_is_cut_swapped_or_changed_is_refused(
    storage: EncryptedStorage, inner: MemoryStorage, size: int
) -> None:
    storage.put("a", bytes(size))
    sealed = inner.get("a")
    chunks = [sealed[start : start + CHUNK + 16] for start in range(128, len(sealed), CHUNK + 16)]
    changed = bytearray(sealed)
    changed[-1] ^= 1
    wrong = [sealed[: 128 + CHUNK + 16][:-1], bytes(changed)]
    if len(chunks) > 1:
        wrong += [sealed[: 128 + CHUNK + 16], sealed[:128] + b"".join([chunks[1], chunks[0], *chunks[2:]])]
    for content in wrong:
        inner.put("a", content)
        with pytest.raises(IntegrityError):
            storage.get("a")


def test_an_object_is_readable_only_in_its_place(storage: EncryptedStorage, inner: MemoryStorage) -> None:
    storage.put("a/one", b"1")
    storage.put("a/two", b"2")
    inner.put("a/one", inner.get("a/two"))
    with pytest.raises(IntegrityError, match="moved"):
        storage.get("a/one")
    assert storage.get("a/two") == b"2"


def test_another_ring_cannot_read_it(storage: EncryptedStorage, inner: MemoryStorage) -> None:
    storage.put("a", b"1")
    with pytest.raises(UnknownKeyError):
        EncryptedStorage(inner, Keyring.generate()).get("a")


def test_what_was_written_past_the_encryption_is_refused_and_still_listed(
    storage: EncryptedStorage, inner: MemoryStorage
) -> None:
    storage.put("ours", b"12345")
    inner.put("theirs", b"plain")
    for read in (storage.get, storage.stat):
        with pytest.raises(IntegrityError, match="theirs"):
            read("theirs")
    assert {info.path: info.size for info in storage.list()} == {"ours": 5, "theirs": 5}


def test_a_failed_read_leaves_nothing_unverified_in_the_callers_memory(
    storage: EncryptedStorage, inner: MemoryStorage
) -> None:
    storage.put("a", b"x" * 1000)
    changed = bytearray(inner.get("a"))
    changed[-1] ^= 1
    inner.put("a", changed)
    memory = bytearray(1000)
    with pytest.raises(IntegrityError):
        storage.read_into("a", memoryview(memory))
    assert b"x" not in memory


class Counting(MemoryStorage):
    """Counts the bytes that are fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[int] = []

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        content = super().get(path, start=start, length=length)
        self.fetched.append(len(content))
        return content


def test_a_range_fetches_only_its_chunks_and_a_small_object_takes_one_request(ring: Keyring) -> None:
    inner = Counting()
    storage = EncryptedStorage(inner, ring)
    storage.put("large", bytes(40 * CHUNK))
    storage.put("small", b"1")
    inner.fetched.clear()
    assert storage.get("large", start=30 * CHUNK, length=10) == bytes(10)
    assert sum(inner.fetched) <= 2 * CHUNK
    inner.fetched.clear()
    assert storage.get("small") == b"1"
    assert len(inner.fetched) == 1


def test_an_object_replaced_between_two_requests_is_read_again(inner: MemoryStorage, ring: Keyring) -> None:
    storage = EncryptedStorage(inner, ring)
    old, new = b"a" * 20 * CHUNK, b"b" * 20 * CHUNK
    storage.put("a", old)

    class Replacing:
        """Replaces the object once, after its first piece was read."""

        location = inner.location
        creates_exclusively = True
        replaced = False

        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

        def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
            content = inner.get(path, start=start, length=length)
            if not self.replaced:
                self.replaced = True
                storage.put("a", new)
            return content

        def stat(self, path: str) -> ObjectInfo:
            return inner.stat(path)

    assert EncryptedStorage(Replacing(), ring).get("a") == new  # type: ignore[arg-type]


def test_keys_can_come_from_a_function_and_then_it_can_be_sent(tmp_path: Path) -> None:
    import pickle  # noqa: PLC0415  only here

    storage = EncryptedStorage(LocalStorage(tmp_path), Keyring.generate)
    assert "k" not in pickle.loads(pickle.dumps(storage)).location.removeprefix(str(tmp_path))
    storage.put("a", b"1")
    with pytest.raises(UnknownKeyError):  # this function gives another ring each time
        storage.get("a")


def test_an_outage_below_comes_through(ring: Keyring) -> None:
    for number in range(1, 4):
        faulty = FaultyStorage(MemoryStorage(), fail_at=number)
        storage = EncryptedStorage(faulty, ring)
        caught = None
        for act in (lambda: storage.put("a", b"1"), lambda: storage.get("a"), lambda: storage.delete("a")):  # noqa: B023
            try:
                act()
            except ConnectionError as error:
                caught = error
            except ObjectNotFoundError:
                assert number == 1
        assert caught is not None


def test_a_store_opened_for_reading_refuses_to_change() -> None:
    storage = ReadOnlyStorage(MemoryStorage())
    for write in (
        lambda: storage.put("a", b"1"),
        lambda: storage.create("a", b"1"),
        lambda: storage.delete("a"),
    ):
        with pytest.raises(StorageAccessError, match="for reading only"):
            write()


def test_a_prefix_below_the_encryption_is_not_part_of_an_objects_place(inner: MemoryStorage, ring: Keyring) -> None:
    EncryptedStorage(PrefixedStorage(inner, "old"), ring).put("a", b"1")
    inner.put("new/a", inner.get("old/a"))
    assert EncryptedStorage(PrefixedStorage(inner, "new"), ring).get("a") == b"1"
