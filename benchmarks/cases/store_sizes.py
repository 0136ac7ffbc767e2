"""One local store at several sizes: a look-up that hits, `ls` and `gc`, with the time and the memory that each takes.

`store_sizes.py SIZE...`, sizes growing; a line of figures each. Records are as the store writes them, but not synced: a
million synced ones would take hours. Each tenth has a payload of its own. `ls` is the command, in a process of its own.
For `gc` there are as many expired records more as one in a hundred, which it deletes, with their payloads.
"""

import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _measure import give, peak_rss, reset_peak_rss

from entrepot import home
from entrepot.crypto.digest import Digester
from entrepot.results.collect import Collector, Report
from entrepot.results.record import Record, payload_path, seal_record
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage

LOOKUPS = 2000
FIRST = 20
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
TASK = {"key": "bench.step", "name": "step"}
PARTS = {"input:x": "1" * 64, "task": "bench.step"}


def value_of(number: int) -> str:
    """Return the text of a value; each tenth is long enough for a payload to be worth it."""
    return str(number) if number % 10 else f'"{number:01000d}"'


def fill(root: Path, numbers: Iterable[int], *, prefix: str = "key", expires: datetime | None = None) -> None:
    """Write records, and the payloads of each tenth, without syncing."""
    ring = home.ring()
    digester = Digester(ring)
    for number in range(256):
        for kind in ("records", "payloads"):
            (root / kind / f"{number:02x}").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        value = value_of(number) if expires is None else value_of(number).replace('"', '"old ', 1)
        digest = digester.digest([value.encode()])
        has_payload = number % 10 == 0
        record = Record(
            key=f"{prefix} {number}",
            parts=PARTS,
            task=TASK,
            run={"id": "bench"},
            serializer="json",
            size=len(value),
            digest=digest,
            created=CREATED,
            expires=expires,
            value=None if has_payload else value,
            payload=payload_path(digest, "json") if has_payload else None,
        )
        if record.payload is not None:
            write(root / record.payload, value.encode())
            if expires is not None:  # past the grace of a collection
                os.utime(root / record.payload, (CREATED.timestamp(), CREATED.timestamp()))
        write(root / record.path, seal_record(record, ring))


def write(path: Path, data: bytes) -> None:
    """Write a new file without syncing it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)


def listed(root: Path) -> dict[str, float]:
    """Return how `cache ls` does: seconds until the first lines, and until the end; lines, and peak memory."""
    command = [sys.executable, "-c", LIST, "cache", "ls", "--json", "--storage", str(root)]
    start, busy = time.perf_counter(), children()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        count, begun, last = 0, 0.0, ""
        for line in process.stdout:
            count, last = count + 1, line
            if count == FIRST:
                begun = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError("ls failed")
    return {
        "ls_first_20_s": begun,
        "ls_s": time.perf_counter() - start,
        "ls_cpu_s": children() - busy,
        "ls_mb": int(last) / 1e6,
        "ls_lines": count - 1,
    }


def children() -> float:
    """Return the seconds that the processor has worked for processes of this one that are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


LIST = """
import sys
from entrepot.cli.app import app
try:
    app()
finally:
    print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def timed(name: str, collect: Callable[[], Report]) -> tuple[Report, dict[str, float]]:
    """Return what a collection reports; its seconds, also of the processor; and the megabytes that memory grew by."""
    before = reset_peak_rss()
    start, busy = time.perf_counter(), time.process_time()
    report = collect()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return report, {f"{name}_s": seconds, f"{name}_cpu_s": busy, f"{name}_mb": (peak_rss() - before) / 1e6}


def measure(root: Path, size: int) -> dict[str, float]:
    """Return the figures of a store of that many records."""
    store = ResultStore(LocalStorage(root), ring=home.ring())
    dice = random.Random(size)
    times = []
    for _ in range(LOOKUPS):
        number = dice.randrange(size)
        start = time.perf_counter()
        found = store.lookup(f"key {number}")
        times.append(time.perf_counter() - start)
        if found.record is None or str(number) not in str(found.value):
            raise RuntimeError(f"key {number} is not found")
    ls = listed(root)
    preview, previewed = timed("gc_dry", Collector(store).preview)
    old = max(10, size // 100)
    fill(root, range(old), prefix=f"old {size}", expires=CREATED + timedelta(days=1))
    report, collected = timed("gc", Collector(store).run)
    if (report.records, report.kept, preview.kept, ls["ls_lines"]) != (old, size, size, size):
        raise RuntimeError(f"{report} is not what was to be collected of {size} and {old}")
    return {
        "records": size,
        "hit_us": statistics.median(times) * 1e6,
        **ls,
        **previewed,
        **collected,
        "gc_deleted": old,
    }


def main(sizes: list[int]) -> None:
    """Measure a store as it grows."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-bench-"))
    try:
        filled = 0
        for size in sizes:
            fill(folder, range(filled, size))
            filled = size
            give(**{key: round(value, 4) for key, value in measure(folder, size).items()})
            sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1000, 10_000])
