"""Small values: overhead of a task, of a miss and of a verified hit. Side by side with its peers.

"raw" is the limit of the disk: the same bytes in a file of their own, synced with its folder, and read back.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from _measure import give

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE

CALLS, ROUNDS = (int(given) for given in (*sys.argv[1:], *("300", "9")[len(sys.argv) - 1 :]))
ARGUMENT = {"city": "Seattle", "month": 7, "values": [1.5, 2.5, 3.5]}


def compute(n: int, table: dict[str, object]) -> dict[str, object]:
    """Do next to nothing, so that what is measured is the machinery."""
    return {"n": n, "city": table["city"]}


plain = task(name="plain")(compute)
serial = iter(range(10**9))


def inside(call: Callable[..., object], numbers: list[int]) -> float:
    """Return the seconds that the calls took, measured inside a flow run, without its start and end."""

    @flow(name="bench")
    def run() -> float:
        start = time.perf_counter()
        for n in numbers:
            call(n, ARGUMENT)
        return time.perf_counter() - start

    return run()


def per_call(calls: dict[str, Callable[..., object]], count: int, *, fresh: bool) -> dict[str, float]:
    """Return the median microseconds of one call for each contender, in turns.

    Args:
        calls: The contenders.
        count: How many rounds are counted, after one that is not (and that fills the caches).
        fresh: Whether every call gets an argument that was never seen, so that it must miss.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(count + 1):
        for name, call in calls.items():
            seconds = inside(call, [next(serial) for _ in range(CALLS)] if fresh else list(range(CALLS)))
            if turn:
                times[name].append(seconds / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


class Raw:
    """A cache that is nothing but files: what the disk takes for the same bytes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._name = str(folder)
        self._folder = os.open(folder, os.O_RDONLY)

    def __call__(self, n: int, table: dict[str, object]) -> object:
        """Return what is in the file of a number; make it if it is not there."""
        name = f"{self._name}/{n}.json"
        try:
            with open(name, "rb") as file:  # noqa: PTH123  as fast as Python can
                return json.loads(file.read())
        except FileNotFoundError:
            value = compute(n, table)
        temporary = f"{name}.new"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, json.dumps(value).encode())
        os.fsync(file)
        os.close(file)
        os.rename(temporary, name)  # noqa: PTH104  the same
        os.fsync(self._folder)
        return value


def contenders_in(folder: Path) -> dict[str, Callable[..., object]]:
    """Return Entrepot, the raw disk, and those peers that are installed."""
    keep = task(cache_policy=INPUTS + TASK_SOURCE, result_storage=folder / "entrepot", result_serializer="json")
    made: dict[str, Callable[..., object]] = {"entrepot": keep(compute)}
    for name in ("joblib", "diskcache"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        if name == "joblib":
            made[name] = module.Memory(folder / name, verbose=0).cache(compute)
        else:
            made[name] = module.Cache(str(folder / name)).memoize()(compute)
    return made | {"raw": Raw(folder / "raw")}


def main() -> None:
    """Measure and give the figures."""
    contenders = contenders_in(Path(tempfile.mkdtemp(prefix="entrepot-bench-")))
    calls = per_call({"function": compute, "task": plain}, ROUNDS, fresh=True)
    misses = per_call(contenders, max(1, ROUNDS // 3), fresh=True)
    hits = per_call(contenders, ROUNDS, fresh=False)
    give(
        **{f"call_{name}": value for name, value in calls.items()},
        **{f"miss_{name}": value for name, value in misses.items()},
        **{f"hit_{name}": value for name, value in hits.items()},
    )


if __name__ == "__main__":
    main()
