"""`LocalFileSystem`: a folder on this machine."""

from pathlib import Path

import pytest

from entrepot import errors
from entrepot.filesystems import LocalFileSystem


def test_reads_what_it_wrote_below_its_folder(tmp_path: Path) -> None:
    block = LocalFileSystem(basepath=tmp_path / "kept")
    assert block.write_path("a/b.bin", b"\0bytes") == "a/b.bin"
    assert block.write_path("c.txt", "t\u00e4xt") == "c.txt"
    assert (tmp_path / "kept" / "a" / "b.bin").read_bytes() == b"\0bytes"
    assert block.read_path("a/b.bin") == b"\0bytes"
    assert block.read_path("c.txt") == "t\u00e4xt".encode()
    assert block.list_paths() == ["a/b.bin", "c.txt"]
    assert block.list_paths("a") == ["a/b.bin"]
    assert block.list_paths("nothing") == []


def test_takes_its_folder_as_text(tmp_path: Path) -> None:
    LocalFileSystem(basepath=str(tmp_path)).write_path("x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_knows_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    LocalFileSystem(basepath="~/kept").write_path("x", b"1")
    assert (tmp_path / "kept" / "x").read_bytes() == b"1"


def test_without_a_folder_uses_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LocalFileSystem().write_path("x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a\0b", "a\\b"])
def test_never_leaves_its_folder(tmp_path: Path, path: str) -> None:
    block = LocalFileSystem(basepath=tmp_path / "kept")
    with pytest.raises(errors.InvalidPathError):
        block.write_path(path, b"1")
    with pytest.raises(errors.InvalidPathError):
        block.read_path(path)
    assert [*tmp_path.iterdir()] == [] or [*tmp_path.rglob("x")] == []


def test_an_absent_object_is_an_error_of_our_tree(tmp_path: Path) -> None:
    with pytest.raises(errors.ObjectNotFoundError):
        LocalFileSystem(basepath=tmp_path).read_path("nothing")


def test_check_leaves_nothing_behind_and_says_what_works(tmp_path: Path) -> None:
    found = LocalFileSystem(basepath=tmp_path / "kept").check()
    assert found.creates_exclusively
    assert found.seconds < 10
    assert str(tmp_path) in found.location
    assert "wrote, read and deleted an object" in str(found)
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []


def test_check_says_why_a_folder_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match="file"):
        LocalFileSystem(basepath=tmp_path / "file").check()
