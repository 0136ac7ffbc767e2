"""`entrepot keys` where a team shares a store: its documents are counted, and sealed again only when that is meant."""

from pathlib import Path
from typing import Any

import pytest

from entrepot import home
from entrepot.blocks import Secret, String, use_documents
from entrepot.blocks.shared import documents_at
from entrepot.settings import current

from .conftest import Invoke


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A team's store with two versions of a block; and one's own, with one."""
    folder = tmp_path / "team"
    with use_documents(documents_at(str(folder), current())):
        Secret(value="one").save("shared")
        Secret(value="two").save("shared", overwrite=True)
    String(value="mine").save("own")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    return folder


def places(invoke: Invoke, key: str) -> dict[str, int]:
    (facts,) = [each for each in invoke("keys", "status", "--json").data["keys"] if each["id"] == key]
    return {place["store"]: place["count"] for place in facts["places"]}


def test_status_counts_each_store(invoke: Invoke, team: Path) -> None:
    key = home.ring().primary("block").id
    assert places(invoke, key) == {"team": 2, "local": 1}
    found = invoke("keys", "status").stdout
    assert "Team" in found.splitlines()[0]
    (line,) = [each for each in found.splitlines() if each.startswith(key)]
    assert line.split()[-5:] == ["1", "2", "0", "0", "2"]


def test_without_a_team_nothing_is_said_of_one(invoke: Invoke) -> None:
    String(value="mine").save("own")
    assert "Team" not in invoke("keys", "status").stdout
    assert "the team's store" not in invoke("keys", "rotate").stderr
    assert "blocks_team says where it is" in invoke("keys", "rewrap", "--store", "team", exit_code=1).stderr


def test_a_key_that_the_team_needs_is_not_dropped_until_its_store_is_sealed_again(
    invoke: Invoke, team: Path, entrepot_home: Path
) -> None:
    old = home.ring().primary("block").id
    said = invoke("keys", "rotate").stderr
    assert f"1 of 1 documents are sealed again; they are under key {home.ring().primary('block').id} now: " in said
    assert f"the team's store, {team}, stays as it is" in said
    assert places(invoke, old) == {"team": 2}
    for command in ("disable", "destroy"):
        options = ["--yes"] if command == "destroy" else []
        invoke("keys", command, old, *options, exit_code=1)
    said = invoke("keys", "disable", old, exit_code=1).stderr
    assert f"version 1 of the block secret/shared in {team}; run: entrepot keys rewrap --store team" in said
    found: Any = invoke("keys", "doctor", "--json").data["findings"]
    assert [(one["what"], one["command"]) for one in found] == [("not rewrapped", "entrepot keys rewrap --store team")]
    said = invoke("keys", "rewrap", "--store", "team", exit_code=1).stderr
    assert "Does everybody have it?" in said
    assert places(invoke, old) == {"team": 2}
    said = invoke("keys", "rewrap", "--store", "team", "--yes").stderr
    assert (
        f"2 of 2 documents are sealed again; they are under key {home.ring().primary('block').id} now: {team}" in said
    )
    assert Secret.load("shared").get() == "two"
    invoke("keys", "disable", old)
    invoke("keys", "destroy", old, "--yes")
    assert Secret.load("shared", version=1).get() == "one"


def test_no_key_goes_while_the_folder_of_the_team_is_not_mounted(invoke: Invoke, team: Path) -> None:
    old = home.ring().primary("block").id
    invoke("keys", "rotate")
    team.rename(team.with_name("away"))
    assert f"the folder {team} is not there" in invoke("keys", "disable", old, exit_code=1).stderr
    assert {key.id: key.state for key in home.ring().all_keys()}[old] == "enabled"
    assert f"the folder {team} is not there" in invoke("keys", "doctor", "--json", exit_code=1).stdout


def test_while_the_teams_store_does_not_answer_nobody_knows_what_it_needs(invoke: Invoke, team: Path) -> None:
    old = home.ring().primary("block").id
    invoke("keys", "rotate")
    team.rename(team.with_name("away"))
    team.write_text("no folder")
    assert str(team) in invoke("keys", "disable", old, exit_code=1).stderr
    assert {key.id: key.state for key in home.ring().all_keys()}[old] == "enabled"
    found = invoke("keys", "doctor", "--json", exit_code=1).data["findings"]
    assert "what needs which key is not known" in found[0]["detail"]
    assert "sealed again" in invoke("keys", "rewrap", "--store", "local").stderr


def test_doctor_tells_of_a_store_whose_block_needs_the_keys_that_are_missing(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, entrepot_home: Path, tmp_path: Path
) -> None:
    invoke("block", "create", "local-file-system", "place", "-f", f"basepath={tmp_path}")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "block://local-file-system/place")
    (entrepot_home / "keyring.json").unlink()
    found = invoke("keys", "doctor", "--json", exit_code=1).data["findings"]
    assert any("a store of blocks cannot be looked at" in one["detail"] for one in found)
