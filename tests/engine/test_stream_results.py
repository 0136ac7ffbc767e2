"""Streams as results of runs: written as they come, read by who takes them, computed again where that is needed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot import Stream, flow, task
from entrepot.cache_policies import INPUTS
from entrepot.context import get_run_context
from entrepot.errors import MissingResultError, ParameterError
from entrepot.results import chunks
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage


def made(storage: Any, **options: Any) -> Any:
    """Return a task that streams numbers, and whose `.calls` are how many it has made."""
    calls: list[int] = []

    def numbers(count: int) -> Stream[int]:
        def items() -> Iterator[int]:
            for n in range(count):
                calls.append(n)
                yield n

        return Stream(items())

    kept = task(numbers, result_storage=storage, cache_policy=INPUTS, **options)
    kept.calls = calls
    return kept


def test_a_kept_stream_is_read_as_often_as_needed_and_made_once() -> None:
    numbers = made(MemoryStorage(), result_serializer="json")
    first, second = numbers(5), numbers(5)
    assert [*first] == [*first] == [*second] == [0, 1, 2, 3, 4]
    assert len(numbers.calls) == 5
    assert numbers(5, return_state=True).is_cached()


def test_a_stream_that_is_not_kept_is_read_once() -> None:
    @task
    def numbers() -> Stream[int]:
        return Stream(iter([1, 2]))

    stream = numbers()
    assert [*stream] == [1, 2]
    with pytest.raises(MissingResultError):
        list(stream)


def test_the_next_task_takes_a_stream_and_finds_its_result_by_what_is_in_it(tmp_path: Path) -> None:
    numbers = made(tmp_path)
    summed: list[int] = []

    @task(result_storage=tmp_path, cache_policy=INPUTS)
    def total(stream: Stream[int]) -> int:
        summed.append(1)
        return sum(stream)

    @flow
    def both(count: int) -> int:
        result: int = total.submit(numbers.submit(count)).result()
        return result

    assert [both(4), both(4), both(5)] == [6, 6, 10]
    assert len(summed) == 2


def test_items_are_made_inside_their_run() -> None:
    @task(result_storage=MemoryStorage(), cache_policy=INPUTS)
    def names() -> Stream[str]:
        return Stream(get_run_context().task.name for _ in range(2))  # type: ignore[union-attr]

    assert [*names()] == ["names", "names"]


def test_an_error_among_the_items_fails_the_run_and_a_retry_begins_anew() -> None:
    tries: list[int] = []
    storage = MemoryStorage()

    @task(result_storage=storage, cache_policy=INPUTS, retries=1)
    def numbers() -> Stream[int]:
        def items() -> Iterator[int]:
            yield 1
            tries.append(1)
            if len(tries) == 1:
                raise ZeroDivisionError
            yield 2

        return Stream(items())

    assert [*numbers()] == [1, 2]
    assert len(tries) == 2
    tries.clear()

    state = numbers.with_options(retries=0, refresh_cache=True)(return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ZeroDivisionError)
    assert [*numbers()] == [1, 2]  # what was kept before is still there


def test_a_store_that_fails_half_way_leads_to_all_items_and_never_to_the_rest_of_them() -> None:
    numbers = made(FaultyStorage(MemoryStorage(), fail_at=1, on={"create"}), retries=1)
    assert [*numbers(3)] == [0, 1, 2]
    assert numbers.calls == [0, 1, 2, 0, 1, 2]


def test_an_async_task_streams_too() -> None:
    @task(result_storage=MemoryStorage(), cache_policy=INPUTS)
    async def numbers() -> Stream[int]:
        await asyncio.sleep(0)
        return Stream(iter([1, 2]))

    @flow
    async def run() -> list[int]:
        stream = await numbers()
        return [*stream, *stream]

    assert asyncio.run(run()) == [1, 2, 1, 2]


def test_a_stream_is_not_all_in_memory_when_the_run_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chunks, "_CHUNK", 100)
    alive: list[int] = [0, 0]  # now, and at most

    class Item:
        def __init__(self) -> None:
            alive[0] += 1
            alive[1] = max(alive)

        def __del__(self) -> None:
            alive[0] -= 1

        def __reduce__(self) -> tuple[Any, ...]:
            return str, ("item",)

    @task(result_storage=tmp_path, cache_policy=INPUTS)
    def items() -> Stream[Any]:
        return Stream(Item() for _ in range(100))

    assert len([*items()]) == 100
    assert alive[1] <= 3


def test_an_argument_that_changes_while_the_items_are_made_keeps_the_result_from_being_found_again() -> None:
    storage = MemoryStorage()

    @task(result_storage=storage, cache_policy=INPUTS)
    def drained(numbers: list[int]) -> Stream[int]:
        def items() -> Iterator[int]:
            while numbers:
                yield numbers.pop()

        return Stream(items())

    stream = drained([1, 2])
    assert [*stream] == [*stream] == [2, 1]
    assert [*storage.list("records")] == []


def test_a_flow_takes_a_stream_by_its_annotation() -> None:
    @flow
    def total(numbers: Stream[int]) -> int:
        return sum(numbers)

    assert total(Stream([1, 2])) == 3
    with pytest.raises(ParameterError):
        total([1, 2])
