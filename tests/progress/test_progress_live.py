"""Running flows at a real terminal: what is shown, when nothing is, and what is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from entrepot.progress import observed
from entrepot.progress.live import Display, Observed
from entrepot.protocols.recorder import RunEvent
from entrepot.runs import NULL_RECORDER
from entrepot_test_terminals import Terminal

from .conftest import START, Teller

Run = Callable[..., Terminal]

# Waits until the test types a line, so that pictures do not depend on how fast this machine is. It does so in a way
# that the display cannot know of.
BASIS = """
    import logging, os, sys, threading, time
    from entrepot import flow, task
    logging.getLogger("entrepot").setLevel("CRITICAL")

    go_on = threading.Event()

    def wait_for_the_test():
        os.read(0, 100)
        go_on.set()

    def stays():
        threading.Thread(target=wait_for_the_test, daemon=True).start()
        go_on.wait(300)
"""

MAPPED = (
    BASIS
    + """
    @task(log_prints=False)
    def load(n):
        if n in (3, 5):
            raise ValueError(f"no file {n}")
        if n > 7:
            go_on.wait(300)

    @flow(name="etl", log_prints=False)
    def etl():
        futures = load.map(range(10))
        print("a print")
        print("a message", file=sys.stderr)
        stays()
        for future in futures:
            future.wait()
        return 1

    etl()
    print("the end")
