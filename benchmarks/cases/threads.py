"""What finished calls take while their futures are kept, with bare threads: the limit for `mapped.py`.

In a process of its own: an engine would leave memory behind that is used again. Run with a number of calls.
"""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _measure import give

COUNT = int(sys.argv[1])
THREADS = 32


def resident() -> int:
    """Return the resident memory of this process, in bytes (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


if __name__ == "__main__":
    before = resident()
    with ThreadPoolExecutor(THREADS) as executor:
        futures = [executor.submit(int, n) for n in range(COUNT)]
        sum(future.result() for future in futures)
        give(held_bytes=(resident() - before) / COUNT)
