"""What the engine takes from outside: time, chance, settings, and who is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from entrepot import settings
from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.progress import observed
from entrepot.protocols.recorder import Recorder
from entrepot.runs import default_recorder
from entrepot.settings import Settings

__all__ = ["RunRefused", "World", "current_world", "no_runs", "use_world"]


def _chance() -> float:
    import random  # noqa: PLC0415  only a retry with jitter pays for it

    return random.random()  # noqa: S311  it spreads retries, and guards nothing


@dataclass(frozen=True, slots=True)
class World:
    """What one top-level run, and every run below it, sees of the outside.

    Attributes:
        settings: As they were when the top-level run began.
        recorder: Who keeps the history; None for nobody.
        clock: Tells the time and waits.
        chance: Returns a random number from 0 up to, not including, 1.
    """

    settings: Settings
    recorder: Recorder | None = None
    clock: Clock = SYSTEM_CLOCK
    chance: Callable[[], float] = _chance


_given: ContextVar[World | None] = ContextVar("entrepot_world", default=None)


class RunRefused(BaseException):
    """A flow or a task was called by a file that is loaded, not run. No error: the file does nothing wrong."""


_loading = False


@contextmanager
def no_runs() -> Iterator[None]:
    """Let no top-level run begin in this process: a file is loaded that may call its flow at its end.

    Whoever calls one gets a `RunRefused`, in every thread: hence no context variable.
    """
    global _loading  # noqa: PLW0603  as said above
    _loading = True
    try:
        yield
    finally:
        _loading = False


def current_world() -> World:
    """Return the world of a top-level run that begins now."""
    if _loading:
        raise RunRefused
    given = _given.get()
    if given is not None:
        return given
    now = settings.current()
    return World(now, observed(default_recorder(), now.progress))


@contextmanager
def use_world(world: World) -> Iterator[None]:
    """Let top-level runs that begin in here see another world: a clock that stands still, say."""
    token = _given.set(world)
    try:
        yield
    finally:
        _given.reset(token)
