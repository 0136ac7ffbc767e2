"""`task_input_hash`, the ready-made `cache_key_fn`."""

from collections.abc import Callable
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.engine.input_hash import task_input_hash
from entrepot.errors import CacheKeyError, UnhashableValueError
from entrepot.results.keys import KeyContext


@task(cache_key_fn=task_input_hash)
def echoed(value: object = 1) -> object:
    return value


def computed(journal: Any) -> list[str]:
    """Return the parameters of the runs that did compute something."""
    return [
        journal.created[run_id].parameters["value"]
        for run_id, said in journal.transitions.items()
        if said[-1].state_name == "Completed" and journal.created[run_id].kind == "task"
    ]


def test_the_same_arguments_hit_and_others_miss_by_value_and_type(journal: Any) -> None:
    for value in (1, 1, 1.0, True, [1], {"a": 1}, {"a": 1}):
        assert echoed(value) == value
    assert echoed() == 1
    assert computed(journal) == ["1", "1.0", "True", "[1]", "{'a': 1}"]


def test_it_is_used_again_in_another_flow_run(journal: Any) -> None:
    @flow
    def around() -> object:
        return echoed("x")

    assert around() == around() == echoed("x") == "x"
    assert computed(journal) == ["'x'"]


def test_other_code_misses() -> None:
    def made(source: str) -> Callable[..., Any]:
        found: dict[str, Any] = {"__name__": __name__}
        exec(source, found)
        return task(found["same_name"], cache_key_fn=task_input_hash)

    assert made("def same_name(): return 1")() == 1
    assert made("def same_name(): return 2")() == 2


def test_a_version_stands_for_the_code(journal: Any) -> None:
    for version in ("1", "1", "2"):
        assert echoed.with_options(version=version)("v") == "v"
    assert len(computed(journal)) == 2


def test_what_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(CacheKeyError, match="echoed") as caught:
        echoed(object())
    assert isinstance(caught.value.__cause__, UnhashableValueError)


def test_the_key_is_that_of_the_policy() -> None:
    keys: list[str | None] = []

    def looked_at(context: Any, arguments: Any) -> str | None:
        keys.append(task_input_hash(context, arguments))
        expected = (INPUTS + TASK_SOURCE).compute(KeyContext(context.task.key, context.task.fn, arguments))
        keys.append(expected and expected.key)
        return None

    echoed.with_options(cache_key_fn=looked_at)("p")
    assert keys[0] == keys[1] is not None
