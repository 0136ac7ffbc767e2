"""`entrepot block create|apply|diff FILE|check --store team|local`: what is saved goes where it was said."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrepot.blocks import Block, Secret, String, use_documents
from entrepot.blocks.shared import documents_at
from entrepot.errors import BlockNotFoundError
from entrepot.filesystems import LocalFileSystem
from entrepot.plugins import BLOCKS
from entrepot.settings import current
from entrepot_test_terminals import Terminal

from .conftest import Invoke

FILE = '[blocks.string.greeting]\nvalue = "hello"\n[blocks.secret.key]\nvalue = "env://THE_KEY"\n'


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A team's store without blocks, and one's own with `string/mine`."""
    folder = tmp_path / "team"
    String(value="x").save("mine")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    monkeypatch.setenv("THE_KEY", "of the file")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blocks.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def wrapping() -> Iterator[type[Block]]:
    class Wrapping(Block):
        inner: String

    yield Wrapping
    BLOCKS.forget("wrapping")


def saved(invoke: Invoke) -> dict[str, list[str]]:
    rows = invoke("block", "ls", "--json").data
    return {
        store: [f"{row['type']}/{row['name']}/{row['version']}" for row in rows if row["store"] == store]
        for store in ("team", "local")
    }


class TestCreate:
    def test_saves_there_and_nowhere_else_and_says_so(self, invoke: Invoke, team: Path) -> None:
        said = invoke("block", "create", "string", "new", "-f", "value=x", "--store", "team").stderr
        assert f"saved string/new, version 1 in the team's store, {team}; String.load('new') gives it back" in said
        assert "for everyone who shares it" in said
        assert saved(invoke) == {"team": ["string/new/1"], "local": ["string/mine/1"]}
        assert String.load("new", store="team").value == "x"
        invoke("block", "create", "string", "other", "-f", "value=x", "--store", "local")
        said = invoke("block", "create", "string", "third", "-f", "value=x").stderr
        assert "team" not in said
        assert saved(invoke)["local"] == ["string/mine/1", "string/other/1", "string/third/1"]

    def test_what_is_there_is_what_is_in_that_store(self, invoke: Invoke, team: Path) -> None:
        said = invoke("block", "create", "string", "mine", "-f", "value=y", "--store", "team").stderr
        assert "there is a string/mine among your own blocks, too: the team's comes first" in said
        again = ("block", "create", "string", "mine", "-f", "value=z", "--store", "team")
        said = invoke(*again, exit_code=1).stderr
        assert f"there is a block string/mine already in the team's store, {team}; --overwrite" in said
        invoke(*again, "--overwrite")
        assert saved(invoke) == {"team": ["string/mine/2"], "local": ["string/mine/1"]}
        assert String.load("mine", store="local").value == "x"

    def test_without_a_store_of_a_team_nothing_is_saved(self, invoke: Invoke) -> None:
        for command in (["create", "string", "x", "-f", "value=x"], ["check", "x"]):
            said = invoke("block", *command, "--store", "team", exit_code=1).stderr
            assert "blocks_team says where it is" in said
        assert Block.list() == []
        assert "none of: team, local" in invoke("block", "create", "string", "x", "--store", "home", exit_code=1).stderr

    def test_who_is_asked_hears_for_whom_it_is_and_names_blocks_of_that_store(
        self, terminal: Callable[..., Terminal], team: Path, invoke: Invoke
    ) -> None:
        invoke("block", "create", "string", "asked", "-f", "value=old", "--store", "team")
        shell = terminal(["block", "create", "string", "asked", "--store", "team"])
        shell.wait_for(f"already in the team's store, {team}. Save a new version of it?")
        shell.type("y\n")
        shell.wait_for("value")
        assert "for everyone who shares it" in shell.seen
        shell.type("new\n")
        shell.wait_for("Save it?")
        shell.type("\n")
        assert shell.end() == 0, shell.seen
        assert String.load("asked", store="team").value == "new"
        assert saved(invoke)["local"] == ["string/mine/1"]


