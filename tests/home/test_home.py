"""What lives under ENTREPOT_HOME, and when a keyring is made there."""

import os
import shutil
import traceback
from pathlib import Path

import pytest

from entrepot import home, task
from entrepot.blocks.system import Secret
from entrepot.errors import KeyringError, KeyringMissingError, KeyringPermissionError


def keep(folder: Path) -> None:
    task(result_storage=folder)(lambda: 1)()


class TestKeyring:
    def test_is_made_on_first_need_for_its_owner_only(self, entrepot_home: Path) -> None:
        ring = home.ring()
        assert (entrepot_home / "keyring.json").stat().st_mode & 0o777 == 0o600
        assert entrepot_home.stat().st_mode & 0o777 == 0o700
        assert home.ring() is ring

    def test_is_not_made_anew_while_blocks_are_there(self, entrepot_home: Path) -> None:
        Secret(value="hunter2").save("key")
        (entrepot_home / "keyring.json").unlink()
        with pytest.raises(KeyringMissingError, match="secret/key"):
            Secret.load("key")
        with pytest.raises(KeyringMissingError):
            Secret(value="other").save("other")
        assert not (entrepot_home / "keyring.json").exists()

    def test_is_not_made_anew_while_blocks_lie_behind_a_link(self, entrepot_home: Path, tmp_path: Path) -> None:
        Secret(value="hunter2").save("key")
        shutil.move(entrepot_home / "blocks" / "secret", tmp_path / "elsewhere")
        (entrepot_home / "blocks" / "secret").symlink_to(tmp_path / "elsewhere")
        (entrepot_home / "keyring.json").unlink()
        with pytest.raises(KeyringMissingError):
            home.ring()

    @pytest.mark.parametrize("url", [True, False], ids=["url", "path"])
    def test_is_not_made_anew_while_results_are_there(
        self, *, url: bool, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "results"
        keep(folder)
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", f"file://{folder}" if url else str(folder))
        (entrepot_home / "keyring.json").unlink()
        with pytest.raises(KeyringMissingError, match="records"):
            home.ring()

    def test_is_read_again_when_it_was_opened_up_to_others(self, entrepot_home: Path) -> None:
        home.ring()
        (entrepot_home / "keyring.json").chmod(0o644)
        with pytest.raises(KeyringPermissionError, match="chmod"):
            home.ring()

    def test_from_a_variable_never_stands_in_a_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        document = home.ring().to_document().decode()
        monkeypatch.setenv("ENTREPOT_KEYRING", document)
        home.ring()
        assert os.environ["ENTREPOT_KEYRING"] not in repr(vars(home))
        monkeypatch.setenv("ENTREPOT_KEYRING", document.replace('"epoch": 1', '"epoch": 0'))
        with pytest.raises(KeyringError) as raised:
            home.ring()
        error = raised.value
        ours = error.__traceback__ and error.__traceback__.tb_next  # this test's own frame holds the document
        shown = "".join(traceback.TracebackException(type(error), error, ours, capture_locals=True).format())
        material = document.partition('"raw": "')[2].partition('"')[0]
        assert len(material) > 20
        assert material not in shown
