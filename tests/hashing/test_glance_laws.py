"""What is written at a glance is letter for letter what the walk writes."""

import enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.hashing._encoder import Encoder
from entrepot.hashing._glance import small_form
from entrepot.hashing.values import hash_value, small_digest

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=20).map(tuple),
        st.dictionaries(st.text() | st.integers(), inner, max_size=18),
        st.dictionaries(st.text(), inner, max_size=18),
    ),
    max_leaves=15,
)


@given(values)
@settings(max_examples=60)
def test_it_is_the_form_of_the_walk_or_none(value: Any) -> None:
    form = small_form(value)
    if form is not None:
        assert form == Encoder().encode(value)
        assert small_digest(value) == hash_value(value)


@given(values, values)
@settings(max_examples=60)
def test_what_is_shared_is_left_to_the_walk(one: Any, other: Any) -> None:
    for value in ([one, other, one], {"a": one, "b": [one]}, (one, [other, (one,)])):
        if isinstance(one, list | dict):
            assert small_form(value) is None
        elif (digest := small_digest(value)) is not None:
            assert digest == hash_value(value)


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, "é", b"\0", [], (), {}, {"b": [1.5], "a": ({"c": None},)}, list("abc")]
)
def test_small_plain_data_takes_a_glance(value: Any) -> None:
    assert small_form(value) == Encoder().encode(value)


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Kind(enum.StrEnum):
    ONE = "one"


class Items(list[Any]):
    pass


class Names(dict[str, Any]):
    pass


SELF: list[Any] = []
SELF.append(SELF)


@pytest.mark.parametrize(
    "value",
    [Text("a"), Number(1), Kind.ONE, Items(), Names(), {Text("a"): 1}, [Number(1)], {1}, frozenset(), bytearray(b"1")],
    ids=repr,
)
def test_other_types_are_left_to_the_walk(value: Any) -> None:
    assert small_form(value) is None
    assert small_form({"a": value}) is None


@pytest.mark.parametrize(
    "value",
    [SELF, {"a": SELF}, [[[[[1]]]]], list(range(16)), dict.fromkeys(map(str, range(16))), "\ud800", {"\ud800": 1}],
    ids=["itself", "itself below", "deep", "long", "wide", "surrogate", "surrogate key"],
)
def test_what_takes_more_than_a_glance_is_left_to_the_walk(value: Any) -> None:
    form = small_form(value)
    assert form is None or form == Encoder().encode(value)
    assert hash_value(value) == hash_value(value)


def test_long_values_are_replaced_by_their_digest_in_both() -> None:
    for length in (65_535, 65_536, 65_537, 200_000):
        for value in ("x" * length, b"x" * length, ["x" * length], {"x" * length: 1}):
            form = small_form(value)
            assert form is None or form == Encoder().encode(value)
