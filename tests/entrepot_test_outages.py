"""Fixtures for tests about servers that are not there: a port that stays closed, and for how long clients waited."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["closed_port", "waits"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Count the seconds that coroutines are told to wait for, between two attempts say: the rest is the machine's."""
    counted: list[float] = []
    sleep = asyncio.sleep

    async def counting(delay: float, *args: Any) -> Any:
        counted.append(delay)
        return await sleep(delay, *args)

    monkeypatch.setattr(asyncio, "sleep", counting)
    return counted


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
