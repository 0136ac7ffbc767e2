"""Small values: overhead of a task, of a miss and of a verified hit; a block loaded. Side by side with its peers."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import diskcache
import joblib
from _measure import give, rounds

from entrepot import flow, task
from entrepot.blocks.system import Secret
from entrepot.cache_policies import INPUTS, TASK_SOURCE

CALLS = 300
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


def main() -> None:
    """Measure and give the figures."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-bench-"))
    keep = task(cache_policy=INPUTS + TASK_SOURCE, result_storage=folder / "entrepot", result_serializer="json")
    contenders = {
        "entrepot": keep(compute),
        "joblib": joblib.Memory(folder / "joblib", verbose=0).cache(compute),
        "diskcache": diskcache.Cache(str(folder / "diskcache")).memoize()(compute),
    }
    calls = per_call({"function": compute, "task": plain}, 9, fresh=True)
    misses = per_call(contenders, 3, fresh=True)
    hits = per_call(contenders, 9, fresh=False)
    Secret(value="correct horse battery staple").save("bench", overwrite=True)
    loaded = rounds({"load": lambda: [Secret.load("bench") for _ in range(200)]}, count=9)
    give(
        **{f"call_{name}": value for name, value in calls.items()},
        **{f"miss_{name}": value for name, value in misses.items()},
        **{f"hit_{name}": value for name, value in hits.items()},
        block_load=loaded["load"] / 200 * 1e6,
    )


if __name__ == "__main__":
    main()
