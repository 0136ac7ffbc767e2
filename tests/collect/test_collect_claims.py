"""Claims of runs that died: those that nothing came of go, and those of the living stay."""

from dataclasses import replace
from datetime import timedelta

import pytest

from entrepot.protocols.storage import Storage
from entrepot.results.claims import Claim, seal_claim
from entrepot.results.collect import Collector, Left, Rules
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.storage import EncryptedStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept, SetClock, Wrapped

PATH = f"records/ab/{'ab' * 32}.json"
CLAIM = Claim("somebody", run="r")


def shop(storage: Storage | None = None) -> Kept:
    kept = Kept(storage)
    kept.clock = SetClock()
    kept.storage = MemoryStorage("shop", clock=kept.clock) if storage is None else storage
    kept.store = ResultStore(kept.storage, ring=RING, clock=kept.clock)
    return kept


def claims(kept: Kept, *, dry: bool = False) -> tuple[Left, ...]:
    collector = Collector(kept.store)
    return (collector.preview() if dry else collector.run()).left


@pytest.mark.parametrize("holder", ["somebody", ""])
def test_a_bare_claim_goes_after_a_day_without_a_sign_of_life(holder: str) -> None:
    kept = shop()
    data = seal_claim(replace(CLAIM, holder=holder), RING, path=PATH)
    kept.storage.put(PATH, data)
    kept.clock.time += timedelta(hours=23)
    assert claims(kept) == ()
    kept.clock.time += timedelta(hours=2)
    left = (Left("claims of dead runs", 1, len(data)),)
    assert claims(kept, dry=True) == left
    assert kept.paths() == [PATH]
    assert claims(kept) == left
    assert kept.paths() == []


def test_a_claim_that_is_renewed_stays() -> None:
    kept = shop()
    kept.storage.put(PATH, seal_claim(CLAIM, RING, path=PATH))
    for beat in range(5):
        kept.clock.time += timedelta(hours=20)
        kept.storage.put(PATH, seal_claim(replace(CLAIM, beat=beat), RING, path=PATH))
        assert claims(kept) == ()
    assert kept.paths() == [PATH]


class Waking(Wrapped):
    """A store in which the holder wakes right before its claim would be deleted."""

    def delete_if(self, path: str, data: bytes) -> bool:
        self.inner.put(path, seal_claim(replace(CLAIM, beat=7), RING, path=path))
        return bool(self.inner.delete_if(path, data))  # type: ignore[attr-defined]


def test_a_holder_that_wakes_meanwhile_keeps_its_claim() -> None:
    kept = shop()
    kept.storage.put(PATH, seal_claim(CLAIM, RING, path=PATH))
    kept.clock.time += timedelta(days=2)
    kept.store = ResultStore(Waking(kept.storage), ring=RING, clock=kept.clock)
    assert claims(kept) == ()
    assert kept.bytes_at(PATH) == seal_claim(replace(CLAIM, beat=7), RING, path=PATH)


def test_the_result_under_a_dead_claim_counts_and_goes_when_its_time_comes() -> None:
    kept = shop()
    kept.write("a", 1)
    path = kept.paths("records")[0]
    kept.storage.put(path, seal_claim(CLAIM, RING, path=path, standing=kept.bytes_at(path)))
    kept.clock.time += timedelta(hours=12)
    assert Collector(kept.store, Rules(older_than=3600)).run().records == 0  # its holder may live
    kept.clock.time += timedelta(days=2)
    assert claims(kept) == ()
    assert kept.store.lookup("a").outcome is Outcome.HIT
    assert Collector(kept.store, Rules(older_than=3600)).run().records == 1
    assert kept.paths("records") == []


def test_what_only_looks_like_a_claim_goes_too_and_other_damage_stays() -> None:
    kept = shop()
    kept.storage.put(PATH, b'{"format":"entrepot-flight/9"}\nx\n')
    kept.storage.put(f"records/cd/{'cd' * 32}.json", b"broken")
    kept.clock.time += timedelta(days=2)
    assert [one.count for one in claims(kept)] == [1]
    assert kept.paths("records") == [f"records/cd/{'cd' * 32}.json"]


def test_an_encrypted_store_is_the_same_as_far_as_it_can_delete() -> None:
    kept = shop()
    inner = kept.storage
    kept.store = ResultStore(EncryptedStorage(inner, RING), ring=RING, clock=kept.clock)
    kept.store.storage.put(PATH, seal_claim(CLAIM, RING, path=PATH))
    kept.clock.time += timedelta(days=2)
    found = claims(kept)
    assert [one.kind for one in found] == ["claims of dead runs"] * len(found)
    assert (kept.paths() == []) == bool(found)
