"""Timeouts stop what runs: in the main thread, in worker threads, in event loops; with all that it runs itself."""

import asyncio
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.errors import CancelledRunError, TimedOutError
from entrepot.futures import EntrepotFuture, as_completed
from entrepot.states import Completed
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner
from entrepot_test_clocks import HeldClock, hold_engine

SHORT = 0.1  # seconds after which things are stopped here
SOON = 60.0  # seconds in which that has to show
LONG = 600  # seconds that nothing here takes: its test would have failed by then
TIME = [HeldClock()]


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    TIME[0] = hold_engine(monkeypatch)


def go_on() -> None:
    """Let the time go on, which stands still since the last deadline was set: what is to be stopped has begun."""
    TIME[0].go_on()


def spin_on() -> None:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass


def spin() -> None:
    go_on()
    spin_on()


def sleep() -> None:
    go_on()
    time.sleep(LONG)


def wait_for_an_event() -> None:
    go_on()
    threading.Event().wait(LONG)


async def rest() -> None:
    go_on()
    await asyncio.sleep(LONG)


def in_a_thread(call: Any) -> Any:
    """Return what a call returns, or raise what it raises, in a thread that is not ours."""
    outcome: list[Any] = []

    def body() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001  it is raised below
            outcome.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(LONG)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


class TestInTheMainThread:
    @pytest.mark.parametrize("work", [spin, sleep, wait_for_an_event])
    def test_whatever_it_does_a_task_is_stopped(self, work: Any, journal: Any) -> None:
        with pytest.raises(TimedOutError, match=r"exceeded its timeout of 0\.1 seconds") as caught:
            task(work, name="t", timeout_seconds=SHORT)()
        assert journal.states("t") == ["Running", "TimedOut"]
        assert caught.value.seconds == SHORT
        assert isinstance(caught.value, TimeoutError)

    def test_the_error_shows_where_the_code_was(self) -> None:
        with pytest.raises(TimedOutError) as caught:
            task(sleep, timeout_seconds=SHORT)()
        assert any(entry.name == "sleep" for entry in caught.traceback)

    def test_a_flow_is_stopped_with_the_flow_and_the_task_that_it_called(self, journal: Any) -> None:
        @flow(timeout_seconds=SHORT, name="outer")
        def outer() -> None:
            flow(task(sleep, name="inner"), name="middle")()

        with pytest.raises(TimedOutError):
            outer()
        assert journal.states("inner") == journal.states("middle") == ["Running", "Cancelled"]
        assert journal.states("outer") == ["Running", "TimedOut"]

    def test_the_nearest_deadline_counts_and_names_its_own_run(self, journal: Any) -> None:
        @flow(timeout_seconds=LONG)
        def outer() -> str:
            with pytest.raises(TimedOutError, match="Task run"):
                task(sleep, name="inner", timeout_seconds=SHORT)()
            return "went on"

        assert outer() == "went on"
        assert journal.states("outer") == ["Running", "Completed"]

    def test_the_timeout_of_a_task_is_a_plain_failure_of_the_flow_around_it(self, journal: Any) -> None:
        with pytest.raises(TimedOutError):
            flow(task(sleep, timeout_seconds=SHORT), name="outer", timeout_seconds=LONG)()
        assert journal.states("outer") == ["Running", "Failed"]

    def test_the_signal_handler_of_the_program_is_left_alone(self) -> None:
        heard: list[int] = []

        def own(number: int, _: object) -> None:
            heard.append(number)

        before = signal.signal(signal.SIGURG, own)
        try:
            with pytest.raises(TimedOutError):
                task(spin, timeout_seconds=SHORT)()  # between two instructions then
            assert signal.getsignal(signal.SIGURG) is own
        finally:
            signal.signal(signal.SIGURG, before)
        assert heard == []

    def test_nothing_is_left_of_it(self) -> None:
        task(lambda: None, timeout_seconds=LONG)()
        assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL

    def test_the_programs_own_alarms_still_ring(self) -> None:
        rang: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
        timer = signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            with pytest.raises(TimedOutError):
                task(sleep, timeout_seconds=SHORT)()
        finally:
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, *timer)
        assert rang == [1]

    def test_a_call_in_time_is_not_touched(self) -> None:
        @task(timeout_seconds=timedelta(seconds=LONG))
        def quick() -> int:
            return 1

        assert [quick() for _ in range(100)] == [1] * 100


