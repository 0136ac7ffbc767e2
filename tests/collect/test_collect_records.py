"""What a collection removes and what it leaves."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.errors import CollectionError, StorageError
from entrepot.results.claims import Claim, seal_claim
from entrepot.results.collect import Collector, Rules
from entrepot.results.collect.lease import Lease
from entrepot.results.collect.leftovers import Leftovers
from entrepot.results.collect.survey import Survey
from entrepot.results.lookup import Outcome
from entrepot.results.record import record_path
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import EncryptedStorage, LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot.testing import FaultyStorage
from entrepot_test_results import RING, Kept, SetClock

DAY = 86_400
BIG = "x" * 20_000


class Shop(Kept):
    """A store whose objects are as old as its clock says."""

    def __init__(self) -> None:
        clock = SetClock()
        super().__init__(MemoryStorage("shop", clock=clock))
        self.clock = clock
        self.store = ResultStore(self.storage, ring=RING, clock=clock)

    def pass_days(self, days: float) -> None:
        self.clock.time += timedelta(days=days)

    def has(self, key: str) -> bool:
        return self.store.lookup(key).outcome is Outcome.HIT

    def payloads(self) -> int:
        return len(self.paths("payloads"))


def test_an_expired_result_goes_after_the_grace_and_its_payload_with_it() -> None:
    shop = Shop()
    shop.write("a", BIG, expires=shop.clock.now() + timedelta(hours=1))
    shop.pass_days(0.5)
    assert Collector(shop.store).run().records == 0
    shop.pass_days(1)
    report = Collector(shop.store).run()
    assert (report.records, report.payloads, shop.paths("records"), shop.payloads()) == (1, 1, [], 0)
    assert [(share.task, share.reason) for share in report.shares] == [("extract", "expired")]
    assert shop.paths() == []


def test_a_result_is_kept_as_long_as_its_own_record_says() -> None:
    shop = Shop()
    shop.write("week", 1, about={"keep": str(7 * DAY)})
    shop.write("ever", 2)
    shop.pass_days(6.9)
    assert Collector(shop.store).run().records == 0
    shop.pass_days(0.2)
    report = Collector(shop.store).run()
    assert [share.reason for share in report.shares] == ["keep"]
    assert (shop.has("week"), shop.has("ever")) == (False, True)


def test_what_does_not_say_is_kept_as_the_store_says() -> None:
    shop = Shop()
    shop.write("month", 1, about={"keep": str(30 * DAY)})
    shop.write("silent", 2)
    shop.pass_days(8)
    assert Collector(shop.store, Rules(keep=7 * DAY)).run().records == 1
    assert (shop.has("month"), shop.has("silent")) == (True, False)


def test_the_latest_few_of_each_task_are_kept() -> None:
    shop = Shop()
    for number in range(6):
        shop.write(f"a{number}", number, about={"keep_last": "2"}, task={"name": "a", "key": "m.a"})
        shop.write(f"b{number}", number, task={"name": "b", "key": "m.b"})
        shop.pass_days(0.01)
    assert Collector(shop.store).run().records == 4
    assert [shop.has(f"a{number}") for number in range(6)] == [False] * 4 + [True] * 2
    assert Collector(shop.store, Rules(keep_last=3)).run().records == 3
    assert [shop.has(f"b{number}") for number in range(6)] == [False] * 3 + [True] * 3


def test_what_was_kept_until_a_run_ends_goes_after_a_week_even_if_the_run_failed() -> None:
    shop = Shop()
    shop.write("a", 1, about={"keep": "run"})
    shop.pass_days(6)
    assert Collector(shop.store).run().records == 0
    shop.pass_days(2)
    assert Collector(shop.store).run().records == 1


def test_a_full_store_loses_what_was_least_recently_used_and_no_more() -> None:
    shop = Shop()
    for number in range(10):
        shop.write(f"k{number}", BIG + str(number))
        shop.pass_days(1)
    shop.storage.put(f"used/{shop.store.describe('k0').path[8:-5]}", b"1")  # k0 was used a moment ago
    size = sum(info.size for info in shop.storage.list())
    one = size // 10
    report = Collector(shop.store, Rules(max_size=size - 3 * one + one // 2)).run()
    assert [share.reason for share in report.shares] == ["least used"]
    assert [shop.has(f"k{number}") for number in range(10)] == [True, False, False, False] + [True] * 6
    assert shop.payloads() == sum(shop.has(f"k{number}") for number in range(10))


def test_a_shared_payload_goes_with_the_last_record_that_needs_it() -> None:
    shop = Shop()
    shop.write("a", BIG)
    shop.pass_days(10)
    shop.write("b", BIG)
    assert shop.payloads() == 1
    assert Collector(shop.store, Rules(older_than=5 * DAY)).run().records == 1
    assert (shop.has("b"), shop.payloads()) == (True, 1)
    shop.pass_days(10)
    assert Collector(shop.store, Rules(older_than=5 * DAY)).run().payloads == 1
    assert shop.payloads() == 0


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(older_than=0, task="a"), "b"),
        (Rules(older_than=0, task="m.a"), "b"),
        (Rules(older_than=0, flow="etl"), "a"),
        (Rules(older_than=0, tags=("red",)), "a"),
        (Rules(older_than=0, tags=("red", "blue")), "ab"),
    ],
)
def test_only_what_was_asked_for_is_removed(rules: Rules, left: str) -> None:
    shop = Shop()
    shop.write("a", 1, task={"name": "a", "key": "m.a"})
    shop.write("b", 2, task={"name": "b", "key": "m.b"}, about={"flow": "etl", "tag:red": "", "tag:green": ""})
    Collector(shop.store, rules).run()
    assert "".join(key for key in "ab" if shop.has(key)) == left


def test_a_preview_says_what_would_go_and_changes_nothing() -> None:
    shop = Shop()
    shop.write("a", BIG, task={"name": "a", "key": "m.a"})
    shop.write("b", 1, task={"name": "b", "key": "m.b"})
    shop.pass_days(2)
    before = {path: shop.bytes_at(path) for path in shop.paths()}
    preview = Collector(shop.store, Rules(older_than=DAY)).preview()
    assert {path: shop.bytes_at(path) for path in shop.paths()} == before
    report = Collector(shop.store, Rules(older_than=DAY)).run()
    assert preview.shares == report.shares
    assert (
        (preview.records, preview.payloads, preview.size)
        == (report.records, report.payloads, report.size)
        == (2, 1, sum(map(len, before.values())))
    )


def test_a_young_payload_without_a_record_waits_since_its_writer_may_be_alive() -> None:
    shop = Shop()
    shop.storage.put("payloads/aa/" + "a" * 64 + ".json", b"orphan")
    report = Collector(shop.store).run()
    assert (report.payloads, report.waiting, report.waiting_size) == (0, 1, 6)
    shop.pass_days(1.1)
    report = Collector(shop.store).run()
    assert (report.payloads, report.waiting, [share.reason for share in report.shares]) == (1, 0, ["no record"])


def test_records_under_keys_that_are_not_here_keep_their_payloads() -> None:
    shop = Shop()
    shop.write("a", BIG)
    shop.pass_days(10)
    other = Keyring.generate()
    blind = ResultStore(shop.storage, ring=other, clock=shop.clock)
    report = Collector(blind, Rules(older_than=0, keep_last=0)).run()
    assert (report.records, report.payloads) == (0, 0)
    assert shop.has("a")


def test_where_records_cannot_even_be_read_no_payload_goes() -> None:
    shop = Shop()
    sealed = ResultStore(EncryptedStorage(shop.storage, RING), ring=RING, clock=shop.clock)
    sealed.put(shop.store.prepare("a", 1, serializer=get_serializer("json"), parts={}, task={}, run={}))
    inner = Kept(EncryptedStorage(shop.storage, RING))
    inner.write("b", BIG)
    shop.pass_days(10)
    other = Keyring.generate()
    report = Collector(ResultStore(EncryptedStorage(shop.storage, other), ring=other, clock=shop.clock)).run()
    assert (report.is_blind, report.payloads) == (True, 0)
    assert inner.store.lookup("b").outcome is Outcome.HIT


def test_a_damaged_record_stays_for_who_looks_into_it() -> None:
    shop = Shop()
    path = shop.write("a", BIG).path
    shop.storage.put(path, shop.bytes_at(path).replace(b"extract", b"extraxt"))
    shop.pass_days(100)
    assert Collector(shop.store, Rules(older_than=0, keep_last=0)).run().records == 0
    assert shop.paths("records") == [path]


def test_a_store_that_cannot_be_read_loses_nothing() -> None:
    shop = Shop()
    shop.write("a", BIG)
    shop.pass_days(10)
    faulty = FaultyStorage(shop.storage, fail_at=1, on={"get"})
    store = ResultStore(faulty, ring=RING, clock=shop.clock)
    with pytest.raises(StorageError):
        Collector(store, Rules(older_than=0)).run()
    assert shop.has("a")


def test_old_evidence_goes() -> None:
    shop = Shop()
    shop.storage.put("damaged/records/ab/x.json", b"broken")
    shop.pass_days(29)
    assert Collector(shop.store).run().leftovers == 0
    shop.pass_days(2)
    assert Collector(shop.store).run().leftovers == 1
    assert shop.paths() == []


def test_files_that_killed_writers_left_go_and_new_ones_stay(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path / "store"))
    kept.write("a", BIG)
    folder = next((tmp_path / "store" / "payloads").iterdir())
    old, new = folder / ".tmp-0123", folder / ".tmp-4567"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert Collector(kept.store).run().leftovers == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_two_collections_at_once_are_one() -> None:
    shop = Shop()
    with Lease(shop.storage, shop.clock), pytest.raises(CollectionError, match="another collection"):
        Collector(shop.store).run()
    Collector(shop.store).run()


def test_a_collection_that_was_held_up_gives_up_before_it_deletes() -> None:
    shop = Shop()
    shop.write("a", 1)
    with Lease(shop.storage, shop.clock) as lease:
        shop.clock.sleep(61)
        lease.renew()
        shop.clock.sleep(301)
        with pytest.raises(CollectionError, match="held up"):
            lease.renew()


def test_a_collection_of_another_machine_is_taken_for_dead_after_ten_minutes() -> None:
    shop = Shop()
    shop.storage.put("collected/runs/" + "f" * 32 + ".json", b'{"host": "elsewhere", "pid": 1}')
    with pytest.raises(CollectionError, match="process 1 on elsewhere"):
        Collector(shop.store).run()
    shop.clock.sleep(601)
    Collector(shop.store).run()
    assert shop.paths("collected") == []


def test_one_whose_sign_of_life_is_dated_in_the_future_is_taken_for_dead_ten_minutes_later() -> None:
    shop = Shop()
    name = "collected/runs/" + "f" * 32 + ".json"
    shop.storage.put(name, b'{"host": "elsewhere", "pid": 1}')
    shop.clock.sleep(-365 * DAY)  # the store's clock was set back
    with pytest.raises(CollectionError, match="elsewhere, whose last sign of life was dated in the future"):
        Collector(shop.store).run()
    assert bytes(shop.storage.get(name)) == b'{"host": "elsewhere", "pid": 1}'
    with pytest.raises(CollectionError, match=r"process 1 on elsewhere\) is at work"):
        Collector(shop.store).run()
    shop.clock.sleep(601)
    Collector(shop.store).run()
    assert shop.paths("collected") == []


class TestClaims:
    """Of runs that compute a result, or did."""

    PATH = record_path("key")

    def put(self, shop: Shop, claim: Claim, standing: bytes = b"") -> None:
        shop.storage.put(self.PATH, seal_claim(claim, RING, path=self.PATH, standing=standing))

    @pytest.mark.parametrize("holder", ["", "a" * 32])
    def test_one_that_nobody_took_up_for_a_day_is_removed(self, holder: str) -> None:
        shop = Shop()
        self.put(shop, Claim(holder))
        shop.clock.sleep(DAY - 60)
        assert Collector(shop.store).run().leftovers == 0
        assert shop.paths() == [self.PATH]
        shop.clock.sleep(120)
        assert Collector(shop.store).preview().leftovers == 1
        assert shop.paths() == [self.PATH]
        assert Collector(shop.store).run().leftovers == 1
        assert shop.paths() == []

    def test_an_expired_record_below_one_is_removed_when_nobody_holds_it(self) -> None:
        shop = Shop()
        shop.write("key", 1, expires=shop.clock.now())
        standing = shop.bytes_at(self.PATH)
        shop.clock.sleep(2 * DAY)
        self.put(shop, Claim("a" * 32), standing)
        Collector(shop.store).run()
        assert shop.paths() == [self.PATH]
        self.put(shop, Claim(""), standing)
        Collector(shop.store).run()
        assert shop.paths() == []

    def test_one_that_is_taken_up_again_meanwhile_stays(self) -> None:
        shop = Shop()
        self.put(shop, Claim("a" * 32))
        shop.clock.sleep(2 * DAY)
        survey = Survey(shop.store, None, lambda *_: None)
        survey.read()
        self.put(shop, Claim("b" * 32))
        with Lease(shop.storage, shop.clock) as lease:
            now = shop.clock.now().timestamp()
            list(Leftovers(shop.store, survey, now, lease).remove())
        survey.close()
        assert shop.paths() == [self.PATH]
