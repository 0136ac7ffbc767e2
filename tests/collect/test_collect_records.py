"""What a collection removes and what it leaves."""

from datetime import UTC, datetime, timedelta

import pytest

from entrepot.results.collect import Collector, Rules
from entrepot.results.lookup import Outcome
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept, SetClock

DAY = 86_400
BIG = "x" * 20_000


class Shop(Kept):
    """A store whose objects are as old as its clock says."""

    def __init__(self) -> None:
        clock = SetClock()
        super().__init__(MemoryStorage("shop", clock=clock))
        self.clock = self.store.clock = clock
        self.store.condemned._clock = clock

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
