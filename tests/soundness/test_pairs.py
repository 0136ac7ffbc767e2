"""Pairs that must have different cache keys, and pairs that must have the same one: each side in another process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot_test_pairs import all_pairs, write_side

TESTS = Path(__file__).parents[1]
PAIRS = {pair.title: pair for pair in all_pairs()}
Answers = dict[str, dict[str, str]]


def child(root: Path, seed: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "entrepot_test_soundness", str(root)],
        stdout=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """Return keys and results of all projects: before, after, and before once more, each under its own hash seed."""
    root = tmp_path_factory.mktemp("pairs")
    for number, pair in enumerate(PAIRS.values()):
        write_side(root / "before" / f"{number:03}", pair.before)
        write_side(root / "after" / f"{number:03}", pair.after)
    children = {"before": child(root / "before", 1), "after": child(root / "after", 2)}
    children["again"] = child(root / "before", 3)
    found = {}
    for side, one in children.items():
        printed, _ = one.communicate(timeout=280)
        assert one.returncode == 0, side
        found[side] = dict(zip(PAIRS, json.loads(printed).values(), strict=True))
    return found


def key(answers: dict[str, Answers], side: str, title: str) -> str:
    found = answers[side][title]
    assert "key" in found, found["refused"]
    return found["key"]


def test_the_suite_is_as_large_as_it_says():
    musts = [(pair.is_value, pair.must) for pair in PAIRS.values()]
    assert musts.count((True, "differ")) >= 150
    assert musts.count((True, "agree")) >= 80
    assert musts.count((False, "differ")) >= 150
    assert musts.count((False, "agree")) >= 80


@pytest.mark.parametrize("title", PAIRS)
def test_keys_differ_or_agree_as_they_must(answers, title):
    before, after = key(answers, "before", title), key(answers, "after", title)
    assert (before != after) == (PAIRS[title].must == "differ")


def test_another_process_under_another_hash_seed_finds_the_same_keys(answers):
    assert [title for title in PAIRS if answers["before"][title]["key"] != answers["again"][title]["key"]] == []


def test_functions_whose_keys_must_differ_return_different_things_and_the_others_the_same(answers):
    """All but the few that say that their results do not show it."""

    def is_shown(title: str) -> bool:
        pair = PAIRS[title]
        before, after = answers["before"][title]["result"], answers["after"][title]["result"]
        return (before != after) == (pair.must == "differ" and pair.shows)

    assert [title for title, pair in PAIRS.items() if not pair.is_value and not is_shown(title)] == []