class TestInThreads:
    def test_a_task_that_computes_is_stopped(self, journal: Any) -> None:
        @flow
        def f() -> None:
            future = task(spin, name="t", timeout_seconds=SHORT).submit()
            with pytest.raises(TimedOutError):
                future.result(timeout=SOON)
            assert future.state.name == "TimedOut"
            assert future.state.is_failed()

        f()
        assert journal.states("t") == ["Running", "TimedOut"]

    def test_in_a_thread_of_the_program_too(self) -> None:
        with pytest.raises(TimedOutError):
            in_a_thread(task(spin, timeout_seconds=SHORT))

    def test_code_that_cannot_be_stopped_is_left_behind_and_its_place_in_the_pool_taken_by_another(
        self, journal: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate, came_back = threading.Event(), threading.Event()

        @task(timeout_seconds=SHORT, name="stuck")
        def stuck() -> None:
            try:
                go_on()
                gate.wait(LONG)  # a lock of the system: no exception reaches it
                time.sleep(0)
            finally:
                came_back.set()

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
        def f() -> int:
            first, second = stuck.submit(), task(lambda: 2, name="next").submit()
            with pytest.raises(TimedOutError):
                first.result(timeout=SOON)
            return second.result(timeout=SOON)

        assert f() == 2
        assert "goes on in its thread" in caplog.text
        gate.set()
        assert came_back.wait(SOON)
        assert journal.states("stuck") == ["Running", "TimedOut"]

    def test_what_is_left_behind_is_retried(self, journal: Any) -> None:
        gate = threading.Event()
        calls: list[int] = []

        @task(timeout_seconds=SHORT, retries=1, name="stuck")
        def stuck() -> str:
            calls.append(1)
            if len(calls) == 1:
                go_on()
                gate.wait(LONG)
            return "second"

        @flow
        def f() -> str:
            return stuck.submit().result(timeout=SOON)

        assert f() == "second"
        gate.set()
        assert journal.states("stuck") == ["Running", "Retrying", "Completed"]

    def test_what_is_left_behind_twice_ends_without_a_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = threading.Event()
        threads: list[threading.Thread] = []
        complaints: list[object] = []
        monkeypatch.setattr(threading, "excepthook", complaints.append)

        @task(timeout_seconds=SHORT, retries=1, name="stuck")
        def stuck() -> None:
            threads.append(threading.current_thread())
            go_on()
            gate.wait(LONG)

        @flow
        def f() -> None:
            stuck.submit().wait()

        f(return_state=True)
        assert len(threads) == 2
        gate.set()
        for thread in threads:
            thread.join(SOON)
        assert complaints == []

    def test_a_task_run_by_a_task_is_stopped_with_it(self, journal: Any) -> None:
        @task(timeout_seconds=SHORT, name="outer")
        def outer() -> None:
            task(spin, name="inner")()

        flow(lambda: outer.submit().wait(SOON), name="f")()
        assert journal.states("inner") == ["Running", "Cancelled"]
        assert journal.states("outer") == ["Running", "TimedOut"]


WAITS: dict[str, Any] = {
    "result": lambda futures: futures[0].result(),
    "wait": lambda futures: futures[0].wait(),
    "result of all": lambda futures: futures.result(),
    "as completed": lambda futures: list(as_completed(futures)),
    "a task that needs it": lambda futures: task(lambda value: value, name="needs")(futures[0]),
    "the end": lambda _: None,
    "a subflow": lambda futures: flow(futures[0].result, name="sub")(),
}


@pytest.mark.parametrize("where", WAITS)
@pytest.mark.parametrize("thread", ["main", "worker", "sequential"])
def test_a_flow_that_waits_is_stopped_with_what_it_waits_for(where: str, thread: str, journal: Any) -> None:
    futures: list[EntrepotFuture[Any]] = []

    @task(name="slow")
    def slow(_: int) -> None:
        spin_on()

    @flow(timeout_seconds=3 * SHORT, name="waits", task_runner=ThreadPoolTaskRunner(max_workers=2))
    def waits() -> None:
        mapped = slow.map([1, 2, 3])
        futures.extend(mapped)
        go_on()
        WAITS[where](mapped)

    @flow(task_runner=SequentialTaskRunner() if thread == "sequential" else ThreadPoolTaskRunner())
    def around() -> None:
        waits.submit().result()

    with pytest.raises(TimedOutError, match=r"Flow run exceeded its timeout of 0\.3 seconds"):
        waits() if thread == "main" else around()
    assert [future.state.name for future in futures] == ["Cancelled"] * 3
    with pytest.raises(CancelledRunError, match="timeout"):
        futures[0].result()
    assert journal.states("waits") == ["Running", "TimedOut"]
    ends = [said[-1].state_name for run, said in journal.transitions.items() if journal.created[run].name != "around"]
    assert set(ends) <= {"Cancelled", "TimedOut", "Failed"}


class TestAsync:
    def test_a_coroutine_is_cancelled(self, journal: Any) -> None:
        cleaned: list[int] = []

        @task(timeout_seconds=SHORT, name="t")
        async def slow() -> None:
            try:
                await rest()
            finally:
                cleaned.append(1)

        with pytest.raises(TimedOutError, match="Task run exceeded its timeout"):
            asyncio.run(slow())
        assert cleaned == [1]
        assert journal.states("t") == ["Running", "TimedOut"]

    def test_a_flow_takes_what_it_gathers_with_it(self, journal: Any) -> None:
        @task(name="t")
        async def slow() -> None:
            await rest()

        @flow(timeout_seconds=SHORT, name="f")
        async def f() -> None:
            await asyncio.gather(*[slow() for _ in range(5)])

        with pytest.raises(TimedOutError, match="Flow run exceeded its timeout"):
            asyncio.run(f())
        ends = sorted(said[-1].state_name for said in journal.transitions.values())
        assert ends == ["Cancelled"] * 5 + ["TimedOut"]

    def test_a_flow_takes_what_it_submitted_with_it(self, journal: Any) -> None:
        both = threading.Barrier(2, go_on)

        @task(name="sync")
        def computes() -> None:
            both.wait(SOON)
            spin_on()

        @task(name="async")
        async def waits() -> None:
            both.wait(SOON)
            await asyncio.sleep(LONG)

        @flow(timeout_seconds=3 * SHORT, name="f")
        async def f() -> None:
            computes.submit()
            waits.submit()

        with pytest.raises(TimedOutError):
            asyncio.run(f())
        assert journal.states("sync") == journal.states("async") == ["Running", "Cancelled"]
        assert journal.states("f") == ["Running", "TimedOut"]

    def test_sync_code_that_holds_the_loop_up_is_stopped_too(self, journal: Any) -> None:
        @flow(timeout_seconds=SHORT, name="f")
        async def f() -> None:
            task(sleep, name="t")()

        with pytest.raises(TimedOutError, match="Flow run"):
            asyncio.run(f())
        assert journal.states("t") == ["Running", "Cancelled"]
        assert journal.states("f") == ["Running", "TimedOut"]

    def test_an_inner_timeout_of_the_code_itself_is_its_own(self, journal: Any) -> None:
        @task(timeout_seconds=LONG, name="t")
        async def impatient() -> None:
            async with asyncio.timeout(0.01):
                await rest()

        with pytest.raises(TimeoutError) as caught:
            asyncio.run(impatient())
        assert not isinstance(caught.value, TimedOutError)
        assert journal.states("t") == ["Running", "Failed"]

    def test_a_cancellation_from_outside_is_no_timeout(self, journal: Any) -> None:
        @task(timeout_seconds=LONG, name="t")
        async def slow() -> None:
            await rest()

        async def main() -> None:
            running = asyncio.create_task(slow())
            await asyncio.sleep(0.02)
            running.cancel()
            await running

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())
        assert journal.states("t") == ["Running", "Cancelled"]

    def test_an_async_task_in_a_worker_thread_is_stopped(self, journal: Any) -> None:
        @task(timeout_seconds=SHORT, name="t")
        async def slow() -> None:
            await rest()

        flow(lambda: slow.submit().wait(SOON))()
        assert journal.states("t") == ["Running", "TimedOut"]


