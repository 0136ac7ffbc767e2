"""Limits that processes share: real ones, which are killed, stopped, interrupted and forked."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot.concurrency import concurrency, rate_limit, set_limit
from entrepot.coordination.claims import standings
from entrepot.coordination.database import default_path, reading, writing
from entrepot.coordination.liveness import known_processes
from entrepot_test_processes import Program, until

Start = Callable[..., Program]

HOLDER = """
import sys
from entrepot.concurrency import concurrency
with concurrency(sys.argv[1].split(","), int(sys.argv[2]), strict=True, lease_duration=float(sys.argv[3])):
    print("inside", flush=True)
    sys.stdin.readline()
print("outside", flush=True)
"""

WORKER = """
import asyncio, os, random, sys, threading, time
from entrepot.concurrency import concurrency

file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
chance = random.Random(os.getpid())
def note(what, names):
    for name in names:
        os.write(file, f"{what} {name} {os.getpid()} {threading.get_ident()}\\n".encode())
def work(number):
    for _ in range(number):
        names = chance.choice([["a"], ["b"], ["a", "b"]])
        with concurrency(names, lease_duration=3600):
            note("+", names)
            time.sleep(chance.random() * 0.01)
            note("-", names)
async def awork(number):
    for _ in range(number):
        names = chance.choice([["a"], ["b"], ["a", "b"]])
        async with concurrency(names, lease_duration=3600):
            note("+", names)
            await asyncio.sleep(chance.random() * 0.01)
            note("-", names)
thread = threading.Thread(target=work, args=(int(sys.argv[2]),))
thread.start()
async def main():
    await asyncio.gather(awork(int(sys.argv[2])), awork(int(sys.argv[2])))
