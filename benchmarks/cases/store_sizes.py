"""One local store at several sizes: a look-up that hits, the whole listing with every signature checked, and its start.

`store_sizes.py FOLDER SIZE...`, sizes growing. Records are as the store writes them, but not synced: a million synced
ones would take hours.
"""

import os
import random
import statistics
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from _measure import give, peak_rss, reset_peak_rss

from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.results.record import Record, seal_record
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage

LOOKUPS = 2000
FIRST = 20
RING = Keyring.generate()


def fill(root: Path, first: int, last: int) -> None:
    """Write the records of the keys from `first` to before `last`, without syncing."""
    parts = {"input:x": "1" * 64, "task": "bench.step"}
    task, run, created = {"key": "bench.step", "name": "step"}, {"id": "bench"}, datetime(2026, 1, 1, tzinfo=UTC)
    digester = Digester(RING)
    for number in range(256):
        (root / "records" / f"{number:02x}").mkdir(parents=True, exist_ok=True)
    for number in range(first, last):
        value = str(number)
        record = Record(
            key=f"key {number}",
            parts=parts,
            task=task,
            run=run,
            serializer="json",
            size=len(value),
            digest=digester.digest([value.encode()]),
            created=created,
            value=value,
        )
        descriptor = os.open(f"{root}/{record.path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, seal_record(record, RING))
        os.close(descriptor)


def measure(root: Path, size: int) -> dict[str, float]:
    """Return the figures of a store of that many records."""
    store = ResultStore(LocalStorage(root), ring=RING)
    dice = random.Random(size)
    times = []
    for _ in range(LOOKUPS):
        number = dice.randrange(size)
        start = time.perf_counter()
        found = store.lookup(f"key {number}")
        times.append(time.perf_counter() - start)
        assert found.value == number
    start = time.perf_counter()
    assert len(list(islice(store.records(), FIRST))) == FIRST
    begun = time.perf_counter() - start
    start = time.perf_counter()
    names = sum(1 for _ in store.storage.list("records"))
    listed = time.perf_counter() - start
    before = reset_peak_rss()
    start = time.perf_counter()
    count = sum(1 for found in store.records() if found.record is not None)
    walked = time.perf_counter() - start
    assert count == names == size
    grown = peak_rss() - before
    return {
        "records": size,
        "hit_us": statistics.median(times) * 1e6,
        "first_20_records_ms": begun * 1e3,
        "names_s": listed,
        "records_s": walked,
        "us_a_record": walked / size * 1e6,
        "memory_mib": grown / (1 << 20),
    }


if __name__ == "__main__":
    folder, filled = Path(sys.argv[1]), 0
    for wanted in map(int, sys.argv[2:]):
        fill(folder, filled, wanted)
        filled = wanted
        figures = measure(folder, wanted)
        give(**{key: round(value, 3) for key, value in figures.items()})
