"""What somebody who may write to the bucket, but has no keys, can do to transactions: make results go, never come."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line
from entrepot.errors import EntrepotError, UnknownNameError
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.markers import MARKER_FORMAT, Fate, marker_path
from entrepot.results.record import RECORD_FORMAT, record_path
from entrepot.storage.memory import MemoryStorage
from entrepot_test_commits import ABSENT, Died, commit, prepared, seen
from entrepot_test_results import RING, Kept, Wrapped

NEW: dict[str, object] = {"a": "new a", "b": "new b"}
OLD: dict[str, object] = {"a": "old a", "b": "old b"}


def committed() -> Kept:
    """Return a store where a transaction has replaced `a` and made `b`."""
    kept = Kept(MemoryStorage())
    kept.write("a", "old a")
    commit(kept, NEW, replace=True)
    return kept


def undecided() -> tuple[Kept, str]:
    """Return a store where a transaction died right before its marker, and its id."""
    kept = Kept(MemoryStorage())
    kept.write("a", "old a")
    dying = DiesAtMarker(kept.storage)
    with pytest.raises(Died):
        commit(Kept(dying), NEW, replace=True)
    return kept, dying.calls[-1][1].rpartition("/")[2].removesuffix(".json")


class DiesAtMarker(Wrapped):
    """Ends the process where it would decide."""

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        if path.startswith("transactions/"):
            raise Died


def outcome(kept: Kept, key: str) -> Outcome:
    return Kept(kept.storage).store.lookup(key).outcome


def marker(transaction: str, **changes: object) -> bytes:
    fields = {"format": MARKER_FORMAT, "id": transaction, "state": "committed", "decided": "2026-01-01T00:00:00Z"}
    return json.dumps({**fields, **changes}, separators=(",", ":")).encode()


def signed(line: bytes, context: str, ring: Keyring = RING) -> bytes:
    return b"".join((line, b"\n", sign_line(ring, line, context=context).encode(), b"\n"))


def test_a_marker_that_nobody_signed_makes_nothing_visible() -> None:
    kept, transaction = undecided()
    place = marker_path(transaction)
    for forged in (
        b"",
        b"committed\n",
        marker(transaction) + b"\n",
        signed(marker(transaction), f"{MARKER_FORMAT} {place}", Keyring.generate()),
        signed(marker(transaction), f"{RECORD_FORMAT} {place}"),  # no record's signature is a marker's
        signed(marker(transaction), f"{MARKER_FORMAT} {marker_path('0' * 32)}"),
        signed(marker("0" * 32), f"{MARKER_FORMAT} {place}"),
        signed(marker(transaction, state="pending"), f"{MARKER_FORMAT} {place}"),
        signed(b"[]", f"{MARKER_FORMAT} {place}"),
        signed(b"\xff", f"{MARKER_FORMAT} {place}"),
        signed(marker(transaction), f"{MARKER_FORMAT} {place}") + b" " * 5000,
    ):
        kept.storage.put(place, forged)
        for key in NEW:
            assert outcome(kept, key) in {Outcome.DAMAGED, Outcome.UNKNOWN_KEY}, forged


def test_the_marker_of_another_transaction_cannot_be_moved_or_copied() -> None:
    kept, transaction = undecided()
    commit(kept, {"x": 1, "y": 2})
    (other,) = kept.paths("transactions")
    kept.storage.put(marker_path(transaction), kept.bytes_at(other))
    assert {outcome(kept, key) for key in NEW} == {Outcome.DAMAGED}
    kept.storage.delete(marker_path(transaction))
    assert seen(kept.storage, NEW) == {"a": "old a", "b": ABSENT}


def test_a_marker_of_a_newer_format_says_what_to_do() -> None:
    kept, transaction = undecided()
    place = marker_path(transaction)
    line = marker(transaction, format="entrepot-transaction/2")
    kept.storage.put(place, signed(line, f"{MARKER_FORMAT} {place}"))
    with pytest.raises(UnknownNameError, match="newer Entrepot; update"):
        Kept(kept.storage).store.lookup("b")


def test_without_its_marker_a_transaction_was_never_committed() -> None:
    kept = committed()
    (place,) = kept.paths("transactions")
    kept.storage.delete(place)
    assert seen(kept.storage, NEW) == {"a": "damaged", "b": ABSENT}  # what `a` was before is no longer kept


def test_an_aborted_transaction_cannot_be_committed_by_taking_its_marker_away_and_asking_again() -> None:
    kept, transaction = undecided()
    commit(kept, OLD, replace=True)
    assert Kept(kept.storage).store.markers.fate(transaction) is Fate.ABORTED
    kept.storage.delete(marker_path(transaction))
    assert seen(kept.storage, NEW) == OLD


def test_results_are_computed_again_and_kept_where_any_object_was_spoilt() -> None:
    for folder in ("records", "transactions", "versions"):
        kept = committed()
        for spoilt in kept.paths(folder):
            kept.storage.put(spoilt, kept.bytes_at(spoilt)[:-7])
        found = seen(kept.storage, NEW)
        assert all(found[key] in {NEW[key], "damaged", "unknown key"} for key in NEW)
        commit(kept, {"a": 1, "b": 2}, replace=True)
        assert seen(kept.storage, NEW) == {"a": 1, "b": 2}


def test_no_object_can_take_the_place_of_another() -> None:
    for one in range(len(committed().paths())):
        for other in range(len(committed().paths())):
            kept = committed()
            paths = kept.paths()
            kept.storage.put(paths[other], kept.bytes_at(paths[one]))
            found = seen(kept.storage, NEW)
            assert all(found[key] in {NEW[key], "damaged", ABSENT} for key in NEW), (paths[one], paths[other])


def test_the_base_of_a_chain_cannot_be_an_older_record_of_the_same_key() -> None:
    kept = Kept(MemoryStorage())
    older = kept.write("a", "older")
    data = kept.bytes_at(older.path)
    kept.write("a", "old a", replace=True)

    def stop() -> None:
        raise RuntimeError("not now")

    with pytest.raises(RuntimeError, match="not now"):
        Commit(kept.store, prepared(kept, NEW, replace=True), check=stop).run()
    assert seen(kept.storage, ["a"]) == {"a": "old a"}
    (base,) = [path for path in kept.paths("versions") if path.endswith("base.json")]
    kept.storage.put(base, data)
    assert seen(kept.storage, ["a"]) == {"a": "damaged"}


def test_the_record_of_a_transaction_is_not_believed_as_one_of_none() -> None:
    kept, _ = undecided()
    place = record_path("b")
    line, _, signature = kept.bytes_at(place).partition(b"\n")
    fields = json.loads(line)
    del fields["transaction"]
    for form in ("entrepot-result/1", "entrepot-result/2"):
        changed = json.dumps({**fields, "format": form}, ensure_ascii=False, separators=(",", ":")).encode()
        kept.storage.put(place, changed + b"\n" + signature)
        assert outcome(kept, "b") is Outcome.DAMAGED
        kept.storage.put(place, signed(changed, f"{RECORD_FORMAT} {place}"))  # signed: only a bug of ours would do so
        assert outcome(kept, "b") is (Outcome.HIT if form.endswith("1") else Outcome.DAMAGED)


@pytest.mark.parametrize("transaction", ["", "0" * 31, "0" * 33, "G" * 32, "../" * 10 + "00", 7, None])
def test_a_transaction_that_is_none_is_refused_and_no_path_is_made_of_it(transaction: object) -> None:
    kept, _ = undecided()
    place = record_path("b")
    fields = json.loads(kept.bytes_at(place).partition(b"\n")[0]) | {"transaction": transaction}
    line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    kept.storage.put(place, signed(line, f"{RECORD_FORMAT} {place}"))
    assert outcome(kept, "b") is Outcome.DAMAGED


@pytest.mark.parametrize("chain", ["", "0" * 63, "../../records", 7, None])
def test_a_chain_that_is_none_is_refused(chain: object) -> None:
    kept = committed()
    place = record_path("a")
    line = json.dumps({"format": "entrepot-versions/1", "chain": chain}, separators=(",", ":")).encode()
    kept.storage.put(place, signed(line, f"{RECORD_FORMAT} {place}"))
    assert outcome(kept, "a") is Outcome.DAMAGED


@given(st.data())
def test_one_changed_bit_anywhere_never_gives_a_value_that_was_not_committed(data: st.DataObject) -> None:
    kept = committed()
    path = data.draw(st.sampled_from(kept.paths()))
    content = bytearray(kept.bytes_at(path))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    kept.storage.put(path, bytes(content))
    for key, value in NEW.items():
        found = Kept(kept.storage).store.lookup(key)
        assert found.outcome in {Outcome.HIT, Outcome.DAMAGED, Outcome.UNKNOWN_KEY}
        assert found.outcome is not Outcome.HIT or found.value == value


@given(path=st.sampled_from(["records", "transactions", "versions"]), data=st.binary(max_size=300))
def test_random_bytes_in_any_place_are_never_believed(path: str, data: bytes) -> None:
    kept = committed()
    for place in kept.paths(path):
        kept.storage.put(place, data)
    found = {key: Kept(kept.storage).store.lookup(key) for key in NEW}
    assert all(one.value == NEW[key] for key, one in found.items() if one.outcome is Outcome.HIT)
    try:
        commit(kept, {"a": 1, "b": 2}, replace=True)
    except EntrepotError as error:
        pytest.fail(f"the store is lost: {error!r}")
    assert seen(kept.storage, NEW) == {"a": 1, "b": 2}


def test_strange_names_in_a_chain_are_passed_over() -> None:
    kept = committed()
    (version,) = kept.paths("versions")
    folder = version.rpartition("/")[0]
    for name in ("x.json", "-1.json", "9", "9.json.json", "٣.json"):
        kept.storage.put(f"{folder}/{name}", b"junk")
    assert seen(kept.storage, NEW) == NEW
    commit(kept, OLD, replace=True)
    assert seen(kept.storage, NEW) == OLD
