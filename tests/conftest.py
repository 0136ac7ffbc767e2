"""What every test gets: a home of its own, and the servers for those that ask."""

import os
from pathlib import Path

import pytest

from entrepot._secrets import forget_secrets

pytest_plugins = ["entrepot_test_processes", "entrepot_test_servers"]


@pytest.fixture(autouse=True)
def entrepot_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point ENTREPOT_HOME at an empty folder, and forget every other ENTREPOT_ variable of the machine."""
    for name in [name for name in os.environ if name.startswith("ENTREPOT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "entrepot-home"
    monkeypatch.setenv("ENTREPOT_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_known_secrets() -> None:
    """Forget the secrets of other tests: what is a secret there is a common word here."""
    forget_secrets()
