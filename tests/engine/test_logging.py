"""Logs: who speaks, how it looks in a terminal, and print as a line."""

# ruff: noqa: T201  prints are what is tested

import asyncio
import builtins
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, get_run_logger, task
from entrepot.logging import TerminalFormatter, TerminalHandler, captured_prints, get_logger, show_logs

LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} \| [A-Z]+ *\| (Flow|Task) run '[a-z0-9-]+' \([0-9a-f]{8}\) - .+$")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def run(code: str, *, env: dict[str, str] | None = None, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = cwd / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


class TestRunLogger:
    def test_says_of_which_run_a_line_is(self, caplog: pytest.LogCaptureFixture, journal: Any) -> None:
        @task
        def step() -> None:
            get_run_logger().info("from the task %d", 1)

        @flow
        def f() -> None:
            get_run_logger(colour="red").warning("from the flow", extra={"shape": "round"})
            step()

        with caplog.at_level(logging.INFO):
            f()
        by_text = {record.getMessage(): record for record in caplog.records}
        of_flow, of_task = by_text["from the flow"], by_text["from the task 1"]
        flow_run = journal.run("f")
        assert (of_flow.run_kind, of_flow.run_name, of_flow.run_id) == ("flow", flow_run.name, flow_run.run_id)
        assert (of_flow.colour, of_flow.shape) == ("red", "round")
        assert (of_task.run_kind, of_task.run_name, of_task.flow_run_id) == ("task", "step-1", flow_run.run_id)
        assert (of_flow.name, of_task.name) == ("entrepot.flow_runs", "entrepot.task_runs")

    def test_works_in_threads_that_carry_the_context(self, caplog: pytest.LogCaptureFixture) -> None:
        @flow
        async def f() -> None:
            await asyncio.to_thread(lambda: get_run_logger().info("from a thread"))

        with caplog.at_level(logging.INFO):
            asyncio.run(f())
        assert "from a thread" in caplog.text

    def test_plain_loggers_are_below_ours(self) -> None:
        assert get_logger().name == "entrepot"
        assert get_logger("mine").name == get_logger("entrepot.mine").name == "entrepot.mine"


