"""Equal values have equal digests, different ones different digests, in every process and under every hash seed."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entrepot_test_values as corpus
from entrepot.hashing.values import hash_parts, hash_value

TESTS = Path(corpus.__file__).parent
DISTINCT = corpus.distinct()
EQUAL = corpus.equal()


def is_nan(value: object) -> bool:
    return value != value  # noqa: PLR0124  NaN is what differs from itself


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.decimals(allow_nan=False),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
)
hashables = st.recursive(
    scalars.filter(lambda value: not is_nan(value)),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=4)),
    max_leaves=5,
)
values = st.recursive(
    scalars | hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.tuples(inner, inner),
        st.sets(hashables, max_size=6),
        st.dictionaries(hashables, inner, max_size=6),
    ),
    max_leaves=30,
)


def same(one: object, two: object) -> bool:  # noqa: PLR0911  a case for each kind
    """Tell whether two values are equal, and of equal types all the way down: the law that digests are held to."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (is_nan(one) and is_nan(two)) or (one == two and math.copysign(1, one) == math.copysign(1, two))
    if isinstance(one, complex):
        return same(one.real, two.real) and same(one.imag, two.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, set | frozenset):
        return len(one) == len(two) and all(any(same(x, y) for y in two) for x in one)
    if isinstance(one, dict):
        return len(one) == len(two) and all(any(same(x, y) and same(one[x], two[y]) for y in two) for x in one)
    if type(one).__name__ == "Decimal":
        return str(one) == str(two)
    return bool(one == two)


class TestCorpus:
    def test_it_has_at_least_150_values_that_differ(self):
        assert len(DISTINCT) >= 150

    def test_no_two_different_values_share_a_digest(self):
        names: dict[str, str] = {}
        for name, value in DISTINCT.items():
            digest = hash_value(value, name=name)
            assert digest not in names, f"{name} has the digest of {names[digest]}"
            names[digest] = name

    @pytest.mark.parametrize("name", EQUAL)
    def test_equal_values_have_equal_digests(self, name):
        one, two = EQUAL[name]
        assert hash_value(one) == hash_value(two)

    def test_wrapping_a_value_gives_another_one(self):
        for name, value in DISTINCT.items():
            digests = {hash_value(value), hash_value([value]), hash_value((value,)), hash_value({"a": value})}
            assert len(digests) == 4, name

    def test_digests_are_the_same_in_other_processes_under_other_hash_seeds(self):
        here = {name: hash_value(value) for name, value in corpus.distinct().items()}
        here |= {f"equal: {name}": hash_value(two) for name, (_, two) in corpus.equal().items()}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "entrepot_test_values"],
                stdout=subprocess.PIPE,
                cwd=TESTS.parent,
                env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS)},
            )
            for seed in ("0", "1", "4242")
        ]
        for child in children:
            printed, _ = child.communicate(timeout=120)
            assert child.returncode == 0
            there = json.loads(printed)
            assert {name for name in here if here[name] != there[name]} == set()


class TestLaws:
    @given(values, values)
    @settings(max_examples=300, deadline=None)
    def test_digests_are_equal_just_when_values_and_types_are(self, one, two):
        assert (hash_value(one) == hash_value(two)) == same(one, two)

    @given(st.lists(hashables, min_size=2, max_size=8), st.randoms())
    @settings(max_examples=200, deadline=None)
    def test_the_order_of_dicts_and_sets_does_not_count(self, keys, random):
        pairs = list(dict.fromkeys(keys).items())
        shuffled = random.sample(pairs, len(pairs))
        assert hash_value(dict(pairs)) == hash_value(dict(shuffled))
        assert hash_value({key for key, _ in pairs}) == hash_value({key for key, _ in shuffled})

    @given(st.lists(st.text(max_size=4), min_size=1, max_size=40), st.data())
    @settings(max_examples=200, deadline=None)
    def test_where_texts_are_cut_counts(self, texts, data):
        joined = "".join(texts)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), max_size=len(texts) - 1)))
        other = [joined[start:end] for start, end in itertools.pairwise([0, *cuts, len(joined)])]
        assert (hash_value(texts) == hash_value(other)) == (texts == other)

    @given(st.integers(0, 3000), st.integers(0, 3000))
    @settings(max_examples=50, deadline=None)
    def test_lengths_count_on_every_path(self, one, two):
        for item in (1, 1.5, "a", None, True):
            assert (hash_value([item] * one) == hash_value([item] * two)) == (one == two)

    @given(
        st.lists(st.integers(1, 5), min_size=1, max_size=4),
        st.sampled_from(["i1", "i8", ">i4", "f8", "c16", "U3", "M8[s]", "?"]),
        st.randoms(),
    )
    @settings(max_examples=100, deadline=None)
    def test_arrays_count_by_layout_and_content_not_by_where_they_lie(self, shape, dtype, random):
        array = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
        axes = random.sample(range(len(shape)), len(shape))
        turned = array.transpose(axes)
        assert hash_value(turned) == hash_value(turned.copy(order="K"))
        padded = np.zeros([n * 2 for n in shape], array.dtype)
        view = padded[tuple(slice(None, None, 2) for _ in shape)]
        view[...] = array
        assert hash_value(view) == hash_value(array)
        if turned.shape != array.shape or not np.array_equal(turned, array):
            assert hash_value(turned) != hash_value(array)

    @given(st.dictionaries(st.text(), st.text(), max_size=8), st.dictionaries(st.text(), st.text(), max_size=8))
    @settings(max_examples=200, deadline=None)
    def test_named_texts_have_one_digest_each(self, one, two):
        assert (hash_parts(one) == hash_parts(two)) == (one == two)
        assert hash_parts(dict(reversed(one.items()))) == hash_parts(one)
