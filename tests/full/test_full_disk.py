"""A disk without room: one error of our tree that says so, and nothing that was there is lost."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot import File, home, task
from entrepot.cache_policies import INPUTS
from entrepot.coordination.limits import read_limits, set_limit
from entrepot.coordination.locks import lock_holder, try_lock
from entrepot.coordination.variables import read_variable, write_variable
from entrepot.errors import StorageFullError
from entrepot.hashing import _known_files
from entrepot.results.collect import Collector, Rules
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage
from entrepot_test_full import Disk, small_disk
from entrepot_test_results import RING, Kept

BIG = "x" * 9_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as one:
        yield one


def unfinished(disk: Disk) -> list[Path]:
    return [path for path in disk.path.rglob(".tmp-*") if path.is_file()]


@pytest.fixture
def full_home(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setenv("ENTREPOT_HOME", str(disk.path / "home"))
    home.ring()
    return disk


# --- collections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", range(8))
def test_a_collection_that_finds_no_room_says_so_and_loses_nothing(disk: Disk, pages: int) -> None:
    kept = Kept(LocalStorage(disk.path / "store"))
    store = ResultStore(kept.storage, ring=RING)
    for number in range(3):
        kept.write(f"old {number}", f"{number}{BIG}")
        kept.write(f"new {number}", f"new {number}{BIG}", about={"tag:new": ""})
    rules = Rules(older_than=0, tags=("new",))
    disk.fill(pages_left=pages)
    try:
        Collector(store, rules, grace=0).run()
    except StorageFullError as error:
        assert "room" in str(error)  # noqa: PT017  where there is enough of it, none is raised
    found = {key: store.lookup(key).outcome for n in range(3) for key in (f"old {n}", f"new {n}")}
    assert {found[f"old {number}"] for number in range(3)} == {Outcome.HIT}
    assert set(found.values()) <= {Outcome.HIT, Outcome.MISS}
    disk.free()
    Collector(store, rules, grace=0).run()
    assert [store.lookup(f"new {number}").outcome for number in range(3)] == [Outcome.MISS] * 3
    assert [store.lookup(f"old {number}").outcome for number in range(3)] == [Outcome.HIT] * 3
    assert not unfinished(disk)


def test_a_collection_that_finds_no_room_for_its_own_table_says_so(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(LocalStorage(tmp_path / "store"))
    for number in range(120):
        kept.write(f"key {number}", number)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    disk.fill(pages_left=4)
    with pytest.raises(StorageFullError, match=r"table of what is in .*store.*free some room there, or set TMPDIR"):
        Collector(kept.store).run()
    assert kept.paths("collected/runs") == []  # its lease is given back
    disk.free()
    assert Collector(kept.store).run().kept == 120


# --- claims and results -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", range(4))
def test_a_run_whose_claim_or_result_finds_no_room_says_so_and_the_next_one_computes(disk: Disk, pages: int) -> None:
    ran = []

    @task(
        cache_policy=INPUTS,
        persist_result=True,
        single_flight=True,
        result_storage=LocalStorage(disk.path / "store"),
        result_serializer="json",
    )
    def work(x: int) -> str:
        ran.append(x)
        return f"{x}{BIG}"

    before = work(1)
    disk.fill(pages_left=pages)
    try:
        work(2)
    except StorageFullError as error:
        assert "No space left" in str(error)  # noqa: PT017  the last case may fit
    assert work(1) == before
    disk.free()
    assert work(2) == f"2{BIG}"
    assert ran[0] == 1
    assert ran.count(1) == 1
    assert not unfinished(disk)


# --- files.db ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", range(4))
def test_where_there_is_no_room_to_remember_files_they_are_read(
    full_home: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(_known_files, "is_worth_it", lambda _look: True)
    monkeypatch.setattr(_known_files.Look, "is_settled", lambda _look, _now: True)
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(300_000))
    full_home.fill(pages_left=pages)
    first = File(file).digest
    assert File(file).digest == first
    file.write_bytes(bytes(300_001))
    assert File(file).digest != first
    full_home.free()
    assert File(file).digest == File(file).digest


# --- state.db ---------------------------------------------------------------------------------------------------------


def test_what_processes_share_stays_as_it_was_where_there_is_no_room(full_home: Disk) -> None:
    shared = full_home.path / "home" / "state.db"
    write_variable("kept", '"before"', tags=[], overwrite=True)
    set_limit("slots", 2)
    assert try_lock(shared, "key", "me", None)
    full_home.fill()
    raised = 0
    for number in range(100):  # what the file has room for by itself, it takes
        try:
            write_variable(f"more {number}", f'"{BIG}"', tags=[], overwrite=True)
        except StorageFullError as error:
            assert "shared state" in str(error)  # noqa: PT017  counted below
            raised += 1
    assert raised
    assert read_variable("kept").value == "before"  # type: ignore[union-attr]
    assert [(limit.name, limit.slots) for limit in read_limits()] == [("slots", 2)]
    assert lock_holder(shared, "key") == "me"
    full_home.free()
    write_variable("kept", '"after"', tags=[], overwrite=True)
    assert read_variable("kept").value == "after"  # type: ignore[union-attr]


def test_where_there_is_no_room_for_the_file_itself_nothing_is_half_made(full_home: Disk) -> None:
    full_home.fill()
    with pytest.raises(StorageFullError, match="space"):
        write_variable("first", "1", tags=[], overwrite=True)
    assert read_variable("first") is None
    full_home.free()
    write_variable("first", "1", tags=[], overwrite=True)
    assert read_variable("first").value == 1  # type: ignore[union-attr]
