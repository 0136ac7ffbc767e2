"""The pool of threads: no more than asked for, none that keeps a process, another for one that is lost."""

import contextvars
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entrepot._stops import current_guard
from entrepot.task_runners.pool import DaemonPool

PATIENCE = 30


def submit(pool: DaemonPool, call: Any) -> Any:
    return pool.submit(call, contextvars.copy_context())


def test_a_thread_is_started_only_while_none_is_idle() -> None:
    pool = DaemonPool(8, "t")
    names = set()
    for _ in range(50):
        names.add(submit(pool, lambda: threading.current_thread().name).result(PATIENCE))
        while not pool._waiting:  # it has answered, and is on its way back
            pass
    pool.close(cancel=False)
    assert names == {"t-1"}


def test_calls_that_need_each_other_never_wait_for_a_thread_and_none_is_started_in_vain() -> None:
    pool, before = DaemonPool(1000, "t"), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(1500):
            together = threading.Barrier(3)
            waiting = [submit(pool, lambda together=together: together.wait(PATIENCE)) for _ in range(2)]
            waiting += [submit(pool, lambda: None), submit(pool, lambda together=together: together.wait(PATIENCE))]
            for future in waiting:
                future.result(PATIENCE)
    finally:
        sys.setswitchinterval(before)
    # Each that has answered is on its way back when the next ones come: never more than two rounds are under way.
    assert len(pool._threads) <= 8
    pool.close(cancel=False)


def test_threads_are_daemons_and_leave_when_the_pool_is_closed() -> None:
    pool = DaemonPool(3, "leaving")
    gate = threading.Barrier(4)
    for _ in range(3):
        submit(pool, lambda: gate.wait(PATIENCE))
    gate.wait(PATIENCE)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("leaving")]
    assert len(threads) == 3
    assert all(thread.daemon for thread in threads)
    pool.close(cancel=False)
    assert not pool._threads
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_closed_pool_takes_nothing() -> None:
    pool = DaemonPool(1, "t")
    pool.close(cancel=False)
    with pytest.raises(RuntimeError, match="closed"):
        submit(pool, lambda: None)


def test_what_waits_when_it_is_closed_is_run_or_cancelled() -> None:
    for cancel in (False, True):
        pool, gate = DaemonPool(1, "t"), threading.Event()
        first = submit(pool, lambda gate=gate: gate.wait(PATIENCE))
        while not first.running():
            pass
        later = [submit(pool, lambda: 1) for _ in range(10)]
        if cancel:  # then the first may only end when the others are, or they are run
            later[-1].add_done_callback(lambda _, gate=gate: gate.set())
        else:
            threading.Timer(0.05, gate.set).start()
        pool.close(cancel=cancel)
        assert first.result(0) is True
        assert {future.cancelled() for future in later} == {cancel}


@pytest.mark.parametrize("waiting", [0, 3])
def test_a_lost_thread_leaves_its_place_to_another(waiting: int) -> None:
    pool, gate, stuck = DaemonPool(1, "t"), threading.Event(), threading.Event()
    guards: list[Any] = []

    def sticks() -> None:
        guard = current_guard()
        guards.append((guard, guard.open()))
        guard.leave(2)
        stuck.set()
        gate.wait(PATIENCE)
        guard.enter()

    lost = submit(pool, sticks)
    assert stuck.wait(PATIENCE)
    later = [submit(pool, lambda: 1) for _ in range(waiting)]
    guard, region = guards[0]
    assert guard.abandon(region)
    guard.released()
    assert lost.done()
    assert [future.result(PATIENCE) for future in later] == [1] * waiting
    assert submit(pool, lambda: 2).result(PATIENCE) == 2
    pool.close(cancel=False)  # it does not wait for the lost one
    gate.set()


def test_a_thread_that_is_stuck_keeps_no_process(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "from entrepot import flow, task\n"
        "@task(timeout_seconds=0.1)\n"
        "def stuck(): threading.Lock().acquire() and gate.acquire()\n"
        "gate = threading.Lock(); gate.acquire()\n"
        "print(flow(lambda: stuck.submit().wait(30))(), flush=True)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert ran.stdout == "True\n"
