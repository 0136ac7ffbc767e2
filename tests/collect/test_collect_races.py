"""Collections raced against writers in processes of their own: the right value or a miss, and nothing lost."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.results.collect import Collector
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.results.verify import verify
from entrepot.storage import LocalStorage
from entrepot_test_results import RING

pytestmark = pytest.mark.one_python

PROGRAM = Path(__file__).parent / "collect_racer.py"
TESTS = Path(__file__).parent.parent
RACES = 100
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))


def race(folder: Path, races: int, seed: int, *, collectors: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}

    def start(role: str, number: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, PROGRAM, role, folder, str(seed + number), str(races)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment)

    writers = [start("write", number) for number in range(3)]
    collecting = [start("collect", 100 + number) for number in range(collectors)]
    reports = [json.loads(process.communicate()[0] or b"{}") for process in (*writers, *collecting)]
    assert [process.returncode for process in (*writers, *collecting)] == [0] * len(reports)
    assert min(report["writes"] for report in reports[:3]) > 10
    assert sum(report["payloads"] for report in reports[3:]) > races // 20  # there was something to race about
    kept = {key for report in reports[:3] for key in report["kept"]}
    store = ResultStore(LocalStorage(folder / "store"), ring=RING)
    for _ in range(2):
        problems = [found.problem for found in verify(store) if found.problem is not None]
        assert problems == []
        live = [found for found in store.records() if found.record is not None and "live" in found.record.key]
        assert {found.record.key for found in live if found.record is not None} == kept
        assert all(found.outcome is Outcome.HIT for found in live)
        Collector(store, grace=0).run()
    assert {info.path.partition("/")[0] for info in store.storage.list()} == {"payloads", "records"}


@pytest.mark.timeout(300)
def test_a_hundred_collections_beside_writers_take_nothing_from_them(tmp_path: Path) -> None:
    race(tmp_path, RACES, seed=1)


@pytest.mark.timeout(300)
def test_two_collections_beside_writers_take_turns(tmp_path: Path) -> None:
    race(tmp_path, RACES // 10, seed=2, collectors=2)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to the number of collections")
def test_soak_of_collections_beside_writers(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    race(tmp_path, SOAK, seed=seed)
