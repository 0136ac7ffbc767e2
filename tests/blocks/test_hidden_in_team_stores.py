"""A block that somebody hid in a team's store is not answered by another place, by whatever way it is asked for."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot import settings
from entrepot.blocks import JSON, Block, Secret
from entrepot.blocks.history import diff, stored
from entrepot.blocks.stores import stores
from entrepot.blocks.teams import where
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockNotFoundError,
    EntrepotError,
    IntegrityError,
    StorageUnreachableError,
)
from entrepot.filesystems import LocalFileSystem
from entrepot.filesystems.base import StorageBlock

WAYS: dict[str, Callable[[], object]] = {
    "load": lambda: Secret.load("x"),
    "load by type and name": lambda: Block.load("secret/x"),
    "load by name alone": lambda: Block.load("x"),
    "aload": lambda: asyncio.run(Block.aload("x")),
    "load a version": lambda: Secret.load("x", version=1),
    "load a version by name alone": lambda: Block.load("x", version=1),
    "history": lambda: Secret.history("x"),
    "history by name alone": lambda: Block.history("x"),
    "rollback": lambda: Secret.rollback("x", 1),
    "delete": lambda: Secret.delete("x"),
    "delete by name alone": lambda: Block.delete("x"),
    "show": lambda: stored("x"),
    "diff": lambda: diff("secret/x"),
}


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put `secret/x` into a team's store in two versions, which are seen from here, and another one into one's own."""
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path / "team"))
    for value in ("one", "two"):
        Secret(value=value).save("x", overwrite=True)
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    for value in ("my one", "my two"):
        Secret(value=value).save("x", overwrite=True)
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(tmp_path / "team"))
    assert Block.load("x").get() == "two"
    return tmp_path / "team"


@pytest.mark.parametrize("way", WAYS)
def test_what_was_taken_away_is_not_passed_over(way: str, team: Path) -> None:
    for version in (team / "secret/x").iterdir():
        version.unlink()
    with pytest.raises(EntrepotError, match="version 2 of it was seen from here: it was taken away since") as raised:
        WAYS[way]()
    assert "store='local', or --store local" in "".join(raised.value.__notes__)
    assert Secret.load("x", store="local").get() == "my two"
    assert Secret.exists("x")
    assert Block.exists("x")
    assert where("x")[1].blocks == ("secret/x",)


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_is_not_mounted_is_an_outage_and_no_empty_store(way: str, team: Path) -> None:
    team.rename(team.with_name("elsewhere"))
    with pytest.raises(StorageUnreachableError, match=r"team is not there, and block documents .* mount what it is on"):
        WAYS[way]()
    with pytest.raises(StorageUnreachableError):
        Secret.load("never-seen")  # what another place has under that name is not taken for it
    assert Secret.load("x", store="local").get() == "my two"
    assert not team.exists()
    team.with_name("elsewhere").rename(team)
    assert Block.load("x").get() == "two"


def test_saving_makes_no_folder_in_the_place_of_one_that_is_not_mounted(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(team))
    team.rename(team.with_name("elsewhere"))
    with pytest.raises(StorageUnreachableError):
        Secret(value="three").save("x", overwrite=True)
    assert not team.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_new_here", [False, True], ids=["seen before", "a new machine"])
def test_a_planted_tombstone_hides_nothing(
    way: str,
    is_new_here: bool,  # noqa: FBT001  a parameter of the test
    team: Path,
) -> None:
    (team / "secret/x/00000003.deleted.json").write_bytes(b"{}")
    if is_new_here:
        (settings.current().home / "seen").rename(team.parent / "not seen")
    with pytest.raises(IntegrityError, match=r"version 3 of the block secret/x .*does not verify"):
        WAYS[way]()
    assert Secret.load("x", store="local").get() == "my two"


@pytest.mark.parametrize("way", ["load", "load by name alone", "load a version", "history", "show"])
def test_what_the_team_deleted_is_passed_over(way: str, team: Path) -> None:
    assert team.is_dir()
    Secret.delete("x", store="team")
    assert WAYS[way]() is not None
    assert Block.load("x").get() == "my two"
    assert Block.load("x", version=1).get() == "my one"


def test_a_hidden_block_and_another_of_its_name_are_told_apart_by_who_asks(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(team))
    JSON(value=1).save("x")
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    (team / "secret/x/00000003.deleted.json").write_bytes(b"{}")
    with pytest.raises(AmbiguousBlockNameError, match="json/x, secret/x"):
        Block.load("x")
    assert JSON.load("x").value == 1


def test_what_is_hidden_is_of_no_account_to_who_asks_for_other_types(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (team / "secret/x/00000003.deleted.json").write_bytes(b"{}")
    LocalFileSystem(basepath="/data").save("x")
    assert StorageBlock.load("x", version=1).basepath == Path("/data")
    assert StorageBlock.load("x").basepath == Path("/data")


def test_the_teams_store_is_the_same_however_it_is_spelled(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", f"file://{team}/")
    assert [place.kind for place in stores("team")] == ["team"]
    assert Secret.load("x", store="team").get() == "two"
    with pytest.raises(BlockNotFoundError):
        Secret.load("y", store="team")
