"""The victims: each of their two places of documents, with each of their two places of a keyring."""

import os
from pathlib import Path

import pytest

from entrepot import home
from entrepot.crypto.keyring import Keyring
from entrepot.storage import MemoryStorage, open_storage
from entrepot_test_attacks import Victim
from entrepot_test_sites import site

__all__ = ["home_victim", "shared_victim", "site", "victim"]


@pytest.fixture(autouse=True)
def _no_known_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "_rings", {})
    monkeypatch.setattr(home, "_providers", {})


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: what is attacked here is not what a power cut takes away, and there are hundreds of victims."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def _victim(place: str, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    documents, _, ring = place.partition(" and ")
    if documents == "a store in memory":
        url = f"memory://{tmp_path}"
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", url)
        storage = open_storage(url)
    elif documents == "a shared folder":
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path / "shared"))
        storage = open_storage(tmp_path / "shared")
    else:
        storage = open_storage(entrepot_home / "blocks")
    if ring == "a variable":
        monkeypatch.setenv("ENTREPOT_KEYRING", Keyring.generate().to_document().decode())
    victim = Victim(
        home=entrepot_home,
        storage=storage,
        ring_file=None if ring == "a variable" else entrepot_home / "keyring.json",
        marks=not isinstance(storage, MemoryStorage),
    )
    victim.settle_in()
    return victim


@pytest.fixture(params=["a folder and a file", "a store in memory and a variable"])
def victim(
    request: pytest.FixtureRequest, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Victim:
    """Somebody who keeps documents and keys in one of these pairs of places."""
    return _victim(request.param, entrepot_home, tmp_path, monkeypatch)


@pytest.fixture
def home_victim(entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    """Somebody who keeps all in the home, as it is without any setting."""
    return _victim("a folder and a file", entrepot_home, tmp_path, monkeypatch)


@pytest.fixture
def shared_victim(entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    """Somebody who saves their documents where others do."""
    return _victim("a shared folder and a file", entrepot_home, tmp_path, monkeypatch)
