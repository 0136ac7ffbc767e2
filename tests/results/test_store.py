"""The result store: what it keeps, the six answers of a look-up, and what a write leaves behind."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from entrepot._sentinels import MISSING
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    CacheKeyError,
    DamagedResultError,
    OptionError,
    RefusedSerializerError,
    SerializationError,
    StorageAccessError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
    UnknownKeyError,
    UnknownNameError,
)
from entrepot.protocols.storage import Storage
from entrepot.results.lookup import Outcome
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, START, Faulty, Kept, NotExclusive, Wrapped

STORAGES: dict[str, Callable[[Path], Storage]] = {
    "memory": lambda _: MemoryStorage("results"),
    "local": LocalStorage,
    "encrypted": lambda path: EncryptedStorage(LocalStorage(path), RING),
    "without read_into": lambda path: Wrapped(LocalStorage(path)),
    "without create": lambda path: NotExclusive(LocalStorage(path)),
}


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return STORAGES[request.param](tmp_path / "results")


class Own:
    """A serializer that no registry knows."""

    name = "test-own"
    extension = "own"
    is_text = True
    reads_code = False

    def __init__(self, dumps: Callable[[object], object] = lambda value: [repr(value).encode()]) -> None:
        self._dumps = dumps

    def dumps(self, value: object) -> list[bytes]:
        return self._dumps(value)  # type: ignore[return-value]

    def loads(self, data: memoryview) -> object:
        text = str(data, "utf-8")
        if text == "'unreadable'":
            raise ValueError(text)
        return text


# --- hits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline_limit", [0, 8192])
@pytest.mark.parametrize("serializer", ["json", "pickle", "compressed/json", "compressed/pickle"])
@pytest.mark.parametrize(
    "value", [None, "", {"a": [1, 2.5, "한"]}, "x" * 100_000], ids=["none", "empty", "dict", "long"]
)
def test_what_was_written_is_a_hit(storage: Storage, serializer: str, inline_limit: int, value: object) -> None:
    kept = Kept(storage, inline_limit=inline_limit)
    record = kept.write("key", value, serializer)
    found = kept.store.fetch("key")
    assert (found.outcome, found.value, found.record) == (Outcome.HIT, value, record)
    assert found.error is None
    again = Kept(storage)  # a store of its own, as another process would make
    assert again.store.lookup("key").value == value


@pytest.mark.parametrize("size", [8191, 8192, 8193, 1 << 20, (2 << 20) - 1, 2 << 20, (4 << 20) + 1, 9_000_000])
def test_arrays_of_any_size_come_back_equal_and_writable(storage: Storage, size: int) -> None:
    array = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    kept = Kept(storage)
    kept.write("key", array, "pickle")
    back = kept.store.fetch("key").value
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, array)
    back[0] = 1


def test_two_readers_of_one_result_do_not_share_memory(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("key", np.zeros(3_000_000), "pickle")
    one, other = (kept.store.fetch("key").value for _ in range(2))
    assert isinstance(one, np.ndarray)
    assert isinstance(other, np.ndarray)
    one[:] = 1
    assert other[0] == 0
    assert kept.store.fetch("key").outcome is Outcome.HIT


def test_small_text_is_readable_inside_the_record_and_larger_text_in_a_file(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path))
    small = kept.write("small", {"city": "서울"})
    large = kept.write("large", ["서울"] * 5000)
    assert "서울" in Path(kept.store.locate(small)).read_text("utf-8")
    located = Path(kept.store.locate(large))
    assert located.suffix == ".json"
    assert located.parent.parent == tmp_path / "payloads"
    assert located.read_text("utf-8").startswith('["서울","서울"')


def test_equal_large_values_are_stored_once() -> None:
    kept = Kept(inline_limit=10)
    records = [kept.write(f"key {index}", list(range(100))) for index in range(3)]
    assert len({record.payload for record in records}) == 1
    assert len(kept.paths("payloads")) == 1
    assert len(kept.paths("records")) == 3


def test_a_text_serializer_whose_bytes_are_no_text_is_kept_as_bytes() -> None:
    kept = Kept()
    record = kept.write("key", 1, serializer=Own(lambda _: [b"\xff"]))
    assert record.value == b"\xff"
    assert kept.store.lookup("nothing").outcome is Outcome.MISS
    with pytest.raises(SerializationError):
        kept.store.fetch("key", serializer=Own())


def test_the_record_says_where_a_result_comes_from() -> None:
    kept = Kept()
    record = kept.write("key", 1, expires=START + timedelta(hours=1))
    found = kept.store.lookup("key").record
    assert found == record
    assert record.task == {"name": "extract", "key": "flows.extract"}
    assert record.parts["inputs"] == "1" * 64
    assert record.created == START
    assert record.digest.startswith(f"blake3:{RING.primary('result').id}:")


def test_equal_values_have_equal_digests_and_others_do_not() -> None:
    kept = Kept()
    digests = [kept.write(str(index), value).digest for index, value in enumerate(([1, 2], [1, 2], [2, 1]))]
    assert digests[0] == digests[1] != digests[2]


# --- misses, expiry -----------------------------------------------------------------------------------------------


def test_an_unknown_key_is_a_miss(storage: Storage) -> None:
    found = Kept(storage).store.fetch("nothing")
    assert (found.outcome, found.record, found.value) == (Outcome.MISS, None, MISSING)


def test_a_result_expires_at_its_time_and_not_before(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("key", 1, expires=START + timedelta(seconds=10))
    kept.clock.sleep(9.999)
    assert kept.store.fetch("key").outcome is Outcome.HIT
    kept.clock.sleep(0.001)
    found = kept.store.fetch("key")
    assert (found.outcome, found.value) == (Outcome.EXPIRED, MISSING)
    assert found.record is not None


def test_an_expired_result_is_replaced_by_the_next_write(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("key", "old", expires=START + timedelta(seconds=1))
    kept.clock.sleep(2)
    kept.write("key", "new")
    assert kept.store.fetch("key").value == "new"


def test_an_expiry_without_a_zone_is_refused() -> None:
    with pytest.raises(OptionError, match="zone"):
        Kept().write("key", 1, expires=datetime(2030, 1, 1))  # noqa: DTZ001  that is the point


@pytest.mark.parametrize("key", ["", None])
def test_what_is_no_key_is_refused_on_both_sides(key: str) -> None:
    kept = Kept()
    with pytest.raises(CacheKeyError):
        kept.store.fetch(key)
    with pytest.raises(CacheKeyError):
        kept.write(key, 1)


@pytest.mark.parametrize("limit", [-1, 70_000])
def test_an_inline_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(OptionError, match="inline_limit"):
        Kept(inline_limit=limit)


# --- several writers ----------------------------------------------------------------------------------------------


def test_the_first_writers_result_stays_and_is_what_the_second_is_told(storage: Storage) -> None:
    kept = Kept(storage)
    first = kept.write("key", "first")
    kept.clock.sleep(1)
    assert kept.write("key", "second") == first
    assert kept.store.fetch("key").value == "first"


def test_replace_takes_the_place_of_a_valid_result(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("key", "first")
    assert kept.write("key", "second", replace=True).value == '"second"'
    assert kept.store.fetch("key").value == "second"


def test_of_many_writers_at_once_all_are_told_of_one_record(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path), inline_limit=10)
    start = threading.Barrier(8)
    records = []

    def write(number: int) -> None:
        start.wait()
        records.append(kept.write("key", [number % 2] * 100))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.digest for record in records}) == 1
    assert kept.store.fetch("key").record == records[0]


def test_a_storage_that_cannot_create_exclusively_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(NotExclusive(MemoryStorage("plain")))
    with caplog.at_level(logging.WARNING):
        kept.write("a", 1)
        kept.write("b", 2)
    (message,) = caplog.messages
    assert "memory://plain" in message


# --- payloads that are there already --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plant", [lambda size: b"short", bytes, lambda size: b""], ids=["another size", "the same size", "empty"]
)
def test_a_wrong_payload_under_the_right_name_is_replaced_not_trusted(
    storage: Storage, plant: Callable[[int], bytes]
) -> None:
    kept = Kept(storage, inline_limit=10)
    value = list(range(100))
    record = kept.write("first", value)
    assert record.payload is not None
    kept.storage.put(record.payload, plant(record.size))
    kept.write("second", value)
    assert kept.store.fetch("second").value == value
    assert kept.store.fetch("first").value == value


def test_a_right_payload_is_not_written_again() -> None:
    storage = Wrapped(MemoryStorage())
    kept = Kept(storage, inline_limit=10)
    kept.write("first", list(range(100)))
    storage.calls.clear()
    kept.write("second", list(range(100)))
    assert [(operation, path.split("/")[0]) for operation, path in storage.calls if operation in {"put", "create"}] == [
        ("create", "records")
    ]


def test_the_payload_is_in_place_before_the_record() -> None:
    storage = Wrapped(MemoryStorage())
    Kept(storage, inline_limit=10).write("key", list(range(100)))
    writes = [path.split("/")[0] for operation, path in storage.calls if operation in {"put", "create"}]
    assert writes == ["payloads", "records"]


# --- damaged ------------------------------------------------------------------------------------------------------


def damage(kept: Kept, path: str) -> bytes:
    data = bytearray(kept.bytes_at(path))
    data[len(data) // 2] ^= 1
    kept.storage.put(path, bytes(data))
    return bytes(data)


def test_a_damaged_record_is_computed_again_with_a_warning_and_the_evidence_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept()
    record = kept.write("the-key", "old")
    spoilt = damage(kept, record.path)
    with caplog.at_level(logging.WARNING, logger="entrepot.results"):
        found = kept.store.fetch("the-key")
    assert (found.outcome, found.value) == (Outcome.DAMAGED, MISSING)
    assert "the-key" in caplog.text
    assert "does not verify" in caplog.text
    (evidence,) = kept.paths("damaged")
    assert evidence in caplog.text
    assert kept.bytes_at(evidence) == spoilt
    kept.write("the-key", "new")
    assert kept.store.fetch("the-key").value == "new"
    assert kept.bytes_at(evidence) == spoilt


def test_a_damaged_payload_is_computed_again_and_the_evidence_is_kept(storage: Storage) -> None:
    kept = Kept(storage, inline_limit=10)
    record = kept.write("key", list(range(100)))
    assert record.payload is not None
    spoilt = damage(kept, record.payload)
    found = kept.store.fetch("key")
    assert (found.outcome, found.record) == (Outcome.DAMAGED, record)
    (evidence,) = kept.paths("damaged")
    assert kept.bytes_at(evidence) == spoilt
    kept.write("key", ["something", "else", "this", "time"])  # a task that does not give the same twice
    assert kept.store.fetch("key").value == ["something", "else", "this", "time"]


def test_a_missing_payload_is_damage_and_the_next_write_mends_it(storage: Storage) -> None:
    kept = Kept(storage, inline_limit=10)
    record = kept.write("key", list(range(100)))
    assert record.payload is not None
    kept.storage.delete(record.payload)
    found = kept.store.fetch("key")
    assert found.outcome is Outcome.DAMAGED
    assert "not there" in found.detail
    with pytest.raises(DamagedResultError, match="not there"):
        kept.store.load_record(record)
    kept.write("key", list(range(100)))
    assert kept.store.fetch("key").value == list(range(100))


def test_looking_twice_at_the_same_damage_keeps_one_copy() -> None:
    kept = Kept()
    damage(kept, kept.write("key", "old").path)
    kept.store.fetch("key")
    kept.store.fetch("key")
    assert len(kept.paths("damaged")) == 1


def test_a_look_up_alone_changes_nothing() -> None:
    kept = Kept()
    damage(kept, kept.write("key", "old").path)
    before = kept.paths()
    assert kept.store.lookup("key").outcome is Outcome.DAMAGED
    assert kept.paths() == before


def test_damage_does_not_stop_a_run_where_no_copy_can_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    class NoCopies(Wrapped):
        def before(self, operation: str, path: str) -> None:
            if path.startswith("damaged/"):
                raise StorageAccessError("read only", location=self.location)

    kept = Kept(NoCopies(MemoryStorage()))
    damage(kept, kept.write("key", "old").path)
    assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    assert "No copy" in caplog.text


def test_damage_in_an_encrypted_store_is_damage_too(tmp_path: Path) -> None:
    plain = Kept(LocalStorage(tmp_path))
    kept = Kept(EncryptedStorage(plain.storage, RING), inline_limit=10)
    record = kept.write("key", list(range(100)))
    damage(plain, record.path)
    assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    kept.write("key", list(range(100)))
    assert kept.store.fetch("key").value == list(range(100))
    assert record.payload is not None
    damage(plain, record.payload)
    assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    kept.write("key", list(range(100)))
    assert kept.store.fetch("key").value == list(range(100))


def test_an_encrypted_store_shows_no_value_key_or_task(tmp_path: Path) -> None:
    kept = Kept(EncryptedStorage(LocalStorage(tmp_path), RING))
    kept.write("a-telling-key", {"salary": 12345})
    kept.write("another", ["salary"] * 5000)
    for file in tmp_path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert not any(word in data for word in (b"salary", b"12345", b"a-telling-key", b"extract"))


# --- unknown key --------------------------------------------------------------------------------------------------


def test_a_result_signed_under_another_ring_raises_and_names_the_key(storage: Storage) -> None:
    other = Keyring.generate()
    if isinstance(storage, EncryptedStorage):
        storage = storage._storage
    theirs = Kept(storage, ring=other)
    theirs.write("key", "theirs")
    kept = Kept(storage)
    found = kept.store.lookup("key")
    assert found.outcome is Outcome.UNKNOWN_KEY
    with pytest.raises(UnknownKeyError, match=other.primary("result").id) as caught:
        kept.store.fetch("key")
    assert caught.value.key_id == other.primary("result").id
    assert "neither used nor replaced" in str(caught.value)
    with pytest.raises(UnknownKeyError):
        kept.write("key", "ours")
    assert theirs.store.fetch("key").value == "theirs"
    assert not kept.paths("damaged")


def test_results_signed_under_an_older_key_of_the_ring_are_hits() -> None:
    kept = Kept(inline_limit=10)
    kept.write("small", 1)
    kept.write("large", list(range(100)))
    rotated = Kept(kept.storage, ring=RING.with_new_primary("result"), inline_limit=10)
    assert rotated.store.fetch("small").value == 1
    assert rotated.store.fetch("large").value == list(range(100))
    rotated.write("new", 2)
    with pytest.raises(UnknownKeyError):
        kept.store.fetch("new")


# --- unreachable --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [StorageUnreachableError, StorageAccessError, StorageError])
@pytest.mark.parametrize("at", [1, 2])
def test_an_outage_is_raised_and_is_no_miss(kind: type[StorageError], at: int) -> None:
    inner = MemoryStorage()
    Kept(inner, inline_limit=10).write("key", list(range(100)))
    error = kind("no answer from example.invalid", location="s3://bucket")
    found = Kept(Faulty(inner, at=at, error=error, late=False)).store.lookup("key")
    assert (found.outcome, found.error) == (Outcome.UNREACHABLE, error)
    with pytest.raises(kind, match="no answer"):
        Kept(Faulty(inner, at=at, error=error, late=False)).store.fetch("key")


def test_a_root_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path / "unmounted", create=False))
    with pytest.raises(StorageUnreachableError):
        kept.store.fetch("key")
    with pytest.raises(StorageError):
        kept.write("key", 1)


def test_a_full_disk_is_raised_and_leaves_no_record() -> None:
    inner = MemoryStorage()
    error = StorageFullError("no space left", location="disk")
    with pytest.raises(StorageFullError):
        Kept(Faulty(inner, at=2, error=error, late=False), inline_limit=10).write("key", list(range(100)))
    assert not list(inner.list("records"))


# --- serializers --------------------------------------------------------------------------------------------------


def test_a_serializer_that_the_reader_does_not_allow_is_refused_before_it_sees_a_byte() -> None:
    Kept(storage := MemoryStorage()).write("key", {"a": 1}, "pickle")
    reader = Kept(storage, allow=frozenset({"json", "compressed/json"}))
    for look in (reader.store.lookup, reader.store.fetch):
        with pytest.raises(RefusedSerializerError, match=r"'pickle'.*allowed: compressed/json, json"):
            look("key")
    assert Kept(storage).store.fetch("key").value == {"a": 1}


def test_a_serializer_that_is_not_here_is_named_and_the_result_stays() -> None:
    kept = Kept()
    kept.write("key", [1], serializer=Own())
    with pytest.raises(UnknownNameError, match="test-own") as caught:
        kept.store.fetch("key")
    assert "memory://results/records/" in str(caught.value)
    assert kept.store.fetch("key", serializer=Own()).value == "[1]"


def test_a_callers_own_serializer_reads_only_what_carries_its_name() -> None:
    kept = Kept()
    kept.write("key", [1])
    assert kept.store.fetch("key", serializer=Own()).value == [1]


def test_a_value_that_cannot_be_read_back_raises_and_stays() -> None:
    kept = Kept()
    kept.write("key", "unreadable", serializer=Own())
    with pytest.raises(SerializationError, match="ValueError"):
        kept.store.fetch("key", serializer=Own())
    assert len(kept.paths()) == 1


@pytest.mark.parametrize("serializer", ["json", "pickle", "compressed/json"])
def test_a_value_that_cannot_be_written_leaves_nothing_behind(serializer: str) -> None:
    storage = Wrapped(MemoryStorage())
    with pytest.raises(SerializationError):
        Kept(storage).write("key", [1, threading.Lock()], serializer)
    assert not storage.calls


@pytest.mark.parametrize("dumps", [lambda _: 1 / 0, lambda _: None, lambda _: ["text"]])
def test_a_serializer_that_fails_in_its_own_way_is_our_error_and_leaves_nothing_behind(
    dumps: Callable[[object], object],
) -> None:
    storage = Wrapped(MemoryStorage())
    with pytest.raises(SerializationError, match="test-own"):
        Kept(storage).write("key", 1, serializer=Own(dumps))
    assert not storage.calls


def test_an_extension_that_could_lead_elsewhere_leaves_nothing_behind() -> None:
    storage = Wrapped(MemoryStorage())
    serializer = Own()
    serializer.extension = "../../x"
    with pytest.raises(SerializationError, match="extension"):
        Kept(storage, inline_limit=0).write("key", 1, serializer=serializer)
    assert not storage.calls


# --- going through what is there ----------------------------------------------------------------------------------


def test_records_lists_every_result_with_its_state() -> None:
    kept = Kept()
    kept.write("good", 1)
    kept.write("old", 1, expires=START + timedelta(seconds=1))
    damage(kept, kept.write("bad", 1).path)
    Kept(kept.storage, ring=Keyring.generate()).write("theirs", 1)
    kept.storage.put("records/aa/stray.json", b"not a record")
    kept.clock.sleep(2)
    found = list(kept.store.records())
    assert sorted(item.outcome.value for item in found) == ["damaged", "damaged", "expired", "hit", "unknown key"]
    assert {item.record.key for item in found if item.record is not None} == {"good", "old"}
    assert all(item.value is MISSING for item in found)


def test_the_value_of_a_record_can_be_loaded_even_when_expired() -> None:
    kept = Kept(inline_limit=10)
    kept.write("key", list(range(50)), expires=START + timedelta(seconds=1))
    kept.clock.sleep(2)
    (found,) = kept.store.records()
    assert found.record is not None
    assert kept.store.load_record(found.record) == list(range(50))


def test_the_ring_is_asked_for_only_when_it_is_needed() -> None:
    asked = []

    def ring() -> Keyring:
        asked.append(1)
        return RING

    kept = Kept(ring=ring)
    assert kept.store.fetch("key").outcome is Outcome.MISS
    kept.write("key", 1)
    assert asked
