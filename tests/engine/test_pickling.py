"""Flows and tasks in pickles."""

import copy
import pickle
from typing import Any

import cloudpickle
import pytest

import entrepot_test_tasks as tasks
from entrepot import flow, task


def again(value: Any) -> Any:
    return pickle.loads(cloudpickle.dumps(value))


@pytest.mark.parametrize("made", [tasks.square, tasks.squares, tasks.square_later, tasks.Shop.__dict__["sell"]])
def test_one_of_a_module_is_itself_again_by_name(made: Any) -> None:
    assert pickle.loads(pickle.dumps(made)) is made
    assert copy.copy(made) is copy.deepcopy(made) is made
    assert len(pickle.dumps(made)) < 200


def test_one_with_other_options_is_made_again_of_the_same_function() -> None:
    other = pickle.loads(pickle.dumps(tasks.square.with_options(name="other", retries=2)))
    assert (other.name, other.retries, other.fn) == ("other", 2, tasks.square.fn)


def test_a_method_keeps_its_object() -> None:
    sell = again(tasks.Shop("Entrepot").sell.with_options(isolation=None))
    assert sell("rope") == "Entrepot sells rope"


def test_one_that_no_name_leads_to_goes_by_value() -> None:
    factor = 3

    @task(name="times", tags=["x"], retries=1)
    def times(n: int) -> int:
        return n * factor

    copied = again(times)
    assert copied is not times
    assert (copied(2), copied.name, copied.tags, copied.retries) == (6, "times", {"x"}, 1)


def test_a_flow_by_value_validates_still() -> None:
    copied = again(flow(lambda n=1: n + 1, name="f"))
    assert copied(n=2) == 3


def test_one_that_refers_to_itself_goes_by_value() -> None:
    @task
    def count(n: int) -> int:
        return 0 if n == 0 else 1 + count(n - 1)

    copied = again(count)
    assert copied(3) == 3
    assert copied.fn.__closure__[0].cell_contents is copied
