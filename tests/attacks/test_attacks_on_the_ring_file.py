"""Another user of the machine, or an accident: the keyring's file is deleted, opened up, replaced by something else."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot import home, task
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.errors import KeyringError, KeyringMissingError, KeyringPermissionError
from entrepot_test_attacks import TREASURES, Victim, refused

LOAD = "from entrepot.blocks.system import Secret; print(Secret.load('a').get())"


def in_a_new_process(script: str = LOAD) -> str:
    """Return what a program says that starts now; it ends by itself, whatever it finds."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout + done.stderr


@contextmanager
def without_ring(victim: Victim) -> Iterator[Path]:
    """Take the keyring away, and put it back as it was: before and after all is well."""
    path = victim.home / "keyring.json"
    aside = victim.home.parent / "aside.json"
    victim.lives_well()
    before = victim.objects()
    path.rename(aside)
    yield path
    assert victim.objects() == before, "nothing is saved or removed without keys"
    aside.rename(path)
    victim.starts_anew()
    victim.lives_well()


def test_attack_38_the_ring_is_deleted_while_blocks_need_it(home_victim: Victim) -> None:
    says = (
        r"sealed data that needs it: (secret|string)/.*bring it from an export .*from a backup.*no new keyring was made"
    )
    with without_ring(home_victim) as path:
        for start in (lambda: None, home_victim.starts_anew):
            start()
            for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new"), home.ring):
                with refused(KeyringMissingError, says):
                    use()
        said = in_a_new_process()
        assert "KeyringMissingError" in said
        assert "no new keyring was made" in said
        assert Secret.names() == ["a", "b"], "names need no key"
        assert not path.exists()
    assert in_a_new_process().strip() == TREASURES[1]


@pytest.mark.parametrize("place", ["home", "path", "url", "link"])
def test_attack_38_the_ring_is_deleted_while_other_data_needs_it(
    place: str, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    if place == "link":
        Secret(value="x").save("a")
        shutil.move(entrepot_home / "blocks" / "secret", elsewhere)
        (entrepot_home / "blocks" / "secret").symlink_to(elsewhere)
    else:
        if place != "home":
            monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", f"file://{elsewhere}" if place == "url" else str(elsewhere))
        assert task(persist_result=True)(lambda: 1)() == 1
    ring = (entrepot_home / "keyring.json").read_bytes()
    (entrepot_home / "keyring.json").unlink()
    with refused(KeyringMissingError, "sealed data that needs it: (records|secret)"):
        home.ring()
    assert not (entrepot_home / "keyring.json").exists()
    (entrepot_home / "keyring.json").touch(0o600)
    (entrepot_home / "keyring.json").write_bytes(ring)
    assert bytes(home.ring().to_document()) == ring


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o611, 0o666])
def test_attack_39_the_ring_is_opened_up_to_others(home_victim: Victim, mode: int) -> None:
    path = home_victim.home / "keyring.json"
    home_victim.lives_well()
    path.chmod(mode)
    for start in (lambda: None, home_victim.starts_anew):
        start()
        for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new")):
            with refused(KeyringPermissionError, rf"mode {mode:04o}, .*others .*run: chmod 600 {path}"):
                use()
    if mode == 0o644:
        assert f"chmod 600 {path}" in in_a_new_process()
    assert stat.S_IMODE(path.stat().st_mode) == mode, "it is not put right in silence: somebody may have read it"
    path.chmod(0o400)
    home_victim.lives_well()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_attack_40_the_rings_folder_is_opened_up_to_others(home_victim: Victim, mode: int) -> None:
    folder = home_victim.home
    folder.chmod(mode)
    home_victim.starts_anew()
    with refused(KeyringPermissionError, rf"others can put their own keyring in its place.*run: chmod 700 {folder}"):
        Secret.load("a")
    with refused(KeyringPermissionError, "chmod 700"):
        home.key_provider().replace(b"", old=b"")
    aside = folder.parent / "aside.json"
    (folder / "keyring.json").rename(aside)
    with refused(KeyringPermissionError, "chmod 700"):
        home.key_provider().create(aside.read_bytes())
    assert not (folder / "keyring.json").exists(), "no keyring is made where others can change it"
    aside.rename(folder / "keyring.json")
    folder.chmod(0o700)
    home_victim.lives_well()


def test_attack_41_the_ring_is_a_symbolic_link(home_victim: Victim, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.json"
    theirs.touch(0o600)
    theirs.write_bytes(Keyring.generate().to_document())
    for target in (theirs, home_victim.home.parent / "aside.json", tmp_path / "nowhere"):
        with without_ring(home_victim) as path:
            path.symlink_to(target)
            for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new")):
                with refused(KeyringPermissionError, "is a symbolic link; put the file itself there"):
                    use()
            with pytest.raises(KeyringError, match=r"there is a keyring at .* already"):
                home.key_provider().create(b"{}")
            assert not (tmp_path / "nowhere").exists(), "nothing is written through it"
            path.unlink()
    shutil.move(home_victim.home, tmp_path / "moved")
    home_victim.home.symlink_to(tmp_path / "moved")  # a home that is a link is its owner's choice
    home_victim.starts_anew()
    home_victim.lives_well()


def test_attack_42_the_ring_is_no_file(home_victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not hang either: the new process ends by itself."""

    def listen(path: Path) -> None:
        monkeypatch.chdir(path.parent)  # such a name has to be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)

    kinds: list[tuple[Callable[[Path], object], type[KeyringError], str]] = [
        (lambda path: os.mkfifo(path, 0o600), KeyringPermissionError, "is not a plain file; move it away"),
        (lambda path: path.mkdir(0o700), KeyringPermissionError, "is not a plain file; move it away"),
        (listen, KeyringError, "cannot be read: No such device or address"),
    ]
    for make, kind, says in kinds:
        with without_ring(home_victim) as path:
            make(path)
            with refused(kind, says):
                Secret.load("a")
            if stat.S_ISFIFO(path.stat().st_mode):
                assert says in in_a_new_process()
            (Path.rmdir if path.is_dir() else Path.unlink)(path)


def test_attack_43_the_ring_is_empty_or_without_end(home_victim: Victim) -> None:
    for size, says in ((0, "it is not JSON; restore it from a backup"), (1 << 40, "it is something else; restore it")):
        with without_ring(home_victim) as path:
            path.touch(0o600)
            os.truncate(path, size)
            for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new")):
                with refused(KeyringError, says):
                    use()
            assert path.stat().st_size == size, "it is refused, not replaced"
            path.unlink()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_attack_44_the_ring_belongs_to_somebody_else(
    home_victim: Victim, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home_victim.home / "keyring.json" if what == "file" else home_victim.home
    home_victim.starts_anew()
    with monkeypatch.context() as patched:
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
        else:  # only root can give a file away
            patched.setattr(os, "geteuid", lambda: 12345)
        for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new")):
            with refused(KeyringPermissionError, "belongs to user .*run as its owner, or set ENTREPOT_HOME to"):
                use()
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    home_victim.lives_well()


def test_attack_45_the_ring_has_a_second_name(home_victim: Victim, tmp_path: Path) -> None:
    """A rotation writes a new file: what the other name leads to gets no new key."""
    link = tmp_path / "second-name.json"
    os.link(home_victim.home / "keyring.json", link)
    before = link.read_bytes()
    changed = home.ring().with_new_primary("block")
    home.key_provider().replace(changed.to_document(), old=before)
    assert link.read_bytes() == before
    assert home.ring().epoch == changed.epoch
    home_victim.lives_well()
