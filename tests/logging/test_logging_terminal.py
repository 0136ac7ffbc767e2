"""What is shown: who speaks, and no secrets, whoever shows it."""

# ruff: noqa: TRY301  errors are raised to be caught and logged

# ruff: noqa: T201  prints are what is tested

import io
import logging
import sys

import pytest
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler

from entrepot import flow, get_run_logger, task
from entrepot.blocks.system import Secret
from entrepot.logging import TerminalFormatter, mask_record, remember_secret
from entrepot_test_secrets import SECRET, leaks

from .conftest import Kept


class Text(logging.Handler):
    """A handler of the program's own."""

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"


def spill() -> None:
    """Let a secret out in every way that a run has."""
    secret = Secret(value=SECRET).get()

    @task
    def bad() -> None:
        get_run_logger().info("it is %s", secret)
        get_run_logger().info({"in": [secret]})
        try:
            raise KeyError(secret)
        except KeyError as error:
            get_run_logger().exception("caught", stack_info=True)
            raise RuntimeError(f"url?key={secret}") from error

    @flow(log_prints=True)
    def f() -> None:
        print("printed", secret, [secret.encode()])
        bad.submit().wait()
        bad(return_state=True)

    f()


class TestSecrets:
    def test_are_masked_in_the_terminal(
        self, kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(logging.root, "handlers", [])
        spill()
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "it is **********" in shown.err
        assert "RuntimeError: url?key=**********" in shown.err
        assert leaks(shown.err, SECRET) == []

    def test_are_masked_in_the_programs_own_handlers(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        theirs = Text(logging.Formatter("%(name)s %(message)s"))
        rich = io.StringIO()
        handlers = [theirs, RichHandler(console=Console(file=rich, width=300), rich_tracebacks=True)]
        monkeypatch.setattr(logging.root, "handlers", handlers)
        spill()
        assert "KeyError" in theirs.text
        assert theirs.text.count("**********") > 10
        assert leaks(theirs.text, SECRET) == leaks(rich.getvalue(), SECRET) == []

    def test_are_masked_by_a_filter_for_any_other_logger(self) -> None:
        remember_secret("hunter2222")
        theirs, ours = Text(logging.Formatter("%(message)s")), Text(TerminalFormatter())
        theirs.addFilter(mask_record)
        logger = logging.getLogger("somebody")
        for handler in (ours, theirs):
            logger.addHandler(handler)
        try:
            try:
                raise ValueError("hunter2222")
            except ValueError:
                logger.exception("%s", "hunter2222", stack_info=True)
        finally:
            for handler in (ours, theirs):
                logger.removeHandler(handler)
        assert "hunter2222" not in theirs.text + ours.text
        assert "ValueError: **********" in theirs.text

    def test_a_record_without_one_is_left_as_it_is(self) -> None:
        remember_secret("hunter2222")
        try:
            raise ValueError("x")
        except ValueError:
            record = logging.LogRecord(
                "a", logging.ERROR, "", 1, "%s and %s", ("one", "two"), sys.exc_info(), sinfo="s"
            )
        before = dict(vars(record))
        assert mask_record(record) is True
        assert vars(record) == before

    def test_a_record_that_cannot_be_formatted_is_left_to_its_handlers(self) -> None:
        remember_secret("hunter2222")
        record = logging.LogRecord("a", logging.ERROR, "", 1, "%d", ("one",), None)
        assert mask_record(record) is True
        assert record.args == ("one",)


class TestLive:
    def test_lines_go_above_a_display_that_has_taken_stderr(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = io.StringIO()
        monkeypatch.setattr(logging.root, "handlers", [])
        monkeypatch.setattr(sys, "stderr", screen)
        console = Console(file=screen, force_terminal=True, width=200)
        with Live("the display", console=console, redirect_stderr=True, auto_refresh=False):
            assert sys.stderr is not screen
            flow(lambda: get_run_logger().warning("a line"), name="f")()
        assert sys.stderr is screen
        flow(lambda: get_run_logger().warning("another"), name="f")()
        shown = screen.getvalue()
        assert shown.count("a line") == 1
        assert shown.count("another") == 1
        assert shown.index("the display") < shown.index("a line")
