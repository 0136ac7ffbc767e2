"""A large NumPy array stored, loaded and mapped: time against the same bytes raw, and memory beyond the array.

Also by time of the processor: where other programs are at work, the clock mostly says how much of it they left.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from _measure import busy, give, peak_rss, reset_peak_rss, rounds

from entrepot import home, task
from entrepot.cache_policies import INPUTS
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage

MEGABYTES, ROUNDS = (int(given) for given in (*sys.argv[1:], *("200", "7")[len(sys.argv) - 1 :]))

# Random, so that no compression shrinks it.
SOURCE = np.random.default_rng(1).random(MEGABYTES * 10**6 // 8)


def make(edition: int) -> np.ndarray:
    """Return the array; the edition is what a cache may tell calls apart by."""
    return SOURCE if edition else SOURCE[:0]


def raw_write(path: Path, data: memoryview) -> None:
    """Write and fsync, as fast as one thread can ask for it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)
    os.close(file)


def raw_read(path: Path) -> bytes:
    """Read the whole file."""
    return path.read_bytes()


def add_joblib(
    folder: Path, writers: dict[str, Callable[[], object]], readers: dict[str, Callable[[], object]]
) -> None:
    """Add joblib, if it is installed."""
    from joblib import Memory  # noqa: PLC0415  a peer, which may not be there

    writers["joblib"] = lambda: Memory(folder, verbose=0).cache(make)(1)
    readers["joblib"] = writers["joblib"]


def add_diskcache(
    folder: Path, writers: dict[str, Callable[[], object]], readers: dict[str, Callable[[], object]]
) -> None:
    """Add diskcache, if it is installed."""
    from diskcache import Cache  # noqa: PLC0415  a peer, which may not be there

    def write() -> None:
        with Cache(str(folder), size_limit=2**40) as cache:
            cache.set(1, SOURCE)

    def read() -> object:
        with Cache(str(folder), size_limit=2**40) as cache:
            return cache.get(1)

    writers["diskcache"], readers["diskcache"] = write, read


def main() -> None:
    """Measure and give the figures."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-bench-"))
    try:
        measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path) -> None:
    """Measure in a folder."""
    view = memoryview(SOURCE).cast("B")
    store = folder / "entrepot"
    kept = task(name="make", cache_policy=INPUTS, result_storage=store)(make)
    writers: dict[str, Callable[[], object]] = {
        "raw": lambda: raw_write(folder / "raw", view),
        "entrepot": lambda: kept(1),
    }
    readers: dict[str, Callable[[], object]] = {"raw": lambda: raw_read(folder / "raw"), "entrepot": lambda: kept(1)}
    with suppress(ImportError):
        add_joblib(folder / "joblib", writers, readers)
    with suppress(ImportError):
        add_diskcache(folder / "diskcache", writers, readers)

    def clean() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        os.sync()

    writes = rounds(writers, count=ROUNDS, prepare=clean)
    write_busy = {name: busy(writers[name], prepare=clean) for name in ("raw", "entrepot")}
    clean()
    for name, write in writers.items():
        if name != "entrepot":
            write()
    before = reset_peak_rss()
    kept(1)
    write_peak = peak_rss() - before
    mapping = ResultStore(LocalStorage(store), ring=home.ring(), mapped=True)
    (found,) = mapping.records()
    record = found.record
    if record is None:
        raise RuntimeError("the record is not there")
    reads = rounds(readers | {"mapped": lambda: mapping.load_record(record)}, count=ROUNDS)
    read_busy = {name: busy(readers[name]) for name in ("raw", "entrepot")}
    before = reset_peak_rss()
    array = kept(1)
    read_peak = peak_rss() - before - array.nbytes
    if not np.array_equal(array, SOURCE):
        raise RuntimeError("the array came back changed")
    give(
        megabytes=MEGABYTES,
        **{f"write_{name}": value for name, value in writes.items()},
        **{f"read_{name}": value for name, value in reads.items()},
        **{f"write_cpu_{name}": value for name, value in write_busy.items()},
        **{f"read_cpu_{name}": value for name, value in read_busy.items()},
        write_peak_mb=write_peak / 1e6,
        read_peak_mb=read_peak / 1e6,
    )


if __name__ == "__main__":
    main()
