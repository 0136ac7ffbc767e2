"""Lazy results: not held once they are kept, read when they are used, and as arguments what they stand for."""

import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

from entrepot import Lazy, Stream, allow_failure, flow, home, task
from entrepot.cache_policies import INPUTS
from entrepot.errors import DamagedResultError, SerializationError
from entrepot.results.lazy import InStore
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import MemoryStorage
from entrepot.storage.local import LocalStorage


class Large:
    """Tells whether it is still there."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.bytes = bytes([n]) * 20_000


def made(storage: Any, **options: Any) -> Any:
    """Return a task that makes something large, and whose `.made` are weak references to it."""
    alive: list[weakref.ref[Large]] = []

    def large(n: int) -> Large:
        value = Large(n)
        alive.append(weakref.ref(value))
        return value

    kept = task(large, **{"result_storage": storage, "cache_policy": INPUTS, **options})
    kept.made = alive
    return kept


def test_a_kept_result_is_let_go_and_read_when_it_is_used(tmp_path: Path) -> None:
    large = made(tmp_path)

    @flow
    def run() -> None:
        future = large.submit(1)
        lazy = future.result(lazy=True)
        gc.collect()
        assert isinstance(lazy, Lazy)
        assert large.made[0]() is None
        assert lazy.get().n == 1
        assert lazy.record.payload
        assert lazy.task_run_id == future.task_run_id
        assert future.result().n == 1
        assert future.state.result().n == 1
        assert future.result(lazy=True) is lazy

    run()


def test_a_result_that_is_small_or_not_kept_is_held(tmp_path: Path) -> None:
    @task
    def loose(n: int) -> Large:
        return Large(n)

    @task(result_storage=tmp_path, cache_policy=INPUTS)
    def small(n: int) -> int:
        return n

    @flow
    def run() -> None:
        one = loose.submit(1)
        assert one.result(lazy=True).get() is one.result()
        assert one.result(lazy=True).record is None
        two = small.submit(2).result(lazy=True)
        assert (two.get(), two.record) == (2, None)
        (tmp_path / "records").rename(tmp_path / "gone")
        assert two.get() == 2

    run()


def test_as_an_argument_it_stands_for_the_result_wherever_it_is(tmp_path: Path) -> None:
    large = made(tmp_path)

    @task
    def look(x: Any, more: dict[str, Any] | None = None) -> int:
        return sum(value.n for value in (x, *(more or {}).get("inside", [])))

    @flow
    def run() -> list[int]:
        lazy = large.submit(1).result(lazy=True)
        called = look(lazy)
        submitted = look.submit(lazy, more={"inside": [lazy, large.submit(2).result(lazy=True)]}).result()
        allowed = look(allow_failure(lazy))
        future = large.submit(3)
        future.result(lazy=True)
        return [called, submitted, allowed, look(future), look(future.state), *look.map([lazy, lazy]).result()]

    assert run() == [1, 4, 1, 3, 3, 1, 1]
    assert len(large.made) == 3


def test_a_flow_that_takes_a_lazy_result_takes_the_result(tmp_path: Path) -> None:
    large = made(tmp_path)

    @flow(validate_parameters=False)
    def inner(value: Any) -> int:
        n: int = value.n
        return n

    @flow
    def outer() -> int:
        return inner(large.submit(5).result(lazy=True))

    assert outer() == 5


def test_a_list_of_futures_gives_a_list_of_lazy_results(tmp_path: Path) -> None:
    large = made(tmp_path)

    @flow
    def run() -> list[int]:
        lazies = large.map([1, 2]).result(lazy=True)
        return [lazy.get().n for lazy in lazies]

    assert run() == [1, 2]


def test_a_hit_is_lazy_too(tmp_path: Path) -> None:
    large = made(tmp_path)

    @flow
    def run() -> tuple[int, bool]:
        future = large.submit(1)
        lazy = future.result(lazy=True)
        return lazy.get().n, future.state.is_cached()

    assert [run(), run()] == [(1, False), (1, True)]


def test_what_was_altered_since_is_not_believed_and_says_so(tmp_path: Path) -> None:
    large = made(tmp_path)

    @task
    def look(x: Any) -> int:
        n: int = x.n
        return n

    @flow
    def run() -> None:
        lazy = large.submit(1).result(lazy=True)
        (payload,) = (tmp_path / "payloads").rglob("*.pkl")
        payload.write_bytes(payload.read_bytes()[:-1] + b"x")
        with pytest.raises(DamagedResultError):
            lazy.get()
        state = look(lazy, return_state=True)
        assert state.is_failed()
        with pytest.raises(DamagedResultError):
            look.submit(lazy).result()

    run()


def test_a_run_that_failed_raises_lazy_or_not(tmp_path: Path) -> None:
    @task(result_storage=tmp_path, cache_policy=INPUTS)
    def fails() -> None:
        raise ZeroDivisionError

    @flow
    def run() -> None:
        future = fails.submit()
        with pytest.raises(ZeroDivisionError):
            future.result(lazy=True)
        assert isinstance(future.result(raise_on_failure=False, lazy=True), ZeroDivisionError)

    run()


def test_it_is_sent_to_another_process_by_where_it_is(tmp_path: Path) -> None:
    store = ResultStore(LocalStorage(tmp_path), ring=home.ring)
    facts: dict[str, Any] = {"parts": {}, "task": {"name": "t", "key": "m.t"}, "run": {"id": "r"}}
    record = store.write("key", b"x" * 100_000, serializer=get_serializer("pickle"), **facts)
    written = pickle.dumps(Lazy(InStore(store, record), "r"))
    assert len(written) < 3000
    again: Lazy[bytes] = pickle.loads(written)
    assert again.get() == b"x" * 100_000
    with pytest.raises(SerializationError, match="keys"):
        pickle.dumps(Lazy(InStore(ResultStore(LocalStorage(tmp_path), ring=home.ring()), record), "r"))


def test_a_stream_can_be_lazy(tmp_path: Path) -> None:
    @task(result_storage=tmp_path, cache_policy=INPUTS)
    def numbers() -> Stream[int]:
        return Stream(iter([1, 2]))

    @flow
    def run() -> list[int]:
        lazy = numbers.submit().result(lazy=True)
        return [*lazy.get(), *lazy.get()]

    assert run() == [1, 2, 1, 2]


def test_in_memory_too_it_is_not_held() -> None:
    large = made(MemoryStorage())

    @flow
    def run() -> None:
        lazy = large.submit(1).result(lazy=True)
        gc.collect()
        assert large.made[0]() is None
        assert lazy.get().n == 1

    run()
