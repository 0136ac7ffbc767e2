"""A load reads the settings once, and each load anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot import settings
from entrepot.blocks import Block, Secret, use_documents
from entrepot.blocks.shared import documents_at

LOADS: dict[str, Callable[[], Block]] = {
    "by its class": lambda: Secret.load("x"),
    "by type and name": lambda: Block.load("secret/x"),
    "by its name alone": lambda: Block.load("x"),
    "a version": lambda: Secret.load("x", version=1),
    "of a store": lambda: Secret.load("x", store="local"),
}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the settings were read, as a list that grows."""
    found: list[int] = []
    read = settings.current

    def counted() -> settings.Settings:
        found.append(1)
        return read()

    monkeypatch.setattr(settings, "current", counted)
    return found


@pytest.mark.parametrize("way", LOADS)
def test_a_load_of_ones_own_reads_the_settings_once(way: str, looks: list[int]) -> None:
    Secret(value="x").save("x")
    looks.clear()
    assert LOADS[way]() == Secret(value="x")
    assert len(looks) == 1


def test_so_does_a_load_of_the_teams_and_of_the_environment_and_a_look_whether_there_is_one(
    looks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with use_documents(documents_at(str(tmp_path / "team"), settings.current())):
        Secret(value="team").save("x")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(tmp_path / "team"))
    looks.clear()
    assert Secret.load("x").get() == "team"
    assert len(looks) == 1
    looks.clear()
    assert Secret.exists("x")
    assert not Secret.exists("y")
    assert len(looks) == 2
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", '{"value": "environment"}')
    looks.clear()
    assert Secret.load("x").get() == "environment"
    assert len(looks) == 1


def test_what_changes_between_two_loads_counts_for_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Secret(value="home").save("x")
    keyring = (settings.current().home / "keyring.json").read_bytes()
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path / "store"))
    Secret(value="store").save("x")
    assert Secret.load("x").get() == "store"
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    assert Secret.load("x").get() == "home"
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "another"))
    Secret(value="another").save("x")
    assert Secret.load("x").get() == "another"
    assert (tmp_path / "another" / "keyring.json").read_bytes() != keyring, "and the keyring of that home"
    settings.set_value("blocks_team", str(tmp_path / "store"))
    (tmp_path / "another" / "keyring.json").write_bytes(keyring)
    assert Secret.load("x").get() == "store"
