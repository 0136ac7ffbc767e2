"""`with concurrency(...)` and `async with`: who gets in, who waits, and that nothing is left behind."""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot import flow, task
from entrepot.concurrency import Slots, acquiring, bells, concurrency, read_limits, remove_limit, set_limit
from entrepot.concurrency import asyncio as as_async
from entrepot.concurrency import sync as as_sync
from entrepot.coordination import heartbeat
from entrepot.coordination.claims import Standing, standings, withdraw
from entrepot.coordination.database import default_path, reading
from entrepot.errors import (
    LeaseLostError,
    LimitError,
    LimitTimeoutError,
    StorageAccessError,
    StorageError,
    StorageUnreachableError,
)
from entrepot_test_processes import until

Body = Callable[[], None]


def enter_sync(slots: Slots, body: Body = lambda: None) -> None:
    with slots:
        body()


def enter_async(slots: Slots, body: Body = lambda: None) -> None:
    async def main() -> None:
        async with slots:
            body()

    asyncio.run(main())


Enter = Callable[..., None]
both = pytest.mark.parametrize("enter", [enter_sync, enter_async])


def everybody(name: str = "db") -> list[Standing]:
    return standings(default_path()).get(name, [])


def holders(name: str = "db") -> int:
    return sum(one.slots for one in everybody(name) if one.granted)


@contextmanager
def held_elsewhere(*names: str, occupy: int = 1) -> Iterator[Callable[[], None]]:
    """Hold slots in another thread, whose claims are not around those of the test; gives what ends that early."""
    inside, end = threading.Event(), threading.Event()

    def work() -> None:
        with concurrency(list(names), occupy):
            inside.set()
            end.wait(120)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(60)
    try:
        yield end.set
    finally:
        end.set()
        thread.join()


