"""A history that cannot be written: the flow runs, its results are kept, and what is not recorded is said, once."""

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrepot.runs import RunHistory

FLOW = """
import os, signal, sys
from pathlib import Path
from entrepot import flow, task

@task(persist_result=True, result_storage=sys.argv[1])
def kept(n):
    print("kept", n, flush=True)
    return n

@flow
def etl():
    value = kept(1) + kept(2)
    {between}
    return value

if __name__ == "__main__":
    print("value", etl({how}), flush=True)
"""


class Flow:
    """The program, in folders of its own, and how it is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(
        self,
        *,
        between: str = "pass",
        how: str = "",
        die: bool = False,
        prepare: Callable[[], object] | None = None,
        **options: int,
    ) -> tuple[list[str], list[str]]:
        """Run it; return the lines that it printed, and its warnings."""
        script = self.folder / "flow.py"
        script.write_text(FLOW.format(between=between, how=how))
        done = subprocess.run(
            [sys.executable, str(script), str(self.folder / "results")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "ENTREPOT_HOME": str(self.home), "ENTREPOT_LOGGING_LEVEL": "WARNING"},
            preexec_fn=prepare,
        )
        assert done.returncode == (-signal.SIGKILL if die else 0), done.stderr
        return done.stdout.splitlines(), [line.partition("|")[2] for line in done.stderr.splitlines()]

    def check(self, printed: list[str], warnings: list[str], *why: str) -> None:
        """See that it gave its value, and said what is the matter, and in the end what is not recorded."""
        assert printed == ["kept 1", "kept 2", "value 3"]
        began, lost = warnings
        assert f"the run history cannot be written to {self.home / 'runs.db'}: " in began
        assert any(words in began for words in why), began
        assert "Flows go on" in began
        assert "not recorded in" in lost
        assert "among them the flow runs" in lost


@pytest.fixture
def program(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, where the tests are run by root; else a folder."""
    place = tmp_path / "disk"
    place.mkdir()
    root = os.geteuid() == 0
    if root:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("no disk can be mounted here")
    yield place
    if root:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_locked_by_somebody_else_all_the_time(program: Flow) -> None:
    program.run()
    blocker = sqlite3.connect(program.home / "runs.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        program.check(*program.run(), "database is locked")
    finally:
        blocker.close()
    assert len(RunHistory(program.home / "runs.db").list()) == 1


@pytest.mark.parametrize("what", ["without a history", "with one"])
def test_read_only(what: str, program: Flow, small_disk: Path) -> None:
    program.home = small_disk / "home"
    program.run()
    if what == "without a history":
        (program.home / "runs.db").unlink()
    else:
        (program.home / "runs.db").chmod(0o400)
    program.home.chmod(0o500)
    if os.geteuid() == 0:  # whom no mode keeps out
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        printed, warnings = program.run()
        program.check(printed, warnings, "[Errno 30]", "[Errno 13]", "unable to open", "attempt to write a readonly")
    finally:
        if os.geteuid() != 0:
            program.home.chmod(0o700)


def test_files_may_not_grow(program: Flow) -> None:
    program.run()
    (program.home / "runs.db").unlink()
    limit = 16 << 10  # bytes: results are smaller, the history is not
    printed, warnings = program.run(prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    program.check(printed, warnings, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_full_disk(program: Flow, small_disk: Path) -> None:
    program.home = small_disk / "home"
    program.run()
    assert len(RunHistory(program.home / "runs.db").list()) == 1
    ballast = os.open(small_disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(ballast, b"x" * 512)
    os.close(ballast)
    program.check(*program.run(), "database or disk is full", "disk I/O error")
    (small_disk / "ballast").unlink()
    program.run()
    assert len(RunHistory(program.home / "runs.db").list()) == 2


def test_removed_while_the_flow_runs_and_resumed_all_the_same(program: Flow) -> None:
    removes = (
        "from entrepot.context import get_run_context; run_id = get_run_context().flow_run.id;"
        " Path(sys.argv[1], 'id').write_text(run_id);"
        " [file.unlink() for file in Path(os.environ['ENTREPOT_HOME']).glob('runs.db*')];"
        " from entrepot.runs import default_recorder; default_recorder().flush(); os.kill(os.getpid(), 9)"
    )
    printed, warnings = program.run(between=removes, die=True)
    assert (printed, warnings) == (["kept 1", "kept 2"], [])
    run_id = (program.folder / "results" / "id").read_text()
    assert program.run(how=f"resume={run_id!r}") == (["value 3"], [])


def test_without_any_history_a_whole_id_resumes(program: Flow) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENTREPOT_RUNS_RECORD", "false")
        program.run(between="os.kill(os.getpid(), 9)", die=True)
        (snapshot,) = (program.home / "snapshots").iterdir()
        assert program.run(how=f"resume={snapshot.name!r}") == (["value 3"], [])
    assert not (program.home / "runs.db").exists()
