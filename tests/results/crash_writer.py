"""For test_crash: starts processes that write results in a loop until they are killed, and others that then look."""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import entrepot.serializers.pickle  # noqa: F401  loaded once, before the forks
from entrepot.results.lookup import Outcome
from entrepot.storage.local import LocalStorage
from entrepot_test_crashes import serve
from entrepot_test_results import Kept

SLOTS = 5  # in the mode "replace", so many keys are written over and over


def value_of(size: int, number: int) -> bytes:
    """Return `size` bytes that differ from number to number as far as they can."""
    return (f"{number:016x}".encode() * (size // 16 + 1))[:size]


def write(task: dict[str, Any]) -> None:
    """Write for ever; say after each write that it is done."""
    kept = Kept(LocalStorage(task["folder"]), inline_limit=task["inline_limit"])
    said = os.open(task["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    replace = task["mode"] == "replace"
    number = 0
    while True:
        key = f"{task['name']}-{number % SLOTS if replace else number}"
        kept.write(key, value_of(task["size"], number), "pickle", replace=replace)
        os.write(said, b"%d\n" % number)
        number += 1


def read(task: dict[str, Any]) -> dict[str, int]:
    """Count what is wrong with what the writers of one store left."""
    kept = Kept(LocalStorage(task["folder"]), inline_limit=task["inline_limit"])
    counts = {"torn": 0, "lost": 0, "seen": 0}
    for name, acknowledged in task["writers"].items():
        for key, numbers in wanted(task["mode"], name, acknowledged).items():
            found = kept.store.lookup(key)
            if found.outcome is Outcome.HIT:
                counts["seen"] += 1
                counts["torn"] += all(found.value != value_of(task["size"], number) for number in numbers)
            elif found.outcome is Outcome.MISS:
                counts["lost"] += any(number < acknowledged for number in numbers)
            else:
                counts["torn"] += 1
    counts["torn"] += sum(found.outcome is not Outcome.HIT for found in kept.store.records())
    return counts


def wanted(mode: str, name: str, acknowledged: int) -> dict[str, set[int]]:
    """Return, by key, the numbers that may be there after so many acknowledged writes and perhaps one more."""
    if mode == "create":
        return {f"{name}-{number}": {number} for number in range(acknowledged + 1)}
    latest = range(max(0, acknowledged - SLOTS), acknowledged)
    found = {f"{name}-{number % SLOTS}": {number} for number in latest}
    found.setdefault(f"{name}-{acknowledged % SLOTS}", set()).add(acknowledged)
    return found


if __name__ == "__main__":
    serve({"write": write, "read": read}, endless={"write"})
