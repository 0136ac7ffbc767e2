"""Two who save the first blocks of a shared store at one moment, under two keyrings: one of them is refused."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from servers import S3Server

from entrepot.blocks import BlockDocuments, StorageDocumentStore, _rings
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import BlockExistsError, StorageUnreachableError, UnknownKeyError
from entrepot.protocols.storage import Storage
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock
from entrepot_test_processes import said_at_once

pytestmark = pytest.mark.one_python

FIRST_SAVER = Path(__file__).parent / "first_saver.py"
STEPS = 5  # of a save in an empty store: is there such a block? any at all? create it; any others? is it deleted?


class InTurns:
    """Lets each of two writers go on when it is its turn, and writer 0 before writer 1 when all turns are over."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = deque(order)
        self.ended: set[int] = set()
        self.changed = threading.Condition()

    def wait(self, who: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.next() == who, timeout=60)
            if self.order:
                self.order.popleft()
            self.changed.notify_all()

    def next(self) -> int:
        while self.order and self.order[0] in self.ended:
            self.order.popleft()
        return self.order[0] if self.order else min({0, 1} - self.ended)

    def end(self, who: int) -> None:
        with self.changed:
            self.ended.add(who)
            self.changed.notify_all()


class Stepwise:
    """A storage whose every operation waits for its turn."""

    creates_exclusively = True
    location = "memory of two"

    def __init__(self, storage: MemoryStorage, before: Callable[[], None]) -> None:
        self._storage = storage
        self._before = before

    def __getattr__(self, name: str) -> Any:
        if name not in {"get", "list", "create", "delete_if", "delete", "put", "stat"}:
            raise AttributeError(name)
        operation = getattr(self._storage, name)

        def call(*args: Any, **options: Any) -> Any:
            self._before()
            return operation(*args, **options)

        return call


def documents(storage: Storage, ring: Keyring, *, mixed: bool = False) -> BlockDocuments:
    store = StorageDocumentStore(storage)
    return BlockDocuments(store, lambda: ring, clock=FrozenClock(), is_shared=True, is_mixed=mixed)


def save(documents: BlockDocuments, name: str) -> int:
    return documents.save("secret", name, memoryview(b"{}"), header={}, overwrite=False).version


def rings_in(storage: MemoryStorage) -> list[str]:
    return [(read_key(bytes(storage.get(each.path))) or ("",))[0] for each in storage.list()]


