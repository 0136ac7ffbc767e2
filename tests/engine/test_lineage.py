"""Large results that are handed on: their stored digest stands for them; whatever may have changed is read again."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import entrepot.hashing._arrays
from entrepot import flow, task
from entrepot.cache_policies import INPUTS
from entrepot.engine import lineage
from entrepot.hashing.sample import sample_of

LENGTH = 200_000  # floats: 1.6 MB


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many bytes of arrays are hashed as values, not as results."""
    seen: list[int] = []
    bulk = entrepot.hashing._bytes.bulk

    def noting(data: Any) -> bytes:
        seen.append(memoryview(data).nbytes)
        return bulk(data)

    monkeypatch.setattr("entrepot.hashing._bytes.bulk", noting)
    for module in (entrepot.hashing._arrays, entrepot.hashing._encoder):
        if hasattr(module, "bulk"):
            monkeypatch.setattr(module, "bulk", noting)
    return seen


class Shop:
    """A flow of three tasks, which counts what is computed."""

    def __init__(self, *, looks: bool = False, changes: Any = None, make: Any = None) -> None:
        self.calls: list[str] = []

        @task(cache_policy=INPUTS, persist_result=True)
        def extract(size: int) -> Any:
            self.calls.append("extract")
            return np.arange(size, dtype="float64") if make is None else make(size)

        @task(cache_policy=INPUTS, persist_result=True)
        def total(array: Any) -> float:
            self.calls.append("total")
            return float(np.asarray(array).sum())

        @task
        def change(array: Any) -> None:
            changes(array)

        @flow
        def shop(size: int = LENGTH) -> float:
            array = extract.submit(size)
            if looks:
                array.result()
            if changes is not None:
                change.submit(array).wait()
            return total.submit(array).result()

        self.flow = shop
        self.total = total


def test_a_large_result_that_is_found_is_not_read_again_for_the_key_of_what_takes_it(hashed: list[int]) -> None:
    shop = Shop()
    first = shop.flow()
    assert shop.calls == ["extract", "total"]
    assert hashed.count(LENGTH * 8) == 3  # when it was written, for the key, and whether it was still the same then
    hashed.clear()
    assert shop.flow() == first
    assert shop.calls == ["extract", "total"]
    assert max(hashed, default=0) < LENGTH


def test_a_value_that_is_given_has_the_same_key_as_one_that_is_found() -> None:
    shop = Shop()
    shop.flow()
    shop.flow()
    shop.total(np.arange(LENGTH, dtype="float64"))
    assert shop.calls == ["extract", "total"]


def test_what_its_own_task_still_holds_counts_by_its_content() -> None:
    work = np.empty(LENGTH)

    @task(cache_policy=INPUTS, persist_result=True)
    def load(n: int) -> Any:
        work[:] = n
        return work

    @task(cache_policy=INPUTS, persist_result=True)
    def total(array: Any) -> float:
        return float(array.sum())

    @flow
    def careless() -> float:
        found = load.submit(0)
        found.wait()
        work[1000] = 7
        return total(found)

    assert careless() == 7
    assert flow(lambda: total(load.submit(0)))() == 0


def test_what_a_hook_has_seen_counts_by_its_content() -> None:
    def spoil(_task: Any, _run: Any, state: Any) -> None:
        state.result()[1000] = 7

    def make(hooks: list[Any]) -> Any:
        @task(cache_policy=INPUTS, persist_result=True, on_completion=hooks)
        def load(n: int) -> Any:
            return np.zeros(LENGTH) + n

        return load

    @task(cache_policy=INPUTS, persist_result=True)
    def total(array: Any) -> float:
        return float(array.sum())

    for load, expected in ((make([]), 0), (make([spoil]), 7), (make([]), 0)):
        assert flow(lambda load=load: total(load.submit(0)))() == expected


def test_one_that_somebody_has_looked_at_is_read_again(hashed: list[int]) -> None:
    shop = Shop(looks=True)
    shop.flow()
    hashed.clear()
    shop.flow()
    assert max(hashed) == LENGTH * 8
    assert shop.calls == ["extract", "total"]


def test_to_look_at_it_while_it_is_taken_changes_nothing() -> None:
    looked = threading.Event()

    @task(cache_policy=INPUTS, persist_result=True)
    def extract() -> Any:
        return np.arange(LENGTH, dtype="float64")

    @task(cache_policy=INPUTS, persist_result=True)
    def total(array: Any) -> float:
        assert looked.wait(60)
        return float(array.sum())

    @flow
    def shop() -> str:
        array = extract.submit()
        array.wait()
        taken = total.submit(array)
        while not (taken.done() or taken.state.is_running()):
            time.sleep(0.001)
        array.result()
        looked.set()
        return taken.wait() and taken.state.name

    assert shop() == "Completed"
    assert shop() == "Cached"


def test_a_small_one_is_read_again() -> None:
    before = dict(lineage._known)
    shop = Shop()
    assert shop.flow(100) == shop.flow(100)
    assert shop.calls == ["extract", "total"]
    assert lineage._known.keys() <= before.keys()


def test_one_that_a_task_changed_in_place_is_another_one() -> None:
    def double(array: Any) -> None:
        array *= 2

    assert Shop().flow() == sum(range(LENGTH))
    shop = Shop(changes=double)
    assert shop.flow() == 2 * sum(range(LENGTH))
    assert shop.calls == ["total"]


def test_an_object_that_is_gone_leaves_nothing() -> None:
    Shop().flow()
    assert not [known for known in lineage._known.values() if known[0]() is None]


@pytest.mark.parametrize("make", [np.arange, lambda n: pd.DataFrame({"a": range(n), "b": np.arange(n) / 7})])
def test_frames_and_arrays_are_known(make: Any, hashed: list[int]) -> None:
    shop = Shop(make=make)
    shop.flow()
    hashed.clear()
    shop.flow()
    assert max(hashed, default=0) < LENGTH
    assert shop.calls == ["extract", "total"]


class Kind(np.ndarray):
    """A subclass has code of its own."""


@pytest.mark.parametrize(
    "value",
    [
        [1] * LENGTH,
        b"1" * LENGTH,
        np.array([object()] * 3),
        np.zeros(10).view(Kind),
        pd.DataFrame({"a": [object()]}),
        pd.DataFrame({"a": [1]}, index=[object()]),
        {"a": np.zeros(3)},
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_more_than_bytes_counts_of_is_not(value: Any) -> None:
    assert sample_of(value) is None


@given(
    st.integers(0, 5000), st.sampled_from(["f8", "i1", "c16", "M8[s]"]), st.sampled_from([1, 2]), st.sampled_from("CFS")
)
def test_a_sample_is_the_same_as_long_as_nothing_changes(size: int, kind: str, rows: int, order: str) -> None:
    array = np.arange(size * rows * 2).astype(kind).reshape(rows, size * 2)
    array = array[:, ::2] if order == "S" else array.copy(order=order)
    before = sample_of(array)
    assert sample_of(array) == before
    if array.size:
        array[...] = np.roll(array, 1) if array.size > 1 else np.array(7).astype(kind)
        assert sample_of(array) != before


def test_views_and_other_shapes_are_other_samples(tmp_path: Path) -> None:
    array = np.arange(1000.0)
    assert len({sample_of(one) for one in (array, array[::-1], array.reshape(10, 100), array.astype("f4"))}) == 4
