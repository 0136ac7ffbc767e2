"""Who knows docs/format.md and nothing of our code makes the same parts of keys, and the same keys."""

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import home, task
from entrepot.cache_policies import INPUTS
from entrepot.hashing.values import hash_value
from entrepot.results.store import ResultStore

KEYS = Path(__file__).parent / "keys.py"
ALONE = "import runpy, sys; sys.modules['entrepot'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
MADE = runpy.run_path(str(KEYS))


def answers(values: list[Any], *arguments: str) -> list[str]:
    """Return what the other program says of each value, in a process of its own without our package."""
    command = [sys.executable, "-I", "-c", ALONE, str(KEYS), *arguments]
    lines = "".join(f"{value!a}\n" for value in values)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**63 - 1, -(2**63)],
    "long ints": [2**63, -(2**63) - 1, 2**200, -(2**64)],
    "floats": [0.0, -0.0, 0.1, 1e308],
    "complex": [1 + 2j, 0.5j],
    "texts": ["", "a", "한국어", "\n"],
    "half of a pair": ["\ud800", {"\ud800": 1, "\ue000": 2, "\U00010000": 3}],
    "long text": "x" * 65_536 + "y",
    "text at the limit": "x" * 65_536,
    "bytes": [b"", b"\0x", bytes(65_537)],
    "rows": [[], [1, [2, (3,)]], (), (1,)],
    "many ints": list(range(16)),
    "many ints, one long": [*range(16), 2**63],
    "many ints, one true": [*range(16), True],
    "very many ints": list(range(20_000)),
    "many floats": tuple(n / 3 for n in range(16)),
    "many texts": [f"{n} 한" for n in range(16)],
    "very many texts": [str(n) for n in range(20_000)],
    "very many of all": [[n, str(n)] for n in range(5_000)],
    "sets": [{3, "a", (1, 2)}, {1.5, None, b"x"}],
    "dicts": [{}, {"b": 1, "a": {"c": []}}, {1: "a", "1": "b", (2, None): "c", False: 3}],
    "large dict": {f"key {n}": n for n in range(5_000)},
    "large dict of numbers": {n: str(n) for n in range(5_000)},
}


def test_the_parts_are_the_same_without_our_package() -> None:
    assert answers(list(VALUES.values())) == [hash_value(value) for value in VALUES.values()]


def test_a_key_and_its_parts_are_made_again_from_the_arguments_of_a_task() -> None:
    @task(cache_policy=INPUTS, persist_result=True)
    def work(rows: list[dict[str, Any]], rate: float = 1.5, **options: Any) -> int:
        return len(rows)

    rows = [{"a": 1, "b": (None, {2})}]
    work(rows, mode="fast")
    (found,) = ResultStore(home.results_storage(), ring=home.ring).records()
    assert found.record is not None
    parts = dict(found.record.parts)
    arguments = {"rows": rows, "rate": 1.5, "options": {"mode": "fast"}}
    said = answers(list(arguments.values()))
    assert {f"input:{name}": part for name, part in zip(arguments, said, strict=True)}.items() <= parts.items()
    assert answers([parts], "parts") == [found.record.key]


PLAIN = (
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.complex_numbers()
        | st.text(st.characters())
        | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner, max_size=4)
            | st.sets(st.text() | st.integers(), max_size=4)
            | st.frozensets(st.binary() | st.integers(), max_size=4)
        ),
        max_leaves=15,
    )
    | st.lists(st.integers(), min_size=14, max_size=18)
    | st.lists(st.floats(), min_size=14, max_size=18)
)


@settings(deadline=None, max_examples=100)
@given(PLAIN)
def test_any_plain_value_has_the_same_part(value: Any) -> None:
    assert MADE["part"](value) == hash_value(value)


@st.composite
def sharing(draw: st.DrawFn) -> Any:
    """Return a value made of a few things, each of which may stand in several places."""
    things: list[Any] = [[1], {"a": 2}, {3}, (4,), ([5],), "text"]
    for _ in range(draw(st.integers(0, 4))):
        inner = [draw(st.sampled_from(things)) for _ in range(draw(st.integers(0, 3)))]
        made = [inner, tuple(inner), dict(enumerate(inner)), {str(n): one for n, one in enumerate(inner)}]
        things.append(draw(st.sampled_from(made)))
    return [draw(st.sampled_from(things)) for _ in range(3)]


@settings(deadline=None, max_examples=100)
@given(sharing())
def test_what_is_shared_inside_a_value_counts_there_too(value: Any) -> None:
    assert MADE["part"](value) == hash_value(value)


@pytest.mark.parametrize("keys", [[math.nan, float("nan")], [float("nan"), math.nan, 1.0]])
def test_keys_of_one_form_are_ordered_by_their_values(keys: list[float]) -> None:
    one = {key: str(number) for number, key in enumerate(keys)}
    other = dict(reversed(one.items()))
    assert MADE["part"](one) == MADE["part"](other) == hash_value(one) == hash_value(other)


def test_it_is_short_and_imports_nothing_of_ours() -> None:
    lines = [line for line in KEYS.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 110
    assert not [line for line in lines if "import" in line and "entrepot" in line]
