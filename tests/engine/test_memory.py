"""What a run was given is let go when the run is over, without waiting for the garbage collector."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from entrepot import flow, task
from entrepot.engine.world import World, use_world


class Thing:
    pass


@pytest.fixture(autouse=True)
def quiet(world: World) -> Iterator[None]:
    gc.collect()
    gc.disable()
    with use_world(World(world.settings)):  # the journal of the tests keeps what it is told
        yield
    gc.enable()


def is_let_go(call: Any) -> bool:
    thing = Thing()
    watched = weakref.ref(thing)
    call(thing)
    del thing
    return watched() is None


@task
def ignore(thing: Any) -> int:
    return 1


@task
async def ignore_async(thing: Any) -> int:
    return 1


@task
def fail(thing: Any) -> None:
    raise ValueError("x")


def test_by_a_call() -> None:
    assert is_let_go(ignore)
    assert is_let_go(flow(lambda thing: 1))
    assert is_let_go(lambda thing: ignore(thing, return_state=True))
    assert is_let_go(lambda thing: asyncio.run(ignore_async(thing)))


def test_by_a_submitted_run_while_its_future_is_kept() -> None:
    def body() -> bool:
        futures: list[Any] = []

        def call(thing: Any) -> None:
            futures.append(ignore.submit(thing))
            futures.append(ignore.submit([thing], wait_for=[futures[0]]))
            for future in futures:
                future.result()

        let_go = is_let_go(call)
        for _ in range(1000):  # the worker thread may still be on its way out
            if let_go:
                break
            let_go = is_let_go(call)
        return let_go

    assert flow(body)()


def test_by_a_flow_that_returned_futures() -> None:
    assert is_let_go(flow(lambda thing: [ignore.submit(thing)]))


def test_by_a_failed_call_whose_exception_was_handled() -> None:
    def call(thing: Any) -> None:
        with contextlib.suppress(ValueError):
            fail(thing)

    assert is_let_go(call)


@pytest.mark.parametrize("serializer", ["auto", "pickle"])
def test_a_result_that_was_kept(serializer: str) -> None:
    seen: list[weakref.ref[Any]] = []

    @task(persist_result=True, result_serializer=serializer)
    def make() -> Any:
        array = np.zeros(1_000_000)
        seen.append(weakref.ref(array))
        return array

    flow(lambda: len(make()))()
    assert seen[0]() is None
