"""A result that is about to expire is computed again by one run, while the others use it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from entrepot import settings, task
from entrepot.cache_policies import INPUTS
from entrepot.engine.world import World, use_world
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.testing import FrozenClock
from entrepot_test_journal import Journal

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(autouse=True)
def _world(clock: FrozenClock, entrepot_home: object) -> Iterator[None]:
    with use_world(World(settings.current(), Journal(), clock)):
        yield


class Numbered:
    """A task whose result is how often it was computed."""

    def __init__(self, storage: Any, **options: Any) -> None:
        self.calls = 0
        self.hold = threading.Event()
        self.hold.set()
        self.begun = threading.Event()
        self.fails = False
        options = {"cache_expiration": HOUR, "refresh_early": 0.25} | options

        @task(name="numbered", cache_policy=INPUTS, result_storage=storage, **options)
        def numbered() -> int:
            self.calls += 1
            self.begun.set()
            assert self.hold.wait(60)
            if self.fails:
                raise ValueError(self.calls)
            return self.calls

        self.task = numbered


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "store")


@pytest.mark.parametrize("options", [{}, {"refresh_early": timedelta(minutes=15)}])
def test_it_is_computed_again_in_the_last_part_of_its_life(
    storage: Any, clock: FrozenClock, options: dict[str, Any]
) -> None:
    numbered = Numbered(storage, **options)
    assert [numbered.task(), numbered.task()] == [1, 1]
    clock.advance(timedelta(minutes=44))
    assert numbered.task() == 1
    clock.advance(timedelta(minutes=2))
    assert numbered.task() == 2
    assert numbered.task() == 2
    clock.advance(timedelta(minutes=20))  # the old one has expired now
    assert numbered.task() == 2
    clock.advance(HOUR)
    assert numbered.task() == 3


def test_one_computes_it_and_the_others_use_it(storage: Any, clock: FrozenClock) -> None:
    numbered = Numbered(storage)
    assert numbered.task() == 1
    clock.advance(timedelta(minutes=50))
    numbered.hold.clear()
    numbered.begun.clear()
    with ThreadPoolExecutor(1) as pool, use_world(World(settings.current(), Journal(), clock)):
        refreshed = pool.submit(numbered.task)
        assert numbered.begun.wait(60)
        for _ in range(5):
            assert numbered.task() == 1
        numbered.hold.set()
        assert refreshed.result(60) == 2
    assert numbered.task() == 2
    assert numbered.calls == 2


def test_if_that_fails_the_result_is_used_until_it_expires(
    storage: Any, clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    numbered = Numbered(storage)
    assert numbered.task() == 1
    clock.advance(timedelta(minutes=50))
    numbered.fails = True
    state = numbered.task(return_state=True)
    assert (state.name, state.result()) == ("Cached", 1)
    assert "it was to renew a result that can be used until" in caplog.text
    assert numbered.calls == 2
    clock.advance(timedelta(minutes=10))
    with pytest.raises(ValueError, match="3"):
        numbered.task()
    numbered.fails = False
    assert numbered.task() == 4
