"""A large NumPy array stored, loaded and mapped: time against the same bytes raw, and memory beyond the array."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import diskcache
import joblib
import numpy as np
from _measure import give, peak_rss, reset_peak_rss, rounds

from entrepot import home, task
from entrepot.cache_policies import INPUTS
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage

MEGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 200
ROUNDS = 7


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
    store, peer, peer2 = folder / "entrepot", folder / "joblib", folder / "diskcache"
    kept = task(name="make", cache_policy=INPUTS, result_storage=store)(make)
    memory = joblib.Memory(peer, verbose=0)
    remembered = memory.cache(make)

    def clean() -> None:
        shutil.rmtree(store, ignore_errors=True)
        memory.clear(warn=False)
        shutil.rmtree(peer2, ignore_errors=True)
        (folder / "raw").unlink(missing_ok=True)
        os.sync()

    def disk_write() -> None:
        with diskcache.Cache(str(peer2), size_limit=2**40) as cache:
            cache.set(1, SOURCE)

    def disk_read() -> object:
        with diskcache.Cache(str(peer2), size_limit=2**40) as cache:
            return cache.get(1)

    writes = rounds(
        {
            "raw": lambda: raw_write(folder / "raw", view),
            "entrepot": lambda: kept(1),
            "joblib": lambda: remembered(1),
            "diskcache": disk_write,
        },
        count=ROUNDS,
        prepare=clean,
    )
    clean()
    before = reset_peak_rss()
    kept(1)
    write_peak = peak_rss() - before
    remembered(1)
    raw_write(folder / "raw", view)
    disk_write()
    mapping = ResultStore(LocalStorage(store), ring=home.ring(), mapped=True)
    (found,) = mapping.records()
    record = found.record
    if record is None:
        raise RuntimeError("the record is not there")
    reads = rounds(
        {
            "raw": lambda: raw_read(folder / "raw"),
            "entrepot": lambda: kept(1),
            "mapped": lambda: mapping.load_record(record),
            "joblib": lambda: remembered(1),
            "diskcache": disk_read,
        },
        count=ROUNDS,
    )
    before = reset_peak_rss()
    array = kept(1)
    read_peak = peak_rss() - before - array.nbytes
    if not np.array_equal(array, SOURCE):
        raise RuntimeError("the array came back changed")
    give(
        megabytes=MEGABYTES,
        **{f"write_{name}": value for name, value in writes.items()},
        **{f"read_{name}": value for name, value in reads.items()},
        write_peak_mb=write_peak / 1e6,
        read_peak_mb=read_peak / 1e6,
    )


if __name__ == "__main__":
    main()
