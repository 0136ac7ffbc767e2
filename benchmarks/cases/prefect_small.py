"""The small cases for Prefect, run by the interpreter of an environment that has it."""

import statistics
import sys
import tempfile
import time

from _measure import give
from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE
from prefect.filesystems import LocalFileSystem

CALLS, ROUNDS = (int(given) for given in (*sys.argv[1:], *("20", "3")[len(sys.argv) - 1 :]))
ARGUMENT = {"city": "Seattle", "month": 7, "values": [1.5, 2.5, 3.5]}
STORE = LocalFileSystem(basepath=tempfile.mkdtemp(prefix="prefect-bench-"))
STORE.save("bench", overwrite=True)  # Prefect takes saved blocks only


@task
def plain(n: int, table: dict[str, object]) -> dict[str, object]:
    """Do next to nothing."""
    return {"n": n, "city": table["city"]}


@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True, result_storage=STORE, result_serializer="json")
def kept(n: int, table: dict[str, object]) -> dict[str, object]:
    """Do next to nothing, and keep it."""
    return {"n": n, "city": table["city"]}


@flow
def bench(which: str, start: int) -> float:
    """Return the microseconds of one call."""
    call = plain if which == "plain" else kept
    begin = time.perf_counter()
    for n in range(start, start + CALLS):
        call(n, ARGUMENT)
    return (time.perf_counter() - begin) / CALLS * 1e6


def median(which: str, starts: list[int]) -> float:
    """Return the median over several flow runs."""
    return statistics.median(bench(which, start) for start in starts)


if __name__ == "__main__":
    bench("plain", 0)
    bench("kept", 0)  # the warm-up, and what is hit below
    give(
        call=median("plain", [0] * ROUNDS),
        miss=median("kept", [CALLS * turn for turn in range(1, ROUNDS + 1)]),
        hit=median("kept", [0] * ROUNDS),
    )
