"""`entrepot runs resume` and `rerun`: the flow is found in its file, whatever else the file does when it is run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from entrepot.engine import snapshots
from entrepot.errors import IntegrityError, UnknownKeyError
from entrepot.runs import RunHistory

HEAD = """
import os, signal, sys
from dataclasses import dataclass
from entrepot import flow, task
from entrepot.cache_policies import INPUTS

def note(text):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(text + "\\n")

def die():
    if os.environ.get("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
"""

FLOW = (
    HEAD
    + """
@task(persist_result=True)
def first(n):
    note(f"first {n}")
    return n + 1

@task(persist_result=True)
def second(n):
    note(f"second {n}")
    return n * 10

@flow
def etl(n: int, day: str = "today", many: list[int] = [1, 2]):
    got = first(n)
    die()
    note(f"flow {n} {day} {many} {os.path.basename(os.getcwd())}")
    return second(got)
"""
)


@dataclass
class Place:
    """A folder with programs, and what they noted."""

    folder: Path
    home: Path

    def write(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
        return path

    def run(self, *command: str | Path, die: bool = False, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        variables = {"JOURNAL": str(self.folder / "journal"), "ENTREPOT_LOGGING_LEVEL": "WARNING"}
        if die:
            variables["DIE"] = "1"
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=cwd or self.folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def kill(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Let a program run until it kills itself; return the id of its flow run."""
        done = self.run(*command, die=True, cwd=cwd)
        assert done.returncode == -9, done.stderr
        self.noted()
        return self.newest()

    def newest(self) -> str:
        return next(run for run in RunHistory(self.home / "runs.db").list() if run.parent_run_id is None).run_id

    def entrepot(self, *args: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command, in another folder."""
        (self.folder / "elsewhere").mkdir(parents=True, exist_ok=True)
        done = self.run("-m", "entrepot", *args, cwd=self.folder / "elsewhere")
        assert done.returncode == exit_code, done.stderr
        return done

    def noted(self) -> list[str]:
        """Return the lines of the journal, and empty it."""
        journal = self.folder / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        journal.write_text("")
        return lines


@pytest.fixture
def place(tmp_path: Path, entrepot_home: Path) -> Place:
    return Place(tmp_path / "work", entrepot_home)


class TestScripts:
    def check(self, place: Place, run_id: str, *, day: str = "today") -> None:
        done = place.entrepot("runs", "resume", run_id[:8])
        assert place.noted() == [f"flow 3 {day} [1, 2] work", "second 4"]
        assert f"({place.newest()}) ended as Completed" in done.stderr
        run = RunHistory(place.home / "runs.db").find(place.newest())
        assert (run.root_run_id, run.state_name) == (run_id, "Completed")
        assert not (place.home / "snapshots" / run_id).exists()

    def test_the_main_block_is_not_run(self, place: Place) -> None:
        script = place.write("flow.py", FLOW + "\nif __name__ == '__main__':\n    note('main')\n    etl(3, 'monday')\n")
        self.check(place, place.kill(script), day="monday")

    def test_a_call_at_the_end_is_not_made(self, place: Place) -> None:
        script = place.write("flow.py", FLOW + "\nvalue = etl(3)\nnote('after')\n")
        self.check(place, place.kill(script))

    def test_nor_are_tasks_called_and_loops_run_there(self, place: Place) -> None:
        script = place.write(
            "flow.py",
            HEAD
            + """
import asyncio

@task(persist_result=True)
async def first(n):
    note(f"first {n}")
    return n + 1

@task(persist_result=True)
async def second(n):
    note(f"second {n}")
    return n * 10

@flow
async def etl(n: int):
    got = await first(n)
    die()
    note(f"flow {n} today [1, 2] work")
    return await second(got)

@task
def prepares():
    note("prepares")

async def main():
    note("main")
    await etl(3)

asyncio.run(main())
prepares()
""",
        )
        run_id = place.kill(script)
        done = place.entrepot("runs", "resume", run_id)
        assert place.noted() == ["main", "flow 3 today [1, 2] work", "second 4"], done.stderr

    def test_arguments_and_folder_are_those_of_then(self, place: Place) -> None:
        script = place.write("bin/flow.py", FLOW + "\ndays = sys.argv[1:]\nnumber = int(days[0])\netl(number)\n")
        place.write("work/x", "")
        run_id = place.kill(script, "3")
        self.check(place, run_id)

    def test_classes_of_the_script_are_the_same_ones(self, place: Place) -> None:
        script = place.write(
            "flow.py",
            HEAD
            + """
@dataclass
class Row:
    n: int

@task(persist_result=True)
def first(row):
    note(f"first {row.n}")
    return Row(row.n + 1)

@task(cache_policy=INPUTS)
def second(row):
    assert isinstance(row, Row)
    note(f"second {row.n}")
    return Row(row.n * 10)

@flow(persist_result=True)
def etl(row: Row):
    assert type(row) is Row
    got = first(row)
    die()
    return second(got)

if __name__ == "__main__":
    note(f"value {etl(Row(3))}")
""",
        )
        run_id = place.kill(script)
        place.entrepot("runs", "resume", run_id)
        assert place.noted() == ["second 4"]
        assert place.run(script).returncode == 0  # the run as a script finds what the resumed one kept, and can read it
        assert place.noted() == ["first 3", "value Row(n=40)"]

    def test_results_are_looked_for_where_they_were_kept_whatever_the_settings_are_now(self, place: Place) -> None:
        source = FLOW.replace("persist_result=True", "version='1'")
        script = place.write("flow.py", source + "\nif __name__ == '__main__':\n    etl(3)\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENTREPOT_RESULTS_PERSIST", "true")
            patch.setenv("ENTREPOT_RESULTS_STORAGE", str(place.folder / "there"))
            run_id = place.kill(script)
        self.check(place, run_id)

    def test_a_module_of_a_package_that_was_run_with_m(self, place: Place) -> None:
        place.write("shop/__init__.py", "")
        place.write("shop/names.py", "DAY = 'sunday'\n")
        main = "\nfrom .names import DAY\nif __name__ == '__main__':\n    etl(3, DAY)\n"
        place.write("shop/flow.py", FLOW + main)
        self.check(place, place.kill("-m", "shop.flow"), day="sunday")

    def test_a_module_that_a_script_imports(self, place: Place) -> None:
        place.write("lib/jobs.py", FLOW)
        script = place.write("run.py", "import sys\nsys.path.insert(0, 'lib')\nfrom jobs import etl\netl(3)\n")
        self.check(place, place.kill(script))

    def test_a_flow_with_other_options_under_another_name(self, place: Place) -> None:
        script = place.write("flow.py", FLOW + "\ntuned = etl.with_options(name='tuned')\nif True:\n    tuned(3)\n")
        run_id = place.kill(script)
        self.check(place, run_id)
        runs = [run for run in RunHistory(place.home / "runs.db").list() if run.parent_run_id is None]
        assert {run.definition for run in runs} == {"tuned"}
        assert {run.entrypoint for run in runs} == {f"{script}:tuned"}

    def test_a_flow_that_was_suspended_goes_on_when_it_is_resumed(self, place: Place) -> None:
        source = FLOW.replace("    die()\n", "    suspend_flow_run()\n").replace(
            "import INPUTS\n", "import INPUTS\nfrom entrepot.flow_runs import suspend_flow_run\n"
        )
        script = place.write("flow.py", source + "\nif __name__ == '__main__':\n    etl(3)\n")
        assert place.run(script).returncode == 1
        place.noted()
        run_id = place.newest()
        history = RunHistory(place.home / "runs.db")
        place.entrepot("runs", "sweep")
        assert history.find(run_id).state_name == "Suspended"
        self.check(place, run_id)
        assert (history.find(run_id).state_type, history.find(run_id).state_name) == ("CANCELLED", "Resumed")

    def test_a_flow_that_is_mended_goes_on_from_where_it_failed(self, place: Place) -> None:
        broken = FLOW.replace("return n * 10", "return n / 0") + "\nif __name__ == '__main__':\n    etl(3)\n"
        script = place.write("flow.py", broken)
        failed = place.run(script)
        assert failed.returncode == 1
        run_id = place.newest()
        place.noted()
        again = place.entrepot("runs", "resume", run_id, exit_code=1)
        assert "ZeroDivisionError" in again.stderr
        assert "ended as Failed" in again.stderr
        place.noted()
        script.write_text(broken.replace("n / 0", "n * 10"))
        self.check(place, run_id)


class TestParameters:
    def test_they_can_be_given_anew(self, place: Place) -> None:
        script = place.write("flow.py", FLOW + "\netl(3)\n")
        run_id = place.kill(script)
        changed = ["--param", "day=monday", "-p", "many=[7]"]
        done = place.entrepot("runs", "resume", run_id, *changed, "--json")
        assert place.noted() == ["flow 3 monday [7] work", "second 4"]
        facts = json.loads(done.stdout)
        assert (facts["state_type"], facts["after"], facts["run_id"]) == ("COMPLETED", run_id, place.newest())

    def test_wrong_ones_are_one_clear_error(self, place: Place) -> None:
        script = place.write("flow.py", FLOW + "\netl(3)\n")
        run_id = place.kill(script)
        found = place.entrepot("runs", "resume", run_id, "--param", "dya=monday", exit_code=1)
        assert "did you mean 'day'?" in found.stderr
        assert "NAME=VALUE" in place.entrepot("runs", "resume", run_id, "--param", "day", exit_code=1).stderr
        assert place.noted() == []
        self_check = place.entrepot("runs", "resume", run_id)
        assert "Completed" in self_check.stderr

    def test_lists_are_what_they_were_when_the_flow_began(self, place: Place) -> None:
        source = FLOW.replace("    got = first(n)\n", "    many.append(9)\n    got = first(n)\n")
        script = place.write("flow.py", source + "\netl(3)\n")
        run_id = place.kill(script)
        place.entrepot("runs", "resume", run_id)
        assert place.noted() == ["flow 3 today [1, 2, 9] work", "second 4"]

    def test_secrets_among_them_are_in_no_file(self, place: Place) -> None:
        source = FLOW.replace("@flow\n", "from pydantic import SecretStr\n@flow(persist_result=True)\n")
        source = source.replace("day: str", "key: SecretStr, day: str")
        script = place.write("flow.py", source + "\netl(3, os.environ.get('KEY', ''))\n")
        os.environ["KEY"] = "hunter2hunter2"
        try:
            run_id = place.kill(script)
        finally:
            del os.environ["KEY"]
        everything = b"".join(path.read_bytes() for path in place.home.rglob("*") if path.is_file())
        assert b"hunter2" not in everything
        place.entrepot("runs", "resume", run_id)
        assert place.noted()[-1] == "second 4"


class TestRefusals:
    def killed(self, place: Place) -> str:
        script = place.write("flow.py", FLOW + "\nif __name__ == '__main__':\n    etl(3)\n")
        return place.kill(script)

    def refused(self, place: Place, run_id: str) -> str:
        found = place.entrepot("runs", "resume", run_id, exit_code=1)
        assert "Traceback" not in found.stderr
        assert place.noted() == []
        return found.stderr

    def test_what_was_kept_of_a_run_and_altered_or_swapped_is_not_believed(self, place: Place) -> None:
        run_id = self.killed(place)
        snapshot = place.home / "snapshots" / run_id
        good = snapshot.read_bytes()
        altered = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)]
        for bad in [*altered, good[:-20], good + b"x", b""]:
            snapshot.write_bytes(bad)
            with pytest.raises((IntegrityError, UnknownKeyError)):
                snapshots.load(place.home, run_id)
        other = run_id[:-1] + ("0" if run_id[-1] != "0" else "1")
        (place.home / "snapshots" / other).write_bytes(good)
        with pytest.raises(IntegrityError):
            snapshots.load(place.home, other)
        snapshot.write_bytes(good[:-20])
        assert "does not verify" in self.refused(place, run_id)

    def test_nor_an_encrypted_result_in_its_place(self, place: Place) -> None:
        os.environ["ENTREPOT_RESULTS_ENCRYPT"] = "true"
        try:
            run_id = self.killed(place)
        finally:
            del os.environ["ENTREPOT_RESULTS_ENCRYPT"]
        (record,) = (place.home / "results" / "records").glob("*/*")
        (place.home / "snapshots" / run_id).write_bytes(record.read_bytes())
        with pytest.raises(IntegrityError):
            snapshots.load(place.home, run_id)

    def test_a_file_that_is_gone_or_broken(self, place: Place) -> None:
        run_id = self.killed(place)
        script = place.folder / "flow.py"
        source = script.read_text()
        script.unlink()
        assert "cannot be loaded: FileNotFoundError" in self.refused(place, run_id)
        script.write_text(source + "\nraise KeyError('at the end')\n")
        assert "cannot be loaded: KeyError" in self.refused(place, run_id)
        script.write_text(source.replace("def etl", "def other"))
        assert "has no flow 'etl' any more" in self.refused(place, run_id)

    def test_a_flow_that_is_defined_after_another_was_called(self, place: Place) -> None:
        early = "\n@flow\ndef early():\n    note('early')\nearly()\n"
        script = place.write("flow.py", FLOW.replace("\n@flow\n", early + "\n@flow\n") + "\netl(3)\n")
        run_id = place.kill(script)
        assert "only after it has called another flow" in self.refused(place, run_id)

    def test_a_run_of_which_nothing_was_kept(self, place: Place) -> None:
        script = place.write("flow.py", HEAD + "\n@flow\ndef f():\n    1 / 0\nf()\n")
        assert place.run(script).returncode == 1
        message = self.refused(place, place.newest())
        assert f"resume='{place.newest()}'" in message
        assert "persist_result=True" in message

    def test_a_run_that_completed(self, place: Place) -> None:
        run_id = self.killed(place)
        place.entrepot("runs", "resume", run_id)
        place.noted()
        assert "has completed it" in self.refused(place, run_id)
        assert "it has completed" in self.refused(place, place.newest())

    def test_a_run_that_there_is_not(self, place: Place) -> None:
        assert "no run" in self.refused(place, "3f2a3f2a")

    def test_a_run_that_goes_on(self, place: Place) -> None:
        source = FLOW.replace("    die()\n", "    print('here', flush=True)\n    sys.stdin.read()\n") + "\netl(3)\n"
        script = place.write("flow.py", source)
        variables: dict[str, str] = {**os.environ, "JOURNAL": str(place.folder / "journal")}
        with subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            place.noted()
            message = self.refused(place, place.newest())
            assert f"it is Running in a process that lives (pid {process.pid} on " in message


class TestRerun:
    def completed(self, place: Place) -> str:
        script = place.write("flow.py", FLOW + "\nif __name__ == '__main__':\n    etl(3)\n")
        assert place.run(script).returncode == 0
        place.noted()
        return place.newest()

    def test_the_whole(self, place: Place) -> None:
        run_id = self.completed(place)
        place.entrepot("runs", "rerun", run_id, "-p", "n=5")
        assert place.noted() == ["first 5", "flow 5 today [1, 2] work", "second 6"]
        assert RunHistory(place.home / "runs.db").find(place.newest()).root_run_id is None

    @pytest.mark.parametrize("by", ["name", "id"])
    def test_from_a_task_on(self, place: Place, by: str) -> None:
        run_id = self.completed(place)
        second = RunHistory(place.home / "runs.db").get(run_id).children[1]
        place.entrepot("runs", "rerun", run_id, "--from", second.name if by == "name" else second.run_id[:8])
        assert place.noted() == ["flow 3 today [1, 2] work", "second 4"]

    def test_from_what_is_not_in_it(self, place: Place) -> None:
        run_id = self.completed(place)
        found = place.entrepot("runs", "rerun", run_id, "--from", "third-1", exit_code=1)
        assert "'third-1' is no run inside" in found.stderr
        second = RunHistory(place.home / "runs.db").get(run_id).children[1]
        found = place.entrepot("runs", "rerun", second.run_id, exit_code=1)
        assert "is part of another run" in found.stderr


class TestListing:
    def test_a_crash_is_seen_and_how_to_go_on_is_said(self, place: Place) -> None:
        run_id = TestRefusals().killed(place)
        assert "Crashed" in place.entrepot("runs").stdout
        shown = place.entrepot("runs", "show", run_id).stdout
        assert "ended without a word" in shown
        assert f"entrepot runs resume {run_id[:8]}" in shown
        place.entrepot("runs", "resume", run_id)
        assert "runs resume" not in place.entrepot("runs", "show", run_id).stdout
        assert run_id in place.entrepot("runs", "show", place.newest()).stdout

    def test_sweep_says_what_it_marked(self, place: Place) -> None:
        TestRefusals().killed(place)
        found: Any = json.loads(place.entrepot("runs", "sweep", "--json").stdout)
        assert "flow" in {run["kind"] for run in found}
        assert "nothing to mark" in place.entrepot("runs", "sweep").stderr
        TestRefusals().killed(place)
        assert "ended without a word" in place.entrepot("runs", "sweep").stdout
