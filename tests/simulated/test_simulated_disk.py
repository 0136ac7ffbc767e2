"""The simulated disk finds what careless writers do wrong, and nothing wrong with careful ones."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot_test_disk import SECTOR, Crash, Died, Disk, lay_out

OLD = b"o" * 700
NEW = b"n" * 1200


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, data)
    if sync:
        os.fsync(descriptor)
    os.close(descriptor)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def careful(root: Path) -> None:
    write(root / "new", NEW)
    os.replace(root / "new", root / "file")  # noqa: PTH105  the call is what is looked at
    sync_folder(root)


def without_syncing_the_file(root: Path) -> None:
    write(root / "new", NEW, sync=False)
    os.replace(root / "new", root / "file")  # noqa: PTH105
    sync_folder(root)


def without_syncing_the_folder(root: Path) -> None:
    write(root / "new", NEW)
    os.replace(root / "new", root / "file")  # noqa: PTH105


def removing_first(root: Path) -> None:
    write(root / "new", NEW)
    os.unlink(root / "file")  # noqa: PTH108
    os.link(root / "new", root / "file")
    sync_folder(root)


def by_python(root: Path) -> None:
    with (root / "new").open("xb") as file:  # a call that nothing here can see
        file.write(NEW)
        file.flush()


def run(writer: Callable[[Path], None], root: Path) -> tuple[Disk, list[Crash]]:
    (root / "file").write_bytes(OLD)
    disk = Disk(root, most=1000)
    with disk.recording():
        writer(root)
        disk.say("done")
    return disk, list(disk.crashes())


def contents(crashes: list[Crash], *, said: bool) -> set[bytes | None]:
    return {dict(crash.tree).get("file") for crash in crashes if bool(crash.said) == said}


def test_a_careful_writer_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    _, crashes = run(careful, tmp_path)
    assert contents(crashes, said=False) == {OLD, NEW}
    assert contents(crashes, said=True) == {NEW}
    assert {dict(crash.tree).get("new") for crash in crashes} >= {None, b"", NEW[:SECTOR], bytes(len(NEW)), NEW}


def test_a_file_that_was_not_synced_is_torn_under_its_new_name(tmp_path: Path) -> None:
    _, crashes = run(without_syncing_the_file, tmp_path)
    assert contents(crashes, said=True) >= {b"", NEW[:SECTOR], bytes(len(NEW)), bytes(SECTOR) + NEW[SECTOR:], NEW}


def test_a_name_that_was_not_synced_may_be_lost_though_its_file_was(tmp_path: Path) -> None:
    _, crashes = run(without_syncing_the_folder, tmp_path)
    assert contents(crashes, said=True) == {OLD, NEW}
    # Renames may come half: the file has both of its names then, or neither.
    assert len({(dict(crash.tree).get("file"), dict(crash.tree).get("new")) for crash in crashes if crash.said}) == 4


def test_a_file_that_is_removed_before_its_successor_is_there_may_be_gone(tmp_path: Path) -> None:
    _, crashes = run(removing_first, tmp_path)
    assert contents(crashes, said=False) == {OLD, None, NEW}


def test_what_is_in_a_folder_is_lost_with_it_until_the_folder_above_is_synced(tmp_path: Path) -> None:
    def make(root: Path) -> None:
        os.mkdir(root / "inner")  # noqa: PTH102
        write(root / "inner" / "file", NEW)
        sync_folder(root / "inner")

    _, crashes = run(make, tmp_path)
    assert {dict(crash.tree).get("inner/file") for crash in crashes if crash.said} == {None, NEW}


def test_what_python_writes_by_itself_is_seen_where_it_can_be_and_nothing_unknown_is_let_through(
    tmp_path: Path,
) -> None:
    disk, _ = run(by_python, tmp_path)
    assert disk.calls == 0  # `open` of Python goes past `os`: who writes so is not watched, and syncs nothing
    with Disk(tmp_path, most=1).recording(), pytest.raises(AssertionError, match="teach it"):
        os.truncate(tmp_path / "file", 1)

    def by_descriptor(root: Path) -> None:
        descriptor = os.open(root / "file2", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(NEW)
            os.fsync(file.fileno())
        sync_folder(root)

    _, crashes = run(by_descriptor, tmp_path)
    assert {dict(crash.tree).get("file2") for crash in crashes if crash.said} == {NEW}
    assert {dict(crash.tree).get("file2") for crash in crashes} >= {None, b"", NEW[:SECTOR], NEW}


def test_a_process_that_died_does_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    disk = Disk(tmp_path, most=1000)
    disk.dies_at = 2
    with disk.recording(), pytest.raises(Died):
        careful(tmp_path)
    assert (tmp_path / "file").read_bytes() == OLD
    assert (tmp_path / "new").read_bytes() == NEW


def test_of_too_many_states_the_corners_are_among_those_that_are_drawn(tmp_path: Path) -> None:
    def many(root: Path) -> None:
        for number in range(30):
            write(root / f"{number}", NEW, sync=False)

    (tmp_path / "file").write_bytes(OLD)
    disk = Disk(tmp_path, most=300, seed=3)
    with disk.recording():
        many(tmp_path)
        disk.say("done")
    trees = [dict(crash.tree) for crash in disk.crashes() if crash.said]
    assert len(trees) >= 100
    assert {"file": OLD} in trees
    assert {"file": OLD, **{str(number): NEW for number in range(30)}} in trees


def test_a_state_is_laid_out_as_it_is(tmp_path: Path) -> None:
    _, crashes = run(careful, tmp_path)
    for crash in crashes:
        lay_out(crash.tree, tmp_path / "copy")
        there = {
            str(path.relative_to(tmp_path / "copy")): path.read_bytes() if path.is_file() else None
            for path in (tmp_path / "copy").rglob("*")
        }
        assert there == dict(crash.tree)
