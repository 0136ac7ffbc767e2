"""Loggers of other libraries: theirs is the line, the run's is the place."""

# ruff: noqa: TRY301  errors are raised to be caught and logged

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from entrepot import flow, task
from entrepot.engine.world import World, use_world
from entrepot.errors import ConfigurationError, OptionError
from entrepot.logging import attach_loggers, remember_secret
from entrepot.logging.attached import ATTACHED
from entrepot.settings import current

from .conftest import Kept

LIBRARY = logging.getLogger("a_library")
PART = logging.getLogger("a_library.part")


@pytest.fixture(autouse=True)
def as_they_were() -> Iterator[None]:
    yield
    for logger in (LIBRARY, PART):
        assert ATTACHED not in logger.handlers
        assert logger.level == logging.NOTSET


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what a person sees from now on; pytest's own handlers, there during a test, would silence it."""
    stream = io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def of_library(kept: Kept) -> list[tuple[str, str, str]]:
    names = {run.run_id: run.name for run in kept.created}
    return [(names[line.run_id], line.logger, line.message) for line in kept.lines if line.logger.startswith("a_lib")]


class TestAttaching:
    def test_gives_their_lines_to_the_run_that_causes_them(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = terminal(monkeypatch)

        @task
        def step() -> None:
            LIBRARY.info("for %s", "the task")
            thread = threading.Thread(target=PART.warning, args=("in a thread of it",))
            thread.start()
            thread.join()

        @flow
        def f() -> None:
            LIBRARY.info("for the flow")
            step()

        with attach_loggers("a_library"):
            f()
            LIBRARY.warning("outside of runs")
        f()
        whole = kept.created[0]
        assert of_library(kept) == [
            (whole.name, "a_library", "for the flow"),
            ("step-1", "a_library", "for the task"),
            ("step-1", "a_library.part", "in a thread of it"),
        ]
        shown = [line.partition(" | ")[2] for line in seen.getvalue().splitlines() if "a_library" in line]
        step_id = kept.created[1].run_id[:8]
        assert shown == [
            f"INFO    | Flow run {whole.name!r} ({whole.run_id[:8]}) [a_library] - for the flow",
            f"INFO    | Task run 'step-1' ({step_id}) [a_library] - for the task",
            f"WARNING | Task run 'step-1' ({step_id}) [a_library.part] - in a thread of it",
        ]

    def test_tells_runs_apart_that_are_concurrent(self, kept: Kept) -> None:
        @task
        async def step(number: int) -> None:
            for _ in range(3):
                PART.info("%d", number)
                await asyncio.sleep(0)

        @flow
        async def f() -> None:
            await asyncio.gather(*[step(number) for number in range(4)])

        with attach_loggers("a_library"):
            asyncio.run(f())
        assert sorted(of_library(kept)) == sorted(
            (f"step-{number + 1}", "a_library.part", str(number)) for number in range(4) for _ in range(3)
        )

    def test_twice_says_it_once(self, kept: Kept) -> None:
        with attach_loggers("a_library", "a_library.part"), attach_loggers("a_library"):
            flow(lambda: PART.warning("once"), name="f")()
        assert [message for _, _, message in of_library(kept)] == ["once"]

    def test_ends_with_the_last_who_asked_for_it(self, kept: Kept) -> None:
        first = attach_loggers("a_library")
        second = attach_loggers("a_library")
        first.detach()
        first.detach()
        flow(lambda: LIBRARY.warning("still"), name="f")()
        second.detach()
        flow(lambda: LIBRARY.warning("no more"), name="f")()
        assert [message for _, _, message in of_library(kept)] == ["still"]

    def test_keeps_what_the_program_has_set_meanwhile(self) -> None:
        with attach_loggers("a_library", level="DEBUG"):
            assert LIBRARY.level == logging.DEBUG
            LIBRARY.setLevel(logging.ERROR)
        assert LIBRARY.level == logging.ERROR
        LIBRARY.setLevel(logging.NOTSET)

    @pytest.mark.parametrize(
        ("level", "heard"), [(None, "iw"), ("WARNING", "w"), (logging.DEBUG, "diw"), ("debug", "diw")]
    )
    def test_decides_from_which_level_on(self, level: int | str | None, heard: str, kept: Kept) -> None:
        def body() -> None:
            LIBRARY.debug("d")
            LIBRARY.info("i")
            LIBRARY.warning("w")

        with attach_loggers("a_library", level=level):
            flow(body)()
        assert "".join(message for _, _, message in of_library(kept)) == heard

    def test_masks_secrets_for_the_programs_own_handlers_too(
        self, kept: Kept, caplog: pytest.LogCaptureFixture
    ) -> None:
        remember_secret("hunter2222")

        def body() -> None:
            try:
                raise ValueError("hunter2222")
            except ValueError:
                PART.exception("GET /?key=%s", "hunter2222")

        with attach_loggers("a_library"):
            flow(body)()
        assert "hunter2222" not in caplog.text
        assert of_library(kept)[0][2].startswith("GET /?key=**********\nTraceback")

    @pytest.mark.parametrize("names", [(), ("",), ("root",), (None,), (LIBRARY,)])
    def test_takes_names_of_loggers(self, names: tuple[object, ...]) -> None:
        with pytest.raises(OptionError, match="names of loggers"):
            attach_loggers(*names)  # type: ignore[arg-type]

    @pytest.mark.parametrize("level", ["LOUD", True, 1.5])
    def test_takes_levels_of_logging(self, level: object) -> None:
        with pytest.raises(OptionError, match="level of logging"):
            attach_loggers("a_library", level=level)  # type: ignore[arg-type]

    def test_our_own_are_attached_already(self, kept: Kept) -> None:
        with attach_loggers("entrepot.mine"):
            flow(lambda: logging.getLogger("entrepot.mine").warning("once"), name="f")()
        assert [line.message for line in kept.lines].count("once") == 1


class TestTheSetting:
    def test_attaches_them_for_as_long_as_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = Kept()

        def run(names: str) -> None:
            monkeypatch.setenv("ENTREPOT_LOGGING_EXTRA_LOGGERS", names)
            with use_world(World(current(), kept)):
                flow(lambda: [LIBRARY.info("one"), PART.info("two"), None][2], name="f")()

        run("another, a_library.part")
        assert [message for _, _, message in of_library(kept)] == ["two"]
        run("a_library")
        assert [message for _, _, message in of_library(kept)] == ["two", "one", "two"]
        run("")
        assert len(of_library(kept)) == 3

    def test_can_stand_in_the_file_as_a_list(self, entrepot_home: object) -> None:
        from entrepot.settings import set_value  # noqa: PLC0415  for one test

        set_value("logging_extra_loggers", "httpx , botocore,")
        assert current().logging_extra_loggers == ("httpx", "botocore")

    @pytest.mark.parametrize("names", ["root", "a,\x1b[31m"])
    def test_refuses_what_names_no_logger(self, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_LOGGING_EXTRA_LOGGERS", names)
        with pytest.raises(ConfigurationError, match="commas between them"):
            current()

    def test_does_without_the_history_where_that_is_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = terminal(monkeypatch)
        monkeypatch.setenv("ENTREPOT_LOGGING_EXTRA_LOGGERS", "a_library")
        monkeypatch.setenv("ENTREPOT_LOGGING_TO_HISTORY", "false")
        kept = Kept()
        with use_world(World(current(), kept)):
            flow(lambda: LIBRARY.info("shown"), name="f")()
        assert kept.lines == []
        assert "[a_library] - shown" in seen.getvalue()
        monkeypatch.setenv("ENTREPOT_LOGGING_EXTRA_LOGGERS", "")
        monkeypatch.setenv("ENTREPOT_LOGGING_TO_HISTORY", "true")
        with use_world(World(current(), kept)):
            flow(lambda: None, name="f")()
        assert len(kept.lines) == 2
