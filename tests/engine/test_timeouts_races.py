"""Calls that end at the very moment of their deadline: each has one end, and nothing strikes after it."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from entrepot import flow, task
from entrepot._stops import OPEN, current_guard
from entrepot.task_runners import ThreadPoolTaskRunner

DEADLINE = 0.0008  # seconds
CALLS = 800


def work(seconds: float) -> int:
    """Take so long, more or less, in the way that is easiest to strike."""
    end = time.perf_counter() + seconds + random.uniform(-1e-4, 1e-4)
    while time.perf_counter() < end:
        pass
    return 1


@task(timeout_seconds=DEADLINE, name="direct")
def direct(_: int) -> int:
    return work(DEADLINE)


@task(name="inner")
def inner(_: int) -> int:
    return work(DEADLINE / 2)


@task(timeout_seconds=DEADLINE, name="nested")
def nested(n: int) -> int:
    return work(DEADLINE / 2) + inner(n)


@task(timeout_seconds=DEADLINE, name="submits")
def submits(n: int) -> int:
    return work(DEADLINE / 2) + inner.submit(n).result()


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Switch between threads as often as Python can, and collect what escapes from threads."""
    escaped: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", escaped.append)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield escaped
    sys.setswitchinterval(before)
    assert escaped == []


@pytest.mark.parametrize(("one", "calls"), [(direct, CALLS), (nested, CALLS), (submits, CALLS // 5)])
@pytest.mark.parametrize("where", ["main", "threads"])
def test_each_call_has_one_end_and_the_next_one_is_not_struck(one: Any, calls: int, where: str, journal: Any) -> None:
    ends: Counter[str] = Counter()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def many() -> str:
        if where == "main":
            states = [one(n, return_state=True) for n in range(calls)]
        else:
            states = one.map(range(calls), return_state=True)
        ends.update(state.name for state in states)
        return "to its end"

    assert many() == "to its end"
    assert set(ends) <= {"Completed", "TimedOut"}
    assert ends["TimedOut"] > 0
    assert sum(ends.values()) == calls
    guard = current_guard()
    assert (guard.mode, guard.wanted, guard.regions, guard.driven) == (OPEN, None, [], {})
    last = Counter(
        said[-1].state_name for run, said in journal.transitions.items() if journal.created[run].kind == "task"
    )
    assert set(last) <= {"Completed", "TimedOut", "Cancelled"}
