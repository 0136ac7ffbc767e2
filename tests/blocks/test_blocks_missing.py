"""What a load says of a block that is not there: where it was looked for, in order, and what became of it."""

import re
from pathlib import Path

import pytest

from entrepot.blocks import JSON, Block, Secret, String, use_documents
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.shared import documents_at
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockNotFoundError, IntegrityError
from entrepot.settings import current

WHEN = r"on \d{4}-\d\d-\d\d \d\d:\d\d UTC"


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlockDocuments:
    """The documents that the setting `blocks_team` names, with `secret/gone`, which a colleague has deleted."""
    folder = tmp_path / "team"
    documents = documents_at(str(folder), current(), foreign=True)
    monkeypatch.setenv("LOGNAME", "ada")
    with use_documents(documents):
        Secret(value="x").save("gone")
        Secret.delete("gone")
    monkeypatch.setenv("LOGNAME", "me")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    return documents


def said_of(cls: type[Block], name: str) -> str:
    with pytest.raises(BlockNotFoundError) as caught:
        cls.load(name)
    return str(caught.value)


@pytest.mark.parametrize(("cls", "name"), [(Secret, "gone"), (Block, "secret/gone"), (Block, "gone")])
def test_says_first_that_the_team_has_deleted_it_when_and_who(
    cls: type[Block], name: str, team: BlockDocuments, entrepot_home: Path
) -> None:
    said = said_of(cls, name)
    first, second = said.split("; and no ")
    assert re.match(rf"no .*'gone' in {re.escape(team.store.location)}; ", first)
    assert re.search(f"; (it|secret/gone) was deleted there {WHEN} by ada on ", first)
    assert "save it again" in first
    assert f"in {entrepot_home / 'blocks'}; none is saved there" in second
    assert said.count("was deleted") == 1


def test_a_name_that_the_team_never_had_is_said_to_be_missing_there_and_offers_what_is_near(
    team: BlockDocuments,
) -> None:
    with use_documents(team):
        Secret(value="x").save("api-key")
    said = said_of(Secret, "api-kay")
    assert said.startswith(f"no secret block named 'api-kay' in {team.store.location}; did you mean 'api-key'?; and no")
    assert "deleted" not in said


def test_without_a_team_one_place_is_named_and_what_was_deleted_there(entrepot_home: Path) -> None:
    String(value="x").save("mine")
    String.delete("mine")
    for name in ("string/mine", "mine"):
        said = said_of(Block, name)
        assert "was deleted there" in said
        assert "; and no " not in said
        assert [each.deleted for each in Block.history(name)] == [True]


def test_a_block_inside_another_one_is_looked_for_in_the_same_places(team: BlockDocuments) -> None:
    Secret(value="x").save("gone")
    JSON(value=Secret.load("gone")).save("outer")
    Secret.delete("gone")
    said = said_of(JSON, "outer")
    assert said.startswith(f"no secret block named 'gone' in {team.store.location}; it was deleted there")
    assert re.search(f"; and no .* it was deleted there {WHEN} by me on ", said)


def test_what_a_tombstone_of_another_keyring_says_is_not_known(team: BlockDocuments) -> None:
    stranger = Keyring.generate()
    with use_documents(BlockDocuments(team.store, lambda: stranger)):
        Secret(value="x").save("strange")
        Secret.delete("strange", store="local")
    assert "in " + team.store.location + "; it was deleted there; save it again" in said_of(Secret, "strange")


def test_names_of_users_cannot_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada\n\x1b[31m" + 100 * "x")
    String(value="x").save("mine")
    String.delete("mine")
    said = said_of(String, "mine")
    assert "by ada \\x1b[31mxx" in said
    assert said.isprintable()
    assert 70 * "x" not in said


def test_a_tombstone_that_was_planted_is_not_told_of(entrepot_home: Path) -> None:
    String(value="x").save("mine")
    folder = entrepot_home / "blocks" / "string" / "planted"
    folder.mkdir()
    (folder / "00000001.deleted.json").write_bytes(b"{}")
    assert current_documents().store.latest("string", "planted") is not None
    assert "deleted" not in said_of(Block, "planted")
    with pytest.raises(IntegrityError):
        Block.load("string/planted")
