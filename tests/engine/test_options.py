"""Options: what is refused when the decorator runs, and what with_options changes."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE
from entrepot.errors import OptionError
from entrepot.serializers import JSONSerializer
from entrepot.storage import MemoryStorage
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner


def nothing() -> None:
    pass


async def async_function(*_: object) -> bool:
    return True


def key(context: object, parameters: object) -> str:
    return "key"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("retry", {"retry": 3}, "did you mean 'retries'"),
    ("taks_runner", {"taks_runner": 1}, "has no option 'taks_runner'"),
    ("timeout_seconds", {"timeout_seconds": 0}, "above zero"),
    ("timeout_seconds", {"timeout_seconds": math.inf}, "above zero"),
    ("timeout_seconds", {"timeout_seconds": True}, "seconds"),
    ("timeout_seconds", {"timeout_seconds": timedelta(0)}, "above zero"),
    ("isolation", {"isolation": "thread"}, "'process'"),
    ("on_failure", {"on_failure": "notify"}, "list of functions"),
    ("on_failure", {"on_failure": [print, 3]}, "list of functions"),
    ("on_commit", {"on_commit": 3}, "list of functions"),
    ("on_fail", {"on_fail": print}, "did you mean 'on_failure'"),
    ("flow_run_name", {"flow_run_name": "x"}, "did you mean 'task_run_name'"),
    ("task_run_name", {"task_run_name": "load-{day}"}, "field 'day' that there is not; fields: none"),
    ("task_run_name", {"task_run_name": "load-{"}, "is no template"),
    ("task_run_name", {"task_run_name": " "}, "template such as"),
    ("task_run_name", {"task_run_name": lambda day: day}, "of nothing or of `parameters`"),
    ("result_storage_key", {"result_storage_key": "x-{y}"}, "fields: flow_run, parameters, task_run"),
    ("result_storage_key", {"result_storage_key": "x", "cache_policy": INPUTS}, "one of them"),
    ("result_storage_key", {"result_storage_key": "x", "cache_policy": NO_CACHE}, "NO_CACHE"),
    ("persist_result", {"result_storage_key": "x", "persist_result": False}, "leave one of them out"),
    ("result_storage_key", {"result_storage_key": 3}, "is a text"),
    ("cache_result_in_memory", {"cache_result_in_memory": False}, "as long as somebody can still read it"),
    ("timeout_second", {"timeout_second": 3}, "did you mean 'timeout_seconds'"),
    ("retries", {"retries": -1}, "-1"),
    ("retries", {"retries": 1.5}, "whole number"),
    ("retries", {"retries": True}, "whole number"),
    ("retry_delay_seconds", {"retries": 1, "retry_delay_seconds": -1}, "exponential_backoff"),
    ("retry_delay_seconds", {"retries": 1, "retry_delay_seconds": []}, "seconds"),
    ("retry_delay_seconds", {"retries": 1, "retry_delay_seconds": [1, math.nan]}, "seconds"),
    ("retry_delay_seconds", {"retries": 1, "retry_delay_seconds": "10"}, "seconds"),
    ("retry_delay_seconds", {"retries": 2, "retry_delay_seconds": lambda _: [math.inf]}, "seconds"),
    ("retry_jitter_factor", {"retry_jitter_factor": -0.1}, "number from 0"),
    ("retry_condition_fn", {"retry_condition_fn": 3}, "function"),
    ("retry_condition_fn", {"retry_condition_fn": async_function}, "plain def"),
    ("tags", {"tags": "etl"}, r"tags=\['etl'\]"),
    ("tags", {"tags": [1]}, "list of texts"),
    ("name", {"name": ""}, "text"),
    ("name", {"name": 3}, "text"),
    ("version", {"version": 1.0}, "text"),
    ("log_prints", {"log_prints": 1}, "True or False"),
    ("persist_result", {"persist_result": "yes"}, "True or False"),
    ("cache_policy", {"cache_policy": "inputs"}, "cache_policies"),
    ("cache_key_fn", {"cache_key_fn": "key"}, "function"),
    ("cache_key_fn", {"cache_key_fn": lambda a: "x"}, "context, parameters"),
    ("cache_key_fn", {"cache_key_fn": async_function}, "plain def"),
    ("cache_key_fn", {"cache_key_fn": key, "cache_policy": INPUTS}, "one of them"),
    ("cache_expiration", {"cache_expiration": 60}, "timedelta"),
    ("cache_expiration", {"cache_expiration": timedelta(0)}, "above zero"),
    ("cache_expiration", {"cache_policy": NO_CACHE, "cache_expiration": timedelta(1)}, "NO_CACHE"),
    ("persist_result", {"persist_result": False, "cache_policy": INPUTS}, "leave one of them out"),
    ("persist_result", {"persist_result": False, "cache_key_fn": key}, "leave one of them out"),
    ("result_storage", {"result_storage": 3}, "URL"),
    ("result_storage", {"result_storage": MemoryStorage}, "URL"),
    ("result_serializer", {"result_serializer": 3}, "'json'"),
    ("result_serializer", {"result_serializer": JSONSerializer}, r"JSONSerializer\(\)"),
]


@pytest.mark.parametrize(("option", "given", "words"), WRONG, ids=[f"{i}-{one[0]}" for i, one in enumerate(WRONG)])
def test_a_wrong_option_is_refused_when_the_decorator_runs(option: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        task(**given)(nothing)
    assert caught.value.option == option
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"retry_condition_fn": key}, "has no option 'retry_condition_fn'"),
        ({"task_runner": "thread"}, "'threads'"),
        ({"task_runner": 3}, "ThreadPoolTaskRunner"),
        ({"validate_parameters": "no"}, "True or False"),
        ({"timeout_seconds": -1}, "above zero"),
        ({"isolation": "process"}, "has no option 'isolation'"),
        ({"on_commit": print}, "has no option 'on_commit'"),
        ({"flow_run_name": "{x}"}, "fields: none"),
        ({"result_storage_key": "{task_run.name}"}, "fields: flow_run, parameters"),
    ],
)
def test_so_is_one_of_a_flow(given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        flow(**given)(nothing)


@pytest.mark.parametrize("decorator", [flow, task])
def test_what_is_no_function_is_refused(decorator: Any) -> None:
    with pytest.raises(OptionError, match=r"name=\.\.\."):
        decorator("My Task")


def test_none_is_as_good_as_not_given() -> None:
    plain = task(name=None, tags=None, retries=None, cache_policy=None, result_storage=None)(nothing)
    assert plain() is None
    assert plain.name == "nothing"


def test_what_can_be_a_storage_is_not_looked_for_at_import() -> None:
    for storage in ("s3/not-saved", "s3://no-bucket/x", Path("/not/there"), "nonsense"):
        assert task(nothing, result_storage=storage).options["result_storage"] == storage


def test_a_runner_may_be_given_as_its_class() -> None:
    assert flow(lambda: 5, task_runner=SequentialTaskRunner)() == 5


class TestWithOptions:
    def test_changes_a_copy(self) -> None:
        one = task(nothing, name="one", retries=2, tags=["a"])
        two = one.with_options(name="two", tags=["b"])
        assert (one.name, one.retries, one.tags) == ("one", 2, {"a"})
        assert (two.name, two.retries, two.tags) == ("two", 2, {"b"})
        assert two.with_options(name=None, retries=None).name == "nothing"
        assert two.with_options(retries=0).retries == 0

    def test_drops_what_contradicts_the_new_option(self) -> None:
        by_function = task(nothing, cache_key_fn=key, cache_expiration=timedelta(1))
        by_policy = by_function.with_options(cache_policy=INPUTS + TASK_SOURCE)
        assert "cache_key_fn" not in by_policy.options
        assert by_policy.options["cache_expiration"] == timedelta(1)
        assert "cache_policy" not in by_policy.with_options(cache_key_fn=key).options
        assert by_policy.with_options(persist_result=False).options == {"persist_result": False}
        again = by_policy.with_options(persist_result=False).with_options(cache_policy=INPUTS)
        assert again.options == {"cache_policy": INPUTS}
        assert "cache_expiration" not in by_policy.with_options(cache_policy=NO_CACHE).options

    def test_drops_what_results_were_found_by(self) -> None:
        by_key = task(nothing, result_storage_key="report")
        assert by_key.with_options(cache_policy=INPUTS).options == {"cache_policy": INPUTS}
        assert by_key.with_options(cache_key_fn=key).with_options(result_storage_key="x").options == {
            "result_storage_key": "x"
        }

    def test_keeps_hooks_that_were_added_by_decorators(self) -> None:
        one = task(nothing, on_failure=[print])
        one.on_failure(key)
        one.on_commit(key)
        two = one.with_options(name="two")
        assert two.options["on_failure"] == [print, key]
        assert two.options["on_commit"] == [key]
        assert one.with_options(on_failure=None).options["on_failure"] is None

    def test_refuses_what_the_decorator_refuses(self) -> None:
        with pytest.raises(OptionError, match="retries"):
            task(nothing).with_options(retrys=1)  # type: ignore[call-arg]
        with pytest.raises(OptionError, match="one of them"):
            task(nothing).with_options(cache_policy=INPUTS, cache_key_fn=key)

    def test_of_a_flow(self) -> None:
        slow = flow(lambda: 1, name="slow")
        quick = slow.with_options(name="quick", task_runner=ThreadPoolTaskRunner(2))
        assert (slow.name, quick.name, quick()) == ("slow", "quick", 1)
