"""What stands in several places of a value: it counts where somebody could change it in place."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import task
from entrepot.cache_policies import INPUTS
from entrepot.hashing.values import hash_value


def made(kind: str) -> Any:
    return {
        "list": lambda: [1],
        "dict": lambda: {"a": 1},
        "set": lambda: {1},
        "bytearray": lambda: bytearray(b"a"),
        "array": lambda: np.arange(3),
        "frame": lambda: pd.DataFrame({"a": [1]}),
        "series": lambda: pd.Series([1]),
        "tuple of a list": lambda: (0, [1]),
        "int": lambda: 10**30,
        "text": lambda: str(10**30),
        "tuple": lambda: tuple([1, tuple([2])]),  # noqa: C409  not a constant
        "moment": lambda: pd.Timestamp("2024"),
    }[kind]()


CHANGEABLE = ["list", "dict", "set", "bytearray", "array", "frame", "series", "tuple of a list"]
PLACES = {
    "list": lambda one, two: [one, two],
    "tuple": lambda one, two: (one, two),
    "dict": lambda one, two: {"a": one, "b": two},
    "dict of numbers": lambda one, two: {1: one, "a": two, (2,): 0},
    "deep": lambda one, two: [{"x": [one]}, 0, ("y", {"z": two})],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", CHANGEABLE)
def test_one_thing_in_two_places_is_not_two_equal_ones(kind: str, place: str) -> None:
    put = PLACES[place]
    one, two = made(kind), made(kind)
    assert hash_value(put(one, one)) != hash_value(put(one, two))
    assert hash_value(put(one, one)) == hash_value(put(two, two))
    assert hash_value(put(one, two)) == hash_value(put(made(kind), made(kind)))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["int", "text", "tuple", "moment"])
def test_what_cannot_be_changed_may_be_one_or_two(kind: str, place: str) -> None:
    put, one = PLACES[place], made(kind)
    assert hash_value(put(one, one)) == hash_value(put(one, made(kind)))


def test_the_order_in_which_a_dict_was_filled_does_not_count() -> None:
    one, two = [1], [1]
    assert hash_value({"a": one, "b": two, "c": one}) == hash_value({"c": two, "b": one, "a": two})
    assert hash_value({"a": one, "b": two, "c": one}) != hash_value({"a": one, "b": one, "c": two})
    assert hash_value({1: one, "b": two, (3,): one}) == hash_value({(3,): two, "b": one, 1: two})


def test_a_task_that_changes_its_argument_gets_the_result_of_its_own_call() -> None:
    @task(cache_policy=INPUTS, persist_result=True)
    def marked(grid: list[list[int]]) -> int:
        grid[0][0] = 1
        return sum(map(sum, grid))

    assert marked([[0]] * 3) == 3
    assert marked([[0], [0], [0]]) == 1
    assert marked([[0]] * 3) == 3


@st.composite
def pools(draw: st.DrawFn) -> Any:
    """Return a function that makes a value again and again, of lists that stand in several places."""
    count = draw(st.integers(1, 4))
    edges = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))

    def build() -> Any:
        things: list[list[Any]] = [[number] for number in range(count)]
        for start, end in edges:
            if start % count < end % count:  # no cycles: those are told apart by the form
                things[start % count].append(things[end % count])
        return things[0]

    return build


@given(pools(), pools())
def test_two_values_agree_just_when_they_share_alike(one: Any, two: Any) -> None:
    assert hash_value(one()) == hash_value(one())
    assert (hash_value(one()) == hash_value(two())) == (described(one()) == described(two()))


def described(value: Any) -> object:
    """Return a value with a number for each list, the same for the same one."""
    numbers: dict[int, int] = {}

    def walk(item: Any) -> object:
        if not isinstance(item, list):
            return item
        known = id(item) in numbers
        number = numbers.setdefault(id(item), len(numbers))
        return number if known else (number, [walk(part) for part in item])

    return walk(value)


# --- other things that a computation can see --------------------------------------------------------------------------


def test_levels_of_an_index_that_are_not_used_count_and_so_does_their_order() -> None:
    whole = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3)])
    cut = whole[:2]
    assert len(cut.levels[0]) == 3  # which is what a loop over them sees
    assert hash_value(cut) != hash_value(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    assert hash_value(cut.remove_unused_levels()) == hash_value(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    one = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    two = pd.MultiIndex(levels=[["b", "a"], [1, 2]], codes=[[1, 1, 0, 0], [0, 1, 0, 1]])
    assert list(one) == list(two)
    assert list(pd.Series(range(4), one).unstack(0)) != list(pd.Series(range(4), two).unstack(0))  # noqa: PD010
    assert hash_value(one) != hash_value(two)


def test_notes_on_a_dtype_count() -> None:
    def array(**notes: object) -> Any:
        return np.zeros(2, np.dtype("i4", metadata=notes or None) if notes else np.dtype("i4"))

    assert hash_value(array(unit="m")) != hash_value(array(unit="s"))
    assert hash_value(array(unit="m")) != hash_value(array())
    assert hash_value(array(unit="m", of="x")) == hash_value(array(of="x", unit="m"))
    assert hash_value(pd.Series(array(unit="m"))) != hash_value(pd.Series(array()))
    fields = np.dtype([("a", "i4")], metadata={"unit": "m"})
    assert hash_value(np.zeros(2, fields)) != hash_value(np.zeros(2, [("a", "i4")]))
