"""Results on a real S3 server behind a network that loses, cuts, delays and refuses: nothing acknowledged is lost or
doubled, no outage is taken for a miss, and there is an end to trying again."""

import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments
from entrepot.crypto.digest import Digester
from entrepot.errors import StorageError, StorageUnreachableError
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.markers import Fate
from entrepot.serializers import get_serializer
from entrepot.storage.files import FileStorage
from entrepot_test_commits import prepared
from entrepot_test_proxy import FAULTS, FaultyProxy, Port
from entrepot_test_results import RING, Kept, Wrapped

pytestmark = pytest.mark.one_python

OPERATIONS = 300
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))  # read here: tests have an environment of their own
WORKERS = 6
TRIES = 3  # of botocore
QUESTIONS = 4  # that one call of ours may put to S3: is it an object, is it a folder, and the same of the bucket
LARGE = "x" * 9000  # beyond what is kept inside a record


class Behind:
    """A bucket behind a faulty proxy, and what was said of it."""

    def __init__(self, server: Any, *, rate: float, seed: int) -> None:
        self.server = server
        self.bucket = server.bucket()
        self.proxy = FaultyProxy(server.endpoint_url, rate=rate, seed=seed)
        self.lock = threading.Lock()
        self.attempted: dict[str, list[Any]] = {}  # by key, all values that somebody tried to write
        self.acknowledged: dict[str, list[Any]] = {}  # by key, what writers were told is kept
        self.pairs: list[tuple[str, str, Any, str]] = []  # two keys, what was committed to both, how it ended
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.worst = 0.0

    def open(self, port: Port) -> Kept:
        return self._kept(port.endpoint)

    def open_directly(self) -> Kept:
        return self._kept(self.server.endpoint_url)

    def _kept(self, endpoint: str) -> Kept:
        options = {**self.server.storage_options(), "endpoint_url": endpoint}
        return Kept(Wrapped(FileStorage.from_url(f"s3://{self.bucket}/results", **options)))


@pytest.fixture
def behind(s3_server: Any) -> Iterator[Callable[..., Behind]]:
    made: list[Behind] = []

    def make(*, rate: float = 0.0, seed: int = 0) -> Behind:
        made.append(Behind(s3_server, rate=rate, seed=seed))
        return made[-1]

    yield make
    for each in made:
        each.proxy.close()


class Worker:
    """One thread: writes, reads and commits, and compares what it is told with what must be true."""

    def __init__(self, behind: Behind, number: int, seed: int, operations: int) -> None:
        self.behind = behind
        self.number = number
        self.dice = random.Random(f"{seed}/worker/{number}")
        self.operations = operations
        self.port = behind.proxy.port()
        self.kept = behind.open(self.port)
        assert isinstance(self.kept.storage, Wrapped)
        self.calls = self.kept.storage.calls

    def run(self) -> None:
        try:
            for count in range(self.operations):
                before = self.port.requests, len(self.calls)
                act = self.dice.choice((self.create, self.create, self.refresh, self.fetch, self.fetch, self.commit))
                try:
                    act(count)
                    said = "done"
                except StorageError:
                    said = "outage"
                with self.behind.lock:
                    self.behind.seen[f"{act.__name__}: {said}"] += 1
                # A commit also asks who else is there, and the first write whether the store creates exclusively.
                asked = self.port.requests - before[0]
                allowed = TRIES * QUESTIONS * (len(self.calls) - before[1] + 1)
                self.behind.worst = max(self.behind.worst, asked / (len(self.calls) - before[1] + 1))
                if asked > allowed:
                    self.wrong(f"{act.__name__} took {asked} requests for {len(self.calls) - before[1]} calls")
        except BaseException as error:
            self.wrong(f"worker {self.number}: {error!r}")
            raise

    def wrong(self, what: str) -> None:
        with self.behind.lock:
            self.behind.wrong.append(what)

    def value(self, count: int) -> list[Any]:
        return [self.number, count, LARGE if self.dice.random() < 0.3 else ""]

    def create(self, count: int) -> None:
        """Several workers create the same key; whatever each is told, it is the same."""
        key, value = f"shared {count // 3}", self.value(count)
        with self.behind.lock:
            self.behind.attempted.setdefault(key, []).append(value)
        record = self.kept.write(key, value)
        with self.behind.lock:
            won = next((one for one in self.behind.attempted[key] if digest_of(one) == record.digest), None)
            self.behind.acknowledged.setdefault(key, []).append(won)
            if any(one != won for one in self.behind.acknowledged[key]) or won is None:
                self.behind.wrong.append(f"{key}: two winners, {self.behind.acknowledged[key]}")

    def refresh(self, count: int) -> None:
        """Each worker replaces a key of its own."""
        key, value = f"own {self.number}", self.value(count)
        with self.behind.lock:
            self.behind.attempted.setdefault(key, []).append(value)
        self.kept.write(key, value, replace=True)
        with self.behind.lock:
            self.behind.acknowledged.setdefault(key, []).append(value)

    def fetch(self, count: int) -> None:
        """A key that was acknowledged is a hit, or an error; never a miss, never older."""
        keys = [f"shared {self.dice.randrange(count // 3 + 1)}", f"own {self.dice.randrange(WORKERS)}", "nobody's"]
        key = self.dice.choice(keys)
        with self.behind.lock:
            known = list(self.behind.acknowledged.get(key, ()))
        found = self.kept.store.fetch(key)
        with self.behind.lock:
            attempted = list(self.behind.attempted.get(key, ()))
        if found.outcome is Outcome.MISS:
            if known:
                self.wrong(f"{key}: a miss, though {known[-1][:2]} was acknowledged")
        elif found.outcome is not Outcome.HIT or found.value not in attempted:
            self.wrong(f"{key}: {found.outcome} {found.detail}")
        elif known and attempted.index(found.value) < attempted.index(known[-1]):
            self.wrong(f"{key}: {found.value[:2]}, though {known[-1][:2]} was acknowledged")

    def commit(self, count: int) -> None:
        """Two keys become visible together, or not at all; and if nothing is said, nothing is known."""
        keys, value = (f"left {self.number} {count}", f"right {self.number} {count}"), self.value(count)
        made: Commit | None = None
        ended = "failed"
        try:
            made = Commit(self.kept.store, prepared(self.kept, dict.fromkeys(keys, value)), patience=0.1)
            made.run()
            ended = "committed"
        finally:
            if made is not None and made.in_doubt:
                ended = "in doubt"
            elif made is not None and made.fate is Fate.COMMITTED:
                ended = "committed"
            with self.behind.lock:
                self.behind.pairs.append((*keys, value, ended))


