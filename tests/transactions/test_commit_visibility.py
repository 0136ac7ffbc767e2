"""What readers see of results that are committed together, and what lies in the store."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from entrepot.errors import TransactionError, UnknownKeyError
from entrepot.protocols.storage import Storage
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.markers import Fate
from entrepot.results.record import record_path
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_commits import ABSENT, Between, commit, prepared, seen
from entrepot_test_results import GOLDEN, RING, Kept, NotExclusive, Wrapped

NEW = {"a": "new a", "b": ["new"] * 9000, "c": "new c"}
OLD = {"a": "old a", "b": ["old"] * 9000}


@pytest.fixture(params=["memory", "local", "encrypted", "not exclusive"])
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path_factory.mktemp("store"))
    if request.param == "encrypted":
        return EncryptedStorage(MemoryStorage(), RING)
    return NotExclusive(MemoryStorage()) if request.param == "not exclusive" else MemoryStorage()


def test_all_of_them_become_visible_at_once(storage: Storage) -> None:
    kept = Kept(storage)
    views: list[dict[str, object]] = []
    watched = Between(storage, lambda: views.append(seen(storage, NEW)))
    assert commit(Kept(watched), NEW).fate is Fate.COMMITTED
    assert {key: kept.store.fetch(key).value for key in NEW} == NEW
    nothing = dict.fromkeys(NEW, ABSENT)
    assert all(view in (nothing, NEW) for view in views)
    assert views.count(nothing) > len(NEW)


def test_what_was_there_stays_visible_until_all_that_replaces_it_is_there(storage: Storage) -> None:
    kept = Kept(storage)
    for key, value in OLD.items():
        kept.write(key, value)
    before = {**OLD, "c": ABSENT}
    views: list[dict[str, object]] = []
    watched = Between(storage, lambda: views.append(seen(storage, NEW)))
    commit(Kept(watched), NEW, replace=True)
    assert seen(storage, NEW) == NEW
    assert all(view in (before, NEW) for view in views)
    assert views.count(before) > len(NEW)


def test_a_reader_that_looks_key_after_key_never_sees_new_ones_and_then_old_ones(storage: Storage) -> None:
    for key, value in OLD.items():
        Kept(storage).write(key, value)
    states: list[dict[str, object]] = []
    reader = Kept(storage)  # one that remembers which transactions are over

    def look() -> None:
        states.append({key: reader.store.lookup(key).value for key in OLD})

    commit(Kept(Between(storage, look)), NEW, replace=True)
    look()
    assert states[-1] == {key: NEW[key] for key in OLD}
    flips = [index for index, state in enumerate(states) if state == states[-1]]
    assert flips == list(range(flips[0], len(states)))
    assert all(state == OLD for state in states[: flips[0]])


def test_a_valid_result_that_is_not_to_be_replaced_stays_as_it_is(storage: Storage) -> None:
    kept = Kept(storage)
    record = kept.write("a", "theirs")
    before = kept.bytes_at(record.path)
    commit(kept, NEW)
    assert seen(storage, NEW) == {**NEW, "a": "theirs"}
    assert kept.bytes_at(record.path) == before


@pytest.mark.parametrize("replace", [False, True])
def test_expired_and_damaged_results_are_replaced(storage: Storage, replace: bool) -> None:  # noqa: FBT001  by name
    kept = Kept(storage)
    kept.write("a", "old", expires=kept.clock.time - timedelta(seconds=1))
    path = kept.write("b", "old").path
    storage.put(path, kept.bytes_at(path).replace(b"old", b"odd"))
    commit(kept, NEW, replace=replace)
    assert seen(storage, NEW) == NEW


def test_a_single_result_is_kept_as_if_there_were_no_transaction(storage: Storage) -> None:
    alone, together = Kept(storage), Kept(MemoryStorage())
    together.write("a", "new a")
    commit(alone, {"a": "new a"})
    assert alone.paths() == together.paths()
    if type(storage) is not EncryptedStorage:
        assert alone.bytes_at(record_path("a")) == together.bytes_at(record_path("a"))


def test_what_a_transaction_kept_is_replaced_by_an_ordinary_write_and_by_the_next_transaction(storage: Storage) -> None:
    kept = Kept(storage)
    for key in NEW:
        kept.write(key, "old")
    for round_ in range(4):
        values = {key: [round_] * 9000 if key == "b" else round_ for key in NEW}
        commit(kept, values, replace=True)
        assert seen(storage, NEW) == values
    assert len(kept.paths("versions")) <= (3 if storage.creates_exclusively else 99)  # those that count
    kept.write("a", "plain", replace=True)
    commit(kept, {"b": 8, "c": 9}, replace=True)
    assert seen(storage, NEW) == {"a": "plain", "b": 8, "c": 9}
    assert {found.outcome for found in kept.store.records()} == {Outcome.HIT}


def test_an_ordinary_write_returns_the_result_that_a_transaction_kept(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("a", "old")
    commit(kept, NEW, replace=True)
    assert kept.write("a", "later").value == '"new a"'
    assert kept.write("c", "later").value == '"new c"'


def test_listing_shows_what_counts(storage: Storage) -> None:
    kept = Kept(storage)
    kept.write("a", "old")
    kept.write("x", "x")

    def stop() -> None:
        raise RuntimeError("not now")

    never = Commit(kept.store, prepared(kept, {"a": "never", "z": "never"}, replace=True), check=stop)
    with pytest.raises(RuntimeError, match="not now"):
        never.run()
    assert never.fate is Fate.PENDING
    found = {one.record.key: one.record for one in kept.store.records() if one.record is not None}
    assert {key: record.value for key, record in found.items()} == {"a": '"old"', "x": '"x"'}
    commit(kept, NEW, replace=True)
    assert {one.record.key for one in kept.store.records() if one.record is not None} == {"a", "b", "c", "x"}


class TestCost:
    def test_a_small_hit_that_no_transaction_kept_reads_one_object(self) -> None:
        kept = Kept(MemoryStorage())
        kept.write("a", 1)
        counted = Wrapped(kept.storage)
        assert Kept(counted).store.fetch("a").value == 1
        assert counted.calls == [("get", record_path("a"))]

    def test_a_hit_of_a_transaction_reads_its_marker_once_in_a_process(self) -> None:
        kept = Kept(MemoryStorage())
        commit(kept, {"a": 1, "b": 2})
        counted = Wrapped(kept.storage)
        reader = Kept(counted)
        reader.store.fetch("a")
        assert [path.partition("/")[0] for _, path in counted.calls] == ["records", "transactions"]
        counted.calls.clear()
        reader.store.fetch("a")
        reader.store.fetch("b")
        assert [path for _, path in counted.calls] == [record_path("a"), record_path("b")]

    def test_the_one_who_committed_reads_no_marker(self) -> None:
        counted = Wrapped(MemoryStorage())
        kept = Kept(counted)
        commit(kept, {"a": 1, "b": 2})
        counted.calls.clear()
        kept.store.fetch("a")
        assert counted.calls == [("get", record_path("a"))]

    def test_an_ordinary_write_does_what_it_did_before(self) -> None:
        counted = Wrapped(MemoryStorage())
        Kept(counted).write("a", 1)
        assert counted.calls == [("create", record_path("a"))]


class TestFirst:
    def test_one_that_must_be_the_first_makes_the_whole_transaction_fail(self) -> None:
        kept = Kept(MemoryStorage())
        kept.write("a", "theirs")
        items = [*prepared(kept, {"a": "ours"}, first=True), *prepared(kept, {"b": 2})]
        late = Commit(kept.store, items)
        with pytest.raises(TransactionError, match=r"was committed in memory:.* meanwhile"):
            late.run()
        assert late.fate is Fate.PENDING
        assert seen(kept.storage, ["a", "b"]) == {"a": "theirs", "b": ABSENT}

    def test_also_where_it_is_the_only_one(self) -> None:
        kept = Kept(MemoryStorage())
        kept.write("a", "theirs")
        with pytest.raises(TransactionError, match="meanwhile"):
            Commit(kept.store, prepared(kept, {"a": "ours"}, first=True)).run()
        assert seen(kept.storage, ["a"]) == {"a": "theirs"}

    def test_a_lost_answer_is_not_taken_for_another_one(self) -> None:
        class SaysTwice(Wrapped):
            """A client that sends a request again whose answer was lost."""

            def create(self, path: str, data: object) -> None:
                super().create(path, data)  # type: ignore[arg-type]
                super().create(path, data)  # type: ignore[arg-type]

        storage = SaysTwice(MemoryStorage())
        kept = Kept(storage)
        one = Commit(kept.store, prepared(kept, {"a": "x" * 5000}, first=True))
        one.run()
        many = Commit(kept.store, prepared(kept, {"b": 1, "c": 2}, first=True))
        many.run()
        assert (one.fate, many.fate) == (Fate.COMMITTED, Fate.COMMITTED)
        assert seen(storage.inner, ["b", "c"]) == {"b": 1, "c": 2}


def test_a_record_under_an_unknown_key_is_left_alone(storage: Storage) -> None:
    from entrepot.crypto.keyring import Keyring  # noqa: PLC0415  a ring that nobody else has

    Kept(storage, ring=Keyring.generate()).write("a", "theirs")
    if type(storage) is EncryptedStorage:
        pytest.skip("an encrypted store is opened with its own ring")
    kept = Kept(storage)
    with pytest.raises(UnknownKeyError):
        commit(kept, NEW)
    assert seen(storage, ["b", "c"]) == {"b": ABSENT, "c": ABSENT}


def test_a_commit_that_was_revoked_does_nothing() -> None:
    kept = Kept(MemoryStorage())
    one = Commit(kept.store, prepared(kept, {"a": 1, "b": 2}))
    one.revoke()
    one.run()
    assert one.fate is Fate.PENDING
    assert kept.paths() == []


def test_the_formats_are_what_the_page_says() -> None:
    kept = Kept(MemoryStorage())
    kept.write("a", "old")
    commit(kept, {"a": "new", "b": 1}, replace=True)
    lines = {path: json.loads(kept.bytes_at(path).partition(b"\n")[0]) for path in kept.paths()}
    (marker,) = [fields for path, fields in lines.items() if path.startswith("transactions/")]
    assert list(marker) == ["format", "id", "state", "decided"]
    assert (marker["format"], marker["state"]) == ("entrepot-transaction/1", "committed")
    fork = lines[record_path("a")]
    assert (fork["format"], set(fork)) == ("entrepot-versions/1", {"format", "chain"})
    version = lines[f"versions/{fork['chain'][:2]}/{fork['chain']}/0.json"]
    for fields in (version, lines[record_path("b")]):
        assert (fields["format"], fields["transaction"]) == ("entrepot-result/2", marker["id"])


def test_many_are_written_at_a_time_and_still_seen_at_once() -> None:
    kept = Kept(MemoryStorage())
    values = {str(number): number for number in range(300)}
    Commit(kept.store, prepared(kept, values)).run()
    assert seen(kept.storage, values) == values


GOLDEN_VALUES = {"small": [1, "한"], "large": {"rows": list(range(20))}}


def golden_store(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Return a store where a transaction has replaced one result and made another."""
    ids = (UUID(int=number) for number in range(10))
    monkeypatch.setattr("entrepot.results.commit.uuid.uuid4", lambda: next(ids))
    kept = Kept(MemoryStorage(), inline_limit=16)
    kept.write("small", "old")
    commit(kept, GOLDEN_VALUES, replace=True)
    return kept


def test_what_a_transaction_keeps_is_the_golden_store(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = golden_store(monkeypatch)
    found = {path: kept.bytes_at(path).decode() for path in kept.paths()}
    assert found == json.loads((GOLDEN / "transaction.json").read_text("utf-8"))


def test_a_golden_store_of_a_transaction_is_read() -> None:
    kept = Kept(MemoryStorage())
    for path, text in json.loads((GOLDEN / "transaction.json").read_text("utf-8")).items():
        kept.storage.put(path, text.encode())
    assert {key: kept.store.fetch(key).value for key in GOLDEN_VALUES} == GOLDEN_VALUES
