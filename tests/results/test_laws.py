"""The result store against a model of it: whatever happens, a hit is the last value that was acknowledged."""

import shutil
import tempfile
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from entrepot.crypto.keyring import Keyring
from entrepot.protocols.storage import Storage
from entrepot.results.claims import is_claim
from entrepot.results.lookup import Outcome
from entrepot.results.record import Record
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept

KEYS = st.sampled_from(["a", "b", "c", "x" * 2000, "ключ"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=30) | st.just("long " * 100),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=8,
)
SERIALIZERS = st.sampled_from(["json", "pickle", "compressed/json", "compressed/pickle"])


class AnyHistory(RuleBasedStateMachine):
    """Writes, expiries, refreshes and damage in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = Kept(self.make_storage(), inline_limit=100)
        self.model: dict[str, tuple[object, Record]] = {}
        self.spoilt: set[str] = set()

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def is_live(self, key: str) -> bool:
        return key in self.model and key not in self.spoilt and not self.is_expired(key) and self.has_payload(key)

    def is_expired(self, key: str) -> bool:
        expires = self.model[key][1].expires
        return expires is not None and expires <= self.kept.clock.time

    def has_payload(self, key: str) -> bool:
        payload = self.model[key][1].payload
        return payload is None or payload in self.kept.paths("payloads")

    @rule(
        key=KEYS, value=VALUES, serializer=SERIALIZERS, replace=st.booleans(), lifetime=st.none() | st.integers(0, 10)
    )
    def write(self, key: str, value: object, serializer: str, replace: bool, lifetime: int | None) -> None:  # noqa: FBT001  by name
        expires = None if lifetime is None else self.kept.clock.time + timedelta(seconds=lifetime)
        record = self.kept.write(key, value, serializer, replace=replace, expires=expires)
        if replace or not self.is_live(key):  # asked afterwards: writing an equal value brings a lost payload back
            self.model[key] = value, record
            self.spoilt.discard(key)
            assert (record.created, record.expires) == (self.kept.clock.time, expires)
        assert record == self.model[key][1]

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.kept.clock.sleep(seconds)

    @rule(key=KEYS, at=st.integers(0, 10_000), bit=st.integers(0, 7))
    def spoil_record(self, key: str, at: int, bit: int) -> None:
        if key in self.model and key not in self.spoilt:
            path = self.model[key][1].path
            data = bytearray(self.kept.bytes_at(path))
            at %= data.index(b"\n")  # the line: in the signature, the key id would make it an unknown key
            data[at] ^= 1 << bit
            self.kept.storage.put(path, bytes(data))
            self.spoilt.add(key)

    @rule(key=KEYS)
    def lose_payload(self, key: str) -> None:
        payload = self.model[key][1].payload if key in self.model else None
        if payload is not None:
            self.kept.storage.delete(payload)

    @rule()
    def fetch_all(self) -> None:
        for key in self.model:
            self.kept.store.fetch(key)

    @invariant()
    def every_answer_is_that_of_the_model(self) -> None:
        for key, (value, record) in self.model.items():
            found = self.kept.store.lookup(key)
            if self.is_live(key):
                assert (found.outcome, found.record) == (Outcome.HIT, record)
                assert found.value == value
                assert type(found.value) is type(value)
            elif key in self.spoilt or not self.is_expired(key):
                assert found.outcome is Outcome.DAMAGED
            else:
                assert found.outcome is Outcome.EXPIRED


class AnyHistoryOnDisk(AnyHistory):
    """The same in a folder."""

    def make_storage(self) -> Storage:
        self.folder = tempfile.mkdtemp()
        return LocalStorage(self.folder)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
AnyHistoryOnDisk.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
TestAnyHistory = AnyHistory.TestCase
TestAnyHistoryOnDisk = AnyHistoryOnDisk.TestCase


@given(key=st.text(min_size=1), value=VALUES, serializer=SERIALIZERS, limit=st.sampled_from([0, 20, 8192]))
def test_any_value_under_any_key_comes_back(key: str, value: object, serializer: str, limit: int) -> None:
    kept = Kept(inline_limit=limit)
    kept.write(key, value, serializer)
    assert kept.store.fetch(key).value == value


@given(value=VALUES, serializer=SERIALIZERS, limit=st.sampled_from([0, 8192]))
def test_any_value_comes_back_through_encryption(value: object, serializer: str, limit: int) -> None:
    kept = Kept(EncryptedStorage(MemoryStorage(), RING), inline_limit=limit)
    kept.write("key", value, serializer)
    assert kept.store.fetch("key").value == value


@given(one=st.text(min_size=1), other=st.text(min_size=1))
def test_a_value_under_one_key_is_never_found_under_another(one: str, other: str) -> None:
    kept = Kept()
    kept.write(one, one)
    assert (kept.store.fetch(other).outcome is Outcome.HIT) == (one == other)


@given(st.binary(max_size=2000).filter(lambda data: not is_claim(data)))  # of which there is nothing below
def test_random_bytes_in_place_of_a_record_are_never_a_hit(data: bytes) -> None:
    kept = Kept()
    kept.storage.put(kept.store.lookup("key").path, data)
    assert kept.store.lookup("key").outcome in {Outcome.DAMAGED, Outcome.UNKNOWN_KEY}


def test_two_rings_do_not_believe_each_other() -> None:
    storage = MemoryStorage()
    Kept(storage, ring=Keyring.generate()).write("key", 1)
    assert Kept(storage).store.lookup("key").outcome is Outcome.UNKNOWN_KEY
