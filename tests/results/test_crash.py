"""`kill -9` of writers at any moment: no torn reads, nothing acknowledged is lost."""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from entrepot_test_crashes import Processes, acknowledged_in

pytestmark = pytest.mark.one_python

PROGRAM = Path(__file__).parent / "crash_writer.py"
SIZES = [0, 1, 4095, 4096, 64 << 10, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 60_000_000]
KILLS = 200
# Read here: the fixture that gives each test its own home also forgets such variables.
SOAK_KILLS = int(os.environ.get("ENTREPOT_SOAK", "0"))


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill writers, two at a time in one store and on the same values; after each pair, a new process looks."""
    dice = random.Random(seed)
    processes = Processes(PROGRAM)
    total = {"kills": 0, "acknowledged": 0, "torn": 0, "lost": 0, "seen": 0}
    rounds, patience = 0, 1.0
    while total["kills"] < kills:
        here = folder / str(rounds)
        size = SIZES[rounds % len(SIZES)]
        task: dict[str, object] = {
            "folder": str(here / "store"),
            "size": size,
            # Small values are inside their records, or beside them as payloads.
            "inline_limit": 8192 if rounds // len(SIZES) % 2 else 0,
            "mode": "create" if rounds // (2 * len(SIZES)) % 2 else "replace",
        }
        here.mkdir()
        writers = {
            name: processes.ask(do="write", name=name, acknowledged=str(here / name), **task) for name in ("a", "b")
        }
        for writer in writers.values():
            # At most a few writes long, so that many of the kills hit one of the first.
            time.sleep(dice.random() * (0.03 + size / 200e6) * patience)
            assert processes.ask(do="kill", pid=writer) == signal.SIGKILL
        done = {name: acknowledged_in(here / name) for name in writers}
        report = processes.ask(do="read", writers=done, **task)
        total["kills"] += len(writers)
        total["acknowledged"] += sum(done.values())
        for name, count in report.items():
            total[name] += count
        shutil.rmtree(here)
        rounds += 1
        # On a busy machine a writer takes longer to come to its first write.
        patience = min(50.0, 1.5 * patience) if total["acknowledged"] <= total["kills"] else max(1.0, patience / 1.5)
    processes.close()
    return total


def judge(total: dict[str, int], kills: int) -> None:
    sys.stdout.write(f"{total}\n")
    assert total["kills"] >= kills
    assert total["torn"] == 0, total
    assert total["lost"] == 0, total
    assert total["acknowledged"] > kills / 10  # the writers did write, also on a busy disk
    assert total["seen"] > 0


@pytest.mark.parametrize("half", [1, 2])  # two tests, so that two workers can share the time
def test_killed_writers_tear_nothing_and_lose_nothing_they_acknowledged(tmp_path: Path, half: int) -> None:
    judge(campaign(tmp_path, KILLS // 2, seed=half), KILLS // 2)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK_KILLS, reason="set ENTREPOT_SOAK to the number of kills")
def test_soak_of_killed_writers(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    judge(campaign(tmp_path, SOAK_KILLS, seed=seed), SOAK_KILLS)
