"""Trivial tasks in numbers: called, submitted, mapped. Run with the engine's name and a number of tasks.

The limit of the machine is `concurrent.futures` with as many threads. Every figure of an engine is of a whole flow run,
its history included: until what it recorded is durable, and the caller has every value.
"""

import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _measure import give

ENGINE, COUNT = sys.argv[1], int(sys.argv[2])
THREADS = 32

if ENGINE == "prefect":
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner
else:
    from entrepot import flow, task
    from entrepot.task_runners import ThreadPoolTaskRunner


@task
def increment(n: int) -> int:
    """Do next to nothing."""
    return n + 1


@flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def called(count: int) -> int:
    """Call a task so many times."""
    return sum(increment(n) for n in range(count))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def submitted(count: int) -> int:
    """Submit a task so many times, and wait for all."""
    futures = [increment.submit(n) for n in range(count)]
    return sum(future.result() for future in futures)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def mapped(count: int) -> int:
    """Map a task over so many items, and wait for all."""
    return sum(increment.map(range(count)).result())


memory: dict[str, float] = {}


@flow(task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def held(count: int) -> int:
    """Map, and see what finished tasks cost while their futures are kept."""
    before = resident()
    futures = increment.map(range(count))
    total = sum(futures.result())
    memory["held_bytes"] = (resident() - before) / count
    return total


def pool(count: int) -> int:
    """Do the same work without an engine."""
    with ThreadPoolExecutor(THREADS) as executor:
        return sum(executor.map(increment.fn, range(count)))


def resident() -> int:
    """Return the resident memory of this process, in bytes (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def per_task(work: Callable[[int], int]) -> float:
    """Return the microseconds of one task."""
    start = time.perf_counter()
    total = work(COUNT)
    seconds = time.perf_counter() - start
    if total != COUNT * (COUNT + 1) // 2:
        raise SystemExit(f"{work} gave a wrong sum")
    return seconds / COUNT * 1e6


if __name__ == "__main__":
    for warm_up in (called, submitted, mapped):
        warm_up(10)
    held(COUNT)  # first: memory that was used before and is free again would hide what it takes
    work = {"called": called, "submitted": submitted, "mapped": mapped, "pool": pool}
    give(**{name: per_task(function) for name, function in work.items()}, **memory)
