"""How long runs wait for others, what they say meanwhile, and what they do when others come to nothing."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import task
from entrepot.cache_policies import INPUTS
from entrepot.errors import TimedOutError
from entrepot.results import meetings, patience
from entrepot.results.claims import Claim, open_claim, seal_claim
from entrepot.results.patience import ENOUGH, Patience
from entrepot.results.record import seal_record
from entrepot.storage import MemoryStorage
from entrepot_test_flights import PATH, One, another_process
from entrepot_test_processes import until
from entrepot_test_results import RING, Kept


def waiting() -> int:
    """Return how many wait in this process."""
    return sum(len(entry.bells) for entry in list(meetings._entries.values()))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


class Held:
    """A task that computes until it is told to go on."""

    def __init__(self, **options: Any) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

        @task(name="held", cache_policy=INPUTS, result_storage=MemoryStorage(), single_flight=True, **options)
        def held(value: int) -> int:
            self.begun.set()
            assert self.go_on.wait(60)
            return value

        self.task = held


class TestPatience:
    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]

        class Set:
            monotonic = staticmethod(lambda: now[0])

        monkeypatch.setattr(patience, "time", Set)
        return now

    def test_it_speaks_after_ten_seconds_and_then_ever_more_rarely(self, now: list[float]) -> None:
        said: list[str] = []
        one = Patience(lambda _, text, *args: said.append(text % args))
        at: list[float] = []
        while now[0] < 1100:
            now[0] += one.most(1.5)
            before = len(said)
            one.look("run 'theirs'")
            if len(said) > before:
                at.append(now[0] - 1000)
        assert at == [10, 20, 40, 80]
        assert said[0] == "It has waited for 10 seconds for run 'theirs', which computes the same"

    def test_it_ends_when_its_time_is_over(self, now: list[float]) -> None:
        one = Patience(lambda *_: None, seconds=2.5, over=RuntimeError)
        steps: list[float] = []

        def wait() -> None:
            while len(steps) < 10:
                steps.append(one.most(1.0))
                now[0] += steps[-1]
                one.look("theirs")

        with pytest.raises(RuntimeError, match="theirs"):
            wait()
        assert steps == [1, 1, 0.5]


class TestTimeouts:
    def test_a_runs_own_timeout_ends_its_wait_for_another_in_its_process(self, pool: ThreadPoolExecutor) -> None:
        held = Held()
        first = pool.submit(held.task, 1)
        assert held.begun.wait(60)
        state = held.task.with_options(timeout_seconds=0.2)(1, return_state=True)
        assert (state.name, state.is_failed()) == ("TimedOut", True)
        assert "it waited for run 'held-" in state.message
        assert not waiting()
        held.go_on.set()
        assert first.result(60) == 1

    def test_so_it_does_where_it_is_a_coroutine(self, pool: ThreadPoolExecutor) -> None:
        async def main() -> Any:
            go_on = asyncio.Event()

            @task(cache_policy=INPUTS, single_flight=True, result_storage=MemoryStorage())
            async def shared(number: int) -> int:
                await go_on.wait()
                return number

            first = asyncio.create_task(shared(1))
            await asyncio.to_thread(until, lambda: bool(meetings._entries))
            second = await shared.with_options(timeout_seconds=0.2)(1, return_state=True)
            go_on.set()
            return await first, second

        first, second = asyncio.run(main())
        assert (first, second.name) == (1, "TimedOut")

    def test_so_it_does_for_one_in_another_process(self, caplog: pytest.LogCaptureFixture) -> None:
        storage, sealed = MemoryStorage(), threading.Event()
        begun: list[str] = []

        @task(cache_policy=INPUTS, single_flight=True, result_storage=storage)
        def shared(number: int) -> int:
            begun.extend(info.path for info in storage.list("records"))
            assert sealed.wait(60)
            return number

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(shared, 1)
            until(lambda: bool(begun))
            entries = dict(meetings._entries)
            meetings._entries.clear()  # as in another process
            try:
                with pytest.raises(TimedOutError) as caught:
                    shared.with_options(timeout_seconds=0.2)(1)
            finally:
                meetings._entries.update(entries)
                sealed.set()
            assert first.result(60) == 1
        assert caught.value.seconds == 0.2
        assert f"process {os.getpid()}, since " in str(caught.value)


class TestWords:
    def test_it_says_for_whom_it_waits(
        self, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(patience, "_FIRST_WORD", 0.05)
        caplog.set_level(logging.INFO)
        held = Held()
        futures = [pool.submit(held.task, 1) for _ in range(2)]
        until(lambda: "It has waited for" in caplog.text)
        held.go_on.set()
        assert [future.result(60) for future in futures] == [1, 1]
        line = next(each for each in caplog.messages if "It has waited for" in each)
        assert "seconds for run 'held-" in line
        assert f"on {os.uname().nodename}, process {os.getpid()}, since 2" in line

    def test_who_waits_for_one_that_waits_is_told_of_the_one_that_computes(self, tmp_path: Path) -> None:
        kept = Kept()
        another_process(kept, who="run 'theirs' (1) on there, process 7, since then")
        first, second = One(kept, tmp_path, "first"), One(kept, tmp_path, "second")
        threads = [threading.Thread(target=each.look) for each in (first, second)]
        threads[0].start()
        until(lambda: "theirs" in first.flight._seat.who)
        threads[1].start()
        until(lambda: waiting() == 1)
        (entry,) = meetings._entries.values()
        assert entry.leader is not None
        assert entry.leader.who == "run 'theirs' (1) on there, process 7, since then"
        for each in (second, first):
            each.flight.let_go()
        for thread in threads:
            thread.join(60)


class Together:
    """A task of which the first calls run one after the other, and all that remain at once."""

    def __init__(self, callers: int, one_by_one: int, end: Callable[[Any], Any], **options: Any) -> None:
        self.calls = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.rest = threading.Barrier(callers - one_by_one)
        lock = threading.Lock()
        options = {"result_storage": MemoryStorage(), "single_flight": True} | options

        @task(name="together", cache_policy=INPUTS, **options)
        def together(value: Any) -> Any:
            with lock:
                self.calls += 1
                number = self.calls
            if number > one_by_one:
                self.rest.wait(60)  # none of them waits for another
                return end(value)
            self.begun.release()
            assert self.go_on.acquire(timeout=60)
            return end(value)

        self.task = together

    def run(self, pool: ThreadPoolExecutor, callers: int, one_by_one: int, make: Callable[[], Any]) -> list[Any]:
        futures = [pool.submit(self.task, make()) for _ in range(callers)]
        for number in range(one_by_one):
            assert self.begun.acquire(timeout=60)
            until(lambda n=number: waiting() == callers - 1 - n)  # type: ignore[misc]
            self.go_on.release()
        return [future.exception(60) or future.result() for future in futures]


class TestInVain:
    def test_of_many_callers_of_what_always_fails_none_waits_for_more_than_three(
        self, pool: ThreadPoolExecutor
    ) -> None:
        def end(value: Any) -> Any:
            raise ValueError(value)

        together = Together(8, ENOUGH, end)
        outcomes = together.run(pool, 8, ENOUGH, lambda: 1)
        assert {type(each) for each in outcomes} == {ValueError}
        assert together.calls == 8
        assert not meetings._entries

    def test_when_a_result_is_not_kept_all_that_waited_compute_at_once(
        self, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
    ) -> None:
        together = Together(6, 1, lambda value: value.append(1))  # so its input says no more what was computed
        together.run(pool, 6, 1, list)
        assert together.calls == 6
        assert caplog.text.count("is not kept: its") == 6

    def test_so_they_do_when_it_cannot_be_written(self, pool: ThreadPoolExecutor) -> None:
        together = Together(6, 1, lambda value: threading.Lock())
        outcomes = together.run(pool, 6, 1, lambda: 1)
        assert together.calls == 6
        assert all(isinstance(each, Exception) for each in outcomes)

    def test_so_they_do_when_it_expires_at_once(self, pool: ThreadPoolExecutor) -> None:
        together = Together(6, 1, lambda value: value, cache_expiration=timedelta(microseconds=1))
        assert together.run(pool, 6, 1, lambda: 1) == [1] * 6
        assert together.calls == 6


class TestInVainElsewhere:
    """The same, told by claims."""

    def free(self, kept: Kept, vain: int, standing: bytes = b"") -> None:
        kept.storage.put(PATH, seal_claim(Claim("", 1, vain=vain), RING, path=PATH, standing=standing))

    def waits(self, kept: Kept, home: Path, **fields: Any) -> tuple[One, threading.Thread, list[Any]]:
        another_process(kept, **fields)
        one = One(kept, home, "one")
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.append(one.look()))
        waiter.start()
        until(lambda: "run theirs" in one.flight._seat.who)
        return one, waiter, found

    @pytest.mark.parametrize("vain", [1, 2, 3, 4])
    def test_after_enough_it_computes_without_a_claim(self, tmp_path: Path, vain: int) -> None:
        kept = Kept()
        one, waiter, found = self.waits(kept, tmp_path, vain=7)
        self.free(kept, 7 + vain)
        waiter.join(60)
        assert found == [None]
        assert one.flight.is_claimed is (vain < ENOUGH)
        one.flight.let_go()

    def test_though_another_one_has_it_already(self, tmp_path: Path) -> None:
        kept = Kept()
        one, waiter, found = self.waits(kept, tmp_path)
        kept.storage.delete(PATH)
        another_process(kept, holder="e" * 32, fence=4, vain=ENOUGH)
        waiter.join(60)
        assert found == [None]
        assert not one.flight.is_claimed
        one.flight.let_go()

    def test_who_comes_later_begins_to_count_then(self, tmp_path: Path) -> None:
        kept = Kept()
        self.free(kept, 100)
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        assert one.flight.is_claimed
        one.flight.let_go()

    @pytest.mark.parametrize(("computed", "more"), [(False, 1), (True, ENOUGH)])
    def test_a_claim_that_is_given_back_says_how_many(self, tmp_path: Path, *, computed: bool, more: int) -> None:
        kept = Kept()
        kept.write("key", "old", expires=kept.clock.now())
        standing = kept.bytes_at(PATH)
        self.free(kept, 2, standing)
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        one.flight.computed = computed
        one.flight.let_go()
        until(lambda: b'"holder":""' in kept.bytes_at(PATH))
        claim = open_claim(kept.bytes_at(PATH), RING, path=PATH, location="here")
        assert claim is not None
        assert (claim.vain, claim.fence) == (2 + more, 2)
        assert kept.bytes_at(PATH).endswith(standing)

    def test_a_record_that_is_of_no_use_when_it_comes_is_waited_for_once(self, tmp_path: Path) -> None:
        kept = Kept()
        one, waiter, found = self.waits(kept, tmp_path)
        kept.write("key", "old", expires=kept.clock.now())
        waiter.join(60)
        assert found == [None]
        assert not one.flight.is_claimed
        one.flight.let_go()

    def test_what_a_transaction_puts_there_does_not_make_all_go(self, tmp_path: Path) -> None:
        kept = Kept()
        one, waiter, found = self.waits(kept, tmp_path)
        record = Kept().write("key", "not committed yet")
        kept.storage.put(PATH, seal_record(replace(record, transaction="0" * 32), RING))
        waiter.join(60)
        assert found == [None]
        (entry,) = meetings._entries.values()
        assert entry.leader is one.flight._seat
        one.flight.let_go()

    def test_the_death_of_a_holder_counts_for_nothing(self, tmp_path: Path) -> None:
        kept = Kept()
        (tmp_path / "processes").mkdir()
        for number in range(5):
            token = f"{number:032x}"
            (tmp_path / "processes" / token).touch()  # and nobody has it locked
            another_process(kept, process=token, fence=number + 1)
            one = One(kept, tmp_path, "one")
            assert one.look() is None
            claim = open_claim(kept.bytes_at(PATH), RING, path=PATH, location="here")
            assert claim is not None
            assert (claim.vain, one.flight.is_claimed) == (0, True)
            one.flight.let_go()
            until(lambda: b'"holder":""' in kept.bytes_at(PATH))
            kept.storage.delete(PATH)

    def test_one_that_leaves_it_to_a_run_around_it_counts_for_nothing(self, tmp_path: Path) -> None:
        kept = Kept()
        another_process(kept)
        inner, other = One(kept, tmp_path, "inner", around={"theirs"}), One(kept, tmp_path, "other")
        assert inner.look() is None
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.append(other.look()))
        waiter.start()
        until(lambda: waiting() == 1)
        inner.flight.computed = True
        inner.flight.let_go()
        until(lambda: other.flight._seat.who == "run theirs")  # it waits for that one now
        kept.write("key", "theirs")
        waiter.join(60)
        assert found[0].value == "theirs"
        other.flight.let_go()
