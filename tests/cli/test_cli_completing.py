"""What shells are offered at TAB: types, names of blocks and of runs; quickly, and nothing is opened."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow
from entrepot.blocks import Secret, String, use_documents
from entrepot.blocks.shared import documents_at
from entrepot.cli import completing
from entrepot.filesystems import LocalFileSystem
from entrepot.runs import default_recorder
from entrepot.settings import current

from .conftest import Invoke

Complete = Callable[..., list[str]]
HEAVY = ("pydantic", "typer", "rich", "asyncio", "sqlite3", "fsspec")


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """Ask as bash does; give what it is offered."""

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("_ENTREPOT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["entrepot", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert completing.answer()
        return capsys.readouterr().out.split()

    return ask


@pytest.fixture
def saved() -> None:
    String(value="x").save("greeting")
    String(value="x").save("prod")
    Secret(value="x").save("prod")
    Secret(value="x").save("api-key")


class TestNames:
    def test_of_types(self, complete: Complete) -> None:
        found = complete("block", "create", "se")  # other tests may have classes of their own
        assert "secret" in found
        assert all(name.startswith("se") for name in found)
        assert {"s3", "secret", "webhook"} <= set(complete("block", "create", ""))

    @pytest.mark.usefixtures("saved")
    def test_of_blocks(self, complete: Complete) -> None:
        for command in ("show", "edit", "check", "delete", "history", "diff", "rollback", "where"):
            assert complete("block", command, "secret/") == ["secret/api-key", "secret/prod"]
        assert complete("block", "show", "") == ["secret/api-key", "secret/prod", "string/greeting", "string/prod"]

    @pytest.mark.usefixtures("saved")
    def test_of_blocks_without_their_type_if_only_one_has_it(self, complete: Complete) -> None:
        assert complete("block", "show", "gre") == ["greeting"]
        assert complete("block", "show", "pro") == []

    def test_of_runs(self, complete: Complete) -> None:
        @flow
        def calm() -> None:
            pass

        calm()
        default_recorder().flush()
        (name,) = complete("runs", "show", "")
        assert complete("runs", "logs", name[:3]) == [name]

    @pytest.mark.usefixtures("saved")
    def test_need_no_key(self, complete: Complete, entrepot_home: Path) -> None:
        (entrepot_home / "keyring.json").unlink()
        assert complete("block", "show", "string/g") == ["string/greeting"]
        assert not (entrepot_home / "keyring.json").exists()

    def test_that_cannot_be_had_are_not_offered(self, complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "nosuch://bucket")
        assert complete("block", "show", "") == []

    def test_that_a_shell_could_run_are_not_offered(self, complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(completing, "_MOST", 3)
        assert completing._offered(["a", 'a"$(rm)"', "a;b", "-rf", "ab", "ac", "ad"], "") == ["a", "ab", "ac"]
        assert complete("block", "create", "$(") == []


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **variables},
    )


class TestShells:
    @pytest.mark.usefixtures("saved")
    def test_bash_and_zsh_are_answered_without_loading_the_command_line(self) -> None:
        code = (
            "import sys; from entrepot.cli import main; main();"
            f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
        )
        asked = [
            ({"COMP_WORDS": "entrepot\nblock\nshow\nstring/p", "COMP_CWORD": "3"}, "bash", "string/prod\n"),
            ({"_TYPER_COMPLETE_ARGS": "entrepot block show string/p"}, "fish", "string/prod\n"),
            (
                {"_TYPER_COMPLETE_ARGS": "entrepot block show s"},
                "zsh",
                '_arguments \'*: :(("secret/api-key"\n"secret/prod"\n"string/greeting"\n"string/prod"))\'\n',
            ),
        ]
        at_rest = run(f"import sys; print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)")
        for variables, shell, offered in asked:
            found = run(code, **variables, _ENTREPOT_COMPLETE=f"complete_{shell}")
            assert found.stdout == offered
            assert found.stderr == at_rest.stderr

    @pytest.mark.usefixtures("saved")
    def test_fish_asks_first_whether_there_is_anything(self) -> None:
        code = "from entrepot.cli import main; main()"
        given = {"_ENTREPOT_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
        assert run(code, **given, _TYPER_COMPLETE_ARGS="entrepot block show string/p").returncode == 0
        assert run(code, **given, _TYPER_COMPLETE_ARGS="entrepot block show nothing").returncode == 1

    @pytest.mark.usefixtures("saved")
    def test_commands_options_and_names_after_options_are_completed_too(self, program: Invoke) -> None:
        def ask(words: str) -> list[str]:
            return program(
                COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), _ENTREPOT_COMPLETE="complete_bash"
            ).stdout.split()

        assert ask("entrepot bl") == ["block"]
        assert ask("entrepot block edit --un") == ["--unset"]
        assert ask("entrepot block show --version 1 string/g") == ["string/greeting"]

    @pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
    @pytest.mark.usefixtures("saved")
    def test_bash_itself_completes(self, program: Invoke, tmp_path: Path) -> None:
        (tmp_path / "entrepot").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m entrepot "$@"\n')
        (tmp_path / "entrepot").chmod(0o755)
        script = program(_ENTREPOT_COMPLETE="source_bash").stdout
        asks = (
            'COMP_WORDS=(entrepot block show sec); COMP_CWORD=3; _entrepot_completion entrepot; echo "${COMPREPLY[@]}"'
        )
        found = subprocess.run(
            ["bash", "--norc", "-c", f"{script}\n{asks}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )
        assert found.stdout.split() == ["secret/api-key", "secret/prod"], (script, found)


class TestStoresOfATeam:
    @pytest.fixture
    def team(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A team's store, with `secret/shared`, beside what is one's own; as the setting `blocks_team` names it."""
        with use_documents(documents_at(str(tmp_path / "team"), current())):
            Secret(value="x").save("shared")
        monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(tmp_path / "team"))
        return tmp_path / "team"

    @pytest.mark.usefixtures("saved")
    def test_are_offered_with_ones_own(self, complete: Complete, team: Path) -> None:
        assert complete("block", "show", "secret/") == ["secret/api-key", "secret/prod", "secret/shared"]
        team.rename(team.with_name("away"))
        team.write_text("no folder")
        assert complete("block", "show", "secret/") == ["secret/api-key", "secret/prod"]

    @pytest.mark.usefixtures("saved")
    def test_that_a_block_describes_are_offered_too(
        self, complete: Complete, team: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(completing, "_PATIENCE", 60.0)  # a busy machine
        LocalFileSystem(basepath=str(team)).save("place")
        for setting in ("ENTREPOT_BLOCKS_TEAM", "ENTREPOT_BLOCKS_STORAGE"):
            monkeypatch.setenv(setting, "block://local-file-system/place")
            assert "secret/shared" in complete("block", "show", "secret/")

    @pytest.mark.usefixtures("saved")
    def test_that_do_not_answer_are_left_out_after_a_moment_and_nothing_is_left_running(
        self, complete: Complete, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[Any] = []
        start = completing._start

        def start_and_tell(spec: str) -> Any:
            started.append(start(spec))
            return started[-1]

        monkeypatch.setattr(completing, "_start", start_and_tell)
        monkeypatch.setattr(completing, "_PATIENCE", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://me:hunter22@127.0.0.1:{silent.getsockname()[1]}"
            monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", f"{url}/blocks")
            assert complete("block", "show", "secret/") == ["secret/api-key", "secret/prod"]
        (process,) = started
        assert process.returncode == -signal.SIGKILL
        assert "hunter22" not in repr(process.args)  # everybody on the machine sees these

    def test_import_nothing_from_the_folder_where_one_presses_tab(
        self, complete: Complete, tmp_path: Path, team: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(completing, "_PATIENCE", 60.0)
        LocalFileSystem(basepath=str(team)).save("place")
        monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "block://local-file-system/place")
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        for name in ("json", "pydantic", "entrepot"):
            Path(f"{name}.py").write_text("raise SystemExit('planted')")
        assert complete("block", "show", "secret/") == ["secret/shared"]
