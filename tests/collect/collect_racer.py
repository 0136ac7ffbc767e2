"""What a process does in a race: `collect_racer.py write|collect FOLDER SEED COUNT`; prints a report in JSON.

Writers always look again after they put a record, and collections know no grace: what they do rests on no clock.
"""

import json
import random
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from entrepot.errors import CollectionError
from entrepot.results import prepared
from entrepot.results.collect import Collector
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import LocalStorage
from entrepot_test_results import RING

KEYS = 12
WRITERS = 3
FEWEST = 20  # writes of each, however late it started
LIMIT = 60.0  # seconds that a writer may take to mend what a reader has met half-way

prepared.RECHECK = 0.0


def value_of(key: str) -> str:
    """Return what is kept under a key: few values for all of them, so that payloads are shared; some only by briefs."""
    kind, _, number = key.partition("-")
    return str(int(number) % (2 if kind == "live" else 6)) * 20_000


def write(store: ResultStore, dice: random.Random, key: str) -> None:
    brief = key.startswith("brief")
    store.write(
        key,
        value_of(key),
        serializer=get_serializer("json"),
        parts={},
        task={"name": "t", "key": "m.t"},
        run={"id": "r"},
        expires=store.clock.now() + timedelta(milliseconds=dice.randrange(20)) if brief else None,
        replace=dice.random() < 0.3,
    )


def check(store: ResultStore, key: str, *, acknowledged: bool) -> str:
    """Return what a reader got; raise if that is neither the right value nor a miss."""
    allowed = {Outcome.HIT} if acknowledged else {Outcome.HIT, Outcome.MISS, Outcome.EXPIRED}
    until = time.monotonic() + LIMIT
    while True:
        found = store.lookup(key)
        if found.outcome is Outcome.HIT and found.value != value_of(key):
            raise AssertionError(f"{key} has another's value")
        if found.outcome in allowed:
            return found.outcome.value
        if found.outcome is not Outcome.DAMAGED or time.monotonic() > until:
            raise AssertionError(f"{key} is {found.outcome.value}: {found.detail}")


def writer(store: ResultStore, folder: Path, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    (folder / f"began {seed}").touch()
    counts: dict[str, Any] = {"writes": 0, "reads": 0}
    kept: set[str] = set()
    while counts["writes"] < FEWEST or not (folder / "stop").exists():
        kind = dice.choice(["brief", "brief", "live"])
        key = f"{kind}-{dice.randrange(KEYS)}"
        write(store, dice, key)
        if kind == "live":
            kept.add(key)
        counts["writes"] += 1
        for other in {key, f"brief-{dice.randrange(KEYS)}", *dice.sample(sorted(kept), min(2, len(kept)))}:
            check(store, other, acknowledged=other in kept)
            counts["reads"] += 1
    return counts | {"kept": sorted(kept)}


def collector(store: ResultStore, folder: Path, count: int) -> dict[str, int]:
    """Collect so many times, and go on until there was something to race about: writers may be slow to begin."""
    counts = {"collections": 0, "records": 0, "payloads": 0, "refused": 0}
    until = time.monotonic() + 2 * LIMIT
    try:
        while len(list(folder.glob("began *"))) < WRITERS and time.monotonic() < until:
            time.sleep(0.01)
        while counts["collections"] < count or (counts["payloads"] <= count // 20 and time.monotonic() < until):
            try:
                report = Collector(store, grace=0).run()
            except CollectionError:
                counts["refused"] += 1
                continue
            counts["collections"] += 1
            counts["records"] += report.records
            counts["payloads"] += report.payloads
    finally:
        (folder / "stop").touch()
    return counts


def main() -> None:
    role, folder, seed, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    store = ResultStore(LocalStorage(folder / "store"), ring=RING)
    report = writer(store, folder, seed) if role == "write" else collector(store, folder, count)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
