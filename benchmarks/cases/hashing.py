"""The digest of a large frame: gigabytes a second for each way that its columns lie in memory, and memory beyond it."""

import os
import sys
import time

import numpy as np
import pandas as pd
from _measure import give, peak_rss, reset_peak_rss, rounds

from entrepot.hashing.values import hash_value

MEGABYTES, ROUNDS = (int(given) for given in (*sys.argv[1:], *("1000", "3")[len(sys.argv) - 1 :]))
COLUMNS = 125
ROWS = MEGABYTES * 10**6 // 8 // COLUMNS


def speed(frame: pd.DataFrame, size: int) -> tuple[float, float, float]:
    """Return gigabytes a second of the clock and of the processor, and the megabytes that it takes beyond the frame."""
    before = reset_peak_rss()
    hash_value(frame)
    beyond = (peak_rss() - before) / 1e6
    start = time.process_time()
    seconds = rounds({"entrepot": lambda: hash_value(frame)}, count=ROUNDS)["entrepot"]
    busy = (time.process_time() - start) / (ROUNDS + 1)
    return size / seconds / 1e9, size / busy / 1e9, beyond


def main() -> None:
    """Measure and give the figures."""
    figures: dict[str, float] = {"megabytes": MEGABYTES, "cores": os.cpu_count() or 1}
    hash_value(pd.DataFrame({"a": np.zeros(300_000)}))  # what is loaded for large values is loaded

    def note(name: str, frame: pd.DataFrame, size: int) -> None:
        speeds = speed(frame, size)
        for key, value in zip(("gb_s", "gb_cpu_s", "peak_mb"), speeds, strict=True):
            figures[f"{name}_{key}"] = value

    by_column = np.random.default_rng(1).random((COLUMNS, ROWS))
    note("columns", pd.DataFrame(by_column.T, copy=False), by_column.nbytes)
    by_row = np.ascontiguousarray(by_column.T)
    del by_column
    note("rows", pd.DataFrame(by_row, copy=False), by_row.nbytes)
    del by_row
    texts = [f"text {n % 1000} {n}" for n in range(2_000_000)]
    size = sum(map(len, texts))
    note("objects", pd.DataFrame({"s": pd.Series(texts, dtype=object)}), size)
    note("texts", pd.DataFrame({"s": pd.Series(texts)}), size)
    give(**figures)


if __name__ == "__main__":
    main()
