"""Streams: written as they come, read as they are needed, and never believed where they were altered."""

import gc
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import Stream
from entrepot.errors import (
    DamagedResultError,
    MissingResultError,
    RefusedSerializerError,
    SerializationError,
    StorageUnreachableError,
    UnhashableValueError,
)
from entrepot.hashing.values import hash_value
from entrepot.protocols.storage import Storage
from entrepot.results import chunks
from entrepot.results.lookup import Outcome
from entrepot.serializers.pickle import PickleSerializer
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, _below, _posix, local, stages
from entrepot.storage.paths import RESERVED_PREFIX
from entrepot_test_results import RING, Kept, NotExclusive, Wrapped

MIB = 1 << 20


@pytest.fixture(params=["local", "memory", "encrypted", "copies", "not exclusive"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """A result store on every kind of storage."""
    kinds: dict[str, Storage] = {
        "local": LocalStorage(tmp_path),
        "memory": MemoryStorage(),
        "encrypted": EncryptedStorage(LocalStorage(tmp_path), RING),
        "copies": Wrapped(MemoryStorage()),
        "not exclusive": NotExclusive(MemoryStorage()),
    }
    return Kept(kinds[request.param])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 200 bytes."""
    monkeypatch.setattr(chunks, "_CHUNK", 200)


def payload_of(kept: Kept) -> str:
    (path,) = kept.paths("payloads")
    return path


def read(kept: Kept, key: str = "key") -> Stream[object]:
    found = kept.store.fetch(key)
    assert found.outcome is Outcome.HIT
    assert isinstance(found.value, Stream)
    return found.value


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_the_items_come_back_in_order_as_often_as_they_are_asked_for(kept: Kept, serializer: str) -> None:
    items = [{"n": n, "text": "x" * (n % 50)} for n in range(100)]
    record = kept.write("key", Stream(iter(items)), serializer)
    assert record.serializer == f"stream/{serializer}"
    assert record.payload == payload_of(kept)
    stream = read(kept)
    assert [*stream] == items
    assert [*stream] == items
    one, other = iter(stream), iter(stream)
    assert [next(one), next(one), next(other), next(one)] == [items[0], items[1], items[0], items[2]]


@pytest.mark.usefixtures("small_chunks")
@given(items=st.lists(st.binary(max_size=600), max_size=30))
def test_items_of_any_size_come_back(items: list[bytes]) -> None:
    kept = Kept()
    kept.write("key", Stream(items), "pickle")
    assert [*read(kept)] == items


def test_no_items_are_a_stream_of_none(kept: Kept) -> None:
    kept.write("key", Stream([]), "json")
    assert [*read(kept)] == []


def test_equal_streams_are_kept_once_and_one_that_was_damaged_is_replaced(kept: Kept) -> None:
    kept.write("one", Stream(range(9)), "json")
    kept.write("two", Stream(range(9)), "json")
    path = payload_of(kept)
    kept.storage.put(path, b"planted")
    assert kept.store.fetch("one").outcome is Outcome.DAMAGED
    kept.write("three", Stream(range(9)), "json")
    assert [*read(kept, "one")] == [*range(9)]


def test_items_that_share_memory_with_the_next_one_are_kept_as_they_were() -> None:
    def pieces() -> Iterator[bytearray]:
        memory = bytearray(100_000)
        for n in range(5):
            memory[:] = bytes([n]) * 100_000
            yield memory

    kept = Kept()
    kept.write("key", Stream(pieces()), "pickle")
    assert [item[0] for item in read(kept)] == [0, 1, 2, 3, 4]  # type: ignore[index]


# --- what was altered -------------------------------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that the deserialiser sees."""
    seen: list[bytes] = []
    real = PickleSerializer.loads

    def noted(self: PickleSerializer, data: memoryview) -> object:
        seen.append(bytes(data))
        return real(self, data)

    monkeypatch.setattr(PickleSerializer, "loads", noted)
    return seen


@pytest.mark.usefixtures("small_chunks")
def test_no_altered_byte_is_ever_seen_by_a_deserialiser(loads: list[bytes]) -> None:
    kept = Kept()
    items = [f"item number {n}" for n in range(40)]
    kept.write("key", Stream(items), "pickle")
    path = payload_of(kept)
    data = kept.bytes_at(path)
    right = {bytes(b"".join(PickleSerializer().dumps(item))) for item in items}
    unnoticed = []
    for at in range(len(data)):
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << (at % 8)
        kept.storage.put(path, spoilt)
        found = kept.store.lookup("key")
        if found.outcome is Outcome.HIT:
            got: list[object] = []
            try:
                got.extend(found.value)  # type: ignore[call-overload]
            except DamagedResultError:
                assert got == items[: len(got)]
            else:
                unnoticed.append(at)
        else:
            assert found.outcome is Outcome.DAMAGED
        assert set(loads) <= right
    assert unnoticed == [*range(8)]  # the first words, which say nothing; the digest of the whole covers them


@pytest.mark.usefixtures("small_chunks")
def test_a_stream_that_was_cut_lengthened_or_put_together_anew_is_damaged(loads: list[bytes]) -> None:
    kept = Kept()
    kept.write("key", Stream(range(100)), "pickle")
    path = payload_of(kept)
    data = kept.bytes_at(path)
    for spoilt in (b"", data[:8], data[:-1], data[1:], data + b"x", data + data, data[:8] + data[8:][::-1]):
        kept.storage.put(path, spoilt)
        assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    kept.storage.delete(path)
    assert kept.store.fetch("key").outcome is Outcome.DAMAGED
    assert loads == []


@pytest.mark.usefixtures("small_chunks")
def test_chunks_that_change_places_are_refused() -> None:
    kept = Kept()
    kept.write("key", Stream([b"a" * 300, b"b" * 300]), "pickle")
    path = payload_of(kept)
    data = kept.bytes_at(path)
    middle = 8 + (len(data) - 8 - 2 * 48 - 24) // 2
    end = len(data) - 2 * 48 - 24
    kept.storage.put(path, data[:8] + data[middle:end] + data[8:middle] + data[end:])
    with pytest.raises(DamagedResultError):
        [*read(kept)]


def test_a_payload_that_goes_away_while_it_is_read_is_damage_and_an_outage_is_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept(Wrapped(MemoryStorage()))
    kept.write("key", Stream(range(9)), "json")
    stream = read(kept)

    def gone(*_: object, **__: object) -> bytes:
        raise StorageUnreachableError("no answer", location="memory")

    with monkeypatch.context() as patched:
        patched.setattr(kept.storage, "get", gone)
        with pytest.raises(StorageUnreachableError):
            list(stream)
    kept.storage.delete(payload_of(kept))
    with pytest.raises(DamagedResultError, match="refresh_cache"):
        list(stream)


def test_a_reader_that_does_not_allow_the_serializer_of_the_items_refuses() -> None:
    kept = Kept()
    kept.write("key", Stream(range(9)), "pickle")
    kept.write("plain", Stream(range(9)), "json")
    strict = Kept(kept.storage, allow=frozenset({"json"}))
    with pytest.raises(RefusedSerializerError):
        strict.store.fetch("key")
    assert [*read(strict, "plain")] == [*range(9)]


# --- writing that goes wrong ------------------------------------------------------------------------------------------


def test_items_that_end_with_an_error_leave_nothing(kept: Kept, tmp_path: Path) -> None:
    def rows() -> Iterator[bytes]:
        yield bytes(5 * MIB)
        yield b"one more"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept.write("key", Stream(rows()), "pickle")
    assert kept.paths() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_item_that_cannot_be_written_is_named(kept: Kept) -> None:
    with pytest.raises(SerializationError, match="item 2 of the stream") as caught:
        kept.write("key", Stream([1, 2, {3: object()}]), "json")
    assert caught.value.path.startswith("value[2]")
    assert kept.paths() == []


@pytest.mark.parametrize("late", [False, True])
def test_a_store_that_fails_at_any_step_keeps_all_or_nothing(late: bool) -> None:  # noqa: FBT001  by name
    for step in range(1, 6):

        class Fails(Wrapped):
            def before(self, operation: str, path: str, *, at: int = step) -> None:
                super().before(operation, path)
                if not late and len(self.calls) == at:
                    raise StorageUnreachableError("no answer", location="x")

            def after(self, _: str, __: str, *, at: int = step) -> None:
                if late and len(self.calls) == at:
                    raise StorageUnreachableError("no answer", location="x")

        kept = Kept(Fails(MemoryStorage()))
        try:
            kept.write("key", Stream(range(9)), "json")
        except StorageUnreachableError:
            assert isinstance(kept.storage, Wrapped)
            after = Kept(kept.storage.inner)
            found = after.store.fetch("key")
            assert found.outcome is Outcome.MISS or [*found.value] == [*range(9)]  # type: ignore[misc]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_writing_and_reading_take_a_bounded_part_of_the_items(kept: Kept) -> None:
    if isinstance(kept.storage, MemoryStorage | Wrapped):
        pytest.skip("this storage is memory")
    piece = bytes(MIB)
    tracemalloc.start()
    try:
        kept.write("key", Stream(piece + bytes([n]) for n in range(64)), "pickle")
        assert sum(len(item) for item in read(kept)) == 64 * (MIB + 1)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB


def test_items_that_were_read_are_let_go() -> None:
    class Item:
        pass

    kept = Kept()
    kept.write("key", Stream([Item.__name__] * 3), "pickle")
    holder = [read(kept)]
    watched = weakref.ref(holder[0])
    items = iter(holder.pop())
    assert next(items) == "Item"
    del items
    gc.collect()
    assert watched() is None


# --- the format -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_the_format_is_as_it_is_written_down() -> None:
    kept = Kept()
    record = kept.write("key", Stream(["a" * 100, "b" * 100, "c"]), "json")
    data = kept.bytes_at(payload_of(kept))
    chunks_count, items, magic = struct.unpack("<QQ8s", data[-24:])
    assert (data[:8], chunks_count, items, magic) == (b"ESTREAM1", 2, 3, b"ESTREAM1")
    index = data[-24 - 48 * chunks_count : -24]
    at, found = 8, []
    for size, count, digest in struct.iter_unpack("<QQ32s", index):
        hasher = chunks.Digester(RING).new()
        hasher.update(data[at : at + size])
        assert hasher.hexdigest() == digest.hex()
        chunk, at = data[at : at + size], at + size
        for _ in range(count):
            (length,) = struct.unpack_from("<Q", chunk)
            found.append(json.loads(chunk[8 : 8 + length]))
            chunk = chunk[8 + length + -length % 8 :]
        assert chunk == b""
    assert found == ["a" * 100, "b" * 100, "c"]
    size, _, digest = record.about["stream"].partition(" ")
    assert int(size) == 48 * chunks_count + 24
    assert chunks.Digester(RING).digest([data[-int(size) :]]) == digest
    assert chunks.Digester(RING).digest([data]) == record.digest


# --- by itself --------------------------------------------------------------------------------------------------------


def test_a_stream_of_an_iterator_that_is_not_kept_is_read_once() -> None:
    stream = Stream(n for n in range(3))
    assert [*stream] == [0, 1, 2]
    with pytest.raises(MissingResultError, match="persist_result"):
        list(stream)
    again = Stream([1, 2])
    assert [*again] == [*again] == [1, 2]


def test_a_stream_is_not_pickled_and_stands_in_keys_by_what_is_kept() -> None:
    kept = Kept()
    kept.write("one", Stream(range(3)), "json")
    kept.write("two", Stream(range(4)), "json")
    assert hash_value(read(kept, "one")) == hash_value(read(kept, "one")) != hash_value(read(kept, "two"))
    assert hash_value(Stream([1])) == hash_value(Stream([1])) != hash_value(Stream([2]))
    with pytest.raises(UnhashableValueError, match="persist_result"):
        hash_value(Stream(iter([1])))
    for value in (Stream([1]), [read(kept, "one")]):
        with pytest.raises(SerializationError):
            kept.write("three", {"inside": value}, "pickle")
    assert "3 kept items" in repr(read(kept, "one"))


# --- writers that die -------------------------------------------------------------------------------------------------

DYING = """
import sys
sys.path[:0] = {path!r}
from entrepot import Stream
from entrepot.storage import LocalStorage
from entrepot_test_results import Kept

def items():
    for n in range(10**9):
        yield bytes(1 << 20)
        if n == 9:
            print("under way", flush=True)

Kept(LocalStorage({folder!r})).write("key", Stream(items()), "pickle")
"""


def test_a_writer_that_is_killed_half_way_leaves_nothing_that_anybody_sees(tmp_path: Path) -> None:
    program = DYING.format(path=[str(Path(__file__).parent.parent)], folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "under way\n"
        writer.kill()
    kept = Kept(LocalStorage(tmp_path))
    assert kept.paths() == []
    assert kept.store.fetch("key").outcome is Outcome.MISS
    (left,) = tmp_path.iterdir()  # hidden, for collection to remove
    assert left.name.startswith(RESERVED_PREFIX)
    kept.write("key", Stream(range(9)), "json")
    assert [*read(kept)] == [*range(9)]


class Died(BaseException):
    """The process ended here."""


class Dying:
    """The system, up to a call; from then on nothing is done any more."""

    def __init__(self, at: int, *, late: bool) -> None:
        self.left = at
        self.late = late

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in {"open", "writev", "fsync", "link", "replace", "unlink", "mkdir"}:
            return real

        def call(*args: object, **options: object) -> object:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.late):
                raise Died
            done = real(*args, **options)
            if self.left == 0:
                raise Died
            return done

        return call


def died_at(folder: Path, system: Dying) -> bool:
    """Write a stream until the system ends; return whether it did."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (_below, _posix, stages, local):
            patched.setattr(module, "os", system)
        try:
            Kept(LocalStorage(folder)).write("key", Stream(range(9)), "json")
        except Died:
            return True
    return False


def test_a_writer_that_dies_at_any_call_leaves_the_whole_stream_or_none(tmp_path: Path) -> None:
    died, at = True, 0
    while died:
        at += 1
        for late in (False, True):
            folder = tmp_path / f"{at} {late}"
            died = died_at(folder, Dying(at, late=late))
            kept = Kept(LocalStorage(folder))
            found = kept.store.fetch("key")
            assert found.outcome is Outcome.HIT or (found.outcome, died) == (Outcome.MISS, True)
            assert found.outcome is Outcome.MISS or [*read(kept)] == [*range(9)]
            for path in kept.paths("payloads"):  # named only when whole
                assert kept.bytes_at(path)[-8:] == b"ESTREAM1"
            kept.write("key", Stream(range(9)), "json")
            assert [*read(kept)] == [*range(9)]
    assert at > 10
