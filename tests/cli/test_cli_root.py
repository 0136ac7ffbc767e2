"""The root of the command line: help, exit codes, errors, pipes and terminals."""

import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from entrepot._version import __version__
from entrepot.cli import app as root
from entrepot.cli.app import _TOPICS
from entrepot.errors import ConfigurationError
from entrepot.protocols.recorder import RunCreated, RunTransition
from entrepot.runs import LocalRecorder

from .conftest import Invoke


class TestHelp:
    def test_it_teaches_with_examples(self, invoke: Invoke) -> None:
        text = invoke("--help").stdout
        assert "entrepot block create secret my-api-key" in text
        for topic in ("block", "result", "runs", "plugins", "config", "version"):
            assert f"\n  {topic} " in text

    @pytest.mark.parametrize("topic", _TOPICS)
    def test_every_command_has_a_help_text(self, topic: str, invoke: Invoke) -> None:
        text = invoke(topic, "-h").stdout
        assert text.startswith(f"Usage: entrepot {topic} ")
        command: Any = typer.main.get_command(importlib.import_module(_TOPICS[topic][0]).app)
        for name, each in getattr(command, "commands", {}).items():
            assert f"\n  {name} " in text
            assert each.help, name
            assert f"Usage: entrepot {topic} {name} " in invoke(topic, name, "--help").stdout

    @pytest.mark.parametrize(
        ("args", "advice"),
        [
            (["server", "start"], "there is no server and no account; `python flow.py` runs a flow"),
            (["deploy", "--name", "x"], "there are no deployments and workers yet"),
            (["flow-run", "ls"], "see `entrepot runs`"),
        ],
    )
    def test_a_command_of_prefect_gets_what_there_is_in_its_place(
        self, args: list[str], advice: str, invoke: Invoke
    ) -> None:
        assert f"No such command '{args[0]}': {advice}" in invoke(*args, exit_code=2).stderr

    def test_what_is_said_of_commands_elsewhere_is_of_none_that_is_here(self) -> None:
        assert not root._ELSEWHERE.keys() & root._TOPICS.keys()

    def test_a_slip_gets_the_near_command(self, invoke: Invoke) -> None:
        found = invoke("blok", exit_code=2)
        assert "Did you mean 'block'?" in found.stderr
        assert found.stdout == ""

    @pytest.mark.parametrize("args", [["version", "--nonsense"], ["block", "show"], ["runs", "--limit", "x"]])
    def test_a_usage_error_is_2(self, args: list[str], invoke: Invoke) -> None:
        assert "Usage:" in invoke(*args, exit_code=2).stderr

    def test_the_help_loads_no_topic(self, program: Invoke) -> None:
        script = (
            "import sys\nfrom typer.testing import CliRunner\nfrom entrepot.cli.app import app\n"
            "CliRunner().invoke(app, ['--help']); CliRunner().invoke(app, ['version'])\n"
            "print([name for name in ('rich', 'entrepot.blocks.core', 'sqlite3', 'cryptography', 'fsspec', 'asyncio')"
            " if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"


class TestVersion:
    def test_for_people(self, invoke: Invoke, entrepot_home: Path) -> None:
        text = invoke("version").stdout
        assert __version__ in text
        assert str(entrepot_home) in text
        assert invoke("--version").stdout == f"entrepot {__version__}\n"

    def test_for_programs(self, invoke: Invoke, entrepot_home: Path) -> None:
        data = invoke("version", "--json").data
        assert list(data) == ["entrepot", "python", "platform", "home"]
        assert data["entrepot"] == __version__
        assert data["python"] == platform.python_version()
        assert data["home"] == str(entrepot_home)

    def test_it_works_where_the_settings_do_not(self, invoke: Invoke, entrepot_home: Path) -> None:
        entrepot_home.mkdir()
        (entrepot_home / "config.toml").write_text("nonsense")
        invoke("version")


class TestErrors:
    def test_an_error_is_one_line_on_stderr(self, invoke: Invoke) -> None:
        found = invoke("config", "set", "nonsense", "1", exit_code=1)
        assert found.stdout == ""
        assert found.stderr.startswith("error: no setting named 'nonsense'")
        assert found.stderr.count("\n") == 1

    @pytest.mark.parametrize("args", [["store", "gc", "--task", "\udcff"], ["\udcff"]])
    def test_an_argument_that_is_no_text_is_one_clear_error(self, args: list[str], program: Invoke) -> None:
        found = program(*args)
        assert (found.exit_code, found.stdout, found.stderr.count("\n")) == (1, "", 1)
        assert f"error: argument {len(args)} is no UTF-8 text" in found.stderr
        assert "the byte 0xff" in found.stderr

    def test_a_variable_that_is_no_text_is_named_and_not_repeated(self, program: Invoke) -> None:
        found = program("cache", "ls", ENTREPOT_RESULTS_STORAGE="hunter2\udcfe")
        assert (found.exit_code, found.stdout, found.stderr.count("\n")) == (1, "", 1)
        assert "error: the variable ENTREPOT_RESULTS_STORAGE is no UTF-8 text" in found.stderr
        assert "character 8 is the byte 0xfe" in found.stderr
        assert "hunter2" not in found.stderr

    @pytest.mark.parametrize("way", ["option", "variable"])
    def test_the_traceback_is_there_for_who_asks(self, way: str, program: Invoke) -> None:
        args = ["config", "set", "nonsense", "1"]
        found = program("--debug", *args) if way == "option" else program(*args, ENTREPOT_DEBUG="1")
        assert found.exit_code == 1
        assert "error: no setting named" in found.stderr
        assert "Traceback (most recent call last)" in found.stderr
        assert found.stdout == ""

    def test_what_should_not_happen_is_said_as_that(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        def break_(name: str) -> None:
            raise KeyError("\x1b[31mx")

        monkeypatch.setattr(root.importlib, "import_module", break_)
        found = invoke("version", exit_code=1)
        assert "this should not happen (KeyError: '\\x1b[31mx')" in found.stderr
        assert "--debug" in found.stderr

    def test_notes_of_an_error_are_told(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        def break_(name: str) -> None:
            error = ConfigurationError("it is broken", setting="x")
            error.add_note("and here is more")
            raise error

        monkeypatch.setattr(root.importlib, "import_module", break_)
        assert invoke("version", exit_code=1).stderr == "error: it is broken; and here is more\n"

    def test_ctrl_c_is_130(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(name: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(root.importlib, "import_module", interrupt)
        invoke("version", exit_code=130)


class TestProgram:
    def test_python_m_is_the_command_line(self, program: Invoke, entrepot_home: Path) -> None:
        found = program("version", "--json")
        assert (found.exit_code, found.stderr) == (0, "")
        assert found.data["home"] == str(entrepot_home)

    def test_the_home_is_in_the_users_folder(self, program: Invoke, tmp_path: Path) -> None:
        assert program("version", "--json", ENTREPOT_HOME="").data["home"] == str(tmp_path / ".entrepot")
        assert not (tmp_path / ".entrepot").exists()

    def test_the_exit_code_of_an_error_is_1(self, program: Invoke) -> None:
        found = program("block", "show", "nothing")
        assert found.exit_code == 1
        assert found.stdout == ""
        assert found.stderr.startswith("error: ")
        assert "Traceback" not in found.stderr

    def test_a_closed_pipe_is_quiet(self, entrepot_home: Path) -> None:
        entrepot_home.mkdir()
        (entrepot_home / "config.toml").write_text("")
        reader, writer = os.pipe()
        os.close(reader)
        found = subprocess.run(
            [sys.executable, "-m", "entrepot", "config", "view", "--json"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
        os.close(writer)
        assert (found.returncode, found.stderr) == (1, b"")

    def test_odd_letters_do_not_break_a_poor_terminal(self, program: Invoke, teller_runs: None) -> None:
        found = program("runs", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
        assert found.exit_code == 0
        assert "caf\\xe9" in found.stdout


class TestTerminal:
    def test_colours_are_for_terminals(self, terminal: Any, teller_runs: None) -> None:
        shell = terminal(["runs"])
        assert shell.end() == 0
        assert "\x1b[" in shell.seen
        assert "caf\u00e9" in shell.seen

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_who_wants_no_colours_gets_none(self, variables: dict[str, str], terminal: Any, teller_runs: None) -> None:
        shell = terminal(["runs"], **variables)
        assert shell.end() == 0
        assert "caf\u00e9" in shell.seen
        assert "\x1b[" not in shell.seen

    def test_ctrl_c_at_a_question_is_130_and_saves_nothing(self, terminal: Any, entrepot_home: Path) -> None:
        shell = terminal(["block", "create", "secret", "my-key"])
        shell.wait_for("value")
        time.sleep(0.2)
        os.killpg(shell.process.pid, signal.SIGINT)
        assert shell.end() == 130
        assert "Traceback" not in shell.seen
        assert not (entrepot_home / "blocks").exists()


@pytest.fixture
def teller_runs(entrepot_home: Path) -> None:
    now = datetime.now(UTC)
    recorder = LocalRecorder(entrepot_home / "runs.db")
    recorder.record(RunCreated("1234567890", "flow", "caf\u00e9", "etl", "k", now))
    recorder.record(RunTransition("t1", "1234567890", 1, "COMPLETED", "Completed", now))
    assert recorder.flush()
    recorder.close()


def test_json_of_every_list_parses_in_an_empty_home(invoke: Invoke) -> None:
    for args in (["block", "ls"], ["block", "types"], ["result", "ls"], ["runs"], ["plugins"], ["config", "view"]):
        data = json.loads(invoke(*args, "--json").stdout)
        assert isinstance(data, list)
