"""A world without a history, in which time stands still, and a store in memory."""

from collections.abc import Iterator

import pytest

from entrepot import settings
from entrepot.engine.world import World, use_world
from entrepot.storage import MemoryStorage
from entrepot.testing import FrozenClock


@pytest.fixture(autouse=True)
def world(request: pytest.FixtureRequest, entrepot_home: object) -> Iterator[World]:
    world = World(settings.current(), None, FrozenClock())
    with use_world(world):
        yield world


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()
