"""`kill -9` of processes that commit, at any moment: whoever looks sees all of a transaction or nothing of it."""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from entrepot_test_crashes import Processes, acknowledged_in
from entrepot_test_processes import until

PROGRAM = Path(__file__).parent / "transaction_writer.py"
KILLS = 64
# Read here: the fixture that gives each test its own home also forgets such variables.
SOAK_KILLS = int(os.environ.get("ENTREPOT_SOAK", "0"))
SHAPES = [
    {"how": how, "mode": mode, "size": size, "inline_limit": inline_limit}
    for how in ("commit", "engine")
    for mode in ("replace", "create")
    for size, inline_limit in ((1, 8192), (20_000, 8192))
]


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill writers, two at a time in one store and often on the same keys; after each pair, a new process looks."""
    dice = random.Random(seed)
    processes = Processes(PROGRAM)
    total = {"kills": 0, "acknowledged": 0, "half": 0, "lost": 0, "seen": 0, "damaged": 0}
    rounds, patience = 0, 1.0
    while total["kills"] < kills:
        here = folder / str(rounds)
        here.mkdir()
        shape: dict[str, Any] = {"folder": str(here / "store"), **SHAPES[rounds % len(SHAPES)]}
        writers = {
            name: processes.ask(do="write", name=name, acknowledged=str(here / name), **shape) for name in ("a", "b")
        }
        for writer in writers.values():
            time.sleep(dice.random() * 0.1 * patience)
            assert processes.ask(do="kill", pid=writer) == signal.SIGKILL
        done = {name: acknowledged_in(here / name) for name in writers}
        report = processes.ask(do="read", writers=done, **shape)
        total["kills"] += len(writers)
        total["acknowledged"] += sum(done.values())
        for name, count in report.items():
            total[name] += count
        shutil.rmtree(here)
        rounds += 1
        # On a busy machine a writer takes longer to come to its first commit.
        patience = (
            min(50.0, 1.5 * patience) if 4 * total["acknowledged"] <= total["kills"] else max(1.0, patience / 1.5)
        )
    processes.close()
    return total


def judge(total: dict[str, int], kills: int) -> None:
    sys.stdout.write(f"{total}\n")
    assert total["kills"] >= kills
    assert (total["half"], total["lost"], total["damaged"]) == (0, 0, 0), total
    assert total["acknowledged"] > 0  # the writers did write
    assert total["seen"] > 0


@pytest.mark.parametrize("half", [1, 2])  # two tests, so that two workers can share the time
def test_killed_writers_leave_nothing_half_committed(tmp_path: Path, half: int) -> None:
    judge(campaign(tmp_path, KILLS // 2, seed=half), KILLS // 2)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK_KILLS, reason="set ENTREPOT_SOAK to the number of kills")
def test_soak_of_killed_writers_of_transactions(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    judge(campaign(tmp_path, SOAK_KILLS, seed=seed), SOAK_KILLS)


def test_processes_that_look_all_the_time_never_see_a_half_and_go_only_forward(tmp_path: Path) -> None:
    processes = Processes(PROGRAM)
    shape: dict[str, Any] = {
        "folder": str(tmp_path / "store"),
        "how": "commit",
        "mode": "replace",
        "size": 1,
        "inline_limit": 8192,
    }
    stop = tmp_path / "stop"
    pollers = [
        processes.ask(do="poll", stop=str(stop), report=str(tmp_path / f"report-{number}"), **shape)
        for number in range(2)
    ]
    writer = processes.ask(do="write", name="a", acknowledged=str(tmp_path / "a"), **shape)
    seen = [tmp_path / f"report-{number}.seen" for number in range(2)]
    until(lambda: acknowledged_in(tmp_path / "a") >= 20 and all(file.exists() for file in seen), 200)
    processes.ask(do="kill", pid=writer)
    stop.touch()
    for poller in pollers:
        assert processes.ask(do="wait", pid=poller) == 0
    processes.close()
    for number in range(2):
        report = json.loads((tmp_path / f"report-{number}").read_bytes())
        sys.stdout.write(f"{report}\n")
        assert (report["half"], report["damaged"]) == (0, 0)
        assert report["changes"] > 1
