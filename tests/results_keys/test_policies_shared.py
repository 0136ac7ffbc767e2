"""What two arguments share counts where it can change in place; calls that share nothing keep their keys."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.results.keys import CacheKey, KeyContext


def work(**arguments: object) -> object:
    return arguments


def key(inputs: Mapping[str, object], *, stored: Mapping[int, str] | None = None, policy: Any = INPUTS) -> CacheKey:
    context = KeyContext("m.work", work, inputs, stored=stored or {})
    computed = policy.compute(context)
    assert policy.glance(context) in (None, computed)
    return computed


THINGS: dict[str, Any] = {
    "list": lambda: [1],
    "dict": lambda: {"a": 1},
    "set": lambda: {1},
    "array": lambda: np.arange(3),
    "long list": lambda: list(range(100)),
}
PLACES: dict[str, Any] = {
    "both": lambda one, two: {"a": one, "b": two},
    "inside": lambda one, two: {"a": [one], "b": {"c": two}},
    "one in the other": lambda one, two: {"a": one, "b": (two, 1)},
    "with another between": lambda one, two: {"a": one, "b": [], "c": two},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("thing", THINGS)
def test_one_thing_in_two_arguments_is_not_two_equal_ones(thing: str, place: str) -> None:
    made, put = THINGS[thing], PLACES[place]
    one, two = made(), made()
    assert key(put(one, one)) == key(put(two, two))
    assert key(put(one, two)) == key(put(made(), made()))
    assert key(put(one, one)).key != key(put(one, two)).key
    assert key(put(one, one), policy=INPUTS + TASK_SOURCE).key != key(put(one, two), policy=INPUTS + TASK_SOURCE).key
    assert "inputs-shared" not in key(put(one, two)).parts


@pytest.mark.parametrize("shared", [(), (1, (2,)), "a" * 100, 10**30, None, b"a"])
def test_what_nobody_can_change_may_be_one_or_two(shared: object) -> None:
    found = key({"a": shared, "b": [shared], "c": shared})
    assert "inputs-shared" not in found.parts
    assert INPUTS.glance(KeyContext("m.work", work, {"a": shared, "b": [shared]})) is not None


def test_it_counts_which_arguments_share() -> None:
    one, two = [1], [1]
    keys = {
        key({"a": one, "b": one, "c": two}).key,
        key({"a": one, "b": two, "c": one}).key,
        key({"a": two, "b": one, "c": one}).key,
        key({"a": one, "b": one, "c": one}).key,
    }
    assert len(keys) == 4
    assert key({"b": one, "a": one, "c": two}).key == key({"a": one, "b": one, "c": two}).key


def test_what_is_left_out_of_the_key_shares_nothing() -> None:
    one = [1]
    assert "inputs-shared" not in key({"a": one, "b": one}, policy=INPUTS - "b").parts


def test_what_is_shared_inside_one_argument_stays_its_own_affair() -> None:
    row = [0]
    assert "inputs-shared" not in key({"a": [row, row], "b": 1, "c": [[0], [0]]}).parts


def test_an_array_whose_digest_is_known_counts_as_if_it_was_not() -> None:
    one, two = np.arange(5), np.arange(5)
    known = {id(one): key({"a": one}).parts["input:a"]}
    for inputs in ({"a": one, "b": one}, {"a": one, "b": two}, {"a": one, "b": [one]}):
        assert key(inputs, stored=known) == key(inputs)


parts = st.recursive(st.integers(0, 2), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(parts, parts, parts)
def test_two_calls_of_one_shape_have_one_key(one: Any, two: Any, three: Any) -> None:
    def call(a: Any, b: Any, c: Any) -> CacheKey:
        return key({"x": [a, b], "y": b, "z": {"c": c, "a": a}})

    def again(value: Any) -> Any:
        return [again(item) for item in value] if isinstance(value, list) else value

    assert call(one, two, three) == call(again(one), again(two), again(three))


def test_a_call_that_changes_both_at_once_is_computed_and_not_found() -> None:
    ran = []

    @task(cache_policy=INPUTS - "note", persist_result=True)
    def push(left: list[int], right: list[int], note: str) -> list[int]:
        ran.append(note)
        return [*left, *right, 1 if left is right else 2]

    @flow
    def calls() -> list[list[int]]:
        one = [5]
        return [push(one, one, "one"), push(one, [5], "two"), push([5], [5], "again"), push(one, one, "again")]

    assert calls() == [[5, 5, 1], [5, 5, 2], [5, 5, 2], [5, 5, 1]]
    assert ran == ["one", "two"]
