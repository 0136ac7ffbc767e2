"""Which keys of dicts stand in paths: those that somebody thought of, and none that a machine made up."""

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import home, task
from entrepot._secrets import remember_secret
from entrepot._words import looks_like_words
from entrepot.cache_policies import INPUTS
from entrepot.hashing.outline import outline
from entrepot.results.store import ResultStore

KEY = b"k" * 32

# Made up for these tests, in the forms that services give them.
TOKENS = [
    "sk-live-abcdefghijkl",
    "sk_test_4eC39HqLyjWDarjtT1",
    "sk-proj-aaaa-bbbb-cccc",
    "ghp_aBcDeFgHiJkLmNoPqRsT",
    "glpat-abcdefghijklmno",
    "xoxb-abcdefgh-ijkl",
    "AKIAABCDEFGHIJKLMNOP",
    "AIzaSyAbcdefghijkl",
    "eyJhbGciOiJIUzI",
    "hf_abcdefghijklmnop",
    "d41d8cd98f00b204e9800998ecf8427e",
    "550e8400-e29b-41d4-a716-446655440000",
    "a1b2c3d4e5f6",
    "x7Kq9ZpL2m",
    "qwrtplkjhgfdszxcvbnm",
    "hunter2!",
    "ann@example.org",
    "+49 30 1234",
    "4711-0815",
    "a b",
    "",
    "한국어",
]
NAMES = [
    "a",
    "name",
    "max_rate",
    "user-id",
    "Q1",
    "x2",
    "HTTPStatus",
    "createdAt",
    "__name__",
    "rate_2024",
    "LIMIT",
    "_id",
]


@pytest.mark.parametrize("token", TOKENS)
def test_what_a_machine_made_up_is_no_name(token: str) -> None:
    assert not looks_like_words(token)
    entries = outline({"input:x": {token: 1, "rate": {token: 2}}}, key=KEY)
    assert not token or repr(token) not in str(list(entries))
    assert len(entries) == 4


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_thought_of_is_one(name: str) -> None:
    assert looks_like_words(name)
    assert f"input:x['{name}']" in outline({"input:x": {name: 1}}, key=KEY)


@given(st.binary(min_size=12, max_size=24))
def test_hexadecimal_digits_of_anything_are_no_name(data: bytes) -> None:
    assert not looks_like_words(data.hex()) or data.hex().isalpha()


def test_two_keys_that_are_not_shown_are_told_apart_and_only_under_the_key_of_the_store() -> None:
    one, two = (
        outline({"input:x": {TOKENS[0]: 1, TOKENS[1]: 1}}, key=KEY),
        outline({"input:x": {TOKENS[0]: 1}}, key=KEY),
    )
    assert len(one) == 3
    assert set(two) < set(one)
    assert not set(outline({"input:x": {TOKENS[0]: 1}}, key=b"a" * 32)) - {"input:x"} & set(one)


@pytest.mark.parametrize("number", [10_000, 4711, -3, True, None])
def test_numbers_that_may_be_somebodys_are_not_shown(number: Any) -> None:
    shown = f"input:x[{number!r}]" in outline({"input:x": {number: 1}}, key=KEY)
    assert shown == (number != 10_000)


def test_a_known_secret_that_looks_like_a_word_is_not_shown() -> None:
    remember_secret("correcthorse")
    entries = outline({"input:x": {"correcthorse": 1, "my_correcthorse": 2}, "input:correcthorse": [1]}, key=KEY)
    assert "correcthorse" not in json.dumps(entries)


@pytest.mark.parametrize(
    "value",
    [
        pl.Series(["blue"], dtype=pl.Enum(["blue", "redacted"])),
        pl.DataFrame({"a": pl.Series(["blue"], dtype=pl.Enum(["blue", "redacted"]))}),
        np.zeros(2, [("redacted", "f8")]),
        [np.zeros(2, [("redacted", "f8")])],
        pd.DataFrame({"a": pd.Categorical(["redacted"])}),
    ],
)
def test_dtypes_do_not_tell_what_is_in_them(value: object) -> None:
    assert "redacted" not in str(outline({"input:x": value}, key=KEY))


def test_no_token_stands_in_a_record_or_an_explanation() -> None:
    @task(cache_policy=INPUTS)
    def work(accounts: dict[str, int]) -> int:
        return sum(accounts.values())

    work({TOKENS[0]: 1})
    state = work({TOKENS[0]: 2}, return_state=True)
    explained = str(state.cache_explanation)
    assert "input accounts[str #" in explained
    assert TOKENS[0] not in explained
    for found in ResultStore(home.results_storage(), ring=home.ring).records():
        assert found.record is not None
        assert TOKENS[0] not in str(found.record)
