"""The checking mode: keys that depend on the process, and results that change in place, are found."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.engine.world import World, use_world
from entrepot.errors import ChangedResultError, UnstableKeyError

PROGRAM = """
from dataclasses import dataclass
from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE

print("loaded")
RATE = 3

@dataclass
class Order:
    items: set

class Unstable:
    def __entrepot_key__(self):
        return hash("a text")

def rated(order):
    return len(order.items) * RATE

@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def bill(order, factor=1):
    return rated(order) * factor

@task(cache_policy=INPUTS, persist_result=True)
def takes(value):
    return 1

@flow
def shop(kind: str):
    if kind == "stable":
        return bill(Order({"a", "b", "c"})) + bill(Order({"c", "b", "a"}), factor=2)
    if kind == "unstable":
        return takes(Unstable())
    if kind == "local":
        return task(lambda x: x, cache_policy=INPUTS, persist_result=True)(5)
    return takes(open(__file__))

if __name__ == "__main__":
    import sys
    try:
        print(shop(sys.argv[1]))
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "shop.py").write_text(PROGRAM)

    def ran(kind: str, check: str = "1") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "shop.py", kind],
            cwd=tmp_path,
            env={**os.environ, "ENTREPOT_CHECK": check},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    return ran


def test_keys_that_are_the_same_everywhere_pass(run: Any) -> None:
    done = run("stable")
    assert done.stdout.splitlines() == ["loaded", "27"]
    assert "cannot be checked" not in done.stderr
    assert run("stable", check="0").stderr.count("Cached") == 2  # the mode makes no keys of its own


def test_a_key_that_depends_on_the_process_is_an_error_that_says_which_part_does(run: Any) -> None:
    assert run("unstable", check="0").stdout.splitlines() == ["loaded", "1"]
    said = run("unstable").stdout
    assert "UnstableKeyError the cache key of task 'takes' is another one in another process, by input:value" in said


@pytest.mark.parametrize(("kind", "why"), [("local", "it is made inside a function, or in no file")])
def test_what_cannot_be_checked_is_said_once_and_runs(kind: str, why: str, run: Any) -> None:
    done = run(kind)
    assert done.stdout.splitlines() == ["loaded", "5"]
    assert done.stderr.count(f"cannot be checked in a second process: {why}") == 1


@pytest.fixture
def checks(world: World) -> World:
    return dataclasses.replace(world, settings=dataclasses.replace(world.settings, check=True))


def test_a_result_that_is_changed_in_place_is_found_where_it_is_taken(checks: World) -> None:
    load = task(lambda: {"rows": [1, 2]}, name="load")
    fill = task(lambda table: table["rows"].append(3), name="fill")
    count = task(lambda table: len(table["rows"]), name="count")

    @flow
    def careless() -> int:
        table = load.submit()
        fill.submit(table).wait()
        return count.submit(table).result()

    with use_world(checks), pytest.raises(ChangedResultError, match=r"what task run 'load-1' returned was changed"):
        careless()
    assert careless() == 3


def test_one_that_is_left_as_it_was_is_taken(checks: World) -> None:
    load = task(lambda: {"rows": [1, 2]}, name="load")
    count = task(lambda table, _: len(table["rows"]), name="count")

    @flow
    def careful() -> int:
        table = load.submit()
        first = count.submit(table, None)
        return count.submit(table, first).result()

    with use_world(checks):
        assert careful() == 2


def test_its_errors_have_their_facts() -> None:
    assert UnstableKeyError("x", parts=("a",)).parts == ("a",)
