"""A power cut after every system call of every write path: the old or the new, whole, and what was said stays said.

`Disk` says which states a file system may leave; here each is laid out, opened by the real reader, and written to.
"""

import json
import os
import random
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrepot import _folders, settings
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments
from entrepot.crypto import providers
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import FileKeyProvider, open_keyring
from entrepot.errors import BlockNotFoundError
from entrepot.locking.filesystem import FileSystemLockManager
from entrepot.results.evidence import keep_evidence
from entrepot.results.lookup import Outcome
from entrepot.settings.files import set_value
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.local import LocalStorage
from entrepot_test_commits import ABSENT, commit
from entrepot_test_disk import Died, Disk, Tree, lay_out
from entrepot_test_results import RING, Kept

MOST = 40  # states of one moment; where a process is killed first, `AFTER_KILL`
AFTER_KILL = 6
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))  # read here: tests have an environment of their own

OLD, NEW, LATER = "old " * 3, "new " * 4, "later"
LARGE_OLD, LARGE_NEW = "old " * 300, "new " * 500  # payloads of three and of four sectors
KEYS = ("a", "b", "c")


@dataclass(frozen=True)
class Subject:
    """A way to write, and how to see what is there.

    Attributes:
        name: For people.
        prepare: Makes what is there before, in an empty folder.
        writes: What is written, one after the other.
        values: What is there before, and after each of them.
        read: Says what is there; fails where that is torn.
        later: Writes once more, and fails if that is not there then.
        links: Whether the file system has hard links.
        said: Whether what was said has to be true after a power cut.
        kills: At how many moments a process is killed in the short form; the soak has them all.
    """

    name: str
    prepare: Callable[[Path], object]
    writes: tuple[Callable[[Path], object], ...]
    values: tuple[object, ...]
    read: Callable[[Path], object]
    later: Callable[[Path], object]
    links: bool = True
    said: bool = True
    kills: int = 16


def nothing(_root: Path) -> None:
    return None


# --- results --------------------------------------------------------------------------------------------------------


def kept(root: Path, *, inline_limit: int = 300) -> Kept:
    return Kept(LocalStorage(root / "store"), inline_limit=inline_limit)


def sealed(root: Path) -> Kept:
    return Kept(EncryptedStorage(LocalStorage(root / "store"), RING), inline_limit=300)


def writing(
    value: object, *, key: str = "key", open_store: Callable[[Path], Kept] = kept, **options: Any
) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        made = open_store(root)
        if options.pop("expires_now", None):
            options["expires"] = made.clock.time
        made.write(key, value, **options)

    return write


def found(store: Kept, key: str = "key") -> object:
    """Return what a reader gets; anything but a hit and a miss is said by its name."""
    one = store.store.lookup(key)
    if one.outcome is Outcome.HIT:
        return one.value
    return ABSENT if one.outcome is Outcome.MISS else one.outcome.value


def reading(open_store: Callable[[Path], Kept] = kept) -> Callable[[Path], object]:
    return lambda root: found(open_store(root))


def writing_again(open_store: Callable[[Path], Kept] = kept) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        store = open_store(root)
        before = found(store)
        store.write("key", LARGE_NEW)
        assert found(store) == (before if before not in {ABSENT, "expired", "damaged"} else LARGE_NEW)
        store.write("key", LATER, replace=True)
        assert found(open_store(root)) == LATER

    return write


def result(
    name: str,
    new: object,
    *,
    old: object = None,
    seen: object = ABSENT,
    before: Callable[[Path], object] | None = None,
    open_store: Callable[[Path], Kept] = kept,
    links: bool = True,
    **options: Any,
) -> Subject:
    """Return the subject of one write, over an older result or not."""
    prepare = before or (nothing if old is None else writing(old, open_store=open_store))
    return Subject(
        name,
        prepare,
        (writing(new, open_store=open_store, **options),),
        (seen if old is None else old, new),
        reading(open_store),
        writing_again(open_store),
        links,
    )


def damage(root: Path) -> None:
    store = kept(root)
    record = store.write("key", LARGE_OLD)
    assert record.payload is not None
    store.storage.put(record.payload, store.bytes_at(record.payload)[:-1])


def fetch_and_write(root: Path) -> None:
    store = kept(root)
    assert store.store.fetch("key").outcome in {Outcome.DAMAGED, Outcome.HIT}  # a hit after a writer that was killed
    store.write("key", LARGE_NEW)
    assert len(store.paths("damaged")) == 1


