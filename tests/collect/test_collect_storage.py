"""What collection asks of storages besides: to delete only what was judged, to note use, to find unfinished writes."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot.errors import InvalidPathError, ObjectNotFoundError
from entrepot.protocols.storage import DeletesIf, Storage, Sweeps, Touches
from entrepot.results.collect import Collector, Rules
from entrepot.results.store import ResultStore
from entrepot.results.used import used_path
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, PrefixedStorage
from entrepot_test_results import RING, Kept, SetClock, Wrapped

Make = Callable[[Path], Storage]
PLACES: dict[str, Make] = {
    "folder": LocalStorage,
    "memory": lambda _: MemoryStorage(),
    "prefixed folder": lambda folder: PrefixedStorage(LocalStorage(folder), "inner"),
    "prefixed memory": lambda _: PrefixedStorage(MemoryStorage(), "inner"),
}


@pytest.fixture(params=PLACES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return PLACES[request.param](tmp_path)


def test_only_what_was_judged_is_deleted(storage: Storage) -> None:
    assert isinstance(storage, DeletesIf)
    storage.put("a/b", b"new")
    assert storage.delete_if("a/b", b"old") is False
    assert storage.delete_if("a/b", b"ne") is False
    assert storage.get("a/b") == b"new"
    assert storage.delete_if("a/b", b"new") is True
    assert storage.delete_if("a/b", b"new") is True  # it is gone
    assert storage.delete_if("no/such", b"") is True
    assert list(storage.list()) == []


def test_what_takes_its_place_meanwhile_is_not_deleted(storage: Storage) -> None:
    """Writers replace an object over and over while others try to delete what it was before."""
    assert isinstance(storage, DeletesIf)
    storage.put("a/b", b"0")
    stop = threading.Event()

    def delete_old() -> None:
        assert isinstance(storage, DeletesIf)
        while not stop.is_set():
            storage.delete_if("a/b", b"old")

    thread = threading.Thread(target=delete_old)
    thread.start()
    try:
        for number in range(50):
            storage.put("a/b", b"old")
            storage.put("a/b", content := b"new %d" % number)
            assert there(storage) == content
    finally:
        stop.set()
        thread.join(60)
    assert storage.get("a/b") == b"new 49"


def there(storage: Storage) -> bytes:
    """Return what is there; it may be under another name for a moment, and is given back."""
    while True:
        with suppress(ObjectNotFoundError):
            return bytes(storage.get("a/b"))


def test_touching_makes_an_object_new_and_nothing_of_nothing(storage: Storage) -> None:
    assert isinstance(storage, Touches)
    storage.put("a/b", b"1")
    before = storage.stat("a/b").modified
    storage.touch("a/b")
    storage.touch("no/such")
    after = storage.stat("a/b").modified
    assert before is not None
    assert after is not None
    assert after >= before
    assert [info.path for info in storage.list()] == ["a/b"]


def test_a_touched_file_has_the_present_time(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put("a", b"1")
    os.utime(tmp_path / "a", (0, 0))
    storage.touch("a")
    modified = storage.stat("a").modified
    assert modified is not None
    assert datetime.now(UTC) - modified < timedelta(hours=1)


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: inner, lambda inner: PrefixedStorage(inner, "in"), lambda inner: EncryptedStorage(inner, RING)],
)
def test_unfinished_writes_are_found_by_age_and_swept(tmp_path: Path, wrap: Callable[[Storage], Storage]) -> None:
    storage = wrap(LocalStorage(tmp_path))
    storage.put("a/b", b"1")
    folder = next(path.parent for path in tmp_path.rglob("b"))
    (folder / ".tmp-old").write_bytes(b"half")
    (folder / ".tmp-new").write_bytes(b"half")
    os.utime(folder / ".tmp-old", (0, 0))
    assert isinstance(storage, Sweeps)
    found = list(storage.unfinished(datetime.now(UTC) - timedelta(days=1)))
    assert [(info.path, info.size) for info in found] == [("a/.tmp-old", 4)]
    storage.sweep(found[0].path)
    storage.sweep(found[0].path)
    assert sorted(path.name for path in folder.iterdir()) == [".tmp-new", "b"]
    with pytest.raises(InvalidPathError):
        storage.sweep("a/b")
    assert storage.get("a/b") == b"1"


def noted(storage: Storage, clock: SetClock) -> ResultStore:
    return ResultStore(storage, ring=RING, clock=clock, notes_use=True)


def test_use_is_noted_at_most_once_an_hour_where_files_can_be_touched() -> None:
    clock = SetClock()
    kept = Kept(MemoryStorage(clock=clock))
    path = kept.write("a", 1).path
    store = noted(kept.storage, clock)
    times = []
    for _ in range(5):
        clock.sleep(1500)
        store.lookup("a")
        times.append(kept.storage.stat(path).modified)
    assert len(set(times)) == 2  # at 1,500 seconds, and again at 6,000


def test_elsewhere_an_object_says_so_once_a_day() -> None:
    clock = SetClock()
    kept = Kept(Wrapped(MemoryStorage(clock=clock)))
    path = kept.write("a", 1).path
    store = noted(kept.storage, clock)
    for _ in range(30):
        clock.sleep(3600)
        store.lookup("a")
    assert kept.paths("used") == [used_path(path)]
    assert [call for call in kept.storage.calls if call == ("put", used_path(path))] == [("put", used_path(path))] * 2


def test_where_nobody_asked_for_a_largest_size_nothing_is_noted() -> None:
    kept = Kept(Wrapped(MemoryStorage()))
    kept.write("a", 1)
    kept.store.lookup("a")
    assert kept.paths("used") == []


def test_what_was_used_stays_and_its_note_goes_with_it() -> None:
    clock = SetClock()
    kept = Kept(Wrapped(MemoryStorage(clock=clock)))
    store = noted(kept.storage, clock)
    for number in range(3):
        kept.write(f"k{number}", "v" * 3000)
        clock.sleep(60)
    clock.sleep(90_000)
    assert store.lookup("k0").value == "v" * 3000
    Collector(store, Rules(max_size=8000)).run()
    assert [store.describe(f"k{number}").outcome.value for number in range(3)] == ["hit", "miss", "hit"]
    assert len(kept.paths("used")) == 1
    Collector(store, Rules(older_than=0)).run()
    assert kept.paths() == []
