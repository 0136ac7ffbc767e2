"""Pairs of projects whose code must differ, and pairs whose code must agree, each read in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import entrepot_test_programs as programs

TESTS = Path(programs.__file__).parent
CHANGES = {f"differ: {one.name}": one for one in programs.DIFFERENT} | {
    f"agree: {one.name}": one for one in programs.SAME
}


def child(root: Path, seed: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "entrepot_test_programs", str(root)],
        stdout=subprocess.PIPE,
        cwd=root.parent,
        env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(TESTS)},
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the keys of all projects: before the change, after it, and before it under another hash seed."""
    root = tmp_path_factory.mktemp("programs")
    for number, one in enumerate(CHANGES.values()):
        programs.write(root / "before" / f"{number:03}", one.before)
        programs.write(root / "after" / f"{number:03}", one.after)
    children = {
        "before": child(root / "before", 1),
        "after": child(root / "after", 2),
        "again": child(root / "before", 3),
    }
    found = {}
    for side, one in children.items():
        printed, _ = one.communicate(timeout=200)
        assert one.returncode == 0, side
        found[side] = dict(zip(CHANGES, json.loads(printed).values(), strict=True))
    return found


def test_the_corpus_is_large_enough():
    assert len(programs.DIFFERENT) >= 75
    assert len(programs.SAME) >= 30
    assert len(CHANGES) == len(programs.DIFFERENT) + len(programs.SAME)


@pytest.mark.parametrize("name", [f"differ: {one.name}" for one in programs.DIFFERENT])
def test_what_computes_something_else_has_another_key(keys, name):
    assert keys["before"][name] != keys["after"][name]


@pytest.mark.parametrize("name", [f"agree: {one.name}" for one in programs.SAME])
def test_what_computes_the_same_has_the_same_key(keys, name):
    assert keys["before"][name] == keys["after"][name]


@pytest.mark.parametrize("name", CHANGES)
def test_another_process_under_another_hash_seed_finds_the_same_key(keys, name):
    assert keys["before"][name] == keys["again"][name]
