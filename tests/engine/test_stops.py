"""What stands between a thread and those that want to stop it: nothing of ours is struck, and nothing that all need."""

import gc
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import _stops, flow, task
from entrepot._stops import ENGINE, OPEN, SHIELDED, Abandoned, Bell, Guard, Region, StopRun, current_guard, wait_until
from entrepot._strikes import frame_of
from entrepot._watch import keep_time, stop, stop_keeping_time
from entrepot.errors import TimedOutError
from entrepot_test_clocks import hold_engine
from entrepot_test_processes import Program

PATIENCE = 120.0
WHY = StopRun("as planned")


class Thread:
    """A thread with a region, in which a body runs until it is stopped."""

    def __init__(self, body: Callable[[Guard], object]) -> None:
        self.region: Region
        self.seen: BaseException | None = None
        started = threading.Event()

        def run() -> None:
            guard = current_guard()
            self.region = guard.open()
            started.set()
            try:
                body(guard)
            except BaseException as error:  # noqa: BLE001  it is what the tests look at
                self.seen = error
            guard.enter()
            guard.close(self.region)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE)

    def join(self) -> BaseException | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.seen


def spin(seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class TestAThread:
    def test_is_struck_in_the_users_code(self) -> None:
        thread = Thread(lambda _: spin())
        assert stop(thread.region, WHY) is True
        assert isinstance(thread.join(), StopRun)

    def test_is_not_struck_in_our_code_but_where_it_goes_back_to_the_users(self) -> None:
        went: list[str] = []
        entered = threading.Event()

        def body(guard: Guard) -> None:
            mode = guard.enter()
            entered.set()
            while guard.wanted is None:
                time.sleep(0.001)
            spin(0.2)
            went.append("through our code")
            guard.leave(mode)
            went.append("back")

        thread = Thread(body)
        assert entered.wait(PATIENCE)
        stop(thread.region, WHY)
        error = thread.join()
        assert isinstance(error, StopRun)
        assert error.message == "as planned"
        assert went == ["through our code"]

    @pytest.mark.parametrize("mode", [OPEN, ENGINE])
    def test_wakes_where_our_code_waits(self, mode: int) -> None:
        def body(guard: Guard) -> None:
            guard.restore(mode)
            wait_until(lambda: False, Bell(), PATIENCE, heeds=mode == ENGINE)

        thread = Thread(body)
        time.sleep(0.05)
        stop(thread.region, WHY)
        assert isinstance(thread.join(), StopRun)

    def test_does_not_begin_to_wait_when_it_is_to_stop(self) -> None:
        def body(guard: Guard) -> None:
            guard.enter()
            while guard.wanted is None:
                time.sleep(0.001)
            wait_until(lambda: False, Bell(), PATIENCE, heeds=True)

        thread = Thread(body)
        stop(thread.region, WHY)
        assert isinstance(thread.join(), StopRun)

    def test_cleans_up_in_peace_when_it_is_shielded(self) -> None:
        done: list[str] = []
        shielded = threading.Event()

        def body(guard: Guard) -> None:
            guard.restore(SHIELDED)
            shielded.set()
            while guard.wanted is None:
                time.sleep(0.001)
            spin(0.2)
            assert wait_until(lambda: False, Bell(), 0.05) is False
            done.append("all of it")

        thread = Thread(body)
        assert shielded.wait(PATIENCE)
        stop(thread.region, WHY)
        assert thread.join() is None
        assert done == ["all of it"]

    def test_that_is_over_cannot_be_stopped(self) -> None:
        thread = Thread(lambda _: None)
        thread.join()
        assert stop(thread.region, WHY) is False

    def test_keeps_its_first_reason(self) -> None:
        entered, told = threading.Event(), threading.Event()

        def body(guard: Guard) -> None:
            mode = guard.enter()
            entered.set()
            assert told.wait(PATIENCE)
            guard.leave(mode)

        thread = Thread(body)
        assert entered.wait(PATIENCE)
        stop(thread.region, WHY)
        stop(thread.region, StopRun("too late"))
        told.set()
        error = thread.join()
        assert isinstance(error, StopRun)
        assert error.message == "as planned"


class TestRegions:
    def test_the_outermost_that_is_to_stop_counts(self) -> None:
        guard = current_guard()
        guard.enter()
        try:
            outer, inner = guard.open(), guard.open()
            stop(inner, StopRun("inner"))
            assert guard.wanted is inner
            stop(outer, StopRun("outer"))
            assert guard.wanted is outer
            guard.close(inner)
            assert guard.wanted is outer
            guard.close(outer)
            assert guard.wanted is None
        finally:
            guard.restore(OPEN)

    def test_closing_one_closes_what_is_inside_it(self) -> None:
        guard = current_guard()
        outer, inner = guard.open(), guard.open()
        guard.close(outer)
        assert inner.closed
        assert guard.regions == []
        guard.close(inner)

    def test_time_that_was_not_used_up_has_no_effect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = hold_engine(monkeypatch)
        guard = current_guard()
        region = guard.open()
        keep_time(region, clock.hold() + 0.05, WHY)
        stop_keeping_time(region)
        clock.go_on()
        spin(0.1)
        assert region.why is None
        guard.close(region)


class TestAbandoning:
    def test_a_thread_that_is_stuck_finds_out_when_it_comes_back(self) -> None:
        gate, lock = threading.Event(), threading.Lock()
        lock.acquire()

        def body(guard: Guard) -> None:
            gate.set()
            lock.acquire()
            guard.enter()

        thread = Thread(body)
        assert gate.wait(PATIENCE)
        guard = thread.region.guard
        assert guard.abandon(thread.region) is True
        assert guard.abandon(thread.region) is False  # by one only
        lock.release()
        thread._thread.join(PATIENCE)
        assert isinstance(thread.seen, Abandoned)

    def test_one_whose_code_of_ours_moves_is_not(self) -> None:
        gate, go = threading.Event(), threading.Event()

        def body(guard: Guard) -> None:
            mode = guard.enter()
            gate.set()
            go.wait(PATIENCE)
            guard.restore(mode)

        thread = Thread(body)
        assert gate.wait(PATIENCE)
        assert thread.region.guard.abandon(thread.region) is False
        go.set()
        assert thread.join() is None

    def test_an_inner_region_is_not(self) -> None:
        guard = current_guard()
        outer, inner = guard.open(), guard.open()
        assert guard.abandon(inner) is False
        guard.close(outer)


class TestWhatAllThreadsNeed:
    @pytest.fixture
    def handler(self) -> Iterator[logging.Handler]:
        class Slow(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                record.getMessage()

        handler = Slow()
        logger = logging.getLogger("busy")
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
        yield handler
        logger.removeHandler(handler)

    def test_code_that_logs_all_the_time_leaves_no_lock_behind(self, handler: logging.Handler) -> None:
        logger = logging.getLogger("busy")

        @task(timeout_seconds=0.002)
        def talks() -> None:
            while True:
                logger.info("again")

        @flow
        def f() -> int:
            states = [future.state.name for future in [talks.submit() for _ in range(300)] if future.wait()]
            return states.count("TimedOut")

        gc.disable()  # a strike in Hypothesis' callback of the collector is no error, but pytest takes it for one
        try:
            assert f() == 300
        finally:
            gc.enable()
        assert handler.lock is not None
        assert handler.lock.acquire(timeout=PATIENCE)
        handler.lock.release()

    def test_a_module_is_imported_to_its_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_stops, "_PATIENCE", 600)  # however long this machine takes
        (tmp_path / "slow_to_import.py").write_text(
            "import time\nend = time.monotonic() + 0.4\nwhile time.monotonic() < end: pass\nWHOLE = True\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

        @task(timeout_seconds=0.05)
        def imports() -> None:
            importlib.import_module("slow_to_import")
            spin()

        def body() -> Any:
            with pytest.raises(TimedOutError):
                imports.submit().result(PATIENCE)
            return sys.modules["slow_to_import"].WHOLE

        assert flow(body)() is True


def test_a_bell_that_rings_before_the_wait_is_heard() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(600)  # longer than a test may take
    bell.wait(0.01)


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "stop"]), st.integers(0, 5)), max_size=30))
def test_whatever_is_opened_closed_and_stopped_the_outermost_that_is_to_stop_counts(steps: list[Any]) -> None:
    guard = Guard()  # of no thread: nothing is struck
    guard.mode = ENGINE
    made: list[Region] = []
    for what, which in steps:
        if what == "open":
            made.append(guard.open())
        elif made and what == "close":
            guard.close(made[which % len(made)])
        elif made:
            stop(made[which % len(made)], WHY)
        still = [region for region in made if not region.closed]
        assert guard.regions == still
        assert guard.wanted is next((region for region in still if region.why is not None), None)
    for region in made:
        guard.close(region)


def test_looking_at_a_thread_never_meets_the_garbage_collector(start_program: Callable[..., Program]) -> None:
    """Before Python 3.12 the process hung where a collector's callback ran amid that while others started threads."""
    program = start_program(
        "import gc, threading, time\n"
        "from entrepot._strikes import frame_of\n"
        "gc.callbacks.append(lambda *_: time.sleep(0.0005))\n"
        "gc.set_threshold(1)\n"
        "ended = threading.Event()\n"
        "def start():\n"
        "    while not ended.is_set():\n"
        "        thread = threading.Thread(target=list)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "others = [threading.Thread(target=start) for _ in range(3)]\n"
        "for other in others:\n"
        "    other.start()\n"
        "for _ in range(100):\n"
        "    assert frame_of(threading.get_ident()) is not None\n"
        "ended.set()\n"
        "for other in others:\n"
        "    other.join()\n"
        "print(gc.isenabled())\n"
    )
    assert program.end() == ("True\n", "")


def test_looking_at_a_thread_leaves_a_collector_off_that_was_off() -> None:
    gc.disable()
    try:
        assert frame_of(threading.get_ident()) is not None
        assert not gc.isenabled()
    finally:
        gc.enable()
