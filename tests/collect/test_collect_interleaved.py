"""Everything that can happen between two operations of a collection, and of a writer."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Thread
from typing import TypeAlias

import pytest

from entrepot._clock import SYSTEM_CLOCK
from entrepot.errors import TransactionError
from entrepot.protocols.storage import Storage
from entrepot.results.collect import Collector, Rules
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.record import Record
from entrepot.results.staging import Staging
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage.memory import MemoryStorage
from entrepot_test_collect import Able, AbleInterleaved, Interleaved, KilledError, Mortal
from entrepot_test_results import RING, NotExclusive, SetClock, Wrapped

BIG = "x" * 20_000
OTHER = "y" * 20_000


class Place:
    """A storage, and stores on it as processes have them."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.storage = MemoryStorage("place", clock=self.clock)

    def store(self, storage: Storage | None = None) -> ResultStore:
        return ResultStore(self.storage if storage is None else storage, ring=RING, clock=self.clock)

    def pass_days(self, days: float) -> None:
        self.clock.time += timedelta(days=days)


def write(
    store: ResultStore, key: str, value: object, *, replace: bool = False, lasts: timedelta | None = None
) -> Record:
    return store.write(
        key,
        value,
        serializer=get_serializer("json"),
        parts={},
        task={"name": "t", "key": "m.t"},
        run={"id": "r"},
        expires=None if lasts is None else store.clock.now() + lasts,
        replace=replace,
    )


def value_of(store: ResultStore, key: str) -> object:
    found = store.lookup(key)
    assert found.outcome is Outcome.HIT, (key, found.outcome, found.detail)
    return found.value


def old_store() -> Place:
    """Return a store with a result that has expired, its payload, an orphan, and one that is good."""
    place = Place()
    store = place.store()
    write(store, "expired", BIG, lasts=timedelta(hours=1))
    write(store, "good", "z" * 20_000)
    orphan = store.prepare("orphan", OTHER, serializer=get_serializer("json"), parts={}, task={}, run={})
    assert orphan.record.payload is not None
    place.pass_days(3)
    return place


def writers() -> dict[str, Callable[[ResultStore], dict[str, object]]]:
    """Return what else can happen: each writes, and returns what was acknowledged."""

    def shares_condemned(store: ResultStore) -> dict[str, object]:
        write(store, "new", BIG)
        return {"new": BIG}

    def shares_orphan(store: ResultStore) -> dict[str, object]:
        write(store, "new", OTHER)
        return {"new": OTHER}

    def computes_again(store: ResultStore) -> dict[str, object]:
        write(store, "expired", BIG)
        return {"expired": BIG}

    def refreshes(store: ResultStore) -> dict[str, object]:
        write(store, "expired", OTHER, replace=True)
        return {"expired": OTHER}

    def commits(store: ResultStore) -> dict[str, object]:
        staging = Staging()
        staging.bind(store)
        for key, value in (("expired", OTHER), ("new", BIG)):
            staging.add(
                store.prepare(key, value, serializer=get_serializer("json"), parts={}, task={}, run={}, replace=True)
            )
        Commit(store, staging.take(), workers=1).run()
        return {"expired": OTHER, "new": BIG}

    return {
        "shares a payload that is to go": shares_condemned,
        "shares an orphan": shares_orphan,
        "computes what has expired again": computes_again,
        "refreshes what has expired": refreshes,
        "commits a transaction": commits,
    }


def _act(write: Callable[[ResultStore], dict[str, object]], store: ResultStore, told: dict[str, object]) -> None:
    told.update(write(store))


def collect(store: ResultStore) -> None:
    Collector(store, Rules(), grace=86_400).run()


Kind: TypeAlias = tuple[Callable[[Storage], Storage], type[Interleaved]]

