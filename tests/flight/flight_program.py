"""Processes that compute the same keys at one moment, and are stopped and killed meanwhile. Run by tests.

It is one program that forks: the processes share a keyring, and start in a moment. It is told what to do by a line of
JSON on its stdin, and says what came of it by one on its stdout.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from entrepot import storage
from entrepot.crypto.keyring import Keyring
from entrepot.results.flight import Flight, Terms
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import _swaps

RING = Keyring.generate()
JSON = get_serializer("json")


def opened(place: str, options: dict[str, Any]) -> ResultStore:
    if options:
        return ResultStore(storage.FileStorage.from_url(place, **options), ring=RING)
    return ResultStore(storage.LocalStorage(place), ring=RING)


class Worker:
    """One process's way to a value."""

    def __init__(self, store: ResultStore, home: Path, seconds: float) -> None:
        self.store = store
        self.terms = Terms(seconds, home)

    def find(self, key: str) -> Lookup | None:
        found = self.store.fetch(key)
        return found if found.outcome is Outcome.HIT else None

    def begin(self, key: str) -> tuple[Flight, Lookup | None]:
        flight = Flight(self.store, key, run_id=uuid.uuid4().hex, terms=self.terms)
        return flight, flight.look(lambda: self.find(key))

    def commit(self, flight: Flight, key: str, value: str) -> str | None:
        """Return the value that is kept; None if the claim was lost to who has none yet."""
        prepared = self.store.prepare(key, value, serializer=JSON, parts={}, task={"name": "t"}, run={"id": value})
        kept = flight.commit(prepared)
        return None if kept is None else kept.run["id"]


