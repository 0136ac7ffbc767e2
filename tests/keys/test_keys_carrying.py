"""Exports and imports: what a passphrase seals, and what comes of two copies of one keyring."""

import stat
from pathlib import Path

import pytest

from entrepot import home
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.passphrase import read_passphrase, why_weak
from entrepot.crypto.providers import FileKeyProvider
from entrepot.errors import KeyringError, KeyringExistsError
from entrepot.keys.carrying import export_ring, import_ring, open_export, write_export
from entrepot_test_crypto import forms_of, materials_of

GOOD = b"correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_passphrases")


def exported(folder: Path, ring: Keyring) -> Path:
    path = folder / "keys.sealed"
    write_export(path, export_ring(ring, GOOD))
    return path


class TestExport:
    def test_opens_with_its_passphrase_and_shows_no_key(self, tmp_path: Path) -> None:
        ring = Keyring.generate().with_staged("block")
        path = exported(tmp_path, ring)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert bytes(open_export(path, lambda: GOOD).to_document()) == bytes(ring.to_document())
        text = path.read_text()
        document = bytes(ring.to_document())
        assert not [form for material in materials_of(document) for form in forms_of(material) if form in text]
        assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []

    @pytest.mark.parametrize("weak", [b"", b"   ", b"short", b"12345678901", b"abababababababab"])
    def test_a_weak_passphrase_seals_nothing(self, weak: bytes) -> None:
        assert why_weak(weak)
        with pytest.raises(KeyringError, match="is not taken") as caught:
            export_ring(Keyring.generate(), weak)
        assert not weak.strip() or weak.decode() not in str(caught.value)

    def test_a_good_one_is_not_weak(self) -> None:
        assert why_weak(GOOD) == ""
        assert why_weak("пароль-для-ключей".encode()) == ""

    def test_no_file_is_written_over(self, tmp_path: Path) -> None:
        path = exported(tmp_path, Keyring.generate())
        before = path.read_bytes()
        with pytest.raises(KeyringExistsError):
            write_export(path, b"other")
        assert path.read_bytes() == before
        with pytest.raises(KeyringError, match="cannot be written"):
            write_export(tmp_path / "absent" / "file", b"other")


class TestPassphraseFile:
    @pytest.mark.parametrize("content", [b"my passphrase", b"my passphrase\n", b"my passphrase\r\n"])
    def test_a_line_end_is_none_of_it(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        assert read_passphrase(tmp_path / "file") == b"my passphrase"

    @pytest.mark.parametrize("content", [b"two\nlines\n", b"x" * 5000])
    def test_what_is_no_line_is_refused_and_not_shown(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(KeyringError, match="holds no passphrase") as caught:
            read_passphrase(tmp_path / "file")
        assert "lines" not in str(caught.value)

    def test_an_absent_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyringError, match="absent"):
            read_passphrase(tmp_path / "absent")


class TestImport:
    @pytest.fixture
    def provider(self, tmp_path: Path) -> FileKeyProvider:
        return FileKeyProvider(tmp_path / "home" / "keyring.json")

    def kept(self, provider: FileKeyProvider) -> Keyring:
        return Keyring.from_document(provider.read() or b"", location="here")

    def test_where_there_is_none_it_is_kept(self, provider: FileKeyProvider) -> None:
        ring = Keyring.generate()
        done = import_ring(provider, ring)
        assert done.is_new
        assert bytes(self.kept(provider).to_document()) == bytes(ring.to_document())

    def test_a_newer_copy_is_taken_over_with_its_primary_keys(self, provider: FileKeyProvider) -> None:
        ours = Keyring.generate()
        provider.create(ours.to_document())
        theirs = ours.with_new_primary("block").with_state(ours.primary("block").id, "disabled")
        done = import_ring(provider, theirs)
        ring = self.kept(provider)
        assert done.added == (theirs.primary("block").id,)
        assert ring.primary("block").id == theirs.primary("block").id
        assert [key.state for key in ring.all_keys() if key.id == ours.primary("block").id] == ["disabled"]
        assert ring.epoch == theirs.epoch

    def test_the_same_or_an_older_copy_changes_nothing(self, provider: FileKeyProvider) -> None:
        older = Keyring.generate()
        ours = older.with_new_primary("block")
        provider.create(ours.to_document())
        for copy in (older, ours):
            done = import_ring(provider, copy)
            assert done.added == ()
            assert bytes(self.kept(provider).to_document()) == bytes(ours.to_document())

    def test_copies_that_went_apart_are_merged_and_keep_what_is_primary_here(self, provider: FileKeyProvider) -> None:
        common = Keyring.generate()
        ours = common.with_new_primary("block")
        theirs = common.with_new_primary("block").with_new_primary("block")
        provider.create(ours.to_document())
        done = import_ring(provider, theirs)
        ring = self.kept(provider)
        assert ring.primary("block").id == ours.primary("block").id
        assert {key.id for key in ring.all_keys()} == {key.id for key in (*ours.all_keys(), *theirs.all_keys())}
        assert ring.epoch == 3
        assert "stays as it is here" in done.notes[0]

    def test_a_key_that_was_destroyed_there_keeps_its_material_here(self, provider: FileKeyProvider) -> None:
        ours = Keyring.generate()
        old = ours.primary("block").id
        provider.create(ours.to_document())
        theirs = ours.with_new_primary("block").with_state(old, "destroyed")
        done = import_ring(provider, theirs)
        (key,) = [key for key in self.kept(provider).all_keys() if key.id == old]
        assert key.state == "disabled"
        assert key.material is not None
        assert old in done.notes[0]

    def test_a_key_that_was_destroyed_here_does_not_come_back(self, provider: FileKeyProvider) -> None:
        first = Keyring.generate()
        old = first.primary("block").id
        rotated = first.with_new_primary("block")
        ours = rotated.with_state(old, "destroyed")
        provider.create(ours.to_document())
        later = rotated.with_staged("result").with_staged("result").with_staged("result")
        import_ring(provider, later)
        ring = self.kept(provider)
        assert [key.state for key in ring.all_keys() if key.id == old] == ["destroyed"]
        import_ring(provider, first.with_staged("block"))
        assert [key.state for key in self.kept(provider).all_keys() if key.id == old] == ["destroyed"]

    def test_a_copy_whose_primary_key_was_destroyed_here_gives_its_keys_only(self, provider: FileKeyProvider) -> None:
        first = Keyring.generate()
        ours = first.with_new_primary("block").with_state(first.primary("block").id, "destroyed")
        provider.create(ours.to_document())
        theirs = first
        for key in [key for key in ours.all_keys() if key.id not in {k.id for k in first.all_keys()}]:
            theirs = Keyring(
                ring_id=first.ring_id,
                epoch=9,
                keys=[*first.all_keys(), key],
                primary={"block": first.primary("block").id, "result": first.primary("result").id},
            )
        import_ring(provider, theirs)
        assert self.kept(provider).primary("block").id == ours.primary("block").id


def test_a_lost_keyring_comes_back_from_an_export(entrepot_home: Path, tmp_path: Path) -> None:
    Secret(value="sesame").save("one")
    path = exported(tmp_path, home.ring())
    (entrepot_home / "keyring.json").unlink()
    import_ring(home.key_provider(), open_export(path, lambda: GOOD))
    assert Secret.load("one").get() == "sesame"
