"""Columns that are read together have the digests that they have one by one, wherever they lie in memory."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.hashing import _columns, _frames
from entrepot.hashing._arrays import content_form
from entrepot.hashing._encoder import Encoder
from entrepot.hashing.values import hash_value

LONG = 70_000  # bytes: more than what is kept as it is


def apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the same frame, each column in memory of its own."""
    return pd.DataFrame({name: frame[name].to_numpy().copy() for name in frame}, index=frame.index)


@pytest.fixture
def together(monkeypatch) -> list[int]:
    """Return how many columns were read together, for each frame that is hashed."""
    counts: list[int] = []

    def counted(columns):
        found = _columns.contents_side_by_side(columns)
        counts.append(len(found))
        return found

    monkeypatch.setattr(_frames, "contents_side_by_side", counted)
    return counts


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i2", "u1", "?", "c16", ">f8", "m8[s]", "g"])
def test_a_frame_made_from_rows_is_what_its_columns_are(together, dtype):
    rows = np.random.default_rng(0).integers(0, 100, (LONG, 5)).astype(dtype)
    frame = pd.DataFrame(rows, copy=False)
    assert hash_value(frame) == hash_value(apart(frame))
    if dtype not in {"g", "m8[s]"}:
        assert 5 in together


@pytest.mark.parametrize("threaded", [0, 1 << 40])
def test_many_columns_in_any_order_on_any_number_of_threads(together, monkeypatch, threaded):
    monkeypatch.setattr(_columns, "_THREADED", threaded)
    monkeypatch.setattr(_columns, "_TOGETHER", 4)
    rows = np.random.default_rng(0).random((LONG // 8, 23))
    frame = pd.DataFrame(rows, copy=False)[[*range(22, -1, -2), *range(1, 23, 2)]]
    assert hash_value(frame) == hash_value(apart(frame))
    assert hash_value(pd.DataFrame(rows, copy=False)) == hash_value(apart(pd.DataFrame(rows, copy=False)))
    assert 23 in together


def test_a_change_in_any_place_counts(together):
    rows = np.zeros((LONG, 3))
    seen = {hash_value(pd.DataFrame(rows, copy=False))}
    for place in [(0, 0), (LONG - 1, 2), (LONG // 2, 1)]:
        other = rows.copy()
        other[place] = 1
        seen.add(hash_value(pd.DataFrame(other, copy=False)))
    assert len(seen) == 4
    assert together == [3] * 4


def test_short_columns_are_left_alone(together):
    hash_value(pd.DataFrame(np.zeros((10, 50)), copy=False))
    assert together == [0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.lists(st.integers(0, 8), unique=True, min_size=1),
    st.sampled_from(["f8", "i4", "u1"]),
)
def test_what_is_read_together_is_what_is_read_one_by_one(width, skip, every, wanted, dtype):
    rows = np.random.default_rng(1).integers(0, 100, (LONG, width + skip)).astype(dtype)[::every]
    columns = {n: rows[:, n] for n in wanted if n < width}
    found = _columns.contents_side_by_side(columns)
    assert found == {n: content_form(Encoder(), columns[n]) for n in found}
