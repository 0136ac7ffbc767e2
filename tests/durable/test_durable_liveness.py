"""Living processes and dead ones: who is found, when, and that nobody who lives ever is."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot import flow
from entrepot.protocols.recorder import Heartbeat, RunCreated, RunTransition
from entrepot.runs import LocalRecorder, RunHistory, default_path, default_recorder, liveness, process_token
from entrepot.runs.lines import heartbeat_of
from entrepot.runs.liveness import FOLDER, Life, Presence, claim, life_of
from entrepot.runs.sweeping import sweep
from entrepot.states import new_id
from entrepot.testing import FrozenClock
from entrepot_test_processes import until

PROGRAM = """
import os, signal, subprocess, sys, time
from entrepot import flow, task

@task
def waits():
    print("begun", flush=True)
    {body}

@flow
def inner():
    waits()

@flow
def outer():
    inner()

outer()
"""


class Program:
    """A process that runs a flow; it has written its history when `begun` returns."""

    def __init__(self, home: Path, body: str = "time.sleep(600)") -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(body=body)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begun(self) -> "Program":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"
        until(lambda: len(self.states()) == 3 and set(self.states().values()) == {"Running"})
        return self

    def states(self) -> dict[str, str | None]:
        history = RunHistory(self.home / "runs.db")
        runs = history.list(kind=None, limit=None)
        return {run.definition: run.state_name for run in runs if run.process_id == self.process.pid}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Kill it; a child that outlives it reads the end of its stdin now."""
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def start(entrepot_home: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def begin(body: str = "time.sleep(600)") -> Program:
        started.append(Program(entrepot_home, body))
        return started[-1].begun()

    yield begin
    for program in started:
        with contextlib.suppress(ProcessLookupError):
            program.process.send_signal(signal.SIGCONT)
        program.close()


@pytest.fixture
def recorder(entrepot_home: Path) -> Iterator[LocalRecorder]:
    made = LocalRecorder(entrepot_home / "runs.db")
    yield made
    made.close()


def look(recorder: LocalRecorder, *, thorough: bool = False) -> list[str]:
    return list(sweep(default_path(), recorder, thorough=thorough))


def locks(home: Path) -> list[str]:
    return sorted(entry.name for entry in (home / FOLDER).iterdir() if not entry.name.startswith("."))


class TestSweeping:
    def test_the_runs_of_a_process_that_was_killed_crashed_the_inner_ones_first(
        self, start: Callable[..., Program], recorder: LocalRecorder, entrepot_home: Path
    ) -> None:
        program = start()
        before = datetime.now(UTC)
        program.kill()
        marked = [RunHistory(default_path()).find(run_id) for run_id in look(recorder)]
        assert [run.definition for run in marked] == ["waits", "inner", "outer"]
        assert {run.state_name for run in marked} == {"Crashed"}
        words = f"its process (pid {program.process.pid} on {socket.gethostname()}) ended without a word"
        assert {run.message for run in marked} == {words}
        for run in marked:  # when it was heard of last, not when somebody looked
            assert run.ended is not None
            assert run.ended <= before
        assert locks(entrepot_home) == []
        assert look(recorder) == []

    def test_a_process_that_lives_is_left_alone(self, start: Callable[..., Program], recorder: LocalRecorder) -> None:
        program = start()
        assert look(recorder) == look(recorder, thorough=True) == []
        assert set(program.states().values()) == {"Running"}

    def test_so_is_one_that_is_stopped(self, start: Callable[..., Program], recorder: LocalRecorder) -> None:
        program = start()
        program.process.send_signal(signal.SIGSTOP)
        assert look(recorder, thorough=True) == []
        program.process.send_signal(signal.SIGCONT)
        assert look(recorder, thorough=True) == []

    def test_and_one_whose_lock_file_was_removed(
        self, start: Callable[..., Program], recorder: LocalRecorder, entrepot_home: Path
    ) -> None:
        program = start()
        (token,) = locks(entrepot_home)
        (entrepot_home / FOLDER / token).unlink()
        assert look(recorder, thorough=True) == []
        program.kill()
        assert look(recorder) == []  # nothing tells of it but the history
        assert len(look(recorder, thorough=True)) == 3

    def test_a_child_that_outlives_its_parent_does_not_keep_it_alive(
        self, start: Callable[..., Program], recorder: LocalRecorder
    ) -> None:
        program = start(
            "if os.fork() == 0: print('forked', flush=True); sys.stdin.read(); os._exit(0)\n    time.sleep(600)"
        )
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "forked\n"
        program.kill()
        assert len(look(recorder)) == 3

    def test_a_process_that_ends_by_itself_leaves_no_lock(self, entrepot_home: Path) -> None:
        program = Program(entrepot_home, "pass")
        assert program.process.wait(120) == 0
        assert locks(entrepot_home) == []
        assert set(program.states().values()) == {"Completed"}

    def test_what_it_left_unfinished_is_found_all_the_same(self, recorder: LocalRecorder, entrepot_home: Path) -> None:
        program = Program(
            entrepot_home, "from entrepot.runs import default_recorder as made; made().flush(); os._exit(0)"
        )
        assert program.process.wait(120) == 0
        look(recorder)
        assert set(program.states().values()) == {"Crashed"}

    def test_a_paused_run_may_outlive_its_process(self, start: Callable[..., Program], recorder: LocalRecorder) -> None:
        program = start()
        (outer,) = [run for run in RunHistory(default_path()).list() if run.definition == "outer"]
        recorder.record(RunTransition("p", outer.run_id, 1, "PAUSED", "Paused", datetime.now(UTC)))
        recorder.flush()
        program.kill()
        assert len(look(recorder)) == 2
        assert program.states()["outer"] == "Paused"
        assert look(recorder, thorough=True) == []

    def test_two_that_look_at_once_do_not_disturb_each_other(
        self, start: Callable[..., Program], entrepot_home: Path
    ) -> None:
        start().kill()
        found: list[int] = []

        def work() -> None:
            mine = LocalRecorder(default_path())
            found.append(len(look(mine)))
            mine.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(found) == 3
        runs = RunHistory(default_path()).list(kind=None)
        assert {run.state_name for run in runs} == {"Crashed"}
        for run in runs:
            crashed = [
                one for one in RunHistory(default_path()).get(run.run_id).transitions if one.state_name == "Crashed"
            ]
            assert len(crashed) == 1

    def test_a_flow_that_starts_looks_at_the_others_in_the_background(self, start: Callable[..., Program]) -> None:
        program = start()
        program.kill()
        flow(lambda: 1)()
        until(lambda: set(program.states().values()) == {"Crashed"})

    def test_where_the_history_cannot_be_written_nothing_is_marked_and_nothing_raised(
        self, start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start().kill()

        class Deaf:
            def record(self, event: object) -> None: ...

            def flush(self) -> bool:
                return False

            def close(self) -> None: ...

        assert list(sweep(default_path(), Deaf())) == []
        default_path().write_bytes(b"no database " * 500)
        assert list(sweep(default_path(), Deaf())) == []


class TestJudging:
    NOW = datetime(2026, 1, 2, tzinfo=UTC)

    def heard(
        self, *, host: str | None = None, pid: int | None = None, started: float = 0, ago: float = 1
    ) -> Heartbeat:
        return Heartbeat(
            new_id(),
            os.getpid() if pid is None else pid,
            socket.gethostname() if host is None else host,
            datetime.now(UTC) + timedelta(seconds=started),
            self.NOW - timedelta(seconds=ago),
        )

    def lock(self, folder: Path, token: str, *, boot: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / token).write_text(json.dumps({"boot": boot, "host": "there", "process_id": 1}))
        os.utime(folder / token, (self.NOW.timestamp() - 3600,) * 2)

    def test_this_process_lives(self, tmp_path: Path) -> None:
        assert life_of(tmp_path, process_token(), None, self.NOW) is Life.LIVES

    @pytest.mark.parametrize("token", ["", "../../etc/passwd", "x", "0" * 36])
    def test_of_what_is_no_process_nothing_is_known(self, token: str, tmp_path: Path) -> None:
        assert life_of(tmp_path, token, None, self.NOW) is Life.UNKNOWN

    def test_without_a_file_its_number_says_whether_it_lives(self, tmp_path: Path) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        gone, here = self.heard(pid=ended.pid), self.heard()
        assert life_of(tmp_path, gone.process, gone, self.NOW) is Life.ENDED
        assert life_of(tmp_path, here.process, here, self.NOW) is Life.LIVES
        assert life_of(tmp_path, new_id(), None, self.NOW) is Life.UNKNOWN

    def test_a_number_that_another_process_has_now_does_not_count(self, tmp_path: Path) -> None:
        long_ago = self.heard(started=-86_400)
        assert life_of(tmp_path, long_ago.process, long_ago, self.NOW) is Life.ENDED

    @pytest.mark.parametrize(("ago", "expected"), [(1, Life.UNKNOWN), (59, Life.UNKNOWN), (61, Life.ENDED)])
    def test_of_another_machine_the_last_heartbeat_says_it(self, ago: float, expected: Life, tmp_path: Path) -> None:
        there = self.heard(host="there", pid=1, ago=ago)
        assert life_of(tmp_path, there.process, there, self.NOW) is expected
        self.lock(tmp_path, there.process, boot="another boot")
        assert life_of(tmp_path, there.process, there, self.NOW) is expected

    def test_a_lock_of_this_machine_that_nobody_has_is_of_a_dead_process(self, tmp_path: Path) -> None:
        token = new_id()
        self.lock(tmp_path, token, boot=liveness._boot())
        assert life_of(tmp_path, token, None, self.NOW) is Life.ENDED

    def test_a_file_that_says_nothing_is_of_an_unknown_process(self, tmp_path: Path) -> None:
        token = new_id()
        (tmp_path / token).write_bytes(b"[\xff")
        assert life_of(tmp_path, token, None, self.NOW) is Life.UNKNOWN


def created(run_id: str, *, parent: str | None = None, process: str | None = None) -> RunCreated:
    when = datetime.now(UTC)
    return RunCreated(
        run_id,
        "flow",
        run_id,
        "f",
        "k",
        when,
        parent_run_id=parent,
        process_id=os.getpid(),
        process=process_token() if process is None else process,
    )


def ended(run_id: str) -> RunTransition:
    return RunTransition(new_id(), run_id, 1, "COMPLETED", "Completed", datetime.now(UTC))


class TestPresence:
    def test_it_beats_while_something_runs_and_rests_when_nothing_does(self, tmp_path: Path) -> None:
        clock = FrozenClock()
        presence = Presence(tmp_path / "p", clock)
        assert presence.patience is None
        events: list[object] = [created("a"), created("b", parent="a")]
        presence.attend(events)
        assert [type(event).__name__ for event in events] == ["RunCreated", "RunCreated", "Heartbeat"]
        assert presence.patience == 10
        clock.advance(9)
        presence.attend(later := [ended("b")])
        assert len(later) == 1
        assert presence.patience == 1
        clock.advance(1)
        presence.attend(later := [])
        assert [type(event).__name__ for event in later] == ["Heartbeat"]
        presence.attend([ended("a")])
        assert presence.patience is None
        presence.leave()
        assert list((tmp_path / "p").iterdir()) == []

    def test_it_stays_while_something_runs(self, tmp_path: Path) -> None:
        presence = Presence(tmp_path / "p")
        presence.attend([created("a")])
        presence.leave()
        assert [entry.name for entry in (tmp_path / "p").iterdir()] == [process_token()]
        presence.abandon()

    def test_runs_of_other_processes_are_not_its_own(self, tmp_path: Path) -> None:
        presence = Presence(tmp_path / "p")
        events: list[object] = [created("a", process=new_id()), created("b", process="")]
        presence.attend(events)
        assert len(events) == 2
        assert not (tmp_path / "p").exists()

    def test_a_lock_that_was_removed_is_made_again(self, tmp_path: Path) -> None:
        presence = Presence(tmp_path / "p")
        presence.attend([created("a")])
        (tmp_path / "p" / process_token()).unlink()
        presence.beat()
        assert (tmp_path / "p" / process_token()).exists()
        presence.abandon()

    def test_where_no_lock_can_be_made_it_beats_all_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "p").write_text("in the way")
        presence = Presence(tmp_path / "p")
        events: list[object] = [created("a")]
        presence.attend(events)
        assert len(events) == 2

    def test_a_forked_child_is_another_process(self) -> None:
        parent = process_token()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, process_token().encode())
            os._exit(0)
        os.waitpid(pid, 0)
        child = os.read(reading, 100).decode()
        assert len(child) == len(parent)
        assert child != parent

    def test_the_recorder_beats_by_itself(self, recorder: LocalRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(liveness, "_BEAT", 0.05)
        recorder.record(created("a"))
        recorder.flush()

        def heartbeat() -> str:
            found = heartbeat_of(RunHistory(default_path()), process_token())
            assert found is not None
            return found.timestamp.isoformat()

        first = heartbeat()
        until(lambda: heartbeat() > first)
        recorder.record(ended("a"))


class TestClaims:
    def test_one_has_it_at_a_time(self, tmp_path: Path) -> None:
        held = claim(tmp_path, "a")
        assert held is not None
        assert claim(tmp_path, "a") is None
        assert claim(tmp_path, "b") is not None
        held.release()
        again = claim(tmp_path, "a")
        assert again is not None
        held.release()  # twice is once
        assert claim(tmp_path, "a") is None

    def test_of_many_threads_one_has_it(self, tmp_path: Path) -> None:
        inside = [0, 0]

        def work() -> None:
            for _ in range(200):
                held = claim(tmp_path, "a")
                if held is not None:
                    inside[0] += 1
                    assert inside[0] == 1
                    inside[1] += 1
                    inside[0] -= 1
                    held.release()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert inside[1] > 0

    def test_it_ends_with_the_process_and_not_with_its_child(self, tmp_path: Path) -> None:
        script = (
            "import os, sys, time\nfrom pathlib import Path\nfrom entrepot.runs.liveness import claim\n"
            "held = claim(Path(sys.argv[1]), 'a')\n"
            "if os.fork() == 0: sys.stdin.read(); os._exit(0)\nprint('held', flush=True)\ntime.sleep(600)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert claim(tmp_path, "a") is None
            holder.kill()
            holder.wait()
            until(lambda: claim(tmp_path, "a") is not None)  # the child lets go as soon as it runs, and lives on


def test_what_a_history_without_processes_says_is_left_alone(recorder: LocalRecorder) -> None:
    recorder.record(created("a", process=""))
    assert look(recorder, thorough=True) == []
    assert default_recorder() is not None
