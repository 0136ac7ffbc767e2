"""Who lives: a locked file says so, and nothing else can."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from entrepot.coordination import liveness
from entrepot.coordination.liveness import forget, is_proven_dead, known_processes, process_token
from entrepot_test_processes import Program

LIVES = (
    "import sys; from pathlib import Path; from entrepot.coordination.liveness import process_token\n"
    "print(process_token(Path(sys.argv[1])))\n"
    "input()\n"
)
Start = Callable[..., Program]


def started(start_program: Start, home: Path) -> tuple[Program, str]:
    program = start_program(LIVES, str(home))
    assert program.process.stdout is not None
    return program, program.process.stdout.readline().strip()


def test_a_process_keeps_its_token_and_has_one_in_each_home(tmp_path: Path) -> None:
    first = process_token(tmp_path / "a")
    assert process_token(tmp_path / "a") == first
    assert process_token(tmp_path / "b") != first


def test_its_file_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    token = process_token(home)
    assert known_processes(home) == [token]
    assert stat.S_IMODE((home / "processes").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "processes" / token).stat().st_mode) == 0o600


def test_who_lives_is_not_dead_to_itself_or_to_others(tmp_path: Path, start_program: Start) -> None:
    assert not is_proven_dead(tmp_path, process_token(tmp_path))
    program, token = started(start_program, tmp_path)
    assert not is_proven_dead(tmp_path, token)
    program.stop()
    assert not is_proven_dead(tmp_path, token)


def test_who_was_killed_is_dead_at_once(tmp_path: Path, start_program: Start) -> None:
    program, token = started(start_program, tmp_path)
    program.kill()
    assert is_proven_dead(tmp_path, token)
    assert is_proven_dead(tmp_path, token)  # looking changes nothing
    forget(tmp_path, token)
    assert known_processes(tmp_path) == []
    assert not is_proven_dead(tmp_path, token)
    assert is_proven_dead(tmp_path, token, unknown=True)


@pytest.mark.parametrize("token", ["../precious", "/etc/hostname", "..", ".new-x", "", "a\0b", "a" * 65, "a b"])
def test_what_is_no_token_names_no_file(token: str, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "processes").mkdir()
    (tmp_path / "processes" / ".new-x").touch()
    assert not is_proven_dead(tmp_path, token)
    assert not is_proven_dead(tmp_path, token, unknown=True)
    forget(tmp_path, token)
    assert (tmp_path / "precious").exists()
    assert (tmp_path / "processes" / ".new-x").exists()


def test_nobody_waits_at_a_pipe_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "processes").mkdir()
    os.mkfifo(tmp_path / "processes" / "abc")
    assert is_proven_dead(tmp_path, "abc")  # nobody holds it


def test_who_ends_leaves_nothing(tmp_path: Path, start_program: Start) -> None:
    program, _ = started(start_program, tmp_path)
    program.tell()
    program.end()
    assert known_processes(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_is_another_process_and_does_not_keep_its_parent_alive(
    tmp_path: Path, start_program: Start
) -> None:
    program = start_program(
        "import os, sys, time; from pathlib import Path; from entrepot.coordination.liveness import process_token\n"
        "home = Path(sys.argv[1]); ours = process_token(home)\n"
        "if os.fork() == 0:\n"
        "    theirs = process_token(home)\n"
        "    print(ours, theirs, flush=True)\n"
        "    os.read(0, 1)\n"
        "    os._exit(0)\n"
        "time.sleep(600)\n",
        str(tmp_path),
    )
    assert program.process.stdout is not None
    parent, child = program.process.stdout.readline().split()
    assert parent != child
    assert not is_proven_dead(tmp_path, parent)
    program.kill()
    assert is_proven_dead(tmp_path, parent)
    assert not is_proven_dead(tmp_path, child)
    program.tell()


def test_a_file_that_somebody_removed_is_made_again_under_the_same_name(tmp_path: Path) -> None:
    token = process_token(tmp_path)
    (tmp_path / "processes" / token).unlink()
    assert process_token(tmp_path) == token
    assert known_processes(tmp_path) == [token]
    assert not is_proven_dead(tmp_path, token)


def test_where_there_can_be_no_file_there_is_a_token_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    token = process_token(tmp_path / "file")
    assert process_token(tmp_path / "file") == token
    assert not is_proven_dead(tmp_path / "file", token)


def test_a_link_in_the_place_of_a_file_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "processes").mkdir()
    (tmp_path / "target").touch()
    (tmp_path / "processes" / "x").symlink_to(tmp_path / "target")
    assert not is_proven_dead(tmp_path, "x")


def opened_below(folder: Path) -> list[str]:
    """Return which files of a folder this process has open; how many it has in all, other threads change."""
    links = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(link))  # noqa: PTH115  some are no paths
    return [link for link in links if link.startswith(str(folder))]


def test_nothing_is_left_open_when_the_file_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "no locks here")

    monkeypatch.setattr(liveness.fcntl, "flock", refuse)
    assert process_token(tmp_path / "new")
    assert opened_below(tmp_path) == []
    assert list((tmp_path / "new" / "processes").iterdir()) == []