def evidence(root: Path) -> object:
    storage = LocalStorage(root / "store")
    copies = [bytes(storage.get(info.path)) for info in storage.list("damaged")]
    return copies[0].decode() if copies else ABSENT


def find_out(root: Path) -> None:
    storage = LocalStorage(root / "store")
    kept_in = keep_evidence(storage, "records/spoilt.json")
    assert kept_in.endswith(".json")
    assert evidence(root) == LARGE_OLD


RESULTS = [
    result("small, into a store that is not there", NEW),
    result("large, into a store that is not there", LARGE_NEW),
    result("small, without hard links", NEW, links=False),
    result("large, replacing, without hard links", LARGE_NEW, old=LARGE_OLD, links=False, replace=True),
    result("small, refreshed", NEW, old=OLD, replace=True),
    result("large, refreshed", LARGE_NEW, old=LARGE_OLD, replace=True),
    result("small over large", NEW, old=LARGE_OLD, replace=True),
    result("over an expired one", LARGE_NEW, seen="expired", before=writing(OLD, expires_now=True)),
    result("small, encrypted", NEW, open_store=sealed),
    result("large, encrypted, refreshed", LARGE_NEW, old=LARGE_OLD, open_store=sealed, replace=True),
    result("a payload that another key has", LARGE_NEW, before=writing(LARGE_NEW, key="other")),
    Subject(
        "damaged, with evidence",
        damage,
        (fetch_and_write,),
        ("damaged", LARGE_NEW),
        reading(),
        writing_again(),
    ),
    Subject(
        "evidence alone",
        lambda root: LocalStorage(root / "store").put("records/spoilt.json", LARGE_OLD.encode()),
        (find_out,),
        (ABSENT, LARGE_OLD),
        evidence,
        find_out,
    ),
    Subject(
        "three refreshes",
        writing("0"),
        tuple(writing(value, replace=True) for value in (LARGE_NEW, NEW, LARGE_OLD)),
        ("0", LARGE_NEW, NEW, LARGE_OLD),
        reading(),
        writing_again(),
    ),
]


# --- transactions ---------------------------------------------------------------------------------------------------


def all_of(root: Path) -> object:
    return {key: found(kept(root), key) for key in KEYS}


def same(value: object) -> dict[str, object]:
    return dict.fromkeys(KEYS, value)


def committing(values: dict[str, object], *, replace: bool = False) -> Callable[[Path], object]:
    return lambda root: commit(kept(root), values, replace=replace)


def commit_again(root: Path) -> None:
    commit(kept(root), same(LATER), replace=True)
    assert all_of(root) == same(LATER)
    kept(root).write("b", "alone", replace=True)
    assert all_of(root) == {**same(LATER), "b": "alone"}


def apart(root: Path) -> None:
    for key in KEYS[:2]:
        kept(root).write(key, f"{key} apart")


APART = {"a": "a apart", "b": "b apart", "c": ABSENT}
MIXED: dict[str, object] = {"a": NEW, "b": LARGE_NEW, "c": "3"}

FEW = 3  # there are hundreds of system calls in a transaction
TRANSACTIONS = [
    Subject("three results", nothing, (committing(MIXED),), (same(ABSENT), MIXED), all_of, commit_again, kills=FEW),
    Subject("over others", apart, (committing(MIXED, replace=True),), (APART, MIXED), all_of, commit_again, kills=FEW),
    Subject(
        "twice over others",
        apart,
        (committing(same(OLD), replace=True), committing(MIXED, replace=True)),
        (APART, same(OLD), MIXED),
        all_of,
        commit_again,
        kills=FEW,
    ),
    Subject(
        "over a transaction",
        committing(same(OLD)),
        (committing(MIXED, replace=True),),
        (same(OLD), MIXED),
        all_of,
        commit_again,
        kills=FEW,
    ),
]


# --- blocks, keys, settings, locks ----------------------------------------------------------------------------------


def documents(root: Path) -> BlockDocuments:
    return BlockDocuments(StorageDocumentStore(LocalStorage(root / "blocks")), lambda: RING)


def saving(value: str) -> Callable[[Path], object]:
    return lambda root: documents(root).save("secret", "key", memoryview(value.encode()), header={}, overwrite=True)


def saved(root: Path) -> object:
    try:
        return documents(root).open(documents(root).latest("secret", "key")).decode()
    except BlockNotFoundError:
        return ABSENT