class TestFiles:
    def test_are_compared_with_and_saved_to_the_store_that_is_said(
        self, invoke: Invoke, team: Path, file: Path
    ) -> None:
        invoke("block", "apply", str(file))
        assert "all 2 blocks are saved as" in invoke("block", "diff", str(file)).stderr
        said = invoke("block", "diff", str(file), "--store", "team", exit_code=1)
        assert f"2 of 2 blocks are not saved in the team's store, {team}, as the file has them" in said.stderr
        assert "+ string/greeting" in said.stdout
        said = invoke("block", "apply", str(file), "--store", "team", "--dry-run")
        assert f"2 of 2 blocks would be saved in the team's store, {team}" in said.stderr
        assert saved(invoke)["team"] == []
        invoke("block", "apply", str(file), "--store", "team")
        assert saved(invoke)["team"] == ["secret/key/1", "string/greeting/1"]
        assert Secret.load("key", store="team").get() == "of the file"
        invoke("block", "diff", str(file), "--store", "team")
        file.write_text(FILE.replace("hello", "good bye"))
        said = invoke("block", "apply", str(file), "--store", "team")
        assert "1 of 2 blocks saved in the team's store" in said.stderr
        assert (len(String.history("greeting", store="team")), len(String.history("greeting", store="local"))) == (2, 1)
        assert String.load("greeting", store="local").value == "hello"

    def test_what_is_applied_to_ones_own_says_what_hides_it(self, invoke: Invoke, team: Path, file: Path) -> None:
        invoke("block", "apply", str(file), "--store", "team")
        said = invoke("block", "apply", str(file)).stderr
        assert "greeting and 1 more are hidden: the store that blocks_team names has it, too, and comes first" in said
        file.write_text(FILE.replace("hello", "good bye"))
        said = invoke("block", "apply", str(file)).stderr
        assert "string/greeting is hidden: the store that blocks_team names has it, too" in said
        assert invoke("block", "diff", str(file), "--store", "team", "--json", exit_code=1).data[0]["store"] == "team"
        invoke("block", "apply", str(file), "--store", "team")
        assert "hidden" not in invoke("block", "apply", str(file)).stderr, "nothing was saved"
        assert "hidden" not in invoke("block", "apply", str(file), "--store", "team").stderr

    def test_blocks_of_a_file_for_the_team_refer_to_blocks_of_the_team(
        self, invoke: Invoke, team: Path, tmp_path: Path, wrapping: type[Block]
    ) -> None:
        file = tmp_path / "blocks.toml"
        file.write_text('[blocks.wrapping.o]\ninner = "block://string/mine"\n')
        apply = ("block", "apply", str(file), "--store", "team")
        said = invoke(*apply, exit_code=1).stderr
        assert f"no string block named 'mine' in {team}" in said
        assert "find each other there" in said
        with use_documents(documents_at(str(team), current())):
            String(value="theirs").save("mine")
        invoke(*apply)
        assert saved(invoke)["team"] == ["string/mine/1", "wrapping/o/1"]
        with use_documents(documents_at(str(team), current())):
            String(value="newer").save("mine", overwrite=True)
        found = invoke("block", "show", "wrapping/o", "--json").data
        assert found["fields"]["inner"] == {"value": "newer"}, "it is a reference"

    def test_so_do_blocks_that_options_name(self, invoke: Invoke, team: Path, wrapping: type[Block]) -> None:
        create = ("block", "create", "wrapping", "o", "-f", "inner=block://string/mine")
        invoke(*create)
        String(value="newer").save("mine", overwrite=True)
        assert wrapping.load("o").inner == String(value="newer"), "it is a reference"  # type: ignore[attr-defined]
        said = invoke(*create, "--store", "team", exit_code=1).stderr
        assert f"no string block named 'mine' in {team}" in said
        assert "find each other there" in said
        for name in ("mine", "other"):
            invoke("block", "create", "string", name, "-f", "value=theirs", "--store", "team")
        invoke(*create, "--store", "team")
        invoke("block", "edit", "wrapping/o", "-f", "inner=block://string/other", "--store", "team")
        invoke("block", "edit", "string/other", "-f", "value=edited")
        assert wrapping.load("o", store="team").inner == String(value="edited")  # type: ignore[attr-defined]
        assert (
            "'nope'"
            in invoke(
                "block", "edit", "wrapping/o", "-f", "inner=block://string/nope", "--store", "local", exit_code=1
            ).stderr
        )


class TestCheck:
    def test_is_of_the_block_in_that_store(self, invoke: Invoke, team: Path, tmp_path: Path) -> None:
        LocalFileSystem(basepath=str(tmp_path / "good")).save("files")
        with use_documents(documents_at(str(team), current(), foreign=True)):
            LocalFileSystem(basepath=str(tmp_path / "blocks.toml" / "no-folder")).save("files")
        (tmp_path / "blocks.toml").write_text("")
        invoke("block", "check", "local-file-system/files", exit_code=1)
        invoke("block", "check", "local-file-system/files", "--store", "team", exit_code=1)
        assert "works" in invoke("block", "check", "local-file-system/files", "--store", "local").stderr
        with pytest.raises(BlockNotFoundError):
            String.load("mine", store="team")
        assert "'mine'" in invoke("block", "check", "mine", "--store", "team", exit_code=1).stderr
