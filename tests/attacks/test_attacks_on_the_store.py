"""Who can write the folder of documents: links, pipes and folders in the place of files."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot import home
from entrepot.blocks.documents import default_documents
from entrepot.blocks.system import Secret, String
from entrepot.errors import IntegrityError, StorageError
from entrepot.keys import rotating
from entrepot_test_attacks import TREASURES, Victim, path_of, refused

A2, A3 = path_of("secret", "a", 2), path_of("secret", "a", 3)
TAKEN_AWAY = "version 2 of the block secret/a was seen from here.*newer versions were taken away"


@contextmanager
def aside(victim: Victim, path: str) -> Iterator[Path]:
    """Move something of the store away, and back: before and after all is well."""
    victim.lives_well()
    there, away = victim.home / "blocks" / path, victim.home.parent / "aside"
    there.rename(away)
    yield there
    if there.is_symlink() or not there.is_dir():
        there.unlink()
    else:
        there.rmdir()
    away.rename(there)
    victim.lives_well()


def save() -> int:
    return Secret(value="next").save("a", overwrite=True).version


def test_attack_61_a_document_is_a_symbolic_link(home_victim: Victim, tmp_path: Path) -> None:
    other = home_victim.home / "blocks" / path_of("secret", "b", 1)
    targets = (home_victim.home.parent / "aside", other, tmp_path / "nowhere", Path("/dev/zero"), Path("/etc/passwd"))
    for target in targets:
        with aside(home_victim, A2) as path:
            path.symlink_to(target)
            with refused(IntegrityError, TAKEN_AWAY):
                Secret.load("a")
        planted = home_victim.home / "blocks" / A3
        planted.symlink_to(target)
        home_victim.lives_well()
        with refused(StorageError, "a symbolic link, and links inside a store are not followed"):
            save()
        planted.unlink()
    assert not (tmp_path / "nowhere").exists(), "nothing is written through it"
    assert save() == 3


def test_attack_62_a_document_is_a_pipe_a_folder_or_a_socket(
    home_victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen(path: Path) -> None:
        monkeypatch.chdir(path.parent)  # such a name has to be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)

    makes: tuple[Callable[[Path], object], ...] = (os.mkfifo, Path.mkdir, listen)
    for make in makes:
        with aside(home_victim, A2) as path:
            make(path)
            with refused(IntegrityError, TAKEN_AWAY):
                Secret.load("a")
        planted = home_victim.home / "blocks" / A3
        make(planted)
        home_victim.lives_well()
        with refused(StorageError, f"cannot (read|write) '{A3}' in "):
            save()
        (Path.rmdir if planted.is_dir() else Path.unlink)(planted)
    assert save() == 3


def test_attack_63_a_folder_of_documents_is_a_symbolic_link(home_victim: Victim, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(home_victim.home / "blocks" / "secret" / "a", theirs / "a")
    own = home_victim.home / "blocks/secret"
    for path, target in (("secret/a", theirs / "a"), ("secret", theirs), ("secret/a", own)):
        with aside(home_victim, path) as there:
            there.symlink_to(target)
            for use in (lambda: Secret.load("a"), save, lambda: Secret.delete("a")):
                with refused(StorageError, "a symbolic link, and links inside a store are not followed: put the"):
                    use()
            if path == "secret/a":
                assert Secret.load("b").get() == TREASURES[2]
            assert String.load("a").value == "text"
    assert len(list((theirs / "a").iterdir())) == 2, "nothing is written through it"
    blocks = home_victim.home / "blocks"
    blocks.rename(tmp_path / "disk")
    blocks.symlink_to(tmp_path / "disk")  # the root of a store may be a link: that is its owner's choice
    home_victim.lives_well()


def test_attack_64_documents_are_opened_up_to_others_or_have_second_names(home_victim: Victim) -> None:
    """What lies open is ciphertext, and stays evidence of every change; a second name is another place."""
    blocks = home_victim.home / "blocks"
    for path in (blocks, *blocks.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    home_victim.lives_well()
    with aside(home_victim, A2) as path:
        os.link(blocks / path_of("secret", "b", 1), path)
        with refused(IntegrityError, "version 2 of the block secret/a .*does not verify"):
            Secret.load("a")
    linked = home_victim.home.parent / "second-name"
    os.link(blocks / A2, linked)
    before = linked.read_bytes()
    rotating.stage(home.key_provider(), ["block"])
    rotating.promote(home.key_provider(), ["block"])
    assert rotating.rewrap(default_documents()).problems == {}
    assert linked.read_bytes() == before, "what the other name leads to is not written"
    assert (blocks / A2).read_bytes() != before
    home_victim.lives_well()
