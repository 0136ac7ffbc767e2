"""`kill -9` of flows at any moment: each can be resumed, nothing kept is done twice, nothing reported is lost."""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from entrepot.runs import LocalRecorder, RunHistory
from entrepot.runs.sweeping import sweep

pytestmark = pytest.mark.one_python

SCRIPT = Path(__file__).parent / "crash_flow.py"
DONE = re.compile(rb"([a-z]+)-([0-9]+)(?:-[0-9a-f]{6})? ([0-9a-f]{32})")
KILLS = 14
# Read here: the fixture that gives each test its own home also forgets such variables.
SOAK_KILLS = int(os.environ.get("ENTREPOT_SOAK", "0"))
FLOWS = {"sync": "pipeline", "async": "pipeline_async"}


def done_in(data: bytes) -> set[tuple[str, str]]:
    """Return which calls of tasks a text speaks of: name and token."""
    return {(f"{name.decode()}-{n.decode()}", token.decode()) for name, n, token in DONE.findall(data)}


@dataclass
class Line:
    """One flow, killed and resumed until it has completed."""

    folder: Path
    mode: str
    dice: random.Random
    everything: bool
    kills: int = 0
    resumed: int = 0
    by_command: int = 0
    kept_at_kills: int = 0
    output: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.journal = self.folder / "journal"
        self.folder.mkdir()
        self.history = RunHistory(self.home / "runs.db")

    def start(self) -> subprocess.Popen[str]:
        """Start the flow, or resume its newest run, by the command or by the argument."""
        command = [sys.executable, str(SCRIPT), self.mode, str(self.journal)]
        runs = self.history.list(limit=None, flow=FLOWS[self.mode])
        if runs:
            self.resumed += 1
            wanted = self.dice.choice([runs[0], runs[-1]]).run_id
            # A run that was killed before anything was kept has nothing that a command could start it with.
            if self.dice.random() < 0.5 and (self.home / "snapshots" / wanted).exists():
                self.by_command += 1
                command = [sys.executable, "-m", "entrepot", "runs", "resume", wanted[: self.dice.choice([8, 36])]]
            else:
                command += ["--resume", wanted]
        environment = {**os.environ, "ENTREPOT_HOME": str(self.home), "ENTREPOT_LOGGING_LEVEL": "WARNING"}
        if self.everything:
            environment["ENTREPOT_RESULTS_PERSIST"] = "true"
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=self.folder
        )

    def started(self) -> Counter[str]:
        """Return how often the work of each call was started so far."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        names = [line.split()[1] for line in lines if line.startswith("start ")]
        return Counter("-".join(name.split("-")[:2]) for name in names)

    def kept(self) -> Counter[str]:
        """Return how many results of each call are durable."""
        found: set[tuple[str, str]] = set()
        for record in (self.home / "results" / "records").glob("*/*.json"):
            facts = json.loads(record.read_bytes().partition(b"\n")[0])
            if facts["task"]["kind"] == "task":
                found |= done_in(facts.get("value", "").encode() or base64.b64decode(facts.get("value64", "")))
        return Counter(name for name, _ in found)

    def let_run(self, process: subprocess.Popen[str], seconds: float | None, needed: Counter[str]) -> bool:
        """Let a process run, and kill it after some seconds; return whether the flow came to its end before."""
        before, kept = self.started(), self.kept()
        size = self.journal.stat().st_size if self.journal.exists() else 0
        try:
            if seconds is not None and self.dice.random() < 0.85:  # from its first work on; else from its very start
                deadline = time.monotonic() + 20
                while process.poll() is None and time.monotonic() < deadline:
                    if self.journal.exists() and self.journal.stat().st_size > size:
                        break
                    time.sleep(0.001)
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            if self.dice.random() < 0.3:
                recorder = LocalRecorder(self.home / "runs.db")
                marked = sweep(self.history.path, recorder, thorough=True)  # of those killed earlier, perhaps
                assert process.pid not in {self.history.find(run_id).process_id for run_id in marked}  # it lives
                recorder.close()
            process.kill()
        stdout, stderr = process.communicate()
        assert process.returncode in {0, -9}, stderr
        ended = process.returncode == 0  # it may have been faster
        if not ended:
            self.kills += 1
            self.kept_at_kills += sum(self.kept().values())
        self.output += stdout.splitlines()
        again = self.started() - before
        assert not again - (needed - kept), f"done again although its result was kept: {again - (needed - kept)}"
        self.check_history()
        runs = self.history.list(limit=1, flow=FLOWS[self.mode])  # the process may be killed at its exit
        return ended or bool(runs and runs[0].state_type == "COMPLETED")

    def check_history(self) -> None:
        """See that what was reported is in the history."""
        for words in map(str.split, self.output):
            if words[0] == "flushed":
                run = self.history.get(words[1])
                loads = [child for child in run.children if child.definition == "load"]
                assert len([load for load in loads if load.state_type == "COMPLETED"]) >= int(words[2])

    def finish(self, needed: Counter[str]) -> None:
        """See that the value is right, and that the history tells of all that happened."""
        recorder = LocalRecorder(self.home / "runs.db")
        sweep(self.history.path, recorder)  # the last process may have been killed when its flow was over
        recorder.close()
        values = [json.loads(line.partition(" ")[2]) for line in self.output if line.startswith("value ")]
        runs = self.history.list(limit=None, flow=FLOWS[self.mode])
        assert [run.state_type for run in runs] == ["COMPLETED"] + ["CRASHED"] * (len(runs) - 1)
        assert {run.root_run_id for run in runs[:-1]} <= {runs[-1].run_id}
        assert all("ended without a word" in run.message for run in runs[1:])
        assert all(run.is_terminal for run in self.history.list(limit=None, kind=None))
        assert not [entry for entry in (self.home / "processes").iterdir() if not entry.name.startswith(".")]
        ended = done_in(self.journal.read_bytes())
        for value in values:  # a command prints none
            calls = [done_in(text.encode()).pop() for text in value]
            # Every call that is not cached gave a result of its own, and each result is one that was computed.
            assert set(calls) <= ended
            assert Counter(name for name, _ in set(calls)) == needed
        kept = self.kept()
        assert all(kept[name] >= count for name, count in needed.items())


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    dice = random.Random(seed)
    needed = {}
    for mode in FLOWS:
        line = Line(folder / f"whole-{mode}", mode, dice, everything=False)
        assert line.let_run(line.start(), None, Counter({f"{name}-{n}": 99 for name in NAMES for n in range(100)}))
        needed[mode] = line.started()
        line.finish(needed[mode])
    total: Counter[str] = Counter()
    rounds = 0
    while total["kills"] < kills:
        mode = ("sync", "async")[rounds % 2]
        line = Line(folder / str(rounds), mode, dice, everything=rounds % 4 > 1)
        ended = False
        while not ended:
            patience = dice.random() * 0.45 if line.kills < 12 and total["kills"] + line.kills < kills else None
            ended = line.let_run(line.start(), patience, needed[mode])
        line.finish(needed[mode])
        total.update(
            kills=line.kills, resumed=line.resumed, by_command=line.by_command, kept_at_kills=line.kept_at_kills
        )
        shutil.rmtree(line.folder)
        rounds += 1
    return {**total, "rounds": rounds}


NAMES = ("load", "fetch", "scale", "charge", "order", "fresh", "flaky")


def judge(total: dict[str, int], kills: int) -> None:
    sys.stdout.write(f"{total}\n")
    assert total["kills"] >= kills
    assert total["resumed"] > 0
    assert total["kept_at_kills"] > total["kills"]  # the kills did hit flows that had done something


def test_killed_flows_are_resumed_and_do_nothing_twice_that_was_kept(tmp_path: Path) -> None:
    judge(campaign(tmp_path, KILLS, seed=3), KILLS)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK_KILLS, reason="set ENTREPOT_SOAK to the number of kills")
def test_soak_of_killed_flows(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    kills = min(SOAK_KILLS, 500)  # one costs a second
    judge(campaign(tmp_path, kills, seed=seed), kills)