@contextmanager
def meanwhile(is_so: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Wait for something beside the body, and do something then."""
    thread = threading.Thread(target=lambda: (until(is_so), act()))
    thread.start()
    yield
    thread.join()


class TestEntering:
    @both
    def test_the_slots_are_held_in_the_body_and_free_after_it(self, enter: Enter) -> None:
        set_limit("db", 3)
        seen = []
        enter(concurrency("db", occupy=2), lambda: seen.append(holders()))
        assert seen == [2]
        assert everybody() == []

    @both
    def test_an_error_in_the_body_frees_them_and_is_raised(self, enter: Enter) -> None:
        set_limit("db", 1)
        with pytest.raises(ZeroDivisionError):
            enter(concurrency("db"), lambda: 1 / 0)
        assert everybody() == []

    @both
    def test_several_limits_are_entered_together(self, enter: Enter) -> None:
        set_limit("db", 2)
        set_limit("api", 1)
        seen: list[int] = []
        enter(concurrency(["db", "api", "db"]), lambda: seen.extend((holders("db"), holders("api"))))
        assert seen == [1, 1]
        with held_elsewhere("api"), pytest.raises(LimitTimeoutError):
            enter(concurrency(["db", "api"], timeout_seconds=0))
        assert everybody("db") == everybody("api") == []

    @both
    def test_no_names_are_no_limit(self, enter: Enter) -> None:
        enter(concurrency([]))
        assert not default_path().exists()

    @both
    def test_one_object_can_be_used_again(self, enter: Enter) -> None:
        set_limit("db", 1)
        slots = concurrency("db")
        for _ in range(2):
            enter(slots, lambda: None)
        with slots:
            assert holders() == 1

    def test_one_object_cannot_be_entered_twice_at_once(self) -> None:
        set_limit("db", 5)
        slots = concurrency("db")
        with slots:
            with pytest.raises(LimitError, match="held already"):
                slots.acquire()
            assert holders() == 1
        assert everybody() == []

    def test_released_without_having_been_acquired_it_does_nothing(self) -> None:
        assert concurrency("db").release()

    def test_prefects_module_names(self) -> None:
        set_limit("db", 1)
        with as_sync.concurrency("db"):
            assert holders() == 1

        async def main() -> None:
            async with as_async.concurrency("db"):
                assert holders() == 1
            await as_async.rate_limit("other")

        asyncio.run(main())


class TestLimitsThatAreNotSet:
    @both
    def test_they_limit_nothing_and_that_is_said_once(
        self, enter: Enter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acquiring, "_undefined", set())
        for _ in range(2):
            enter(concurrency("db"))
        assert [record.getMessage() for record in caplog.records] == [
            (
                "there is no limit 'db', so nothing is limited by it; set it: entrepot limit set db --limit 1"
                " (for a rate, with --decay-per-second)"
            )
        ]
        assert not default_path().exists()

    @both
    def test_if_strict_it_is_an_error_that_names_the_nearest(self, enter: Enter) -> None:
        set_limit("database", 1)
        with pytest.raises(LimitError, match=r"no limit 'databse'; did you mean 'database'\?") as caught:
            enter(concurrency("databse", strict=True))
        assert caught.value.name == "databse"

    @both
    def test_one_that_is_not_active_limits_nothing_even_if_strict(self, enter: Enter) -> None:
        set_limit("db", 1, active=False)
        with held_elsewhere("db"):
            enter(concurrency("db", strict=True, timeout_seconds=0))

    @both
    def test_those_that_are_set_count_beside_one_that_is_not(self, enter: Enter) -> None:
        set_limit("db", 1)
        seen: list[int] = []
        enter(concurrency(["db", "other"]), lambda: seen.append(holders()))
        assert seen == [1]


class TestWaiting:
    @both
    def test_who_comes_too_late_waits(self, enter: Enter) -> None:
        set_limit("db", 1)
        with held_elsewhere("db"):
            thread = threading.Thread(target=enter, args=(concurrency("db"), lambda: seen.append(holders())))
            seen: list[int] = []
            thread.start()
            until(lambda: len(everybody()) == 2)
            time.sleep(0.1)
            assert seen == []
        thread.join()
        assert seen == [1]
        assert everybody() == []

    @both
    def test_a_slot_given_back_here_is_taken_at_once_without_polling(
        self, enter: Enter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acquiring, "_POLL", 1000)
        monkeypatch.setattr(acquiring, "_LONGEST_POLL", 1000)
        set_limit("db", 2)
        with held_elsewhere("db", occupy=2):
            threads = [threading.Thread(target=enter, args=(concurrency("db"),)) for _ in range(6)]
            for thread in threads:
                thread.start()
            until(lambda: len(everybody()) == 7)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert everybody() == []
        assert bells._waiting == set()

    @both
    def test_no_place_in_time_is_an_error_that_says_who_is_in_the_way(self, enter: Enter) -> None:
        set_limit("db", 1)
        message = rf"within 0.2 seconds: 1 of 1 slots of 'db' are in use, by process {os.getpid()}; wait longer"
        with held_elsewhere("db"):
            with pytest.raises(LimitTimeoutError, match=message) as caught:
                enter(concurrency("db", timeout_seconds=0.2))
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.name == "db"
            assert len(everybody()) == 1

    @both
    def test_a_timeout_of_nothing_tries_once(self, enter: Enter) -> None:
        set_limit("db", 1)
        enter(concurrency("db", timeout_seconds=0))
        with held_elsewhere("db"), pytest.raises(LimitTimeoutError):
            enter(concurrency("db", timeout_seconds=0))

    @both
    def test_a_limit_that_is_raised_lets_in_who_waits(self, enter: Enter) -> None:
        set_limit("db", 1)
        with held_elsewhere("db"):
            thread = threading.Thread(target=enter, args=(concurrency("db"),))
            thread.start()
            until(lambda: len(everybody()) == 2)
            set_limit("db", 2)
            thread.join(60)
            assert not thread.is_alive()

    @both
    def test_one_that_is_removed_does_too(self, enter: Enter) -> None:
        set_limit("db", 1)
        with held_elsewhere("db"):
            thread = threading.Thread(target=enter, args=(concurrency("db"),))
            thread.start()
            until(lambda: len(everybody()) == 2)
            remove_limit("db")
            thread.join(60)
            assert not thread.is_alive()
        assert everybody() == []

    def test_what_is_waited_for_is_logged_after_a_while_and_then_less_and_less(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [1000.0]

        class Set:
            monotonic = staticmethod(lambda: now[0])

        monkeypatch.setattr(acquiring, "time", Set)
        caplog.set_level(logging.INFO)
        set_limit("db", 1)
        with held_elsewhere("db"):
            one = acquiring.Acquisition({"db": 1})
            for _ in range(100):  # seconds
                assert one._attempt()
                now[0] += 1
            one.release()
        lines = [record.getMessage() for record in caplog.records if "Waiting for" in record.getMessage()]
        assert [line.partition(" seconds")[0] for line in lines] == [f"Waiting for {at}" for at in (5, 10, 20, 40, 80)]
        assert f"1 of 1 slots of 'db' are in use, by process {os.getpid()}" in lines[0]

    @both
    def test_who_waits_for_itself_is_warned_at_once(self, enter: Enter, caplog: pytest.LogCaptureFixture) -> None:
        set_limit("db", 1)
        with concurrency("db"), meanwhile(lambda: bool(caplog.records), lambda: set_limit("db", 2)):
            enter(concurrency("db"))
        assert ["the code around it holds itself" in record.getMessage() for record in caplog.records] == [True]

    def test_who_holds_what_the_first_in_the_queue_needs_goes_before_it(self) -> None:
        set_limit("a", 1)
        set_limit("b", 1)
        with concurrency("b"):
            thread = threading.Thread(target=enter_sync, args=(concurrency(["a", "b"]),))
            thread.start()
            until(lambda: len(everybody("a")) == 1)
            with concurrency("a", timeout_seconds=30):  # the other keeps a, and waits for b
                pass
        thread.join(60)
        assert not thread.is_alive()

    def test_the_first_wait_can_be_told(self) -> None:
        set_limit("db", 1)
        told: list[str] = []
        slots = concurrency("db")
        slots.acquire(on_wait=told.append)
        assert told == []
        slots.release()
        with held_elsewhere("db") as end, meanwhile(lambda: bool(told), end):
            slots.acquire(on_wait=told.append)
        slots.release()
        assert len(told) == 1
        assert "1 of 1 slots of 'db' are in use" in told[0]


class TestCoroutines:
    def test_the_first_wait_is_told_where_it_was_asked_for(self) -> None:
        set_limit("db", 1)
        told: list[tuple[str, int]] = []

        async def main() -> None:
            slots = concurrency("db")
            await slots.aacquire(on_wait=lambda text: told.append((text, threading.get_ident())))
            await slots.arelease()

        with held_elsewhere("db") as end, meanwhile(lambda: bool(told), end):
            asyncio.run(main())
        ((text, thread),) = told
        assert "1 of 1 slots of 'db' are in use" in text
        assert thread == threading.get_ident()

    def test_the_loop_runs_on_while_one_of_them_waits(self) -> None:
        set_limit("db", 1)

        async def main() -> int:
            ticks = 0
            async with concurrency("db"):
                waiting = asyncio.create_task(enter())
                while len(await asyncio.to_thread(everybody)) < 2 or ticks < 20:
                    await asyncio.sleep(0)
                    ticks += 1
                assert not waiting.done()
            await waiting
            return ticks

        async def enter() -> None:
            async with concurrency("db"):
                pass

        assert asyncio.run(main()) >= 20

    def test_one_that_waits_as_a_thread_would_is_warned(self, caplog: pytest.LogCaptureFixture) -> None:
        set_limit("db", 1)

        async def free() -> None:
            with concurrency("db"):
                pass

        asyncio.run(free())
        with held_elsewhere("db") as end:
            with pytest.raises(LimitTimeoutError):
                enter_sync(concurrency("db", timeout_seconds=0.1))
            assert caplog.records == []
            with meanwhile(lambda: bool(caplog.records), end):
                asyncio.run(free())
        assert ["blocks an event loop" in record.getMessage() for record in caplog.records] == [True]

    def test_never_more_than_the_limit_are_inside(self) -> None:
        set_limit("db", 3)
        inside = most = 0

        async def work(full: asyncio.Event) -> None:
            nonlocal inside, most
            async with concurrency("db"):
                inside += 1
                most = max(most, inside)
                if most == 3:
                    full.set()
                await full.wait()  # so many fit in
                await asyncio.sleep(0.005)  # and no more come
                inside -= 1

        async def main() -> None:
            full = asyncio.Event()
            await asyncio.wait_for(asyncio.gather(*[work(full) for _ in range(30)]), 120)

        asyncio.run(main())
        assert most == 3
        assert everybody() == []

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 50])
    def test_a_cancellation_at_any_moment_leaves_nothing(self, turns: int) -> None:
        set_limit("db", 1)

        async def enter() -> None:
            async with concurrency("db"):
                await asyncio.sleep(60)

        async def main() -> None:
            for holder_first in (False, True):
                tasks = [asyncio.create_task(enter()) for _ in range(2 if holder_first else 1)]
                for _ in range(turns):
                    await asyncio.sleep(0.001)
                for one in tasks:
                    one.cancel()
                    one.cancel()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(one, asyncio.CancelledError) for one in found)
                assert everybody() == []

        asyncio.run(main())
        assert bells._waiting == set()

    def test_a_timeout_around_it_is_one(self) -> None:
        set_limit("db", 1)

        async def main() -> None:
            async with concurrency("db"):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.create_task(enter())
            assert everybody() == []

        async def enter() -> None:
            async with concurrency("db"):
                pytest.fail("it got in")

        asyncio.run(main())

    def test_a_coroutine_that_is_thrown_away_leaves_nothing(self) -> None:
        set_limit("db", 1)

        async def enter() -> None:
            async with concurrency("db", lease_duration=3600):
                await asyncio.sleep(60)

        async def main() -> None:
            coroutine = enter()
            coroutine.send(None)  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            coroutine.close()

        asyncio.run(main())
        until(lambda: everybody() == [])  # where it was thrown away amid an attempt, that is given back a moment later

    def test_threads_of_the_loop_that_are_all_taken_are_not_needed(self) -> None:
        set_limit("db", 1)

        async def main() -> None:
            async with concurrency("db"):
                loop = asyncio.get_running_loop()
                waiting = [loop.run_in_executor(None, enter_sync, concurrency("db")) for _ in range(40)]
                while len(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01, []), loop))):
                    pass
                until(lambda: len(everybody()) >= 3)
            await asyncio.gather(*waiting)

        asyncio.run(main())
        assert everybody() == []


def expires() -> float:
    """Return when the lease ends on what is held."""
    with reading() as connection:
        assert connection is not None
        ends: float = connection.execute("SELECT expires FROM claims").fetchone()[0]
        return ends


class TestLeases:
    def lose(self) -> None:
        """Let somebody release what is held."""
        assert all(withdraw(default_path(), one.claim_id) for one in everybody())

    @both
    def test_a_lost_one_is_logged(self, enter: Enter, caplog: pytest.LogCaptureFixture) -> None:
        set_limit("db", 1)
        enter(concurrency("db"), self.lose)
        assert ["the lease on the slots of 'db' was lost" in record.getMessage() for record in caplog.records] == [True]

    @both
    def test_if_strict_it_is_an_error(self, enter: Enter) -> None:
        set_limit("db", 1)
        with pytest.raises(LeaseLostError, match="lost before the code that held them had ended") as caught:
            enter(concurrency("db", strict=True), self.lose)
        assert caught.value.name == "db"

    @both
    def test_it_hides_no_error_of_the_body(self, enter: Enter) -> None:
        def fail() -> None:
            self.lose()
            raise ZeroDivisionError

        set_limit("db", 1)
        with pytest.raises(ZeroDivisionError):
            enter(concurrency("db", strict=True), fail)

    def test_they_are_renewed_while_the_body_runs_and_a_loss_is_logged_at_once(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(heartbeat, "_BEATS", 1000)  # so that a slow machine does not lose what is to be renewed
        set_limit("db", 1)
        with concurrency("db", lease_duration=60):
            first = expires()
            until(lambda: expires() > first + 0.2)
            with pytest.raises(LimitTimeoutError):
                enter_sync(concurrency("db", timeout_seconds=0))
            self.lose()
            until(lambda: any("somebody released it" in record.getMessage() for record in caplog.records))
        assert len([record for record in caplog.records if "lost" in record.getMessage()]) == 1

    def test_slots_that_cannot_be_given_back_now_are_no_error(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> bool:
            raise StorageUnreachableError("another program keeps it locked", location="x")

        set_limit("db", 1)
        monkeypatch.setattr(acquiring, "withdraw", fail)
        with concurrency("db"):
            pass
        assert "cannot be given back now; they are free in 30 seconds" in caplog.text


class TestInRuns:
    def test_who_holds_slots_is_known_by_its_run(self) -> None:
        set_limit("db", 2)
        seen: list[Standing] = []

        @task(name="load")
        def load(number: int) -> int:
            with concurrency("db"):
                seen.extend(everybody())
                return number

        @flow
        def etl() -> int:
            with concurrency("db"):
                seen.extend(everybody())
            return sum(load.map(range(4)).result())

        assert etl() == 6
        assert seen[0].run_id is not None
        assert {str(one.run_name).partition("-")[0] for one in seen[1:]} == {"load"}
        assert everybody() == []

    def test_async_tasks_of_one_flow_share_a_limit(self) -> None:
        set_limit("db", 2)
        inside = most = 0
        full: list[asyncio.Event] = []

        @task
        async def load() -> None:
            nonlocal inside, most
            async with concurrency("db"):
                inside += 1
                most = max(most, inside)
                if most == 2:
                    full[0].set()
                await asyncio.wait_for(full[0].wait(), 120)  # so many fit in
                await asyncio.sleep(0.01)  # and no more come
                inside -= 1

        @flow
        async def etl() -> None:
            full.append(asyncio.Event())
            await asyncio.gather(*[load() for _ in range(10)])

        asyncio.run(etl())
        assert most == 2
        assert everybody() == []


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"names": 5}, "given by name"),
            ({"names": ["db", 5]}, "given by name"),
            ({"names": ""}, "given by name"),
            ({"names": "db", "occupy": 0}, "1 or more"),
            ({"names": "db", "occupy": True}, "1 or more"),
            ({"names": "db", "occupy": 1.5}, "1 or more"),
            ({"names": "db", "timeout_seconds": -1}, "0 or more"),
            ({"names": "db", "timeout_seconds": float("nan")}, "0 or more"),
            ({"names": "db", "timeout_seconds": "1"}, "0 or more"),
            ({"names": "db", "lease_duration": 0.5}, "1 or more"),
            ({"names": "db", "lease_duration": float("inf")}, "1 or more"),
        ],
    )
    def test_those_that_make_no_sense_are_refused_before_anything_is_done(
        self, arguments: dict[str, object], message: str
    ) -> None:
        with pytest.raises(LimitError, match=message):
            concurrency(**arguments)

    @both
    def test_more_slots_than_there_are_is_an_error_and_no_endless_wait(self, enter: Enter) -> None:
        set_limit("db", 2)
        with pytest.raises(LimitError, match="3 slots of 'db' were asked for, and it has 2"):
            enter(concurrency("db", occupy=3))
        assert everybody() == []


class TestTrouble:
    @both
    def test_a_damaged_file_is_one_clear_error(self, enter: Enter) -> None:
        default_path().parent.mkdir()
        default_path().write_bytes(b"this is no database at all, " * 200)
        with pytest.raises(StorageError, match=r"state\.db cannot be used: .*move it away"):
            enter(concurrency("db"))

    @both
    def test_a_file_that_cannot_be_written_is_one_clear_error(
        self, enter: Enter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from entrepot.coordination import database  # noqa: PLC0415  the one test that looks inside

        set_limit("db", 1)
        database._connections.close()

        def read_only(path: Path, *_: object, **__: object) -> sqlite3.Connection:
            uri = f"file:{path}?mode=ro"
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

        monkeypatch.setattr(database, "open_for_writing", read_only)  # permissions do not bind every tester
        with pytest.raises(StorageAccessError, match="can be written"):
            enter(concurrency("db"))
        assert [limit.name for limit in read_limits()] == ["db"]
