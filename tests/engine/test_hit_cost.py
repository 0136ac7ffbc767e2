"""What a hit of a small result costs, in numbers that do not depend on the machine: calls, and system calls."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE

ARGUMENT = {"city": "Seattle", "month": 7, "values": [1.5, 2.5, 3.5]}
SYSTEM = {"open", "close", "read", "pread", "readlink", "fstat", "stat", "lstat", "access", "scandir", "listdir"}
CALLS = 20


def compute(n: int, table: dict[str, Any]) -> dict[str, Any]:
    return {"n": n, "city": table["city"]}


def counts(call: Callable[..., object]) -> Counter[str]:
    """Return how many calls of each kind one of our calls takes: of Python's functions, and of the system."""
    found: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, what: Any) -> None:
        if event == "call":
            found["python"] += 1
        elif event == "c_call":
            found["built-in"] += 1
            if getattr(what, "__module__", "") == "posix" and what.__name__ in SYSTEM:
                found[what.__name__] += 1

    @flow
    def run() -> None:
        for n in range(CALLS):
            call(n, ARGUMENT)
        sys.setprofile(note)
        try:
            for n in range(CALLS):
                call(n, ARGUMENT)
        finally:
            sys.setprofile(None)

    run()
    return Counter({name: round(number / CALLS) for name, number in found.items()})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def cached(tmp_path: Path) -> Any:
    store = tmp_path.resolve() / "store"
    return task(cache_policy=INPUTS + TASK_SOURCE, result_storage=store, result_serializer="json")(compute)


def test_a_task_takes_a_bounded_number_of_calls() -> None:
    assert counts(task(compute))["python"] <= 150  # it was 187, and is about 125


def test_a_hit_takes_a_bounded_number_of_calls(cached: Any) -> None:
    first = counts(cached)  # of records that this process has written, but not read
    assert first["python"] <= 225  # it was 330, and is about 195
    again = counts(cached)
    assert again["python"] <= 200
    assert again["built-in"] <= 250


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say where files are")
def test_a_hit_reads_one_file_once(cached: Any) -> None:
    found = counts(cached)
    assert {name: found[name] for name in SYSTEM if found[name]} == {
        "open": 1,
        "readlink": 1,
        "fstat": 1,
        "read": 1,
        "close": 1,
    }


def test_a_global_that_was_changed_between_two_hits_is_seen(tmp_path: Path) -> None:
    space: dict[str, Any] = {"LIMIT": 1}
    exec("def limited(n):\n    return n + LIMIT\n", space)
    cached = task(cache_policy=INPUTS + TASK_SOURCE, result_storage=tmp_path / "store")(space["limited"])
    assert [cached(1), cached(1)] == [2, 2]
    space["LIMIT"] = 10
    assert cached(1) == 11
    space["LIMIT"] = 1
    assert cached(1) == 2
