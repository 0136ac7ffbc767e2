"""A world in which time stands still and the history is a list, checked against the rules of runs."""

from collections.abc import Iterator

import pytest

from entrepot import settings
from entrepot.engine.world import World, use_world
from entrepot.testing import FrozenClock
from entrepot_test_journal import Journal


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    assert journal.rejections == []


@pytest.fixture(autouse=True)
def world(journal: Journal, clock: FrozenClock, entrepot_home: object) -> Iterator[World]:
    world = World(settings.current(), journal, clock, chance=lambda: 0.5)
    with use_world(world):
        yield world