class TestWhatComesOfIt:
    def test_it_is_a_failure_that_is_retried_and_has_its_hooks(self, journal: Any) -> None:
        seen: list[str] = []
        calls: list[int] = []

        @task(timeout_seconds=SHORT, retries=2, name="t", on_failure=[lambda _t, _r, state: seen.append(state.name)])
        def slow() -> None:
            calls.append(1)
            sleep()

        with pytest.raises(TimedOutError):
            slow()
        assert (len(calls), seen) == (3, ["TimedOut"])
        assert journal.states("t") == ["Running", "Retrying", "Retrying", "TimedOut"]

    def test_a_second_attempt_has_the_whole_time_again(self) -> None:
        calls: list[int] = []

        @task(timeout_seconds=5 * SHORT, retries=1)
        def second_time_lucky() -> str:
            calls.append(1)
            if len(calls) == 1:
                sleep()
            TIME[0].pass_by(3 * SHORT)
            time.sleep(SHORT)  # a deadline that is over would be seen meanwhile
            return "in time"

        assert second_time_lucky() == "in time"

    def test_hooks_after_a_timeout_run_to_their_end(self) -> None:
        done: list[str] = []

        def hook(*_: object) -> None:
            time.sleep(2 * SHORT)
            done.append("all of it")

        with pytest.raises(TimedOutError):
            flow(task(sleep, on_cancellation=[hook]), timeout_seconds=SHORT, on_failure=[hook])()
        assert done == ["all of it"] * 2

    def test_code_that_catches_exceptions_does_not_catch_it(self) -> None:
        @task(timeout_seconds=SHORT)
        def stubborn() -> None:
            try:
                sleep()
            except Exception:  # noqa: BLE001  the kind of handler that must not see it
                pytest.fail("it is no Exception")

        with pytest.raises(TimedOutError):
            stubborn()

    @pytest.mark.parametrize("thread", ["main", "worker"])
    def test_code_that_catches_everything_is_told_again(self, thread: str) -> None:
        caught: list[int] = []

        @task(timeout_seconds=SHORT)
        def stubborn() -> str:
            while len(caught) < 3:
                try:
                    spin()
                except BaseException:  # noqa: BLE001  this is the case
                    caught.append(1)
            return "all the same"

        with pytest.raises(TimedOutError):
            stubborn() if thread == "main" else in_a_thread(stubborn)
        assert len(caught) == 3

    def test_code_that_swallows_the_stop_of_its_flow_goes_no_further_than_that(self, journal: Any) -> None:
        went_on: list[int] = []

        @task(name="t")
        def stubborn() -> None:
            try:
                sleep()
            except BaseException:  # noqa: BLE001  this is the case
                return

        @flow(timeout_seconds=SHORT, name="f")
        def f() -> None:
            stubborn()
            went_on.append(1)

        with pytest.raises(TimedOutError):
            f()
        assert went_on == []
        assert journal.states("f") == ["Running", "TimedOut"]

    @pytest.mark.parametrize("runner", [ThreadPoolTaskRunner(), SequentialTaskRunner()], ids=str)
    @pytest.mark.parametrize("called", [True, False])
    def test_what_such_code_submitted_is_stopped_all_the_same(self, called: Any, runner: Any, journal: Any) -> None:
        @task(name="inner")
        def inner() -> None:
            spin()

        @task(name="outer")
        def outer() -> None:
            try:
                inner.submit()
                spin_on()
            except BaseException:  # noqa: BLE001  this is the case
                return

        @flow(timeout_seconds=2 * SHORT, name="f", task_runner=runner)
        def f() -> None:
            outer() if called else outer.submit()

        with pytest.raises(TimedOutError):
            f()
        assert journal.states("f") == ["Running", "TimedOut"]
        assert journal.states("outer") == journal.states("inner") == ["Running", "Cancelled"]

    def test_cleaning_up_is_not_disturbed_at_once(self) -> None:
        cleaned: list[int] = []

        @task(timeout_seconds=SHORT)
        def careful() -> None:
            try:
                spin()
            finally:
                cleaned.extend(n for n in range(1000))

        with pytest.raises(TimedOutError):
            careful()
        assert len(cleaned) == 1000

    def test_a_result_that_was_kept_is_not_lost(self) -> None:
        """What the function returned is kept in time of its own."""

        @task(timeout_seconds=LONG)
        def fine() -> Any:
            return Completed(data=1)

        assert fine() == 1


def test_a_flow_does_not_wait_for_attempts_that_were_left_behind(journal: Any) -> None:
    lock = threading.Lock()
    lock.acquire()  # to wait for a plain lock is a call into C

    @task(name="stuck", timeout_seconds=SHORT, retries=1)
    def stuck() -> None:
        go_on()
        lock.acquire()
        lock.release()

    @flow
    def main() -> str:
        future = stuck.submit()
        future.wait()
        return future.state.name

    try:
        assert main() == "TimedOut"
        assert lock.locked()  # they are stuck still
    finally:
        lock.release()