"""
)


class TestAtATerminal:
    def test_a_running_flow_is_shown_failures_first_and_a_summary_stays(self, run_at_terminal: Run) -> None:
        shell = run_at_terminal(MAPPED, columns=120)
        picture = shell.wait_for_picture("8/10  2 failed · 2 running · 6 completed")
        lines = picture.split("\n")
        assert lines[:3] == ["a print", "a message", ""]
        failed = ["✗ load-4  ValueError: no file 3", "✗ load-6  ValueError: no file 5"]
        assert sorted(lines[3:5]) == failed  # they run at the same time: either may be the first to fail
        assert lines[5].startswith(tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"))
        assert " etl · " in lines[5]
        assert lines[6].split()[0] == "load"
        shell.type("\n")
        assert shell.end() == 0
        left = shell.picture()
        lines = [line for line in left.text.split("\n") if line]
        assert lines[:2] == ["a print", "a message"]
        assert sorted(lines[2:4]) == failed
        assert lines[4].startswith("✓ etl · ")
        assert "10 task runs  2 failed · 8 completed" in lines[4]
        assert lines[-1] == "the end"
        assert len(lines) == 7
        assert left.cursor_shown
        assert left.wraps

    def test_it_fits_a_small_terminal(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    @flow
    def etl():
        for number in range(30):
            stage = task(lambda n: n, name=f"stage{number}")
            [future.wait() for future in stage.map([1, 2, 3])]
        stays()

    etl()
"""
        )
        shell = run_at_terminal(script, columns=30, lines=9)
        picture = shell.wait_for_picture("... and 26 more")
        assert picture.count("\n") == 6
        assert not shell.picture().gone
        shell.type("\n")
        assert shell.end() == 0

    def test_subflows_are_shown_inside(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    @flow
    def inner():
        stays()

    @flow
    def outer():
        inner()

    outer()
"""
        )
        shell = run_at_terminal(script)
        lines = shell.wait_for_picture(" inner · ").split("\n")
        assert " outer · " in lines[-2]
        assert lines[-1].startswith("  ")
        shell.type("\n")
        assert shell.end() == 0
        assert "✓ outer" in shell.picture().text

    def test_async_flows_are_shown_too(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    import asyncio

    @flow
    async def etl():
        await asyncio.to_thread(stays)

    asyncio.run(etl())
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture(" etl · ")
        shell.type("\n")
        assert shell.end() == 0
        assert "✓ etl" in shell.picture().text

    def test_what_runs_say_cannot_steer_the_terminal(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + r"""
    @task(name="bad\x1b[2Jname")
    def bad():
        raise ValueError("\x1b]0;title\x07\x1b[2J")

    @flow
    def etl():
        bad(return_state=True)
        stays()

    etl()
"""
        )
        shell = run_at_terminal(script)
        picture = shell.wait_for_picture("ValueError")
        assert r"✗ bad\x1b[2Jname-1  ValueError: \x1b]0;title\x07" in picture
        shell.type("\n")
        assert shell.end() == 0


class TestWhenNothingIsShown:
    QUICK = """
        import logging, sys
        from entrepot import flow, task
        from datetime import timedelta
        from entrepot.progress import live
        live._DELAY = timedelta(hours=1)  # however slow this machine is
        logging.getLogger("entrepot").setLevel("CRITICAL")
        @flow
        def quick():
            return task(lambda: 1)()
        for _ in range(20):
            quick()
        print("rich" in sys.modules)
    """
    SLOW = """
        import logging, os, sys, time
        from entrepot import flow
        logging.getLogger("entrepot").setLevel("CRITICAL")
        @flow
        def slow():
            time.sleep(1)
        slow()
        print("rich" in sys.modules)
    """
    SHOWN = (
        BASIS
        + """
    @flow
    def slow():
        stays()
    slow()
    """
    )

    def test_short_flows_are_not_shown_and_load_nothing_that_draws(self, run_at_terminal: Run) -> None:
        shell = run_at_terminal(self.QUICK)
        assert shell.end() == 0
        assert shell.seen == "False\r\n"

    @pytest.mark.parametrize(
        "variables",
        [{"ENTREPOT_PROGRESS": "off"}, {"ENTREPOT_PROGRESS": "false"}, {"CI": "true"}, {"TERM": "dumb"}],
        ids=str,
    )
    def test_who_does_not_want_it_does_not_get_it(self, variables: dict[str, str], run_at_terminal: Run) -> None:
        shell = run_at_terminal(self.SLOW, **variables)
        assert shell.end() == 0
        assert shell.seen == "False\r\n"

    def test_on_shows_it_in_ci_too(self, run_at_terminal: Run) -> None:
        shell = run_at_terminal(self.SHOWN, CI="true", ENTREPOT_PROGRESS="on")
        shell.wait_for_picture(" slow · ")
        shell.type("\n")
        assert shell.end() == 0
        assert "✓ slow" in shell.picture().text

    @pytest.mark.parametrize("progress", ["auto", "on"])
    def test_what_is_no_terminal_gets_no_sequences(self, progress: str, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(dedent(self.SLOW))
        done = subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "ENTREPOT_PROGRESS": progress},
        )
        assert done.stdout == "False\n"
        assert done.stderr == ""

    def test_without_colours_it_has_none(self, run_at_terminal: Run) -> None:
        shell = run_at_terminal(self.SHOWN, NO_COLOR="1")
        shell.wait_for_picture(" slow · ")
        shell.type("\n")
        assert shell.end() == 0
        assert "✓ slow" in shell.picture().text
        assert "\x1b[32m" not in shell.seen

    def test_a_paused_flow_leaves_the_terminal_to_the_person(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    from entrepot.context import CURRENT
    from entrepot.states import StateType

    @flow
    def waits():
        stays()
        run = CURRENT.get().engine
        run.enter(StateType.PAUSED, "Paused")
        print("answer, please")
        go_on.clear()
        stays()
        run.enter(StateType.RUNNING, "Running")

    waits()
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture("waits ·")
        shell.type("\n")
        shell.wait_for_picture("answer, please")
        for _ in range(20):
            shell._read(0.05)
        assert shell.picture().text.strip() == "answer, please"
        shell.type("\n")
        assert shell.end() == 0


class TestAtTheEnd:
    @pytest.mark.parametrize("ending", ["raise SystemExit(3)", "raise ValueError('no')", "os._exit(3)"])
    def test_however_it_ends_the_terminal_can_be_used(self, ending: str, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + f"""
    @flow
    def etl():
        stays()
        {ending}

    etl()
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture(" etl · ")
        shell.type("\n")
        assert shell.end() in {1, 3}
        assert shell.picture().cursor_shown
        assert shell.picture().wraps

    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
    def test_signals_too(self, ending: signal.Signals, run_at_terminal: Run) -> None:
        shell = run_at_terminal(MAPPED)
        shell.wait_for_picture("8/10")
        os.kill(shell.process.pid, ending)
        if ending is signal.SIGINT:
            shell.type("\n")  # the tasks that wait are let go
        assert shell.end() != 0
        assert shell.picture().cursor_shown
        assert shell.picture().wraps
        if ending is signal.SIGINT:
            assert "✗ etl" in shell.picture().text
            assert "KeyboardInterrupt" in shell.picture().text

    def test_a_flow_that_is_left_running_is_removed_from_the_screen(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    @flow
    def etl():
        go_on.wait(60)
        time.sleep(60)

    threading.Thread(target=etl, daemon=True).start()
    stays()
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture(" etl · ")
        shell.type("\n")
        assert shell.end() == 0
        assert shell.picture().text.strip() == ""

    def test_a_forked_child_is_silent(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    @flow
    def inner():
        time.sleep(0.8)

    @flow
    def etl():
        stays()
        child = os.fork()
        if not child:
            inner()
            print("from the child")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)

    etl()
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture(" etl · ")
        shell.type("\n")
        assert shell.end() == 0
        assert "from the child" in shell.picture().text
        assert "inner" not in shell.seen


# A typed line would be shown where others draw.
WITHOUT_ECHO = (
    BASIS
    + """
    def stays_without_echo():
        while not os.path.exists("go on"):
            time.sleep(0.02)
"""
)


class TestOthersWhoDraw:
    def test_a_rich_display_of_the_program_goes_on_above(self, run_at_terminal: Run, tmp_path: Path) -> None:
        script = (
            WITHOUT_ECHO
            + """
    from rich.progress import Progress

    @flow
    def etl():
        with Progress() as progress:
            mine = progress.add_task("mine", total=3)
            for _ in range(3):
                time.sleep(0.1)
                progress.advance(mine)
            stays_without_echo()

    etl()
"""
        )
        shell = run_at_terminal(script)
        lines = shell.wait_for_picture(" etl · ").split("\n")
        assert lines[0].startswith("mine ")
        (tmp_path / "go on").touch()
        assert shell.end() == 0
        lines = [line for line in shell.picture().text.split("\n") if line]
        assert len(lines) == 2
        assert lines[1].startswith("✓ etl")

    def test_one_that_was_there_before_goes_on_too(self, run_at_terminal: Run, tmp_path: Path) -> None:
        script = (
            WITHOUT_ECHO
            + """
    from rich.progress import Progress

    @flow
    def etl(progress):
        mine = progress.add_task("mine", total=2)
        second = progress.add_task("second", total=2)
        for _ in range(2):
            time.sleep(0.1)
            progress.advance(mine)
            print("a print")
            progress.advance(second)
        stays_without_echo()

    with Progress() as progress:
        etl(progress)
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture(" etl · ")
        (tmp_path / "go on").touch()
        assert shell.end() == 0
        lines = [line for line in shell.picture().text.split("\n") if line]
        assert lines.count("a print") == 2
        assert [line.split()[0] for line in lines if "━" in line] == ["mine", "second"]
        assert any(line.startswith("✓ etl") for line in lines)

    def test_questions_can_be_asked(self, run_at_terminal: Run) -> None:
        script = (
            BASIS
            + """
    @flow
    def etl():
        time.sleep(0.8)
        print("hello", input("your name? "))

    etl()
"""
        )
        shell = run_at_terminal(script)
        shell.wait_for_picture("your name?")
        shell.type("Ann\n")
        assert shell.end() == 0
        assert shell.picture().text.split("\n")[:2] == ["your name? Ann", "hello Ann"]


class Kept:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def record(self, event: RunEvent) -> None:
        self.calls.append(event)

    def flush(self) -> bool:
        self.calls.append("flush")
        return False

    def close(self) -> None:
        self.calls.append("close")


class FixedClock:
    def now(self) -> object:
        return START + timedelta(hours=1)


class TestObserved:
    def test_everything_is_passed_on(self, teller: Teller, tmp_path: Path) -> None:
        kept = Kept()
        with (tmp_path / "out").open("w") as stream:
            recorder = Observed(kept, Display(stream))
            event = teller.flow("f")
            recorder.record(event)
            assert recorder.flush() is False
            recorder.close()
            recorder.display.stop()
        assert kept.calls == [event, "flush", "close"]

    def test_a_display_that_breaks_breaks_nothing_else(self, teller: Teller, tmp_path: Path) -> None:
        kept = Kept()
        stream = (tmp_path / "out").open("w")
        stream.close()  # a terminal that is gone
        display = Display(stream, FixedClock())  # type: ignore[arg-type]
        recorder = Observed(kept, display)
        recorder.record(teller.flow("f"))
        display._picture()
        recorder.record(teller.enters("f", "Completed"))
        assert recorder.flush() is False
        assert display.stopped
        assert len(kept.calls) == 3

    def test_without_a_terminal_the_recorder_stays_as_it_is(self) -> None:
        assert observed(NULL_RECORDER) is NULL_RECORDER
        assert observed(NULL_RECORDER, "on") is NULL_RECORDER
        assert observed(NULL_RECORDER, "off") is NULL_RECORDER

    @pytest.mark.parametrize("stderr", [None, "closed"])
    def test_without_stderr_too(self, stderr: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        if stderr == "closed":
            stderr = (tmp_path / "x").open("w")
            stderr.close()  # type: ignore[attr-defined]
        monkeypatch.setattr(sys, "stderr", stderr)
        found = observed(NULL_RECORDER)
        monkeypatch.undo()
        assert found is NULL_RECORDER
