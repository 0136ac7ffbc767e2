"""Pauses end in time, by an interrupt, and whatever happens to the file meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import settings
from entrepot.coordination import pauses
from entrepot.engine.world import World, use_world
from entrepot.errors import (
    CancelledRunError,
    NotResumableError,
    PausedRunError,
    PauseTimeoutError,
    StorageError,
)
from entrepot.flow_runs import (
    apause_flow_run,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from entrepot.flow_runs.answering import Waiting, waiting
from entrepot.flows import flow
from entrepot.runs import default_recorder
from entrepot.testing.fakes import FrozenClock
from entrepot_test_people import SOON, Approval, answering, run_of, says, states, wait_until


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "entrepot")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


class TestTime:
    def test_without_an_answer_in_time_it_fails(self) -> None:
        @flow
        def asks() -> None:
            pause_flow_run(Approval, timeout=60)

        clock = FrozenClock()
        with use_world(World(settings.current(), default_recorder(), clock)):
            began = clock.now()
            with pytest.raises(PauseTimeoutError, match="nobody answered"):
                asks()
        assert clock.now() - began == timedelta(seconds=60)
        assert states("asks") == ["Running", "Paused", "Running", "Failed"]
        assert waiting() == []

    def test_an_async_one_does_too(self) -> None:
        @flow
        async def asks() -> None:
            await pause_flow_run(timeout=0.05, poll_interval=SOON)

        with pytest.raises(PauseTimeoutError) as caught:
            asyncio.run(asks())
        assert caught.value.run_id == run_of("asks").run_id

    def test_a_flow_can_go_on_without_an_answer(self) -> None:
        @flow
        def asks() -> str:
            try:
                return pause_flow_run(str, timeout=0, poll_interval=SOON)
            except PauseTimeoutError:
                return "nobody"

        assert asks() == "nobody"
        assert states("asks") == ["Running", "Paused", "Running", "Completed"]

    def test_an_answer_after_the_deadline_is_none(self) -> None:
        @flow
        def asks() -> None:
            suspend_flow_run(int, timeout=0)

        with pytest.raises(PauseTimeoutError):
            asks()

        @flow
        def asks_later() -> None:
            suspend_flow_run(int, timeout=60)

        long_ago = FrozenClock(datetime.now(UTC) - timedelta(hours=1))
        with use_world(World(settings.current(), default_recorder(), long_ago)), pytest.raises(PausedRunError):
            asks_later()
        (one,) = waiting()
        with pytest.raises(NotResumableError, match="takes none any more"):
            resume_flow_run(one.pause.run_id, 1)

    def test_without_a_timeout_there_is_no_deadline(self) -> None:
        @flow
        def asks() -> None:
            pause_flow_run(timeout=None, poll_interval=SOON)

        with answering(says()) as seen:
            asks()
        assert seen[0].pause.deadline is None

    def test_a_file_that_cannot_be_read_for_a_while_is_no_end(
        self, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], str]
    ) -> None:
        find, times = pauses.find, []

        def troubled(root_run_id: str, key: str) -> Any:
            times.append(key)
            if len(times) in {1, 2, 3, 5}:
                raise StorageError("the disk is away")
            return find(root_run_id, key)

        monkeypatch.setattr(pauses, "find", troubled)

        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=0.05)

        def later(one: Waiting) -> None:
            wait_until(lambda: len(times) > 5)
            resume_flow_run(one.pause.run_id, 1)

        with answering(later):
            assert asks() == 1
        assert lines().count("There is no telling whether somebody answered: the disk is away") == 2

    def test_a_file_that_is_moved_away_is_written_anew(self, entrepot_home: Path) -> None:
        @flow
        def asks() -> int:
            return pause_flow_run(int, poll_interval=SOON)

        def after_a_loss(one: Waiting) -> None:
            for file in entrepot_home.glob("state.db*"):
                file.unlink(missing_ok=True)  # who looks for the answer may remove one, too
            wait_until(waiting)
            resume_flow_run(one.pause.run_id, 1)

        with answering(after_a_loss):
            assert asks() == 1


def test_a_run_in_whose_place_another_asks_does_not_go_on(entrepot_home: Path) -> None:
    """Its machine slept so long that it was taken for dead, and resumed."""

    @flow
    def asks() -> int:
        return pause_flow_run(int, poll_interval=SOON)

    def takes_over(one: Waiting) -> None:
        pauses.ask(replace(one.pause, run_id="the-next"), lambda _, /, *, new=False: True)

    with answering(takes_over), pytest.raises(CancelledRunError, match="resumed as the-next"):
        asks()
    assert [one.run_id for one in pauses.list_open()] == ["the-next"]


class TestInterrupts:
    def test_a_question_of_a_flow_that_is_interrupted_is_withdrawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(FrozenClock):
            def sleep(self, seconds: float) -> None:
                raise KeyboardInterrupt

        @flow
        def asks() -> None:
            pause_flow_run()

        with use_world(World(settings.current(), default_recorder(), Interrupted())), pytest.raises(KeyboardInterrupt):
            asks()
        assert waiting() == []
        assert states("asks") == ["Running", "Paused", "Running", "Cancelled"]

    def test_a_pause_that_is_cancelled_is_over(self) -> None:
        @flow
        async def asks() -> str:
            pausing = asyncio.create_task(apause_flow_run(poll_interval=SOON))
            assert await asyncio.to_thread(wait_until, waiting)
            pausing.cancel()
            try:
                await pausing
            except asyncio.CancelledError:
                return "too late"
            return "answered"

        assert asyncio.run(asks()) == "too late"
        assert waiting() == []
        assert states("asks") == ["Running", "Paused", "Running", "Completed"]
