"""What was altered, cut short, moved, swapped or planted is not believed, and no deserialiser sees it."""

import base64
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import entrepot.serializers.pickle as pickle_module
from entrepot._sentinels import MISSING
from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.errors import UnknownKeyError
from entrepot.protocols.storage import Storage
from entrepot.results.lookup import Outcome
from entrepot.results.record import payload_path, record_path
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept, Wrapped

REFUSED = {Outcome.DAMAGED, Outcome.UNKNOWN_KEY}


class Planted:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count every call of pickle.loads."""
    calls: list[int] = []
    real = pickle.loads

    def counted(*args: object, **options: object) -> object:
        calls.append(1)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pickle_module.pickle, "loads", counted)
    return calls


def flips(data: bytes) -> Iterator[bytes]:
    """Yield the data with each single bit flipped."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    """Yield every truncation of the data, from both ends, and a few additions."""
    for end in range(len(data)):
        yield data[:end]
        yield data[end + 1 :]
    yield data + b"\n"
    yield data + b"\x00"
    yield data + data
    yield b" " + data


def refused(kept: Kept, key: str) -> bool:
    found = kept.store.lookup(key)
    assert found.value is MISSING
    try:
        fetched = kept.store.fetch(key)
    except UnknownKeyError:
        return found.outcome is Outcome.UNKNOWN_KEY
    return fetched.outcome is Outcome.DAMAGED is found.outcome and fetched.value is MISSING


SPOILT: dict[str, Callable[[bytes], Iterator[bytes]]] = {"bit flips": flips, "truncations": cuts}


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize(("serializer", "value"), [("json", {"city": "서울"}), ("pickle", {"a": [1, 2]})])
def test_every_change_to_a_record_is_refused(
    spoil: str, serializer: str, value: object, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    monkeypatch.setattr(
        kept.store._records, "keep_evidence", lambda _: ""
    )  # thousands of copies are not what is tested
    path = kept.write("key", value, serializer).path
    data = kept.bytes_at(path)
    count = 0
    for spoilt in SPOILT[spoil](data):
        kept.storage.put(path, spoilt)
        assert refused(kept, "key"), spoilt
        count += 1
    assert count >= 2 * len(data)
    assert not loads
    kept.storage.put(path, data)
    assert kept.store.fetch("key").value == value


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("serializer", ["json", "pickle", "compressed/pickle"])
def test_every_change_to_a_payload_is_refused(
    spoil: str, serializer: str, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(inline_limit=0)
    monkeypatch.setattr(kept.store._records, "keep_evidence", lambda _: "")
    path = kept.write("key", {"a": list(range(60))}, serializer).payload
    assert path is not None
    data = kept.bytes_at(path)
    for spoilt in SPOILT[spoil](data):
        kept.storage.put(path, spoilt)
        assert refused(kept, "key"), spoilt
    assert not loads
    kept.storage.put(path, data)
    assert kept.store.fetch("key").value == {"a": list(range(60))}


@pytest.mark.parametrize("spoil", SPOILT)
def test_every_change_to_an_encrypted_record_is_refused(spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = MemoryStorage()
    kept = Kept(EncryptedStorage(plain, RING))
    monkeypatch.setattr(kept.store._records, "keep_evidence", lambda _: "")
    path = kept.write("key", 1).path
    data = bytes(plain.get(path))
    for spoilt in SPOILT[spoil](data):
        plain.put(path, spoilt)
        assert refused(kept, "key"), spoilt


def test_every_bit_of_a_large_payload_counts_near_the_edges_of_its_chunks(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path))
    record = kept.write("key", bytes(9 << 20), "pickle")
    assert record.payload is not None
    file = tmp_path / record.payload
    with file.open("r+b") as stream:
        for at in (0, 1, (4 << 20) - 1, 4 << 20, (8 << 20) - 1, 8 << 20, record.size - 1):
            stream.seek(at)
            byte = stream.read(1)
            stream.seek(at)
            stream.write(bytes([byte[0] ^ 0x10]))
            stream.flush()
            assert kept.store.lookup("key").outcome is Outcome.DAMAGED, at
            stream.seek(at)
            stream.write(byte)
            stream.flush()
    assert kept.store.lookup("key").outcome is Outcome.HIT


@pytest.mark.parametrize("change", [-1, 1, -(1 << 20), 1 << 20, -(4 << 20)])
def test_a_large_payload_of_another_length_is_refused(tmp_path: Path, change: int) -> None:
    kept = Kept(LocalStorage(tmp_path))
    record = kept.write("key", bytes(8 << 20), "pickle")
    assert record.payload is not None
    with (tmp_path / record.payload).open("r+b") as stream:
        stream.truncate(record.size + change)
    found = kept.store.lookup("key")
    assert found.outcome is Outcome.DAMAGED
    assert "end" in found.detail


@pytest.fixture(params=["plain", "encrypted"])
def storages(request: pytest.FixtureRequest) -> tuple[Storage, Storage]:
    """Return what the attacker sees, and what the store sees."""
    seen = MemoryStorage()
    return seen, EncryptedStorage(seen, RING) if request.param == "encrypted" else seen


def swap(storage: Storage, one: str, other: str) -> None:
    first, second = bytes(storage.get(one)), bytes(storage.get(other))
    storage.put(one, second)
    storage.put(other, first)


def test_two_records_swapped_are_both_refused(storages: tuple[Storage, Storage], loads: list[int]) -> None:
    seen, through = storages
    kept = Kept(through)
    swap(seen, kept.write("one", 1, "pickle").path, kept.write("other", 2, "pickle").path)
    assert refused(kept, "one")
    assert refused(kept, "other")
    assert not loads


def test_two_payloads_swapped_are_both_refused(storages: tuple[Storage, Storage], loads: list[int]) -> None:
    seen, through = storages
    kept = Kept(through, inline_limit=0)
    one, other = (kept.write(str(value), [value] * 100, "pickle").payload for value in (1, 2))
    assert one is not None
    assert other is not None
    swap(seen, one, other)
    assert refused(kept, "1")
    assert refused(kept, "2")
    assert not loads


def test_a_record_replayed_to_another_key_is_refused(storages: tuple[Storage, Storage]) -> None:
    seen, through = storages
    kept = Kept(through)
    record = kept.write("approved", "yes")
    seen.put(record_path("denied"), seen.get(record.path))
    assert refused(kept, "denied")
    assert kept.store.fetch("approved").value == "yes"


def test_a_payload_under_a_record_of_the_same_size_is_refused() -> None:
    kept = Kept(inline_limit=0)
    one = kept.write("one", "aaaa").payload
    other = kept.write("other", "bbbb").payload
    assert one is not None
    assert other is not None
    kept.storage.put(one, kept.storage.get(other))
    assert refused(kept, "one")
    assert kept.store.fetch("other").value == "bbbb"


def planted(kept: Kept, record: bytes) -> None:
    kept.storage.put(record_path("key"), record)


def test_a_planted_pickle_never_reaches_the_unpickler(tmp_path: Path, loads: list[int]) -> None:
    trap = tmp_path / "sprung"
    evil = pickle.dumps(Planted(trap))
    kept = Kept()
    genuine = kept.write("genuine", [1], "pickle")
    line, signature, _ = kept.bytes_at(genuine.path).split(b"\n")
    fields = json.loads(line)
    fields |= {"key": "key", "size": len(evil), "value64": base64.b64encode(evil).decode()}
    forged = json.dumps(fields, separators=(",", ":")).encode()
    someone = Keyring.generate()
    theirs = Kept(ring=someone)
    theirs.write("key", Planted(trap), "pickle")
    for record in (
        forged,
        forged + b"\n",
        forged + b"\n\n",
        forged + b"\n" + signature + b"\n",  # a real signature, of something else
        forged + b"\nentrepot-sig/1 " + RING.primary("result").id.encode() + b" " + b"0" * 64 + b"\n",
        forged + b"\n" + signature.replace(b"-sig/1", b"-sig/0") + b"\n",
        theirs.bytes_at(record_path("key")),  # signed, by another ring
        evil,
        evil + b"\n",
        b"",
    ):
        planted(kept, record)
        assert refused(kept, "key"), record
    assert not loads
    assert not trap.exists()


def test_a_planted_payload_never_reaches_the_unpickler(tmp_path: Path, loads: list[int]) -> None:
    trap = tmp_path / "sprung"
    kept = Kept(inline_limit=0)
    record = kept.write("key", list(range(100)), "pickle")
    assert record.payload is not None
    kept.storage.put(record.payload, pickle.dumps(Planted(trap)))
    assert refused(kept, "key")
    evil = pickle.dumps(Planted(trap))
    kept.storage.put(record.payload, (evil + bytes(record.size))[: record.size])
    assert refused(kept, "key")
    assert not loads
    assert not trap.exists()


def test_a_payload_planted_in_advance_is_not_believed(tmp_path: Path, loads: list[int]) -> None:
    trap = tmp_path / "sprung"
    kept = Kept(inline_limit=0)
    data = b"".join(map(bytes, _pickled(list(range(100)))))
    path = payload_path(Digester(RING).digest([data]), "pkl")
    kept.storage.put(path, (pickle.dumps(Planted(trap)) + bytes(len(data)))[: len(data)])
    kept.write("key", list(range(100)), "pickle")
    assert kept.store.fetch("key").value == list(range(100))
    assert len(loads) == 1
    assert not trap.exists()


def _pickled(value: object) -> list[bytes]:
    return [bytes(part) for part in pickle_module.PickleSerializer().dumps(value)]


def test_the_sentinel_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Planted(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_bytes_that_change_between_two_reads_are_not_believed(loads: list[int]) -> None:
    class Shifty(Wrapped):
        """Shows the right payload to who asks for its size, and another to who reads."""

        def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
            data = bytes(super().get(path, start=start, length=length))
            return data[::-1] if path.startswith("payloads/") else data

    storage = MemoryStorage()
    Kept(storage, inline_limit=0).write("key", list(range(100)), "pickle")
    assert refused(Kept(Shifty(storage)), "key")
    assert not loads
