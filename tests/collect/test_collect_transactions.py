"""What a collection does with what transactions leave behind."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.results.collect import Collector
from entrepot.results.collect.leftovers import Leftovers
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.markers import Fate
from entrepot.results.prepared import Prepared
from entrepot.results.record import seal_record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import EncryptedStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, SetClock

BIG = "x" * 20_000
GONE = "0" * 31 + "1"


class Place:
    def __init__(self) -> None:
        self.clock = SetClock()
        self.storage = MemoryStorage(clock=self.clock)
        self.store = ResultStore(self.storage, ring=RING, clock=self.clock)

    def prepared(self, key: str, value: object) -> Prepared:
        return self.store.prepare(
            key, value, serializer=get_serializer("json"), parts={}, task={}, run={}, replace=True
        )

    def commit(self, **values: object) -> None:
        Commit(self.store, [self.prepared(key, value) for key, value in values.items()], workers=1).run()

    def stage(self, key: str, value: object, transaction: str) -> str:
        """Leave a record of a transaction that was not committed, as one does that died."""
        record = replace(self.prepared(key, value).record, transaction=transaction)
        self.storage.put(record.path, seal_record(record, RING))
        return record.path

    def pass_days(self, days: float) -> None:
        self.clock.time += timedelta(days=days)

    def folders(self) -> list[str]:
        return sorted({info.path.partition("/")[0] for info in self.storage.list()})

    def values(self, *keys: str) -> list[object]:
        fresh = ResultStore(self.storage, ring=RING, clock=self.clock)  # one that remembers no markers
        return [fresh.lookup(key).value for key in keys]


def test_committed_results_count_for_ever_and_so_their_marker_stays() -> None:
    place = Place()
    place.commit(a=BIG, b=2)
    for _ in range(3):
        place.pass_days(40)
        Collector(place.store).run()
        assert place.values("a", "b") == [BIG, 2]
    assert place.folders() == ["payloads", "records", "transactions"]


def test_what_was_replaced_by_transactions_keeps_its_value_through_collections() -> None:
    place = Place()
    for number in range(4):
        place.commit(a=BIG + str(number), b=number)
        place.pass_days(40)
        Collector(place.store).run()
        assert place.values("a", "b") == [BIG + str(number), number]
    assert len(list(place.storage.list("payloads"))) == 1  # those of outgrown versions are gone


def test_a_rolled_back_record_goes_and_its_marker_follows_later() -> None:
    place = Place()
    place.stage("a", BIG, GONE)
    place.store.markers.decide(GONE, Fate.ABORTED)
    place.pass_days(2)
    report = Collector(place.store).run()
    assert (report.records, report.payloads) == (1, 1)
    assert place.folders() == ["transactions"]
    place.pass_days(30)
    Collector(place.store).run()
    assert place.folders() == []


def test_a_transaction_that_nobody_decided_is_aborted_after_a_week_and_then_collected() -> None:
    place = Place()
    path = place.stage("a", BIG, GONE)
    place.pass_days(6)
    Collector(place.store).run()
    assert place.store.markers.fate(GONE) is Fate.PENDING
    place.pass_days(2)
    Collector(place.store).run()
    assert place.store.markers.fate(GONE) is Fate.ABORTED
    Collector(place.store).run()
    assert place.store.describe("a").outcome is Outcome.MISS
    assert path not in [info.path for info in place.storage.list()]


@pytest.mark.parametrize("named", ["../../elsewhere", "2" * 32, 7])
def test_a_record_that_is_planted_while_it_is_collected_aborts_no_transaction(
    named: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place()
    path = place.stage("a", BIG, GONE)
    place.pass_days(8)

    def plant(_: Leftovers) -> Iterator[None]:
        fields = json.loads(bytes(place.storage.get(path)).partition(b"\n")[0])
        place.storage.put(path, json.dumps({**fields, "transaction": named}).encode() + b"\nno signature\n")
        return iter(())

    monkeypatch.setattr(Leftovers, "_all", plant)
    Collector(place.store).run()
    assert not list(place.storage.list("transactions"))


def test_versions_of_a_place_that_was_written_over_go() -> None:
    place = Place()
    place.commit(a=1, b=2)
    place.commit(a=3, b=4)
    assert "versions" in place.folders()
    for key in ("a", "b"):
        place.store.put(place.prepared(key, 5))  # an ordinary refresh takes the place of the chain
    place.pass_days(8)
    Collector(place.store).run()
    assert "versions" not in place.folders()
    assert place.values("a", "b") == [5, 5]


def test_markers_stay_where_records_cannot_be_read_that_may_need_them() -> None:
    place = Place()
    inner = place.storage
    place.storage = EncryptedStorage(inner, RING)  # type: ignore[assignment]
    place.store = ResultStore(place.storage, ring=RING, clock=place.clock)
    place.commit(a=1, b=2)
    place.pass_days(60)
    other = Keyring.generate()
    report = Collector(ResultStore(EncryptedStorage(inner, other), ring=other, clock=place.clock)).run()
    assert (report.is_blind, report.leftovers) == (True, 0)
    assert place.values("a", "b") == [1, 2]
