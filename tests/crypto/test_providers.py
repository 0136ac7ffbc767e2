import base64
import errno
import os
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from entrepot.crypto.environment import EnvironmentKeyProvider
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.passphrase import PassphraseKeyProvider
from entrepot.crypto.providers import FileKeyProvider, open_keyring
from entrepot.errors import KeyringError, KeyringExistsError, KeyringMissingError, KeyringPermissionError
from entrepot_test_crypto import forms_of, materials_of
from entrepot_test_processes import said_at_once


def nothing() -> None:
    return None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "keyring.json"


@pytest.fixture
def kept(path: Path) -> Keyring:
    return open_keyring(FileKeyProvider(path), sealed_data=nothing)


class TestFirstNeed:
    def test_makes_a_private_file_in_a_private_folder(self, path: Path, kept: Keyring) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"], "no temporary file stays"
        assert path.read_bytes() == bytes(kept.to_document())
        assert kept.location == str(path)

    def test_an_open_umask_opens_nothing(self, path: Path) -> None:
        before = os.umask(0)
        try:
            open_keyring(FileKeyProvider(path), sealed_data=nothing)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_the_second_opening_reads_the_same_ring(self, path: Path, kept: Keyring) -> None:
        def never() -> str:
            pytest.fail("asked for sealed data although there is a keyring")

        assert open_keyring(FileKeyProvider(path), sealed_data=never).ring_id == kept.ring_id

    def test_with_sealed_data_about_no_key_is_made(self, path: Path) -> None:
        with pytest.raises(KeyringMissingError, match=r"secret/my-api-key.*no new keyring was made") as caught:
            open_keyring(FileKeyProvider(path), sealed_data=lambda: "block secret/my-api-key")
        assert caught.value.location == str(path)
        assert not path.exists()
        assert not path.parent.exists()

    def test_sealed_data_of_a_process_that_was_faster_is_no_reason_to_refuse(self, path: Path) -> None:
        def other_process_makes_ring_and_seals() -> str:
            open_keyring(FileKeyProvider(path), sealed_data=nothing)
            return "block secret/just-saved"

        ring = open_keyring(FileKeyProvider(path), sealed_data=other_process_makes_ring_and_seals)
        assert bytes(ring.to_document()) == path.read_bytes()

    def test_the_loser_of_a_race_uses_the_winners_ring(self, path: Path) -> None:
        winner = Keyring.generate()

        def other_process_is_faster() -> None:
            FileKeyProvider(path).create(winner.to_document())

        assert open_keyring(FileKeyProvider(path), sealed_data=other_process_is_faster).ring_id == winner.ring_id

    def test_eight_processes_at_once_get_one_ring(self, path: Path) -> None:
        script = (
            "import sys, time\n"
            "from entrepot.crypto.providers import FileKeyProvider, open_keyring\n"
            "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
            f"print(open_keyring(FileKeyProvider({str(path)!r}), sealed_data=lambda: None).ring_id)\n"
        )
        rings = set(said_at_once(*[("-c", script)] * 8))
        assert len(rings) == 1
        assert rings == {Keyring.from_document(path.read_bytes(), location="").ring_id}
        assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]

    def test_opening_a_keyring_does_not_load_the_cipher_library(self, path: Path) -> None:
        script = (
            "import sys\n"
            "import entrepot.crypto.sign\n"
            "from entrepot.crypto.providers import FileKeyProvider, open_keyring\n"
            f"open_keyring(FileKeyProvider({str(path)!r}), sealed_data=lambda: None)\n"
            "assert not {'cryptography', 'blake3', 'pydantic'} & set(sys.modules), sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


class TestRefusals:
    def test_the_command_is_quoted(self, tmp_path: Path) -> None:
        path = tmp_path / "my home; echo" / "keyring.json"
        open_keyring(FileKeyProvider(path), sealed_data=nothing)
        path.chmod(0o644)
        with pytest.raises(KeyringPermissionError, match="chmod 600 '/"):
            FileKeyProvider(path).read()

    def test_a_file_that_is_not_json_shows_nothing_of_itself(self, path: Path, kept: Keyring) -> None:
        document = path.read_bytes()
        path.write_bytes(document[:-2])
        with pytest.raises(KeyringError, match="not JSON") as caught:
            open_keyring(FileKeyProvider(path), sealed_data=nothing)
        ours = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours.stack.pop(0)  # this test's own frame
        text = "".join(ours.format())
        assert not [form for material in materials_of(document) for form in forms_of(material) if form in text]

    def test_a_file_in_clear_that_is_read_as_a_sealed_one_shows_nothing_of_itself(
        self, path: Path, kept: Keyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = path.read_bytes()
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "a passphrase of this test")
        provider = PassphraseKeyProvider(FileKeyProvider(path))
        for call in (provider.read, lambda: provider.replace(b"{}", old=b"{}")):
            with pytest.raises(KeyringError) as caught:
                call()
            ours = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            ours.stack.pop(0)  # this test's own frame
            text = "".join(ours.format())
            assert "content" in text
            assert not [form for material in materials_of(document) for form in forms_of(material) if form in text]
        assert path.read_bytes() == document

    def test_an_unreadable_place(self, path: Path) -> None:
        path.parent.write_text("a file where a folder should be")
        with pytest.raises(KeyringError, match="cannot be read"):
            FileKeyProvider(path).read()
        with pytest.raises(KeyringError):
            FileKeyProvider(path).create(b"")


class TestWriting:
    def test_create_does_not_replace(self, path: Path, kept: Keyring) -> None:
        with pytest.raises(KeyringExistsError):
            FileKeyProvider(path).create(Keyring.generate().to_document())
        assert path.read_bytes() == bytes(kept.to_document())
        assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]

    def test_replace_is_private_and_leaves_nothing_behind(self, path: Path, kept: Keyring) -> None:
        rotated = kept.with_new_primary("block")
        FileKeyProvider(path).replace(rotated.to_document(), old=kept.to_document())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert open_keyring(FileKeyProvider(path), sealed_data=nothing).epoch == 2
        assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]

    @pytest.mark.parametrize("call", ["fsync", "link", "replace"])
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPERM])
    def test_a_fault_leaves_the_old_or_nothing_and_shows_no_key(
        self, path: Path, kept: Keyring, monkeypatch: pytest.MonkeyPatch, call: str, number: int
    ) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, call, fail)
        monkeypatch.setattr(Path, "replace", fail if call == "replace" else Path.replace)
        document = kept.with_new_primary("block").to_document()
        before = path.read_bytes()
        provider = FileKeyProvider(path)
        if call != "link":
            with pytest.raises(KeyringError) as caught:
                provider.replace(document, old=kept.to_document())
            assert path.read_bytes() == before
        if call != "replace":
            path.unlink()
            with pytest.raises(KeyringError) as caught:
                provider.create(document)
            assert not path.exists()
        assert [entry.name for entry in path.parent.iterdir() if entry != path] == []
        ours = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours.stack.pop(0)  # this test's own frame
        text = "".join(ours.format())
        assert not [form for material in materials_of(document) for form in forms_of(material) if form in text]

    def test_a_file_system_without_links_says_what_to_do(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", fail)
        with pytest.raises(KeyringError, match="ENTREPOT_KEYRING"):
            open_keyring(FileKeyProvider(path), sealed_data=nothing)


class TestEnvironment:
    def test_the_document_itself_or_base64_of_it(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        document = bytes(ring.to_document())
        for value in (document.decode(), base64.b64encode(document).decode(), f"\n {document.decode()}\n"):
            monkeypatch.setenv("ENTREPOT_KEYRING", value)
            opened = open_keyring(EnvironmentKeyProvider(), sealed_data=nothing)
            assert bytes(opened.to_document()) == document
            assert opened.location == "$ENTREPOT_KEYRING"

    def test_another_variable(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTHER", bytes(ring.to_document()).decode())
        assert open_keyring(EnvironmentKeyProvider("OTHER"), sealed_data=nothing).ring_id == ring.ring_id

    @pytest.mark.parametrize("value", ["", "  "])
    def test_unset_it_makes_no_ring_that_would_be_lost(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("ENTREPOT_KEYRING", value)
        with pytest.raises(KeyringError, match="ENTREPOT_KEYRING cannot be written"):
            open_keyring(EnvironmentKeyProvider(), sealed_data=nothing)
        with pytest.raises(KeyringError):
            EnvironmentKeyProvider().replace(b"", old=b"")


class TestDurability:
    """Keys are on the disk, names and all, before anything is sealed under them."""

    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        real, log = os.fsync, list[str]()

        def logged(fd: int) -> None:
            real(fd)
            log.append(str(Path(f"/proc/self/fd/{fd}").readlink()))

        monkeypatch.setattr(os, "fsync", logged)
        return log

    def test_every_folder_that_is_made_is_private_and_durable_in_its_parent(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        before = os.umask(0)
        try:
            open_keyring(FileKeyProvider(tmp_path / "one" / "two" / "keyring.json"), sealed_data=nothing)
        finally:
            os.umask(before)
        for folder in (tmp_path, tmp_path / "one", tmp_path / "one" / "two"):
            assert str(folder) in synced
        for folder in (tmp_path / "one", tmp_path / "one" / "two"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_a_relative_place_does_too(
        self, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        open_keyring(FileKeyProvider("home/keyring.json"), sealed_data=nothing)
        assert str(tmp_path) in synced

    def test_a_keyring_whose_maker_died_before_its_sync_is_synced_once_by_its_first_reader(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
    ) -> None:
        logged = os.fsync

        def dying(fd: int) -> None:
            if path.exists():
                raise KeyboardInterrupt
            logged(fd)

        monkeypatch.setattr(os, "fsync", dying)
        with pytest.raises(KeyboardInterrupt):
            open_keyring(FileKeyProvider(path), sealed_data=nothing)
        monkeypatch.setattr(os, "fsync", logged)
        synced.clear()
        for _ in range(3):
            open_keyring(FileKeyProvider(path), sealed_data=nothing)
        assert synced[0] == str(path.parent)
        assert len(synced) == len(set(synced))  # with it, once, the folders above: its maker may have made them

    def test_who_is_told_that_there_is_one_can_rely_on_it(self, path: Path, kept: Keyring, synced: list[str]) -> None:
        again = path.with_name("again.json")
        again.write_bytes(path.read_bytes())
        synced.clear()
        with pytest.raises(KeyringExistsError):
            FileKeyProvider(again).create(bytes(kept.to_document()))
        assert synced[-1] == str(path.parent)

    @pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
    def test_a_sync_that_fails_is_an_error_unless_nothing_can_be_written_there(
        self, path: Path, kept: Keyring, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def fail(_: int) -> None:
            raise OSError(number, os.strerror(number))

        copy = path.with_name("copy.json")
        copy.touch(0o600)
        copy.write_bytes(path.read_bytes())
        monkeypatch.setattr(os, "fsync", fail)
        if number == errno.EROFS:
            assert open_keyring(FileKeyProvider(copy), sealed_data=nothing).ring_id == kept.ring_id
        else:
            with pytest.raises(KeyringError, match="cannot be made durable"):
                open_keyring(FileKeyProvider(copy), sealed_data=nothing)