@contextlib.contextmanager
def stopping(at: int, heard: Callable[[], None]) -> Iterator[list[str]]:
    """Stop this process before the system call of a number; `at=0` for none. Gives what was called."""
    calls: list[str] = []

    def watch(_: Any, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__module__", "") in {"posix", "fcntl", "io"}:
            calls.append(called.__name__)
            if len(calls) == at:
                heard()
                os.kill(os.getpid(), signal.SIGSTOP)

    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException as error:  # noqa: BLE001  the parent hears of it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


# --- one holder, stopped before each of its system calls --------------------------------------------------------------


def stops(task: dict[str, Any]) -> dict[str, Any]:
    """Stop a holder before each system call of its commit in turn; meanwhile another takes over. Count the outcomes."""
    _swaps.PATIENCE = 0.3
    folder, seconds = Path(task["folder"]), 0.4
    store = opened(str(folder / "store"), {})

    def holder(at: int) -> None:
        worker = Worker(store, folder, seconds)
        flight, found = worker.begin(f"key {at}")
        assert found is None
        with stopping(at, (folder / f"at {at}").touch) as calls:
            kept = worker.commit(flight, f"key {at}", "late")
        (folder / f"end {at}.new").write_text(json.dumps({"kept": kept, "calls": calls}))
        (folder / f"end {at}.new").rename(folder / f"end {at}")

    def told(at: int) -> dict[str, Any]:
        file = folder / f"end {at}"
        until(file.exists)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    os.waitpid(forked(lambda: holder(0)), 0)
    count = len(told(0)["calls"])
    pids = {at: forked(lambda at=at: holder(at)) for at in range(1, count + 1)}

    def against(at: int) -> str:
        pid, key = pids[at], f"key {at}"
        until(lambda: ((folder / f"at {at}").exists() and is_stopped(pid)) or (folder / f"end {at}").exists())
        if not (folder / f"at {at}").exists():
            return "ended"  # another's lock was there already: it had less to do
        worker = Worker(store, folder, 30.0)
        flight, found = worker.begin(key)  # waits until the holder counts as dead
        if found is not None:  # it had come so far
            assert found.value == "late"
            os.kill(pid, signal.SIGCONT)
            assert told(at)["kept"] == "late", at
            flight.let_go()
            return "in time"
        os.kill(pid, signal.SIGCONT)
        late = told(at)["kept"]
        seen = worker.find(key)
        assert late is None, f"stopped before call {at}, it committed late"
        assert seen is None, f"stopped before call {at}, it left a result"
        assert worker.commit(flight, key, "ours") == "ours", at
        flight.let_go()
        after = worker.find(key)
        assert after is not None
        assert after.value == "ours"
        return "late"

    with ThreadPoolExecutor(8) as pool:
        results = Counter(pool.map(against, sorted(pids)))
    for pid in pids.values():
        os.waitpid(pid, 0)
    return {"calls": told(0)["calls"], **results}


# --- many of them -----------------------------------------------------------------------------------------------------


class Campaign:
    """Processes that each go through all of the same keys, and blows at them."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.folder = Path(task["folder"])
        self.names = [f"key {number}" for number in range(task["keys"])]
        self.dice = random.Random(task["seed"])
        self.journal = self.folder / "journal"
        self.journal.touch()
        self.struck = self.folder / "struck"  # it is there when a blow of each kind was dealt
        self.live: dict[int, int] = {}  # number -> process
        self.turns: Counter[int] = Counter()
        self.stopped: dict[int, float] = {}  # process -> until when
        self.kills = self.pauses = self.failed = 0

    def run(self) -> dict[str, Any]:
        task, started = self.task, time.monotonic()
        opened(task["place"], task["options"]).lookup("nothing")  # libraries are loaded before the forks
        for number in range(task["processes"]):
            self.start(number)
        next_blow = started + task["every"]
        while self.live:
            self.look()
            now = time.monotonic()
            if now - started > task["limit"]:
                for pid in self.live.values():
                    os.kill(pid, signal.SIGKILL)
                return {"hang": len(self.live)}
            if self.live and now > next_blow and self.kills + self.pauses < task["blows"]:
                next_blow = now + task["every"]
                self.strike(self.dice.choice(list(self.live.values())), now)
            if (self.kills and self.pauses) or not task["blows"]:
                self.struck.touch()
            time.sleep(0.005)
        figures = {"kills": self.kills, "pauses": self.pauses, "failed": self.failed}
        return {"seconds": time.monotonic() - started, **figures, **judged(self.journal, len(self.names))}

    def start(self, number: int) -> None:
        self.live[number] = forked(lambda: self.work(number, self.turns[number]))

    def work(self, number: int, turn: int) -> None:
        task, own = self.task, random.Random(number * 1000 + turn)
        worker = Worker(opened(task["place"], task["options"]), self.folder, task["seconds"])
        for key in own.sample(self.names, len(self.names)):
            flight, found = worker.begin(key)
            if found is not None:
                self.note("found", key, found.value)
            else:
                value = uuid.uuid4().hex
                self.note("computes", key, value)
                time.sleep(own.random() * task["work"])
                if key == self.names[-1]:  # however late the blows come, they come amid the work
                    until(self.struck.exists)
                self.note("kept", key, value, worker.commit(flight, key, value))
            flight.let_go()

    def note(self, *what: object) -> None:
        with self.journal.open("ab", buffering=0) as file:
            file.write((json.dumps(what) + "\n").encode())

    def look(self) -> None:
        """See who has ended, and put another in the place of who was killed; let go on who was stopped for long."""
        for number, pid in list(self.live.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done:
                continue
            del self.live[number]
            self.stopped.pop(pid, None)
            if os.WIFSIGNALED(status):
                self.turns[number] += 1
                self.start(number)
            elif status:
                self.failed += 1
        for pid, until_then in list(self.stopped.items()):
            if time.monotonic() > until_then:
                os.kill(pid, signal.SIGCONT)
                del self.stopped[pid]

    def strike(self, pid: int, now: float) -> None:
        if pid in self.stopped:
            return
        if self.dice.random() < 0.35:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
        else:
            os.kill(pid, signal.SIGSTOP)
            self.stopped[pid] = now + self.task["seconds"] * 4 * self.dice.random()
            self.pauses += 1


def judged(journal: Path, keys: int) -> dict[str, Any]:
    """Count what processes said of each key."""
    computed: Counter[str] = Counter()
    committed: dict[str, set[str]] = {}
    seen: dict[str, set[str]] = {}
    refused = 0
    for line in journal.read_bytes().splitlines():
        what, key, value, *kept = json.loads(line)
        if what == "computes":
            computed[key] += 1
        elif what == "found":
            seen.setdefault(key, set()).add(value)
        elif kept[0] == value:
            committed.setdefault(key, set()).add(value)
        else:
            refused += 1
            if kept[0] is not None:
                seen.setdefault(key, set()).add(kept[0])
    return {
        "keys": len(computed),
        "computed": sum(computed.values()),
        "refused": refused,
        # Of one key, one result is ever kept, and everybody sees that one.
        "double commits": sum(len(values) > 1 for values in committed.values()),
        "differing": sum(len(seen.get(key, set()) | committed.get(key, set())) != 1 for key in computed),
        "absent": keys - len(computed),
    }


if __name__ == "__main__":
    request = json.loads(sys.stdin.readline())
    answer = {"stops": stops, "campaign": lambda task: Campaign(task).run()}[request["do"]](request)
    sys.stdout.write(json.dumps(answer) + "\n")