def save_in_turns(rings: Sequence[Keyring], order: Sequence[int]) -> tuple[MemoryStorage, list[Exception | int]]:
    """Let two save the first block in one store, each step of theirs in a given order; return what came of it."""
    storage, turns = MemoryStorage(), InTurns(order)
    outcome: list[Exception | int] = [0, 0]

    def write(who: int) -> None:
        stepwise: Any = Stepwise(storage, lambda: turns.wait(who))
        try:
            outcome[who] = save(documents(stepwise, rings[who]), f"of-{who}")
        except Exception as error:  # noqa: BLE001  the test looks at it
            outcome[who] = error
        finally:
            turns.end(who)

    threads = [threading.Thread(target=write, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return storage, outcome


def orders() -> Iterator[list[int]]:
    """Yield every order of the steps of two saves, the one that is symmetrical to another left out."""
    for of_first in combinations(range(1, 2 * STEPS), STEPS - 1):
        yield [0 if step in {0, *of_first} else 1 for step in range(2 * STEPS)]


def test_in_every_order_of_their_steps_one_is_saved_and_the_other_refused() -> None:
    winners = set()
    for order in orders():
        rings = Keyring.generate(), Keyring.generate()
        storage, outcome = save_in_turns(rings, order)
        (winner,) = [who for who in (0, 1) if outcome[who] == 1]
        refusal = outcome[1 - winner]
        assert isinstance(refusal, UnknownKeyError), (order, refusal)
        assert str(refusal).startswith("nothing was saved in memory of two: what is there is sealed under keyring")
        assert rings_in(storage) == [rings[winner].ring_id], order
        winners.add(winner)
    assert winners == {0, 1}


def test_with_one_keyring_both_are_saved_in_every_order() -> None:
    ring = Keyring.generate()
    for order in list(orders())[::5]:
        _rings._looks.clear()
        storage, outcome = save_in_turns((ring, ring), order)
        assert outcome == [1, 1], order
        assert rings_in(storage) == [ring.ring_id] * 2


def test_on_a_real_server_one_of_two_processes_is_refused(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_server.region)
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", f"s3://{bucket}/blocks")
    said = said_at_once(*((FIRST_SAVER, tmp_path / name, name) for name in ("anna", "ben")))
    (winner,) = [each.removeprefix("saved ") for each in said if each.startswith("saved ")]
    (refusal,) = [each for each in said if each.startswith("refused: ")]
    assert "nothing was saved" in refusal
    assert "entrepot keys join FILE" in refusal
    found = s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in found] == [f"blocks/secret/{winner}/00000001.json"]


class Overtaken(FaultyStorage):
    """A storage in which another writer saves a whole block just before one is created here."""

    def __init__(self, storage: Storage, first: Callable[[], object]) -> None:
        super().__init__(storage)
        self.first: list[Callable[[], object]] = [first]

    def create(self, path: str, data: Any) -> None:
        while self.first:
            self.first.pop()()
        super().create(path, data)


def test_who_is_refused_leaves_nothing_and_takes_nothing_of_others_away() -> None:
    """The withdrawal is of the very bytes that were written, also where the store cannot compare and delete in one."""
    storage = MemoryStorage()
    theirs = documents(storage, Keyring.generate())
    mine = documents(Overtaken(storage, lambda: save(theirs, "theirs")), Keyring.generate())
    with pytest.raises(UnknownKeyError, match="nothing was saved"):
        save(mine, "mine")
    assert [each.path for each in storage.list()] == ["secret/theirs/00000001.json"]
    ref = theirs.latest("secret", "theirs")
    for store in (mine.store, theirs.store):
        store.withdraw(ref, b"other bytes")
        assert theirs.open(ref) == b"{}"
    theirs.store.withdraw(ref, theirs.store.read(ref) or b"")
    assert not list(storage.list())


def test_a_deleted_block_stays_deleted_where_its_new_version_is_withdrawn() -> None:
    storage = MemoryStorage()
    ring = Keyring.generate()
    save(documents(storage, ring), "mine")
    documents(storage, ring).delete("secret", "mine")
    _rings._looks.clear()
    theirs = documents(storage, Keyring.generate())
    with pytest.raises(UnknownKeyError, match="nothing was saved"):
        save(documents(Overtaken(storage, lambda: save(theirs, "theirs")), ring), "mine")
    assert sorted(each.path for each in storage.list()) == [
        "secret/mine/00000002.deleted.json",
        "secret/theirs/00000001.json",
    ]


def test_who_never_gets_the_store_alone_gives_up_with_an_error() -> None:
    storage = MemoryStorage()
    ring = Keyring.generate()

    class Busy(FaultyStorage):
        """Others save before each creation here, and withdraw it before the next look."""

        def create(self, path: str, data: Any) -> None:
            save(documents(storage, Keyring.generate()), "theirs")
            super().create(path, data)

        def delete(self, path: str) -> None:
            super().delete(path)
            storage.delete("secret/theirs/00000001.json")

    with pytest.raises(BlockExistsError, match=r"secret/mine was not saved: other programs kept saving .* try again"):
        save(documents(Busy(storage), ring), "mine")
    assert not list(storage.list())


def test_where_several_keyrings_are_meant_to_be_nobody_is_refused() -> None:
    storage = MemoryStorage()
    theirs = documents(storage, Keyring.generate(), mixed=True)
    mine = documents(Overtaken(storage, lambda: save(theirs, "theirs")), Keyring.generate(), mixed=True)
    assert save(mine, "mine") == 1
    assert len(set(rings_in(storage))) == 2


def test_the_first_save_costs_one_listing_more_and_the_second_none() -> None:
    storage = FaultyStorage(MemoryStorage())
    mine = documents(storage, Keyring.generate())
    save(mine, "one")
    in_all = [each for each in storage.calls if each == ("list", "")]
    assert len(in_all) == 2
    assert "get" not in dict(storage.calls)
    storage.calls.clear()
    save(mine, "two")
    assert [name for name, _ in storage.calls] == ["list", "create", "list"]


def test_what_could_not_be_withdrawn_is_told_at_the_next_use(caplog: pytest.LogCaptureFixture) -> None:
    """The second one dies between its saving and its looking: nothing is lost, and each is told of the other."""
    clock = FrozenClock()
    storage = MemoryStorage(clock=clock)
    rings = {name: Keyring.generate() for name in ("anna", "ben")}
    anna = documents(storage, rings["anna"])

    def overtake() -> None:
        save(anna, "of-anna")
        clock.advance(1)

    dying = FaultyStorage(Overtaken(storage, overtake), fail_at=1, on=["get"])
    with pytest.raises(StorageUnreachableError):
        save(documents(dying, rings["ben"]), "of-ben")
    ben = documents(storage, rings["ben"])
    assert anna.open(anna.latest("secret", "of-anna")) == ben.open(ben.latest("secret", "of-ben")) == b"{}"
    with pytest.raises(UnknownKeyError, match=f"of another keyring .{rings['anna'].ring_id}.*entrepot keys doctor"):
        ben.open(ben.latest("secret", "of-anna"))
    with caplog.at_level(logging.WARNING, logger="entrepot.keys"):
        for ring, number in ((rings["anna"], 0), (rings["ben"], 1), (rings["anna"], 2)):
            _rings._looks.clear()  # as in a new process
            clock.advance(1)
            save(documents(storage, ring), f"more-{number}")
    told = [message for message in caplog.messages if "entrepot keys doctor" in message]
    assert [message.split(" in memory")[0] for message in told] == [
        "version 1 of the block secret/of-ben",
        "version 1 of the block secret/more-0",
    ]
    assert all("blocks_mixed_keyrings" in message for message in told)