asyncio.run(main())
thread.join()
"""


def stop(program: Program) -> None:
    """Let it stand still, but not amid a transaction: then nobody else could write."""
    with writing(patience=60):
        program.stop()


def most_inside(log: Path) -> Counter[str]:
    """Return how many were inside each limit at once, from what they wrote; who is killed is outside from then on."""
    inside: Counter[tuple[str, str]] = Counter()
    most: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        what, name, pid, *_ = line.split()
        if what == "killed":
            for key in [key for key in inside if key[1] == pid]:
                del inside[key]
            continue
        inside[name, pid] += 1 if what == "+" else -1
        most[name] = max(most[name], sum(count for key, count in inside.items() if key[0] == name))
    return most


def test_threads_and_coroutines_of_many_processes_never_exceed_a_limit(tmp_path: Path, start_program: Start) -> None:
    set_limit("a", 2)
    set_limit("b", 3)
    log = tmp_path / "log"
    for program in [start_program(WORKER, str(log), "8") for _ in range(4)]:
        program.end()
    most = most_inside(log)
    assert 1 <= most["a"] <= 2
    assert 1 <= most["b"] <= 3
    assert log.read_text().count("+") == log.read_text().count("-") >= 4 * 3 * 8
    assert standings(default_path()) == {}
    assert known_processes(default_path().parent) == []


def test_as_many_processes_as_there_are_slots_are_inside_at_once(start_program: Start) -> None:
    set_limit("db", 3)
    programs = [start_program(HOLDER, "db", "1", "3600") for _ in range(4)]
    until(
        lambda: sorted(claim.granted for claim in standings(default_path()).get("db", [])) == [False, True, True, True]
    )
    for program in programs:
        program.tell()
    for program in programs:
        program.says("inside")
        program.says("outside")


def test_nor_do_they_when_some_are_killed_at_any_moment(tmp_path: Path, start_program: Start) -> None:
    set_limit("a", 2)
    set_limit("b", 3)
    log = tmp_path / "log"
    programs = [start_program(WORKER, str(log), "1000") for _ in range(4)]
    survivors = [start_program(WORKER, str(log), "6") for _ in range(2)]
    until(lambda: log.exists() and log.read_text().count("+") > 20)
    for program in programs:
        time.sleep(0.1)
        stop(program)  # it writes no more, and holds what it holds, until it is killed
        with log.open("a") as file:
            file.write(f"killed - {program.pid}\n")
        program.kill()
    for program in survivors:
        program.end()
    most = most_inside(log)
    assert most["a"] <= 2
    assert most["b"] <= 3


def test_slots_of_a_killed_process_are_free_at_once(start_program: Start) -> None:
    set_limit("db", 2)
    for _ in range(3):
        program = start_program(HOLDER, "db", "2", "3600")
        program.says("inside")
        program.kill()
    with concurrency("db", 2, timeout_seconds=60):
        pass


def test_slots_of_a_process_that_ends_amid_its_work_are_free_at_once(start_program: Start) -> None:
    set_limit("db", 1)
    program = start_program(
        "import threading\n"
        "from entrepot.concurrency import concurrency\n"
        "inside = threading.Event()\n"
        "def work():\n"
        "    with concurrency('db', lease_duration=3600):\n"
        "        inside.set()\n"
        "        threading.Event().wait()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "inside.wait()\n"
    )
    program.end()
    assert standings(default_path()) == {"db": []} or standings(default_path()) == {}
    with concurrency("db", timeout_seconds=0):
        pass


def test_a_stopped_holder_loses_its_slots_when_its_lease_ends_and_is_told(start_program: Start) -> None:
    set_limit("db", 1)
    program = start_program(HOLDER, "db", "1", "1")
    program.says("inside")
    stop(program)
    with reading() as connection:
        assert connection is not None
        (ends,) = connection.execute("SELECT expires FROM claims").fetchone()
    with concurrency("db", timeout_seconds=60):
        assert time.monotonic() >= ends  # not before its lease had ended: it is not dead
        program.go_on()
        program.tell()
        _, err = program.end(1)
    assert "LeaseLostError: the lease on the slots of 'db' was lost" in err


def test_a_stopped_holder_that_nobody_needed_to_wait_for_loses_nothing(start_program: Start) -> None:
    set_limit("db", 2)
    program = start_program(HOLDER, "db", "1", "1")
    program.says("inside")
    stop(program)
    time.sleep(1.5)
    with concurrency("db"):
        pass
    program.go_on()
    program.tell()
    program.says("outside")
    program.end()


def test_a_stopped_waiter_keeps_nobody_waiting_for_long(start_program: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit("db", 2)
    small = start_program(HOLDER, "db", "1", "3600")
    small.says("inside")
    large = start_program(
        "import entrepot.coordination.claims as claims; claims.WAITING_SECONDS = 1\n" + HOLDER, "db", "2", "3600"
    )
    until(lambda: len(standings(default_path())["db"]) == 2)
    stop(large)
    with concurrency("db", timeout_seconds=60):
        pass
    large.go_on()
    small.tell()
    large.says("inside")
    large.tell()
    large.says("outside")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_interrupt_while_waiting_leaks_nothing(asynchronous: bool, start_program: Start) -> None:  # noqa: FBT001
    set_limit("db", 1)
    source = (
        "from entrepot.concurrency import concurrency\nwith concurrency('db'): pass\n"
        if not asynchronous
        else "import asyncio; from entrepot.concurrency import concurrency\n"
        "async def main():\n"
        "    async with concurrency('db'): pass\n"
        "asyncio.run(main())\n"
    )
    program = start_program(
        "import time\n"
        "try:\n" + "".join(f"    {line}\n" for line in source.splitlines()) + "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "time.sleep(600)\n"
    )
    with concurrency("db"):
        until(lambda: len(standings(default_path())["db"]) == 2)
        program.process.send_signal(signal.SIGINT)
        program.says("interrupted")
        assert len(standings(default_path())["db"]) == 1


def test_interrupts_at_random_moments_leak_nothing(start_program: Start) -> None:
    set_limit("db", 1)
    program = start_program(
        "import random, signal\n"
        "from entrepot.concurrency import concurrency\n"
        "def interrupt(*_):\n"
        "    global goes_on\n"
        "    goes_on = False  # where it comes amid a callback, what is raised ends that and nothing else\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, interrupt)\n"
        "def take():\n"  # a function: in some versions of Python the end of a loop is outside of the `try` around it
        "    signal.setitimer(signal.ITIMER_REAL, 0.00001 + random.random() * 0.002)\n"
        "    while goes_on:\n"
        "        slots = concurrency('db', lease_duration=3600)\n"
        "        try:\n"
        "            slots.acquire()\n"
        "        finally:\n"
        "            slots.release()\n"
        "with concurrency('db'): pass\n"
        "for number in range(150):\n"
        "    goes_on = True\n"
        "    try:\n"
        "        take()\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "with concurrency('db', timeout_seconds=60): pass\n"
        "print('free', flush=True)\n"
    )
    out, err = program.process.communicate(timeout=120)
    assert program.process.returncode == 0, err
    assert out == "free\n"


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_that_leaves_the_body_does_not_free_its_parents_slots() -> None:
    set_limit("db", 2)
    child = 0
    with concurrency("db"):
        try:
            with concurrency("db"):
                child = os.fork()
                if child:
                    assert os.waitpid(child, 0)[1] == 0
        finally:
            if child == 0:
                os._exit(0 if sum(one.granted for one in standings(default_path())["db"]) == 2 else 1)
    assert standings(default_path()) == {}


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_takes_slots_of_its_own_though_others_waited_and_held_at_the_fork() -> None:
    set_limit("db", 2)
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            with concurrency("db"):
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    with concurrency("db", timeout_seconds=60):
                        code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_a_rate_is_shared(start_program: Start) -> None:
    set_limit("api", 5, slot_decay_per_second=20)
    source = "from entrepot.concurrency import rate_limit\nfor _ in range(15):\n    rate_limit('api')\n"
    begun = time.monotonic()
    workers = [subprocess.Popen([sys.executable, "-c", source]) for _ in range(2)]
    for _ in range(5):
        rate_limit("api")
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert time.monotonic() - begun >= (35 - 5) / 20


def test_large_claims_of_one_process_are_not_starved_by_small_ones_of_others(
    tmp_path: Path, start_program: Start
) -> None:
    set_limit("a", 3)
    set_limit("b", 3)
    programs = [start_program(WORKER, str(tmp_path / "log"), "1000") for _ in range(2)]
    until((tmp_path / "log").exists)
    for _ in range(3):
        with concurrency(["a", "b"], 3, timeout_seconds=60):
            pass
    for program in programs:
        program.kill()
