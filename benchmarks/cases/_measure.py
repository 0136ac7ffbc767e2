"""How things are timed: contenders in turn, round by round, medians; so that a noisy machine is noisy for all."""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

Contender = Callable[[], object]


def rounds(
    contenders: dict[str, Contender], *, count: int, prepare: Callable[[], object] | None = None
) -> dict[str, float]:
    """Run every contender once a round and return the median seconds of each.

    Args:
        contenders: What to time, by name.
        count: How many rounds are counted; one more goes before, as a warm-up.
        prepare: Called before each measurement, not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(count + 1):
        for name, contender in contenders.items():
            if prepare is not None:
                prepare()
            gc.collect()
            start = time.perf_counter()
            contender()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def busy(contender: Contender, *, prepare: Callable[[], object] | None = None, count: int = 3) -> float:
    """Return the median seconds that the processor works for a contender, on all cores together."""
    times = []
    for _ in range(count):
        if prepare is not None:
            prepare()
        start = time.process_time()
        contender()
        times.append(time.process_time() - start)
    return statistics.median(times)


def peak_rss() -> int:
    """Return the highest resident memory of this process since `reset_peak_rss`, in bytes (Linux)."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM: peak memory is measured on Linux only")


def reset_peak_rss() -> int:
    """Forget the peak and return the resident memory now, in bytes (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_rss()


def give(**figures: object) -> None:
    """Hand figures to the runner, as the last line of output."""
    sys.stdout.write(json.dumps(figures) + "\n")
