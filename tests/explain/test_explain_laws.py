"""Laws of explanations: what is said to differ does, and where something differs, something is said."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.hashing.outline import outline
from entrepot.hashing.values import hash_value
from entrepot.results.explain import Facts, differences
from entrepot.results.keys import INPUTS, KeyContext

KEY = b"k" * 32
GONE = object()

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3)
names = st.sampled_from(["a", "b", "limit", "x y", "ann@example.org"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(names, inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=30,
)
long_lists = st.lists(st.integers(0, 1), min_size=65, max_size=150)


def facts(x: object) -> Facts:
    key = INPUTS.compute(KeyContext("m.work", facts, {"x": x}))
    assert key is not None
    return Facts(key.parts, outline({"input:x": x}, key=KEY), "k1")


def at(x: Any, path: str) -> Any:
    """Return what is at a path, or `GONE`."""
    try:
        return eval(path, {"x": x})
    except (LookupError, TypeError):
        return GONE


def check(old: Any, new: Any) -> None:
    found = differences(facts(old), facts(new))
    assert bool(found) == (hash_value(old) != hash_value(new))
    assert not differences(facts(old), facts(old))
    for one in found:
        if "#" in one.path:  # an entry whose key is not told
            continue
        before, after = at(old, one.path), at(new, one.path)
        assert (before is GONE) == (one.change == "added"), one
        assert (after is GONE) == (one.change == "removed"), one
        if one.change == "changed":
            assert hash_value(before) != hash_value(after), one


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_what_is_said_of_two_values_is_true(old: object, new: object) -> None:
    check(old, new)


@settings(max_examples=20, deadline=None)
@given(long_lists, long_lists)
def test_what_is_said_of_two_long_lists_is_true(old: list[int], new: list[int]) -> None:
    check(old, new)


@settings(max_examples=20, deadline=None)
@given(long_lists, st.data())
def test_a_single_change_in_a_long_list_is_found_exactly(old: list[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(old) - 1))
    new = [*old[:index], old[index] + 5, *old[index + 1 :]]
    assert [one.path for one in differences(facts(old), facts(new))] == [f"x[{index}]"]
    assert [one.path for one in differences(facts(np.array(old)), facts(np.array(new)))] == [f"x[{index}]"]


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_under_another_key_of_the_store_nothing_untrue_is_said(old: object, new: object) -> None:
    one, two = facts(old), facts(new)
    found = differences(one, Facts(two.parts, outline({"input:x": new}, key=b"j" * 32), "k2"))
    assert bool(found) == (hash_value(old) != hash_value(new))
    for difference in found:
        if "#" not in difference.path and difference.change == "changed":
            assert hash_value(at(old, difference.path)) != hash_value(at(new, difference.path))
