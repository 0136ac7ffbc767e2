"""`entrepot block`, and the methods behind it, where a team shares a store: on which store each acts, and says so."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.blocks import Block, Secret, String, migrates, use_documents
from entrepot.blocks.shared import documents_at
from entrepot.blocks.stores import stores
from entrepot.errors import AmbiguousBlockNameError, BlockNotFoundError, OptionError
from entrepot.plugins import BLOCKS
from entrepot.settings import current
from entrepot_test_terminals import Terminal

from .conftest import Invoke


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A team's store with `secret/shared` (2 versions) and `string/both`; and one's own, with `string/both`, `own`."""
    folder = tmp_path / "team"
    with use_documents(documents_at(str(folder), current())):
        Secret(value="one").save("shared")
        Secret(value="two").save("shared", overwrite=True)
        String(value="theirs").save("both")
    String(value="mine").save("both")
    String(value="mine").save("own")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    return folder


def test_an_export_without_blocks_says_where_the_others_are(invoke: Invoke, team: Path, tmp_path: Path) -> None:
    String.delete("own")
    String.delete("both", store="local")
    said = invoke("block", "export", str(tmp_path / "blocks.toml")).stderr
    assert "wrote 0 blocks" in said
    assert "those of the team: --store team" in said


class TestWhatIsNowhere:
    def test_each_place_that_was_asked_is_named_with_what_is_near_there(
        self, invoke: Invoke, team: Path, entrepot_home: Path
    ) -> None:
        own = entrepot_home / "blocks"
        with pytest.raises(BlockNotFoundError) as raised:
            Secret.load("shraed")
        assert str(raised.value) == (
            f"no secret block named 'shraed' in {team}; did you mean 'shared'?; and no secret block named 'shraed' in"
            f" {own}; none is saved there (`entrepot block create secret shraed` saves it)"
        )
        with pytest.raises(BlockNotFoundError, match=f"in {team}; did you mean 'secret/shared'") as raised:
            Block.load("shraed")
        assert str(own) in str(raised.value)
        assert f"in {team}; did you mean 'shared'" in invoke("block", "show", "secret/shraed", exit_code=1).stderr
        for name in ("shraed", "secret/shraed", "secrt/shared"):
            said = invoke("block", "where", name, exit_code=1).stderr
            assert "nowhere; did you mean secret/shared? Else save it" in said

    @pytest.mark.parametrize("args", [["edit"], ["delete", "--yes"], ["history"], ["rollback"]])
    @pytest.mark.parametrize("name", ["string/given", "given"])
    def test_what_a_variable_gives_is_changed_there(
        self, args: list[str], name: str, invoke: Invoke, team: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__STRING__GIVEN", '{"value": "x"}')
        more = {"edit": ["-f", "value=y"], "rollback": ["1"]}.get(args[0], [])
        said = invoke("block", *args, name, *more, exit_code=1).stderr
        assert "the variable ENTREPOT_BLOCK__STRING__GIVEN gives it" in said
        assert "save" not in said


class TestListing:
    def test_says_where_each_is_from_and_marks_what_is_hidden(
        self, invoke: Invoke, team: Path, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__STRING__OWN", '{"value": "x"}')
        rows = invoke("block", "ls", "--json").data
        own = str(entrepot_home / "blocks")
        assert [
            (f"{row['type']}/{row['name']}", row["version"], row["store"], row["location"], row["hidden"])
            for row in rows
        ] == [
            ("secret/shared", 2, "team", str(team), False),
            ("string/both", 1, "team", str(team), False),
            ("string/both", 1, "local", own, True),
            ("string/own", None, "environment", "ENTREPOT_BLOCK__STRING__OWN", False),
            ("string/own", 1, "local", own, True),
        ]
        text = re.sub(" +", " ", invoke("block", "ls").stdout)
        assert re.search(r"string/both 1 \S+ \S+ local, hidden", text), text
        for store, count in (("team", 2), ("local", 2)):
            found = invoke("block", "ls", "--store", store, "--json").data
            assert [row["store"] for row in found] == [store] * count
            assert not any(row["hidden"] for row in found)

    def test_a_store_that_does_not_answer_is_an_error_that_says_how_to_do_without(
        self, invoke: Invoke, team: Path
    ) -> None:
        team.rename(team.with_name("away"))
        team.write_text("no folder")
        for command in (["ls"], ["history", "own"], ["delete", "own", "--yes"], ["show", "own", "--version", "1"]):
            assert "or --store local" in invoke("block", *command, exit_code=1).stderr
        for command in (["show", "own"], ["check", "string/own"]):
            assert invoke("block", *command, exit_code=1).stderr.count("or --store local") == 1
            invoke("block", *command, "--store", "local")
        assert "store" not in invoke("block", "history", "own", "--store", "local").stderr
        assert len(invoke("block", "ls", "--store", "local", "--json").data) == 2

    def test_a_store_that_is_none_is_refused(self, invoke: Invoke) -> None:
        with pytest.raises(OptionError, match="known: team, local"):
            stores("remote")
        with pytest.raises(OptionError, match="blocks_team says where it is"):
            Block.history("x", store="team")

    def test_who_saves_to_the_teams_store_means_it_by_both_words(
        self, team: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(team))
        assert String.load("both", store="team").value == String.load("both", store="local").value == "theirs"


class TestLooking:
    def test_history_and_versions_are_those_of_the_first_store_that_has_the_name(
        self, invoke: Invoke, team: Path
    ) -> None:
        assert [(each.version, each.store) for each in Secret.history("shared")] == [(1, "team"), (2, "team")]
        assert Secret.load("shared", version=1).get() == "one"
        assert String.load("both", version=1).value == "theirs"
        assert String.load("both", store="local").value == "mine"
        assert String.load("both", version=1, store="local").value == "mine"
        assert [each.location for each in String.history("own")] != [str(team)]
        found = invoke("block", "history", "shared")
        assert f"secret/shared in the team's store, {team}" in found.stderr
        assert {row["store"] for row in invoke("block", "history", "both", "--json").data} == {"team"}
        assert {row["store"] for row in invoke("block", "history", "both", "--store", "local", "--json").data} == {
            "local"
        }
        assert "team" not in invoke("block", "history", "own").stderr
        assert "changed" in invoke("block", "diff", "shared").stdout
        assert f"from the team's store, {team}" in invoke("block", "show", "both").stderr
        assert "mine" in invoke("block", "show", "both", "--store", "local").stdout

    def test_what_is_in_neither_is_said_of_both(self, team: Path, entrepot_home: Path) -> None:
        with pytest.raises(BlockNotFoundError, match=f"{re.escape(str(team))}.*; and .*{entrepot_home}"):
            Secret.history("nowhere")


class TestChanging:
    def test_acts_where_the_block_is_and_says_so(self, invoke: Invoke, team: Path) -> None:
        found = invoke("block", "rollback", "shared", "1")
        assert f"saved secret/shared, version 3 in the team's store, {team}, with" in found.stderr
        assert Secret.load("shared").get() == "one"
        assert f"deleted secret/shared in the team's store, {team}" in invoke("block", "delete", "shared", "-y").stderr
        assert not Secret.exists("shared")
        assert [each.deleted for each in Secret.history("shared")] == [True]
        assert "deleted string/own\n" in invoke("block", "delete", "own", "--yes").stderr
        with pytest.raises(BlockNotFoundError):
            String.delete("own")

    def test_does_not_choose_between_two(self, invoke: Invoke, team: Path) -> None:
        with pytest.raises(AmbiguousBlockNameError) as caught:
            String.delete("both")
        assert len(caught.value.candidates) == 2
        for command in (["delete", "both", "--yes"], ["rollback", "both", "1"], ["edit", "both", "-f", "value=x"]):
            said = invoke("block", *command, exit_code=1).stderr
            assert "--store team or --store local" in said
            assert str(team) in said
        assert [len(String.history("both", store=each)) for each in ("team", "local")] == [1, 1]
        invoke("block", "edit", "both", "--store", "team", "-f", "value=new")
        String.rollback("both", 1, store="local")
        assert [len(String.history("both", store=each)) for each in ("team", "local")] == [2, 2]
        assert String.load("both").value == "new"
        assert "hidden" not in invoke("block", "edit", "both", "--store", "team", "-f", "value=newer").stderr
        invoke("block", "delete", "both", "--store", "local", "--yes")
        assert String.load("both").value == "newer"

    def test_asking_says_for_whom_it_goes(self, terminal: Callable[..., Terminal], team: Path) -> None:
        shell = terminal(["block", "delete", "shared"])
        shell.wait_for("goes for everyone who shares that store")
        shell.type("n\n")
        assert shell.end() == 1
        assert Secret.exists("shared")

    def test_there_are_async_twins(self, team: Path) -> None:
        async def act() -> None:
            assert (await String.aload("both", store="local")).value == "mine"
            assert len(await Secret.ahistory("shared", store="team")) == 2
            assert (await Secret.arollback("shared", 1, store="team")).version == 3
            await String.adelete("both", store="local")

        asyncio.run(act())
        assert String.load("both").value == "theirs"


@pytest.fixture
def newer(team: Path) -> Iterator[type[Block]]:
    """A class of version 2, with blocks of version 1 in both stores; and one that is not here."""

    def save(**fields: str) -> None:
        class Depot(Block):
            host: str

        class Elsewhere(Block):
            host: str

        Depot(**fields).save("d")
        Elsewhere(**fields).save("e")
        BLOCKS.forget("depot")
        BLOCKS.forget("elsewhere")

    save(host="mine")
    with use_documents(documents_at(str(team), current())):
        save(host="theirs")

    class Depot(Block):
        _schema_version = 2
        address: str

        @migrates(from_version=1)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            fields["address"] = fields.pop("host")

    yield Depot
    BLOCKS.forget("depot")


class TestDoctorAndFiles:
    def test_doctor_looks_into_both_and_tells_what_is_not_installed_apart(
        self, invoke: Invoke, newer: type[Block]
    ) -> None:
        found = invoke("block", "doctor")
        assert "2 not installed" in found.stderr
        states = {(row["type"], row["store"]): row["state"] for row in invoke("block", "doctor", "--json").data}
        assert (states["depot", "team"], states["depot", "local"]) == ("migrates", "migrates")
        assert (states["elsewhere", "team"], states["string", "team"]) == ("not installed", "ok")
        assert "2 not installed" in invoke("block", "doctor", "--strict", exit_code=1).stderr
        assert {row["store"] for row in invoke("block", "doctor", "--store", "team", "--json").data} == {"team"}

    def test_a_block_of_ones_own_is_found_although_its_class_is_not_installed(
        self, invoke: Invoke, newer: type[Block]
    ) -> None:
        Block.delete("elsewhere/e", store="team")
        assert [each.store for each in Block.history("elsewhere/e")] == ["local"]
        assert "mine" in invoke("block", "show", "elsewhere/e").stdout
        assert "deleted elsewhere/e\n" in invoke("block", "delete", "elsewhere/e", "--yes").stderr
        assert "elsewhere" in invoke("block", "history", "elsewhere/nothing", exit_code=1).stderr

    def test_migrate_leaves_the_teams_alone_until_it_is_told(self, invoke: Invoke, newer: type[Block]) -> None:
        rows = invoke("block", "migrate", "--all", "--json").data
        assert ("depot", "local", "migrated") in [(row["type"], row["store"], row["state"]) for row in rows]
        assert {row["store"] for row in rows} == {"local"}
        assert len(newer.history("d", store="team")) == 1
        assert "--store team" in invoke("block", "migrate", "shared", exit_code=1).stderr
        invoke("block", "migrate", "d", "--store", "team")
        assert [each.action for each in newer.history("d", store="team")] == ["save", "migrate"]

    def test_a_file_is_written_of_one_store(self, invoke: Invoke, team: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.toml"
        invoke("block", "export", str(out))
        assert 'value = "mine"' in out.read_text()
        assert "shared" not in out.read_text()
        said = invoke("block", "export", str(out), "--overwrite", "--store", "team").stderr
        assert f"wrote 2 blocks of the team's store, {team}, to" in said
        assert 'value = "theirs"' in out.read_text()
        assert "--store team" in invoke("block", "export", str(out), "shared", "--overwrite", exit_code=1).stderr
