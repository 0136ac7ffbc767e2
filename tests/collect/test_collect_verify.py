"""Damage is found, by kind, and nothing is changed; counts say what is there."""

from datetime import timedelta

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.errors import StorageError
from entrepot.results.statistics import statistics
from entrepot.results.store import ResultStore
from entrepot.results.verify import Kind, verify
from entrepot.testing import FaultyStorage
from entrepot_test_results import RING, Kept

BIG = "x" * 20_000


def problems(store: ResultStore) -> list[tuple[Kind, str]]:
    found = [one.problem for one in verify(store, readers=3)]
    return sorted(((one.kind, one.path) for one in found if one is not None), key=lambda pair: pair[1])


def test_a_store_that_is_whole_has_no_problems() -> None:
    kept = Kept()
    for number in range(200):
        kept.write(f"k{number}", number)
    kept.write("big", BIG)
    found = list(verify(kept.store))
    assert len(found) == 201
    assert sum(one.size for one in found) == sum(len(str(number)) for number in range(200)) + 20_002
    assert [one.problem for one in found if one.problem] == []


def test_each_kind_of_damage_is_told_apart_and_left_as_it_is() -> None:
    kept = Kept()
    altered = kept.write("altered", 1)
    moved = kept.write("moved", 2)
    missing = kept.write("missing", BIG + "1")
    flipped = kept.write("flipped", BIG + "2")
    short = kept.write("short", BIG + "3")
    kept.write("good", BIG)
    assert missing.payload
    assert flipped.payload
    assert short.payload
    kept.storage.put(altered.path, kept.bytes_at(altered.path).replace(b"extract", b"extraxt"))
    kept.storage.put("records/aa/" + "a" * 64 + ".json", kept.bytes_at(moved.path))
    kept.storage.delete(missing.payload)
    kept.storage.put(flipped.payload, kept.bytes_at(flipped.payload).replace(b"x2", b"y2"))
    kept.storage.put(short.payload, kept.bytes_at(short.payload)[:-1])
    before = {path: kept.bytes_at(path) for path in kept.paths()}
    assert problems(kept.store) == sorted(
        [
            (Kind.DAMAGED_RECORD, altered.path),
            (Kind.DAMAGED_RECORD, "records/aa/" + "a" * 64 + ".json"),
            (Kind.MISSING_PAYLOAD, missing.payload),
            (Kind.DAMAGED_PAYLOAD, flipped.payload),
            (Kind.DAMAGED_PAYLOAD, short.payload),
        ],
        key=lambda pair: pair[1],
    )
    assert {path: kept.bytes_at(path) for path in kept.paths()} == before


def test_keys_that_are_not_here_are_no_damage() -> None:
    kept = Kept()
    kept.write("a", BIG)
    other = ResultStore(kept.storage, ring=Keyring.generate(), clock=kept.clock)
    assert [kind for kind, _ in problems(other)] == [Kind.UNKNOWN_KEY]


def test_an_outage_is_no_damage() -> None:
    kept = Kept()
    kept.write("a", BIG)
    faulty = FaultyStorage(kept.storage, fail_at=2, on={"get", "read_into"})
    with pytest.raises(StorageError):
        list(verify(ResultStore(faulty, ring=RING, clock=kept.clock)))


def test_counts_say_what_is_there() -> None:
    kept = Kept()
    kept.write("a", BIG, task={"name": "big", "key": "m.big"})
    kept.write("b", BIG, task={"name": "big", "key": "m.big"})
    kept.write("c", 1, serializer="pickle", expires=kept.clock.now() + timedelta(hours=1))
    broken = kept.write("d", 2)
    kept.storage.put(broken.path, b"no record")
    kept.storage.put("payloads/aa/" + "a" * 64 + ".json", b"orphan")
    kept.storage.put("damaged/records/x.json", b"evidence")
    kept.clock.time += timedelta(days=3)
    found = statistics(kept.store)
    assert (found.records, found.payloads, found.payload_size) == (4, 2, 20_008)
    assert (found.orphans, found.orphan_size, found.evidence, found.evidence_size) == (1, 6, 1, 8)
    assert found.saved == 20_002
    assert [(one.name, one.records, one.size) for one in found.tasks] == [
        ("big", 2, 40_004),
        ("extract", 1, 5),
        ("", 1, 0),
    ]
    assert {one.name: one.records for one in found.states} == {"live": 2, "expired": 1, "damaged": 1}
    assert [(one.name, one.records) for one in found.ages] == [("up to a week", 3)]
    assert {one.name: one.records for one in found.serializers} == {"json": 2, "pickle": 1, "": 1}
    assert [one.key for one in found.largest] == ["a", "b", "c"]