KINDS: dict[str, Kind] = {
    "a folder": (Able, AbleInterleaved),
    "a bucket": (Wrapped, Interleaved),
    "a store that cannot create exclusively": (NotExclusive, Interleaved),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", writers())
def test_a_writer_between_any_two_operations_of_a_collection_keeps_what_it_was_told(what: str, kind: str) -> None:
    plain, interleaved = KINDS[kind]
    for at in range(1, 400):
        place = old_store()
        acknowledged: dict[str, object] = {}
        act = partial(_act, writers()[what], place.store(plain(place.storage)), acknowledged)
        between = interleaved(plain(place.storage), at, act)
        collect(place.store(between))
        if not between.fired:
            assert at > 20
            return
        for key, value in {**acknowledged, "good": "z" * 20_000}.items():
            assert value_of(place.store(), key) == value, (at, between.calls[at - 1])
    pytest.fail("never done")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", writers())
def test_a_collection_between_any_two_operations_of_a_writer_takes_nothing_from_it(what: str, kind: str) -> None:
    plain, interleaved = KINDS[kind]
    for at in range(1, 400):
        place = old_store()
        between = interleaved(plain(place.storage), at, partial(collect, place.store()))
        acknowledged = writers()[what](place.store(between))
        if not between.fired:
            assert at > 3
            return
        for key, value in {**acknowledged, "good": "z" * 20_000}.items():
            assert value_of(place.store(), key) == value, (at, between.calls[at - 1])
    pytest.fail("never done")


@pytest.mark.parametrize("what", writers())
def test_a_writer_that_starts_in_a_collection_that_stops_there_is_finished_by_the_next(what: str) -> None:
    """A collection that is killed anywhere leaves notices behind; a writer and the next collection get along."""
    for at in range(1, 400):
        place = old_store()
        mortal = Mortal(place.storage, at, late=bool(at % 2))
        with suppress(KilledError):
            collect(place.store(mortal))
        acknowledged = writers()[what](place.store())
        collect(place.store())
        for key, value in {**acknowledged, "good": "z" * 20_000}.items():
            assert value_of(place.store(), key) == value, at
        if not mortal.dead:
            assert at > 20
            return
    pytest.fail("never done")


@pytest.mark.parametrize("late", [False, True])
def test_killed_at_every_operation_it_leaves_a_store_that_is_right_and_the_next_goes_on(*, late: bool) -> None:
    for lives in range(400):
        place = old_store()
        mortal = Mortal(place.storage, lives, late=late)
        with suppress(KilledError):
            collect(place.store(mortal))
        assert value_of(place.store(), "good") == "z" * 20_000
        assert place.store().lookup("expired").outcome in {Outcome.EXPIRED, Outcome.MISS}
        every_record_has_its_payload(place.storage, place.store())
        collect(place.store())
        left = sorted(info.path.partition("/")[0] for info in place.storage.list())
        assert left == ["payloads", "records"], (lives, left)
        if not mortal.dead:
            assert lives > 20
            return
    pytest.fail("never done")


def every_record_has_its_payload(storage: Storage, store: ResultStore) -> None:
    there = {info.path for info in storage.list("payloads")}
    for found in store.records():
        assert found.record is not None
        assert found.record.payload is None or found.record.payload in there


def test_a_reader_in_the_middle_gets_the_value_or_a_miss() -> None:
    outcomes = set()
    for at in range(1, 200):
        place = Place()
        write(place.store(), "a", BIG)
        place.pass_days(3)
        between = Interleaved(place.storage, at, Collector(place.store(), Rules(older_than=0)).run)
        found = place.store(between).fetch("a")
        outcomes.add(found.outcome)
        assert found.outcome is Outcome.MISS or found.value == BIG
        if not between.fired:
            break
    assert outcomes == {Outcome.MISS, Outcome.HIT}


def test_a_writer_that_slept_between_payload_and_record_writes_the_value_again() -> None:
    def sleep_and_collect(place: Place) -> None:
        place.pass_days(2)
        collect(place.store())

    for at in range(1, 20):
        place = Place()
        between = Interleaved(place.storage, at, partial(sleep_and_collect, place))
        write(place.store(between), "a", BIG)
        assert value_of(place.store(), "a") == BIG
        if not between.fired:
            return
    pytest.fail("never done")


def test_a_transaction_whose_payload_was_collected_is_not_committed() -> None:
    place = Place()
    store = place.store()
    staging = Staging()
    staging.bind(store)
    for key in ("a", "b"):
        staging.add(store.prepare(key, BIG + key, serializer=get_serializer("json"), parts={}, task={}, run={}))
    place.pass_days(2)
    collect(place.store())
    with pytest.raises(TransactionError, match="collection"):
        Commit(store, staging.take()).run()
    assert [found.outcome for found in (store.lookup("a"), store.lookup("b"))] == [Outcome.MISS] * 2


class Held(Wrapped):
    """Stands still right before it deletes a record, which is where a bucket is open to races."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.reached, self.go_on = Event(), Event()

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        if operation == "delete" and path.startswith("records/"):
            self.reached.set()
            assert self.go_on.wait(60)


class Announcing(Wrapped):
    """Says when something was put into one place."""

    def __init__(self, inner: Storage, place: str) -> None:
        super().__init__(inner)
        self.place = place
        self.has_put = Event()

    def after(self, operation: str, path: str) -> None:
        if operation in {"put", "create"} and path == self.place:
            self.has_put.set()


@pytest.mark.parametrize(
    "what", ["computes what has expired again", "refreshes what has expired", "commits a transaction"]
)
def test_who_replaces_a_record_that_is_just_being_deleted_waits_and_puts_it_back(what: str) -> None:
    place = old_store()
    held = Held(place.storage)
    announcing = Announcing(place.storage, place.store().describe("expired").path)
    acknowledged: dict[str, object] = {}
    store = ResultStore(announcing, ring=RING, clock=Patient(place))
    collecting = Thread(target=collect, args=(place.store(held),))
    writing = Thread(target=_act, args=(writers()[what], store, acknowledged))
    collecting.start()
    assert held.reached.wait(60)
    writing.start()
    assert announcing.has_put.wait(60)
    held.go_on.set()
    collecting.join(60)
    writing.join(60)
    assert set(acknowledged) >= {"expired"}
    for key, value in acknowledged.items():
        assert value_of(place.store(), key) == value


class Patient:
    """The time of a place, in which waiting for another thread takes no time."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def now(self) -> datetime:
        return self._place.clock.now()

    def monotonic(self) -> float:
        return self._place.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        SYSTEM_CLOCK.sleep(seconds)


def test_a_folder_is_asked_to_delete_what_was_judged_and_nothing_else() -> None:
    place = old_store()
    able = Able(place.storage)
    collect(place.store(able))
    expired = place.store().describe("expired").path
    assert ("delete_if", expired) in able.calls
    assert ("delete", expired) not in able.calls
