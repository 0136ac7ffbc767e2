"""The slots of equal calls: taken by results that are there, and by nothing else."""

from typing import Any

import pytest

from entrepot.engine.standing import Call, Calls


def call(calls: Calls) -> Call:
    run: Any = type("R", (), {"past": None, "enclosing": None, "root_id": "root"})()
    return Call(run, {"task": "t"}, {"root/": ("digest", calls.row("digest"))})


def keep(one: Call, *, fails: bool = False) -> str:
    with one.kept() as key:
        if fails:
            raise OSError("full")
    return key.key


def test_each_result_takes_the_next_slot() -> None:
    calls = Calls()
    assert [keep(call(calls)) for _ in range(3)] == ["c1-digest-1", "c1-digest-2", "c1-digest-3"]


def test_a_result_that_could_not_be_written_takes_none() -> None:
    calls = Calls()
    with pytest.raises(OSError, match="full"):
        keep(call(calls), fails=True)
    assert keep(call(calls)) == "c1-digest-1"


def test_the_same_call_keeps_its_slot() -> None:
    calls = Calls()
    one = call(calls)
    assert keep(one) == keep(one) == "c1-digest-1"


def test_a_slot_that_was_given_back_goes_to_the_next_call() -> None:
    calls = Calls()
    one, two, three = (call(calls) for _ in range(3))
    assert [keep(one), keep(two)] == ["c1-digest-1", "c1-digest-2"]
    one.give_back()
    one.give_back()
    assert [keep(three), keep(one)] == ["c1-digest-1", "c1-digest-3"]


def test_numbers_are_the_smallest_that_are_not_used_up() -> None:
    calls = Calls()
    calls.use_up("d", 2)
    assert [calls.number("d") for _ in range(3)] == [1, 3, 4]
