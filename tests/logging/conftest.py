"""A world whose history is a list, and logging that is set up anew."""

import logging
from collections.abc import Iterator

import pytest

from entrepot import settings
from entrepot.engine.world import World, use_world
from entrepot.logging import setup
from entrepot.protocols.recorder import LogLine, RunCreated, RunEvent, RunTransition


class Kept:
    """A `Recorder` that keeps everything in lists."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.created: list[RunCreated] = []
        self.transitions: list[RunTransition] = []

    def record(self, event: RunEvent) -> None:
        for kind, events in ((LogLine, self.lines), (RunCreated, self.created), (RunTransition, self.transitions)):
            if isinstance(event, kind):
                events.append(event)

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""

    def said(self) -> list[tuple[str, str]]:
        """Return name of the run and message of every line."""
        names = {run.run_id: run.name for run in self.created}
        return [(names[line.run_id], line.message) for line in self.lines]

    def by(self, message: str) -> str:
        """Return the name of the run that wrote this line."""
        (name,) = [name for name, said in self.said() if said == message]
        return name


@pytest.fixture
def kept(entrepot_home: object) -> Iterator[Kept]:
    recorder = Kept()
    with use_world(World(settings.current(), recorder)):
        yield recorder


@pytest.fixture(autouse=True)
def logging_anew() -> Iterator[None]:
    """Let the first run of the test set up logging, and that of the next test."""
    logger = logging.getLogger("entrepot")

    def forget() -> None:
        setup._last = setup._shown_level = None
        logger.setLevel(logging.NOTSET)

    forget()
    yield
    forget()
