"""What logging says of a record that it cannot handle has the arguments in it, and the error that was being handled."""

import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from entrepot import flow, get_run_logger
from entrepot._secrets import forget_secrets, remember_secret
from entrepot.logging import mask_record
from entrepot.logging.history import HistoryHandler
from entrepot.logging.terminal import TerminalHandler

SECRET = "hunter2-swordfish"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    remember_secret(SECRET)
    yield
    forget_secrets()


@pytest.fixture
def no_others() -> Iterator[Callable[[], None]]:
    """Take the handlers of pytest away, which come after fixtures: they raise, and silence those of the terminal."""
    before: list[list[logging.Handler]] = []

    def take_away() -> None:
        before.append(logging.root.handlers)
        logging.root.handlers = []

    yield take_away
    if before:
        logging.root.handlers = before[0]


def fail() -> None:
    raise LookupError(f"no account for {SECRET}")


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("app", logging.INFO, __file__, 1, message, args, None)


def test_arguments_that_do_not_fit_are_masked_in_a_run(
    kept: object, capfd: pytest.CaptureFixture[str], no_others: Callable[[], None]
) -> None:
    no_others()

    def careless() -> None:
        try:
            fail()
        except LookupError:
            get_run_logger().exception("%d tries", SECRET)

    flow(careless, name="careless")()
    shown = capfd.readouterr().err
    assert "%d tries (the arguments do not fit this message: ('**********',))" in shown
    assert SECRET not in shown
    lines = [line.message for line in kept.lines]  # type: ignore[attr-defined]
    assert any("%d tries" in line for line in lines)
    assert SECRET not in "".join(lines)


def test_handlers_of_the_program_get_them_masked() -> None:
    ours = record("%d tries", SECRET)
    assert mask_record(ours)
    assert ours.getMessage() == "%d tries (the arguments do not fit this message: ('**********',))"


def test_nor_the_error_that_is_being_handled() -> None:
    ours = record("%d tries", "three")
    try:
        fail()
    except LookupError:
        assert mask_record(ours)
    assert ours.getMessage() == "%d tries (the arguments do not fit this message: ('three',))"


def test_arguments_that_cannot_be_shown_break_nothing() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError(SECRET)

    ours = record("%s", Broken())
    try:
        fail()
    except LookupError:
        assert mask_record(ours)
    assert ours.getMessage() == "%s (the arguments do not fit this message: arguments that cannot be shown)"


def test_while_no_secret_is_known_logging_says_it_as_ever(
    capfd: pytest.CaptureFixture[str], no_others: Callable[[], None]
) -> None:
    no_others()
    forget_secrets()
    TerminalHandler().handle(record("%d tries", "three"))
    assert "Arguments: ('three',)" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [TerminalHandler, HistoryHandler])
def test_what_else_goes_wrong_is_told_masked(
    kind: type[logging.Handler],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    no_others: Callable[[], None],
) -> None:
    no_others()

    def is_full(*_: object) -> None:
        raise OSError("full")

    handler = kind()
    monkeypatch.setattr(handler, "format" if kind is TerminalHandler else "_keep", is_full)
    try:
        fail()
    except LookupError:
        handler.handle(record(f"said {SECRET}"))
    shown = capfd.readouterr().err
    assert "OSError: full" in shown
    assert "LookupError: no account for **********" in shown
    assert SECRET not in shown


def test_nothing_is_told_where_there_is_nobody_or_it_is_not_wanted(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = HistoryHandler()
    monkeypatch.setattr(handler, "_keep", lambda _: 1 / 0)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler.handle(record("said"))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "stderr", None)
    handler.handle(record("said"))
    assert capfd.readouterr().err == ""
