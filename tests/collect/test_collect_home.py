"""What runs leave in the home folder: it stays as long as somebody may resume them, and goes then."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entrepot import flow, task
from entrepot.cli.app import app
from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot.engine.past import SNAPSHOTS
from entrepot.engine.tidying import OLD, Tidied, tidy
from entrepot.runs import RunHistory
from entrepot.runs.default import DATABASE_NAME

SECOND = timedelta(seconds=1)


class Later:
    """A clock that is ahead."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        raise AssertionError


@task(persist_result=True)
def part(value: int) -> int:
    return value


@flow(persist_result=True)
def whole(*, fails: bool) -> int:
    done = part(1)
    if fails:
        raise ValueError
    return done


SEEN: list[Tidied] = []


@flow(persist_result=True)
def tidying(home: Path) -> None:
    part(2)
    assert len(list((home / SNAPSHOTS).iterdir())) == 1
    SEEN.append(tidy(home, is_dry=False, clock=Later(100 * OLD)))


def ran(home: Path, *, fails: bool) -> str:
    """Run a flow, and return the id of its run, of which there is a snapshot."""
    whole(fails=fails, return_state=True)
    run = RunHistory(home / DATABASE_NAME).list(limit=1)[0]
    assert (home / SNAPSHOTS / run.run_id).is_file()
    return run.run_id


def said(root: str, *, when: datetime | None = None) -> None:
    """Ask a question for a line of runs, and answer it."""
    asked = Pause(
        root_run_id=root,
        key="",
        run_id=root,
        question="q",
        schema=None,
        message="m",
        asked=datetime.now(UTC),
        deadline=None,
    )
    kept, _ = pauses.ask(asked, lambda _question, *, new=False: True)
    assert pauses.answer(kept, "yes", when or datetime.now(UTC))


def open_question(root: str) -> None:
    asked = Pause(
        root_run_id=root,
        key="open",
        run_id=root,
        question="other",
        schema=None,
        message="m",
        asked=datetime.now(UTC),
        deadline=None,
    )
    pauses.ask(asked, lambda _question, *, new=False: True)


@pytest.mark.parametrize(("fails", "after"), [(False, OLD), (True, 2 * OLD)])
def test_snapshots_and_answers_of_runs_that_are_over_go_in_time(
    entrepot_home: Path,
    fails: bool,  # noqa: FBT001  parametrised
    after: float,
) -> None:
    run_id = ran(entrepot_home, fails=fails)
    said(run_id)
    open_question(run_id)
    file = entrepot_home / SNAPSHOTS / run_id
    size = file.stat().st_size
    assert tidy(entrepot_home, is_dry=False, clock=Later(after - 3600)) == Tidied()
    assert tidy(entrepot_home, is_dry=True, clock=Later(after + 60)) == Tidied(1, 1, 0, size)
    assert file.is_file()
    assert tidy(entrepot_home, is_dry=False, clock=Later(after + 60)) == Tidied(1, 1, 0, size)
    assert not file.exists()
    assert pauses.find(run_id, "pause-1") is None
    assert [one.key for one in pauses.list_open()] == ["open"]  # somebody may answer it still
    assert tidy(entrepot_home, is_dry=False, clock=Later(after + 60)) == Tidied()


def test_what_the_history_knows_nothing_of_goes_by_its_age(entrepot_home: Path) -> None:
    run_id = ran(entrepot_home, fails=False)
    (entrepot_home / DATABASE_NAME).unlink()
    for rest in entrepot_home.glob(f"{DATABASE_NAME}-*"):
        rest.unlink()
    assert tidy(entrepot_home, is_dry=False, clock=Later(2 * OLD - 3600)) == Tidied()
    assert tidy(entrepot_home, is_dry=False, clock=Later(2 * OLD + 60)).snapshots == 1
    assert not (entrepot_home / SNAPSHOTS / run_id).exists()


def test_a_run_that_is_not_over_keeps_everything(entrepot_home: Path) -> None:
    SEEN.clear()
    tidying(entrepot_home)
    assert [Tidied()] == SEEN
    assert len(list((entrepot_home / SNAPSHOTS).iterdir())) == 1


def test_files_of_killed_writers_go_after_a_day_and_nothing_else(entrepot_home: Path) -> None:
    folder = entrepot_home / SNAPSHOTS
    folder.mkdir(parents=True)
    old, new, other = folder / ".tmp-0123", folder / ".tmp-4567", folder / "notes.txt"
    for file in (old, new, other):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    assert tidy(entrepot_home, is_dry=True) == Tidied(0, 0, 1, 4)
    assert tidy(entrepot_home, is_dry=False) == Tidied(0, 0, 1, 4)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def test_an_empty_home_is_left_empty(entrepot_home: Path) -> None:
    assert tidy(entrepot_home, is_dry=False) == Tidied()
    assert not entrepot_home.exists() or not list(entrepot_home.iterdir())


def test_gc_says_a_line_for_each_kind(entrepot_home: Path) -> None:
    folder = entrepot_home / SNAPSHOTS
    folder.mkdir(parents=True)
    file = folder / ".tmp-0123"
    file.write_bytes(b"half")
    os.utime(file, (0, 0))
    left = entrepot_home / "results" / ".tmp-4567"
    left.parent.mkdir()
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    dry = CliRunner().invoke(app, ["store", "gc", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert dry.output.count("  1 unfinished writes") == 2  # of the store, and of the home
    assert file.exists()
    done = CliRunner().invoke(app, ["store", "gc"])
    assert done.output.count("  1 unfinished writes") == 2
    assert (file.exists(), left.exists()) == (False, False)
    file.write_bytes(b"half")
    os.utime(file, (0, 0))
    CliRunner().invoke(app, ["store", "gc", "--storage", str(entrepot_home / "results")])
    assert file.exists()  # another store is no reason
