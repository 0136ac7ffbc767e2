"""The fakes fail when they are told to, and only then."""

from datetime import UTC, datetime, timedelta

import pytest

from entrepot.errors import StorageFullError, StorageUnreachableError
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock


def test_the_nth_operation_fails_before_it_is_done() -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(inner, fail_at=2)
    storage.put("a", b"1")
    with pytest.raises(StorageUnreachableError):
        storage.put("a", b"2")
    assert storage.failed
    assert inner.get("a") == b"1"
    storage.put("a", b"3")
    assert storage.calls == [("put", "a"), ("put", "a"), ("put", "a")]


def test_or_after_it_is_done() -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(inner, fail_at=1, after=True)
    with pytest.raises(StorageUnreachableError):
        storage.create("a", b"1")
    assert inner.get("a") == b"1"


def test_only_the_chosen_operations_are_counted_and_the_error_is_the_chosen_one() -> None:
    storage = FaultyStorage(
        MemoryStorage(), fail_at=1, on=["delete"], error=lambda: StorageFullError("full", location="here")
    )
    storage.put("a", b"1")
    assert storage.get("a") == b"1"
    with pytest.raises(StorageFullError):
        storage.delete("a")


def test_each_operation_can_fail() -> None:
    for number, act in enumerate(
        (
            lambda s: s.put("a", b""),
            lambda s: s.create("b", b""),
            lambda s: s.get("a"),
            lambda s: s.read_into("a", memoryview(bytearray(1))),
            lambda s: s.stat("a"),
            lambda s: list(s.list()),
            lambda s: s.delete("a"),
        ),
        1,
    ):
        inner = MemoryStorage()
        inner.put("a", b"")
        storage = FaultyStorage(inner, fail_at=1)
        with pytest.raises(StorageUnreachableError):
            act(storage)
        assert storage.failed, number


def test_a_frozen_clock_moves_when_told_and_when_slept_by() -> None:
    clock = FrozenClock(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now() == datetime(2030, 1, 1, tzinfo=UTC)
    clock.sleep(90)
    clock.advance(timedelta(hours=1))
    assert clock.now() == datetime(2030, 1, 1, 1, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 3690
    assert clock.slept == [90]
    with pytest.raises(ValueError, match="time zone"):
        FrozenClock(datetime(2030, 1, 1))  # noqa: DTZ001  that is the point


def test_memory_tells_times_by_the_clock_it_is_given() -> None:
    clock = FrozenClock()
    storage = MemoryStorage(clock=clock)
    storage.put("a", b"")
    first = storage.stat("a").modified
    clock.advance(5)
    storage.put("a", b"")
    assert storage.stat("a").modified == clock.now() != first