def save_again(root: Path) -> None:
    saving(LATER)(root)
    assert saved(root) == LATER


def delete(root: Path) -> None:
    documents(root).delete("secret", "key")


def provider(root: Path) -> FileKeyProvider:
    return FileKeyProvider(root / "home" / "keyring.json")


def make_ring(root: Path) -> Keyring:
    return open_keyring(provider(root), sealed_data=lambda: None)


def keep_golden(root: Path) -> None:
    (root / "home").mkdir(mode=0o700)
    provider(root).create(RING.to_document())


def rotate(root: Path) -> None:
    ring = make_ring(root)
    provider(root).replace(ring.with_new_primary("result").to_document(), old=ring.to_document())


def epoch(root: Path) -> object:
    document = provider(root).read()
    return ABSENT if document is None else Keyring.from_document(document, location="here").epoch


def rotate_again(root: Path) -> None:
    before = make_ring(root).epoch
    rotate(root)
    assert epoch(root) == before + 1


def setting(value: str) -> Callable[[Path], object]:
    def keep(root: Path) -> None:
        with at_home(root):
            set_value("blocks_storage", value)

    return keep


def set_there(root: Path) -> object:
    with at_home(root):
        return settings.current().blocks_storage or ABSENT


def set_again(root: Path) -> None:
    setting(LATER)(root)
    assert set_there(root) == LATER


def at_home(root: Path) -> Any:
    context = pytest.MonkeyPatch.context()
    patch = context.__enter__()
    patch.setenv("ENTREPOT_HOME", str(root / "home"))
    return _Leaving(context)


class _Leaving:
    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, *caught: object) -> None:
        self._context.__exit__(*caught)


def lock(root: Path) -> None:
    assert FileSystemLockManager(root / "locks").acquire_lock("key", "me", hold_timeout=1e6)


def holder(root: Path) -> object:
    manager = FileSystemLockManager(root / "locks")
    return "me" if manager.is_lock_holder("key", "me") else ABSENT


def lock_again(root: Path) -> None:
    manager = FileSystemLockManager(root / "locks")
    if manager.is_lock_holder("key", "me"):
        manager.release_lock("key", "me")
    assert manager.acquire_lock("key", "another", hold_timeout=1e6)


OTHERS = [
    Subject("a block, saved first", nothing, (saving(OLD),), (ABSENT, OLD), saved, save_again),
    Subject("a block, saved again", saving(OLD), (saving(NEW), saving("n")), (OLD, NEW, "n"), saved, save_again),
    Subject("a block, deleted", saving(OLD), (delete,), (OLD, ABSENT), saved, save_again),
    Subject("a keyring, made", nothing, (make_ring,), (ABSENT, 1), epoch, rotate_again),
    Subject(
        "a keyring, rotated",
        keep_golden,
        (rotate, rotate),
        (RING.epoch, RING.epoch + 1, RING.epoch + 2),
        epoch,
        rotate_again,
    ),
    Subject("settings, made", nothing, (setting("/new"),), (ABSENT, "/new"), set_there, set_again),
    Subject("settings, changed", setting("/old"), (setting("/new"),), ("/old", "/new"), set_there, set_again),
    # A lock ends with its holder: after a power cut nobody needs to hear that it was there.
    Subject("a lock", nothing, (lock,), (ABSENT, "me"), holder, lock_again, said=False),
]
SUBJECTS = [*RESULTS, *TRANSACTIONS, *OTHERS]
NAMES = [subject.name for subject in SUBJECTS]


# --- the campaign ---------------------------------------------------------------------------------------------------


IDS = random.Random()  # of transactions: by chance two of them share a folder, and make fewer system calls then


@pytest.fixture(autouse=True)
def _no_real_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # whatever the real disk has, the model knows


@pytest.fixture(autouse=True)
def _ids_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=IDS.getrandbits(128), version=4))


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has one: thousands of small files are made and removed."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def as_in_a_new_process() -> None:
    providers._settled.clear()
    _folders._settled.clear()


def text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def prepare(subject: Subject, root: Path, seed: int) -> None:
    """Make what is there before; with one seed, what is written next makes the same system calls every time."""
    root.mkdir(mode=0o700)
    IDS.seed(seed)
    subject.prepare(root)


