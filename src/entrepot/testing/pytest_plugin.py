"""Fixtures for the tests of plugins and flows.

A suite asks for them in its `conftest.py`::

    pytest_plugins = ["entrepot.testing.pytest_plugin"]

It is no `pytest11` entry point: those are imported into every test run of the environment, whether it has to do with
Entrepot or not, and an isolated home that comes by itself would hide the home of who did not ask for it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.testing.fakes import FrozenClock
from entrepot.testing.fakes import memory_documents as make_documents
from entrepot.testing.utilities import entrepot_test_harness

__all__ = ["entrepot_home", "frozen_clock", "memory_documents"]


@pytest.fixture(autouse=True)
def entrepot_home() -> Iterator[Path]:
    """Give every test an empty home: no blocks, results or history of others, and none left behind."""
    with entrepot_test_harness() as home:
        yield home


@pytest.fixture
def frozen_clock() -> FrozenClock:
    """Give a clock that moves only when told to."""
    return FrozenClock()


@pytest.fixture
def memory_documents() -> Iterator[BlockDocuments]:
    """Let the blocks of a test be saved in memory, under keys of their own."""
    with use_documents(make_documents()) as documents:
        yield documents