class TestEngine:
    def test_tells_a_run_from_its_beginning_to_its_end(self, caplog: pytest.LogCaptureFixture, journal: Any) -> None:
        @flow(name="My Flow")
        def f() -> None:
            task(lambda: 1, name="good")()
            task(lambda: 1 // 0, name="bad", retries=1)(return_state=True)

        with caplog.at_level(logging.INFO):
            f()
        name = journal.run("My Flow").name
        failed = "Task run encountered an exception: ZeroDivisionError: integer division or modulo by zero"
        assert lines(caplog) == [
            ("INFO", f"Beginning flow run {name!r} for flow 'My Flow'"),
            ("INFO", "Finished in state Completed()"),
            ("WARNING", f"{failed}; retry 1 of 1 in 0 seconds"),
            ("ERROR", f"Finished in state Failed({failed!r})"),
            ("INFO", "Finished in state Completed()"),
        ]

    def test_tells_of_a_cached_result_once(self, caplog: pytest.LogCaptureFixture) -> None:
        cached = task(lambda: 1, cache_key_fn=lambda: "k")
        cached()
        with caplog.at_level(logging.INFO):
            caplog.clear()
            cached()
        assert lines(caplog) == [("INFO", "Finished in state Cached()")]

    def test_shows_the_traceback_of_a_submitted_task_only(self, caplog: pytest.LogCaptureFixture) -> None:
        @task
        def bad() -> None:
            raise KeyError("x")

        @flow
        def f() -> None:
            bad(return_state=True)
            assert not any(record.exc_info for record in caplog.records)
            bad.submit().wait()

        f()
        (record,) = [record for record in caplog.records if record.exc_info]
        assert isinstance(record.exc_info[1], KeyError)


class TestTerminal:
    CODE = (
        "from entrepot import flow, task, get_run_logger\n"
        "@task\n"
        "def extract():\n"
        "    get_run_logger().info('100%% of %s', 'it')\n"
        "@flow\n"
        "def f():\n"
        "    extract()\n"
        "f()\n"
    )

    def test_lines_say_when_how_bad_who_and_what(self, tmp_path: Path) -> None:
        ran = run(self.CODE, cwd=tmp_path)
        assert ran.stdout == ""
        shown = ran.stderr.splitlines()
        assert len(shown) == 4
        assert all(LINE.match(line) for line in shown), ran.stderr
        assert re.search(r"\| INFO    \| Task run 'extract-1' \([0-9a-f]{8}\) - 100% of it$", shown[1])
        assert "\x1b" not in ran.stderr

    @pytest.mark.parametrize(("level", "count"), [("DEBUG", 6), ("INFO", 4), ("warning", 0)])
    def test_the_setting_decides_from_which_level_on(self, level: str, count: int, tmp_path: Path) -> None:
        assert len(run(self.CODE, cwd=tmp_path, env={"ENTREPOT_LOGGING_LEVEL": level}).stderr.splitlines()) == count

    @pytest.mark.parametrize(
        ("before", "count"),
        [
            ("logging.basicConfig(format='MINE %(message)s')", 4),
            ("logging.getLogger('entrepot').addHandler(logging.NullHandler())", 0),
            ("logging.getLogger('entrepot').setLevel('ERROR')", 0),
            ("", 4),
        ],
    )
    def test_a_program_with_its_own_logging_keeps_it(self, before: str, count: int, tmp_path: Path) -> None:
        shown = run(f"import logging\n{before}\n{self.CODE}", cwd=tmp_path).stderr.splitlines()
        assert len(shown) == count
        assert all(line.startswith("MINE") is ("MINE" in before) for line in shown)

    def test_loggers_of_others_are_left_alone(self, tmp_path: Path) -> None:
        code = (
            f"{self.CODE}import logging\nlogging.getLogger('other').info('hidden')\nassert not logging.root.handlers\n"
        )
        assert "hidden" not in run(code, cwd=tmp_path).stderr

    def test_colours_are_for_people(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal:
            def __init__(self, *, person: bool) -> None:
                self.text, self.person = "", person

            def write(self, text: str) -> None:
                self.text += text

            def flush(self) -> None: ...

            def isatty(self) -> bool:
                return self.person

        def shown(*, person: bool) -> str:
            terminal = Terminal(person=person)
            monkeypatch.setattr(sys, "stderr", terminal)
            monkeypatch.setattr(logging.root, "handlers", [])
            TerminalHandler().emit(logging.LogRecord("entrepot.x", logging.ERROR, "", 1, "bad", (), None))
            return terminal.text

        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        assert shown(person=True).startswith("\x1b[31m")
        assert shown(person=True).endswith("\x1b[0m\n")
        assert "\x1b" not in shown(person=False)
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in shown(person=True)

    def test_no_terminal_is_no_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        monkeypatch.setattr(logging.root, "handlers", [])
        TerminalHandler().emit(logging.LogRecord("entrepot.x", logging.ERROR, "", 1, "bad", (), None))

    def test_a_traceback_stands_below_its_line(self) -> None:
        try:
            {}["x"]
        except KeyError:
            record = logging.LogRecord("entrepot.x", logging.ERROR, "", 1, "bad %s", ("thing",), sys.exc_info())
        first, *rest = TerminalFormatter().format(record).splitlines()
        assert first.endswith("| ERROR   | entrepot.x - bad thing")
        assert rest[-1] == "KeyError: 'x'"

    def test_a_later_setting_changes_the_level(self) -> None:
        logger = logging.getLogger("entrepot")
        before = logger.level
        try:
            show_logs("ERROR")
            assert logger.level == logging.ERROR
            show_logs("DEBUG")
            assert logger.level == logging.DEBUG
            logger.setLevel(logging.CRITICAL)  # the program's own
            show_logs("INFO")
            assert logger.level == logging.CRITICAL
        finally:
            logger.setLevel(before)


class TestPrints:
    def test_become_lines_where_asked_for(
        self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        @task(log_prints=True)
        def loud() -> None:
            print("a", 1, sep="-")
            print("100% sure")
            print("to stderr", file=sys.stderr)

        @task
        def plain() -> None:
            print("plain")

        @flow
        def f() -> None:
            loud()
            plain()
            print("flow")

        with caplog.at_level(logging.INFO):
            f()
        printed = [record.getMessage() for record in caplog.records if record.name.endswith("runs")]
        assert printed[1:3] == ["a-1", "100% sure"]
        assert capsys.readouterr() == ("plain\nflow\n", "to stderr\n")

    def test_of_a_flow_include_those_of_its_tasks(self, caplog: pytest.LogCaptureFixture) -> None:
        @flow(log_prints=True)
        def f() -> None:
            print("flow")
            task(lambda: print("task"), name="one")()
            task(lambda: print("quiet"), name="two", log_prints=False)()
            task(lambda: print("thread"), name="three").submit()
            flow(lambda: print("subflow"), name="four")()

        with caplog.at_level(logging.INFO):
            f()
        for text in ("flow", "task", "thread", "subflow"):
            assert ("INFO", text) in lines(caplog)
        assert ("INFO", "quiet") not in lines(caplog)

    def test_outside_the_runs_are_prints(self, capsys: pytest.CaptureFixture[str]) -> None:
        gate, ready = threading.Event(), threading.Event()

        @task(log_prints=True)
        def waits() -> None:
            ready.set()
            gate.wait(30)

        real = builtins.print
        thread = threading.Thread(target=waits)
        thread.start()
        ready.wait(30)
        print("meanwhile")
        gate.set()
        thread.join()
        assert builtins.print is real
        assert capsys.readouterr().out == "meanwhile\n"

    def test_a_replacement_of_somebody_else_is_left_to_them(self) -> None:
        real = builtins.print
        try:
            with captured_prints():
                theirs = builtins.print = lambda *_: None
            assert builtins.print is theirs
        finally:
            builtins.print = real

    def test_a_handler_that_prints_does_not_print_for_ever(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Printing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                print("handled", record.getMessage())

        handler = Printing()
        logger = logging.getLogger("entrepot.task_runs")
        logger.addHandler(handler)
        try:
            task(lambda: print("once"), log_prints=True)()
        finally:
            logger.removeHandler(handler)
        assert capsys.readouterr().out.splitlines().count("handled once") == 1
