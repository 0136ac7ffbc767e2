"""What two arguments share is an accident between tasks, and does not count; what is shared inside of one does."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.results.keys import CacheKey, KeyContext


def work(**arguments: object) -> object:
    return arguments


def key(inputs: Mapping[str, object]) -> CacheKey:
    context = KeyContext("m.work", work, inputs)
    computed = INPUTS.compute(context)
    assert INPUTS.glance(context) in (None, computed)
    assert computed is not None
    return computed


@pytest.mark.parametrize("thing", [[1], {"a": 1}, {1}, np.arange(3), list(range(100)), (1, [2])], ids=type)
def test_one_thing_in_two_arguments_is_two_equal_ones(thing: Any) -> None:
    other = thing.copy() if hasattr(thing, "copy") else (1, [2])
    assert key({"a": thing, "b": [thing]}) == key({"a": thing, "b": [other]})


@pytest.mark.parametrize("shared", [(), (1, (2,)), "a" * 100, 10**30, None, b"a"])
def test_what_nobody_can_change_may_be_one_or_two(shared: object) -> None:
    assert INPUTS.glance(KeyContext("m.work", work, {"a": [shared, shared], "b": (shared, shared)})) is not None


def test_what_is_shared_inside_one_argument_counts() -> None:
    row = [0]
    assert key({"a": [row, row]}) != key({"a": [[0], [0]]})


@pytest.mark.parametrize("in_threads", [False, True], ids=["called", "submitted"])
def test_a_task_that_returns_its_argument_costs_no_second_computation(
    in_threads: bool,  # noqa: FBT001  a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)

    @kept
    def load() -> dict[str, list[int]]:
        sys.stdout.write("load ")
        return {"rows": [1, 2]}

    @kept
    def checked(table: dict[str, list[int]]) -> dict[str, list[int]]:
        sys.stdout.write("checked ")
        return table

    @kept
    def rows(table: dict[str, list[int]]) -> list[int]:
        sys.stdout.write("rows ")
        return table["rows"]

    @kept
    def report(one: object, two: object, three: object) -> str:
        sys.stdout.write("report ")
        return f"{one} {two} {three}"

    @flow
    def pipeline() -> str:
        if in_threads:
            table = load.submit()
            return report.submit(table, checked.submit(table), rows.submit(table)).result()
        found = load()
        return report(found, checked(found), rows(found))

    first = pipeline()  # one object goes through all of it; in the next run, there are three that were read
    assert sorted(capsys.readouterr().out.split()) == ["checked", "load", "report", "rows"]
    assert pipeline() == first
    assert capsys.readouterr().out == ""
