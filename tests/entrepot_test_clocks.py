"""Deadlines of a fraction of a second on machines that stand still for longer than that.

What is to be stopped must have begun. So a test lets the clock stand still from where the deadline is set until it has:
how long a busy machine took to get there does not count.
"""

import time
from types import SimpleNamespace

import pytest

__all__ = ["HeldClock", "hold_engine", "hold_http"]


class HeldClock:
    """A monotonic clock that can be stopped, and that goes on where it stood."""

    def __init__(self) -> None:
        self._behind = 0.0
        self._held: float | None = None

    def __call__(self) -> float:
        held = self._held
        return time.monotonic() - self._behind if held is None else held

    def hold(self) -> float:
        """Stop it; return what it says."""
        self._held = self()
        return self._held

    def pass_by(self, seconds: float) -> None:
        """Let so much of its time pass while it stands still."""
        assert self._held is not None
        self._held += seconds

    def go_on(self) -> None:
        """Let it go on. A call that is struck amid this has let it go on, or had it going."""
        held = self._held
        if held is not None:
            self._behind = time.monotonic() - held
            self._held = None


def hold_engine(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    """Stop the clock of timeouts whenever a run gets its own; the test lets it go on."""
    clock = HeldClock()
    for module in ("_stops", "_watch", "engine.children", "engine.drive_async", "engine.isolation"):
        monkeypatch.setattr(f"entrepot.{module}.monotonic", clock)
    monkeypatch.setattr("entrepot.engine.calls.monotonic", clock.hold)
    return clock


def hold_http(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    """Stop the clock of HTTP clients; the test lets it go on."""
    clock = HeldClock()
    clock.hold()
    for module in ("_http", "_timed"):
        monkeypatch.setattr(f"entrepot.blocks.{module}.time", SimpleNamespace(monotonic=clock))
    return clock
