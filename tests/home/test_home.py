"""What lives under ENTREPOT_HOME, and when a keyring is made there."""

import os
import traceback
from pathlib import Path

import pytest

from entrepot import home, task
from entrepot.errors import KeyringError


def keep(folder: Path) -> None:
    task(result_storage=folder)(lambda: 1)()


class TestKeyring:
    def test_is_made_on_first_need_for_its_owner_only(self, entrepot_home: Path) -> None:
        ring = home.ring()
        assert (entrepot_home / "keyring.json").stat().st_mode & 0o777 == 0o600
        assert entrepot_home.stat().st_mode & 0o777 == 0o700
        assert home.ring() is ring

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


def test_the_home_of_a_test_stays_when_its_patches_are_undone(
    entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "elsewhere")
    monkeypatch.undo()
    assert home.home_path() == entrepot_home
    assert [name for name in os.environ if name.startswith("ENTREPOT_")] == ["ENTREPOT_HOME"]