def power_cuts(subject: Subject, folder: Path, *, most: int, seed: int) -> int:
    """Cut the power at every moment of a subject's writes; return how many different states were looked at."""
    root, copy = folder / "root", folder / "copy"
    prepare(subject, root, seed)
    assert subject.read(root) == subject.values[0]
    disk = Disk(root, most=most, seed=seed, links=subject.links)
    as_in_a_new_process()
    with disk.recording():
        for write, value in zip(subject.writes, subject.values[1:], strict=True):
            write(root)
            assert subject.read(root) == value
            disk.say(text(value))
    trees = set()
    for crash in disk.crashes():
        lay_out(crash.tree, copy)
        number = len(crash.said)
        allowed = subject.values[: number + 2] if not subject.said else subject.values[number : number + 2]
        there = subject.read(copy)
        assert there in allowed, (crash.at, there, shown(crash.tree))
        subject.later(copy)
        trees.add(crash.tree)
    return len(trees)


def kills_and_power_cuts(subject: Subject, folder: Path, *, most: int, seed: int, kills: int) -> int:
    """Kill a writer at every moment, let another do the same, and cut the power then.

    What the dead one did may be seen by the other and yet not be on the disk. What the other has said must be.
    """
    seen = 0
    calls = count_calls(subject, folder, seed)
    every = range(calls) if calls <= kills else sorted(random.Random(seed).sample(range(calls), kills))
    for moment in every:
        root, copy = folder / f"killed {moment}", folder / "copy"
        prepare(subject, root, seed)
        disk = Disk(root, most=most, seed=seed + moment, links=subject.links)
        as_in_a_new_process()
        with disk.recording():
            disk.dies_at = moment
            with pytest.raises(Died):
                write_all(subject, root)
            disk.dies_at = None
            disk.forget()
            as_in_a_new_process()
            told = []
            for write in subject.writes:
                before = disk.calls
                write(root)
                told.append(subject.read(root))
                if disk.calls > before:  # who finds nothing to do, deleting what is deleted say, promises nothing
                    disk.say(text(told[-1]))
        trees = set()
        for crash in disk.crashes():
            lay_out(crash.tree, copy)
            there, number = subject.read(copy), len(crash.said)
            allowed = told[max(0, number - 1) : number + 1]
            if not number or not subject.said:
                allowed = [*subject.values, *told]
            assert there in allowed, (moment, crash.at, there, crash.said, shown(crash.tree))
            subject.later(copy)
            trees.add(crash.tree)
        seen += len(trees)
    return seen


def count_calls(subject: Subject, folder: Path, seed: int) -> int:
    """Return how many system calls a subject's writes make; at each of them its process can be killed."""
    root = folder / "counted"
    prepare(subject, root, seed)
    disk = Disk(root, most=1, links=subject.links)
    as_in_a_new_process()
    with disk.recording():
        write_all(subject, root)
    return disk.calls


def write_all(subject: Subject, root: Path) -> None:
    for write in subject.writes:
        write(root)


def shown(tree: Tree) -> str:
    return "\n".join(f"{path}: {'folder' if data is None else data[:60]!r}" for path, data in tree)


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
def test_a_power_cut_at_any_moment_leaves_the_old_or_the_new(subject: Subject, fast: Path) -> None:
    states = power_cuts(subject, fast, most=MOST, seed=1)
    sys.stdout.write(f"{subject.name}: {states} states\n")
    assert states >= 5


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
def test_what_a_second_writer_was_told_survives_though_the_first_was_killed(subject: Subject, fast: Path) -> None:
    states = kills_and_power_cuts(subject, fast, most=AFTER_KILL, seed=2, kills=subject.kills)
    sys.stdout.write(f"{subject.name}: {states} states\n")
    assert states >= 5


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to the number of states of one moment")
def test_soak_of_power_cuts(fast: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    total = 0
    for number, subject in enumerate(SUBJECTS):
        for name in ("cuts", "kills"):
            (fast / f"{name} {number}").mkdir()
        states = power_cuts(subject, fast / f"cuts {number}", most=SOAK, seed=seed)
        few = max(1, SOAK // 10)
        killed = kills_and_power_cuts(subject, fast / f"kills {number}", most=few, seed=seed, kills=10 * subject.kills)
        sys.stdout.write(f"{subject.name}: {states} states, {killed} after a kill\n")
        sys.stdout.flush()
        total += states + killed
    sys.stdout.write(f"{total} states\n")
    assert total >= 5000
