"""The small cases for redun, run by the interpreter of an environment that has it; its history is a SQLite file."""

import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import give
from redun import Scheduler, task
from redun.config import Config

CALLS, ROUNDS = (int(given) for given in (*sys.argv[1:], *("300", "3")[len(sys.argv) - 1 :]))
ARGUMENT = {"city": "Seattle", "month": 7, "values": [1.5, 2.5, 3.5]}


@task(namespace="bench", cache=False)
def plain(n: int, table: dict[str, object]) -> dict[str, object]:
    """Do next to nothing."""
    return {"n": n, "city": table["city"]}


@task(namespace="bench")
def kept(n: int, table: dict[str, object]) -> dict[str, object]:
    """Do next to nothing, and keep it."""
    return {"n": n, "city": table["city"]}


def per_call(scheduler: Scheduler, call: Any, start: int) -> float:
    """Return the microseconds of one of many calls that are made in one execution."""
    begin = time.perf_counter()
    found = scheduler.run([call(n, ARGUMENT) for n in range(start, start + CALLS)])
    seconds = time.perf_counter() - begin
    if found[-1]["n"] != start + CALLS - 1:
        raise SystemExit("a wrong answer")
    return seconds / CALLS * 1e6


def main() -> None:
    """Measure and give the figures."""
    logging.disable(logging.CRITICAL)
    file = Path(tempfile.mkdtemp(prefix="entrepot-bench-")) / "redun.db"
    scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{file}"}}))
    scheduler.load()
    per_call(scheduler, kept, 0)  # the warm-up, and what is hit below

    def median(call: Any, starts: list[int]) -> float:
        return statistics.median(per_call(scheduler, call, start) for start in starts)

    give(
        call=median(plain, [0] * ROUNDS),
        miss=median(kept, [CALLS * turn for turn in range(1, ROUNDS + 1)]),
        hit=median(kept, [0] * ROUNDS),
    )


if __name__ == "__main__":
    main()
