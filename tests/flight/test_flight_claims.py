"""What stands in the place of a record while a run computes it, and what others make of it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.coordination.liveness import process_token
from entrepot.errors import (
    IntegrityError,
    ObjectChangedError,
    ObjectExistsError,
    StorageUnreachableError,
    UnknownKeyError,
)
from entrepot.protocols.storage import Buffers
from entrepot.results import flight as flights
from entrepot.results import meetings, watching
from entrepot.results.claims import FLIGHT_FORMAT, Claim, is_claim, open_claim, seal_claim, standing_in
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.record import record_path
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, PrefixedStorage
from entrepot.testing import FaultyStorage
from entrepot_test_flights import FACTS, PATH, One, another_process, signed
from entrepot_test_processes import until
from entrepot_test_results import RING, Kept


class TestTheClaim:
    def test_it_is_read_as_it_was_written(self) -> None:
        claim = Claim("a" * 32, 3, 7, 12.5, "p", "r")
        for standing in (b"", b"line\nsignature\n"):
            data = seal_claim(claim, RING, path=PATH, standing=standing)
            assert is_claim(data)
            assert open_claim(data, RING, path=PATH, location="here") == claim
            assert standing_in(data) == standing

    def test_one_that_was_altered_or_moved_does_not_verify(self) -> None:
        data = seal_claim(Claim("a" * 32), RING, path=PATH)
        with pytest.raises(IntegrityError):
            open_claim(data, RING, path=record_path("other"), location="here")
        for at in range(len(data) - 1):
            altered = bytearray(data)
            altered[at] ^= 1
            with pytest.raises((IntegrityError, UnknownKeyError)):
                open_claim(bytes(altered), RING, path=PATH, location="here")

    @given(st.binary(max_size=300), st.integers(0, 300))
    def test_bytes_that_are_none_do_not_verify(self, noise: bytes, cut: int) -> None:
        data = seal_claim(Claim("a" * 32), RING, path=PATH)
        for odd in (noise, data[:cut] + noise, b'{"format":"entrepot-flight/' + noise):
            try:
                found = open_claim(odd, RING, path=PATH, location="here")
            except (IntegrityError, UnknownKeyError):
                continue
            assert found == Claim("a" * 32)

    def test_one_that_does_not_say_all_is_read(self) -> None:
        fields = {"format": FLIGHT_FORMAT, "holder": "a", "fence": 2, "beat": 3, "seconds": 4, "process": "", "run": ""}
        assert open_claim(signed(fields), RING, path=PATH, location="here") == Claim("a", 2, 3, 4.0)

    def test_nobody_is_waited_for_longer_than_an_hour_without_a_sign(self) -> None:
        data = seal_claim(Claim("a" * 32, seconds=1e9), RING, path=PATH)
        found = open_claim(data, RING, path=PATH, location="here")
        assert found is not None
        assert found.seconds == 3600


class TestReaders:
    def test_a_claim_alone_is_a_miss(self) -> None:
        kept = Kept()
        another_process(kept)
        for found in (kept.store.lookup("key"), kept.store.fetch("key"), kept.store.describe("key")):
            assert found.outcome is Outcome.MISS
        assert list(kept.store.records()) == []

    def test_the_record_that_was_there_before_counts(self) -> None:
        kept = Kept()
        record = kept.write("key", [1, 2])
        standing = kept.bytes_at(PATH)
        kept.storage.put(PATH, seal_claim(Claim("a" * 32), RING, path=PATH, standing=standing))
        found = kept.store.fetch("key")
        assert (found.outcome, found.value) == (Outcome.HIT, [1, 2])
        assert [each.record for each in kept.store.records()] == [found.record]
        assert found.record is not None
        assert found.record.digest == record.digest

    def test_an_altered_record_under_a_claim_is_not_believed(self) -> None:
        kept = Kept()
        kept.write("key", [1, 2])
        standing = kept.bytes_at(PATH).replace(b"[1,2]", b"[1,3]")
        kept.storage.put(PATH, seal_claim(Claim("a" * 32), RING, path=PATH, standing=standing))
        assert kept.store.fetch("key").outcome is Outcome.DAMAGED

    def test_who_claims_nothing_keeps_its_result_all_the_same(self) -> None:
        kept = Kept()
        another_process(kept)
        kept.write("key", "theirs or ours: one value")
        assert kept.store.fetch("key").value == "theirs or ours: one value"

    def test_a_transaction_takes_the_place_of_a_claim(self, tmp_path: Path) -> None:
        kept = Kept()
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        Commit(
            kept.store, [kept.store.prepare(key, 1, run={"id": "transaction"}, **FACTS) for key in ("key", "other")]
        ).run()
        assert one.value() == 1
        record = one.commit(2)
        assert record is not None
        assert record.run == {"id": "transaction"}
        one.flight.let_go()
        assert one.value() == 1

    def test_a_transaction_keeps_the_record_that_was_there_below_a_claim(self) -> None:
        kept = Kept()
        kept.write("key", "old")
        standing = kept.bytes_at(PATH)
        kept.storage.put(PATH, seal_claim(Claim("a" * 32), RING, path=PATH, standing=standing))
        new = [kept.store.prepare(key, "new", run={"id": "r"}, replace=True, **FACTS) for key in ("key", "other")]

        def check() -> None:
            assert kept.store.fetch("key").value == "old"

        Commit(kept.store, new, check=check).run()
        assert kept.store.fetch("key").value == "new"


@pytest.fixture(params=["memory", "local", "prefixed", "encrypted"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    disk = LocalStorage(tmp_path / "store")
    stores: dict[str, Callable[[], Any]] = {
        "memory": MemoryStorage,
        "local": lambda: disk,
        "prefixed": lambda: PrefixedStorage(disk, "a/b"),
        "encrypted": lambda: EncryptedStorage(disk, RING),
    }
    return Kept(stores[request.param]())


class TestTaking:
    def test_the_first_computes_and_its_record_is_all_that_stays(self, kept: Kept, tmp_path: Path) -> None:
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        assert is_claim(kept.bytes_at(PATH))
        record = one.commit("value")
        assert record is not None
        one.flight.let_go()
        assert kept.paths() == [PATH]
        assert one.value() == "value"
        assert not meetings._entries

    def test_a_claim_without_a_sign_of_life_is_taken_over_and_its_holder_keeps_nothing(
        self, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flights, "renew_from_now_on", lambda lease: None)  # its process stands still
        late = One(kept, tmp_path, "late", seconds=0.2)
        assert late.look() is None
        monkeypatch.undo()
        meetings._entries.clear()  # as in another process
        ours = One(kept, tmp_path, "ours")
        assert ours.look() is None
        assert late.commit("late") is None  # ours is not there yet
        assert ours.value() is None
        assert late.commit("late") is None  # nor the second time
        assert ours.commit("ours") is not None
        record = late.commit("late")
        assert record is not None
        assert record.run == {"id": "ours"}
        late.flight.let_go()
        ours.flight.let_go()
        assert ours.value() == "ours"

    def test_a_claim_that_is_renewed_is_not_taken_over(
        self, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, judged = [1000.0], [0]
        judge = watching.Watch.judge

        class Set:
            monotonic = staticmethod(lambda: now[0])

        def counted(self: watching.Watch, *args: Any, **kwargs: Any) -> Any:
            found = judge(self, *args, **kwargs)
            judged[0] += 1
            return found

        monkeypatch.setattr(watching, "time", Set)
        monkeypatch.setattr(watching.Watch, "judge", counted)
        monkeypatch.setattr(flights, "_SLOWEST", 0.01)
        one = One(kept, tmp_path, "one", seconds=300)
        assert one.look() is None
        meetings._entries.clear()
        other = One(kept, tmp_path, "other")
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.append(other.look()))
        waiter.start()
        lease = one.flight._lease
        assert lease is not None
        for beat in range(1, 9):  # for longer than a claim may stay as it is
            seen = judged[0]
            until(lambda n=seen: judged[0] > n + 1)  # type: ignore[misc]
            now[0] += 290
            lease.renew()
            claim = open_claim(kept.bytes_at(PATH), RING, path=PATH, location="here")
            assert claim is not None
            assert (claim.holder, claim.fence, claim.beat) == (one.flight._holder, 1, beat)
        one.commit("value")
        waiter.join(60)
        assert found[0].value == "value"
        one.flight.let_go()
        other.flight.let_go()

    def test_what_is_given_back_is_free_at_once(self, kept: Kept, tmp_path: Path) -> None:
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        one.flight.let_go()
        other = One(kept, tmp_path, "other")
        assert other.look() is None
        claim = open_claim(kept.bytes_at(PATH), RING, path=PATH, location="here")
        assert claim is not None
        assert (claim.run, claim.fence) == ("other", 2)
        assert one.commit("after it let go") is None
        other.flight.let_go()

    def test_the_claim_of_a_dead_process_is_taken_over_at_once(self, tmp_path: Path) -> None:
        kept = Kept()
        token = "0" * 32
        (tmp_path / "processes").mkdir()
        (tmp_path / "processes" / token).touch()  # and nobody has it locked
        another_process(kept, process=token)
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        one.flight.let_go()

    def test_a_living_process_is_not_taken_for_dead(self, tmp_path: Path) -> None:
        kept = Kept()
        another_process(kept, process=process_token(tmp_path))
        one = One(kept, tmp_path, "one")
        threading.Timer(0.5, lambda: kept.write("key", "theirs")).start()
        found = one.look()
        assert found is not None
        assert found.value == "theirs"
        one.flight.let_go()

    def test_an_expired_record_stays_until_the_new_one_comes(self, kept: Kept, tmp_path: Path) -> None:
        kept.write("key", "old", expires=kept.clock.now())
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        assert kept.store.describe("key").outcome is Outcome.EXPIRED
        one.commit("new")
        one.flight.let_go()
        assert one.value() == "new"

    def test_a_damaged_record_is_replaced(self, kept: Kept, tmp_path: Path) -> None:
        kept.write("key", "old")
        kept.storage.put(PATH, kept.bytes_at(PATH)[:-9])
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        one.commit("new")
        one.flight.let_go()
        assert one.value() == "new"

    def test_a_run_does_not_wait_for_a_run_around_it_in_another_process(self, tmp_path: Path) -> None:
        kept = Kept()
        another_process(kept)
        said: list[str] = []
        one = One(kept, tmp_path, "one", around={"theirs"}, say=lambda level, text, *args: said.append(text % args))
        assert one.look() is None
        assert one.flight.defers
        assert not one.flight.is_claimed
        assert "a run around it" in said[0]
        one.flight.let_go()

    def test_what_was_deleted_meanwhile_does_not_come_back(self, kept: Kept, tmp_path: Path) -> None:
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        kept.storage.delete(PATH)  # `cache invalidate`, say
        assert one.commit("late") is None
        one.flight.let_go()
        assert kept.paths("records") == []


class Repeating:
    """A store whose library sends each conditional write twice, since the first answer was lost."""

    def __init__(self) -> None:
        self._inner = MemoryStorage()

        self.can_swap, self.get_tagged = self._inner.can_swap, self._inner.get_tagged  # looked for on the object itself

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def swap(self, path: str, data: Buffers, tag: str | None) -> str:
        self._inner.swap(path, data, tag)
        return self._inner.swap(path, data, tag)


class TestFaults:
    def test_a_write_that_was_sent_twice_is_known_as_our_own(self, tmp_path: Path) -> None:
        kept = Kept(Repeating())  # type: ignore[arg-type]
        with pytest.raises((ObjectChangedError, ObjectExistsError)):
            another_process(kept)
        kept.storage.delete(PATH)
        one = One(kept, tmp_path, "one", seconds=0.3)
        assert one.look() is None
        lease = one.flight._lease
        assert lease is not None
        lease.renew()
        lease.renew()
        record = one.commit("ours")
        assert record is not None
        assert record.run == {"id": "one"}
        one.flight.let_go()
        assert one.value() == "ours"

    @pytest.mark.parametrize("after", [False, True])
    def test_an_outage_at_any_step_is_an_error_and_no_late_commit(self, tmp_path: Path, *, after: bool) -> None:
        for step in range(1, 20):
            memory = MemoryStorage()
            faulty = FaultyStorage(memory, fail_at=step, after=after)
            kept = Kept(faulty)
            one = One(kept, tmp_path, "one")
            record = None
            try:
                assert one.look() is None
                record = one.commit("one")
            except StorageUnreachableError:
                if one.flight.is_claimed and not one.flight._seat.is_off:
                    record = one.commit("one")  # tried again: it is in, or was in already
            one.flight.let_go()
            other = One(Kept(memory), tmp_path, "other")
            found = other.look()  # it need not wait for a claim that nobody holds
            assert (found is not None) is (record is not None)
            other.flight.let_go()
            if len(faulty.calls) < step:
                assert step > 3
                return
        pytest.fail("it never came to its end")


class TestClocks:
    def test_the_time_of_day_says_nothing_of_claims(self, tmp_path: Path) -> None:
        kept = Kept()
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        for days in (1000, -2000):
            kept.clock.sleep(days * 86400.0)
            meetings._entries.clear()
            other = One(kept, tmp_path, "other")
            found: list[Any] = []
            waiter = threading.Thread(target=lambda o=other, f=found: f.append(o.look()))
            waiter.start()
            waiter.join(0.2)
            assert waiter.is_alive()
            other.flight.let_go()
            waiter.join(60)
            assert found == [None]
            assert not other.flight.is_claimed
        assert one.commit("value") is not None
        one.flight.let_go()

    def test_who_waits_with_a_clock_that_leaps_cannot_do_harm(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = Kept()
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        meetings._entries.clear()
        now = iter(range(0, 10**9, 10_000))

        class Leaping:
            monotonic = staticmethod(lambda: next(now))

        monkeypatch.setattr(watching, "time", Leaping)
        monkeypatch.setattr(flights, "_SLOWEST", 0.01)
        other = One(kept, tmp_path, "other")
        assert other.look() is None  # it takes over from one that lives
        assert one.commit("one") is None  # which keeps nothing then
        assert other.commit("other") is not None
        one.flight.let_go()
        other.flight.let_go()
        assert other.value() == "other"