def digest_of(value: object) -> str:
    return Digester(RING).digest(get_serializer("json").dumps(value))


def campaign(behind: Behind, *, operations: int, seed: int) -> None:
    """Let the workers loose, then look past the proxy at what is there."""
    workers = [Worker(behind, number, seed, operations // WORKERS) for number in range(WORKERS)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = behind.open_directly().store
    for key, attempted in behind.attempted.items():
        found, known = store.fetch(key), behind.acknowledged.get(key, [])
        if found.outcome is Outcome.MISS and not known:
            continue
        assert found.outcome is Outcome.HIT, (key, found)
        first = attempted.index(known[-1]) if known else 0
        assert found.value in attempted[first:], key
        if key.startswith("shared") and known:
            assert found.value == known[0], key
    for left, right, value, ended in behind.pairs:
        found_there = [store.fetch(left), store.fetch(right)]
        outcomes = {one.outcome for one in found_there}
        expected = {"committed": [{Outcome.HIT}], "failed": [{Outcome.MISS}]}
        assert outcomes in expected.get(ended, [{Outcome.HIT}, {Outcome.MISS}]), (left, ended, found_there)
        assert all(one.value == value for one in found_there if one.outcome is Outcome.HIT)
    sys.stdout.write(
        f"{operations} operations, {behind.proxy.requests} requests, at most {behind.worst:.1f} for one call;"
        f" {dict(behind.proxy.faults)}; {dict(sorted(behind.seen.items()))};"
        f" commits {dict(Counter(pair[3] for pair in behind.pairs))}\n"
    )
    assert not behind.wrong, behind.wrong[:5]


def test_faults_of_the_network_lose_nothing_double_nothing_and_are_no_misses(behind: Callable[..., Behind]) -> None:
    one = behind(rate=0.08, seed=4)
    campaign(one, operations=OPERATIONS, seed=4)
    assert set(one.proxy.faults) == set(FAULTS)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to the number of operations")
def test_soak_of_faults_of_the_network(behind: Callable[..., Behind]) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    campaign(behind(rate=0.15, seed=seed), operations=SOAK, seed=seed)


def first(fault: str, *, of: Callable[[str, str], bool]) -> Callable[[str, str], str]:
    """Do a fault to the first request that is meant."""
    left = [fault]
    return lambda method, target: left.pop() if left and of(method, target) else ""


def is_record(method: str, target: str) -> bool:
    return method == "PUT" and "/records/" in target


def test_a_creation_whose_reply_was_lost_is_known_for_our_own(behind: Callable[..., Behind]) -> None:
    one = behind()
    port = one.proxy.port(first("lost reply", of=is_record))
    record = one.open(port).write("key", "mine")
    assert port.faults == {"lost reply": 1}
    assert one.open_directly().store.lookup("key").record == record
    other = one.open(one.proxy.port()).write("key", "theirs")
    assert other == record  # and is told of ours


@pytest.mark.parametrize("what", ["first", "again", "deleted"])
def test_a_block_whose_reply_was_lost_is_saved_or_deleted_once(behind: Callable[..., Behind], what: str) -> None:
    one = behind()
    directly = BlockDocuments(StorageDocumentStore(one.open_directly().storage), lambda: RING)
    if what != "first":
        directly.save("secret", "key", memoryview(b"old"), header={}, overwrite=False)
    port = one.proxy.port(first("lost reply", of=lambda method, target: method == "PUT" and "/secret/" in target))
    documents = BlockDocuments(StorageDocumentStore(one.open(port).storage), lambda: RING)
    if what == "deleted":
        assert documents.delete("secret", "key")
    else:
        documents.save("secret", "key", memoryview(b"new"), header={}, overwrite=what == "again")
    assert port.faults == {"lost reply": 1}
    versions = directly.store.versions("secret", "key")
    assert [(ref.version, ref.deleted) for ref in versions] == {
        "first": [(1, False)],
        "again": [(1, False), (2, False)],
        "deleted": [(2, True)],
    }[what]


def test_a_server_that_never_answers_well_is_tried_a_few_times_and_the_error_says_how_often(
    behind: Callable[..., Behind],
) -> None:
    one = behind()
    port = one.proxy.port(lambda _method, _target: "503")
    with pytest.raises(StorageUnreachableError, match="after 3 tries"):
        one.open(port).store.fetch("key")
    assert port.requests <= TRIES * QUESTIONS
