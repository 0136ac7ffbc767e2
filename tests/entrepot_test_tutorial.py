"""Runs one example of the tutorial in a world where time stands still, and checks that it does what the tutorial says.

    python entrepot_test_tutorial.py EXAMPLE SECTION

The example may name either package: Prefect's names have to be installed then, by `python -m entrepot.compat` before
this file.
"""

import contextlib
import io
import os
import random
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from entrepot import settings
from entrepot import task as make_task
from entrepot.engine.world import World, use_world
from entrepot.runs import RunDetails, RunHistory, default_path, default_recorder
from entrepot.testing import FrozenClock

Example = dict[str, Any]
Check = Callable[[Example, FrozenClock], None]


def main(file: str, section: str) -> None:
    """Run the example and its checks."""
    clock = FrozenClock()
    with use_world(World(settings.current(), default_recorder(), clock)):
        CHECKS[section](runpy.run_path(file), clock)
    sys.stdout.write("checked\n")


def history(kind: str | None = "flow") -> list[RunDetails]:
    """Return what is kept of the runs so far, oldest first."""
    assert default_recorder().flush()
    runs = RunHistory(default_path())
    return [runs.get(run.run_id) for run in reversed(runs.list(limit=None, kind=kind))]


def states(run: RunDetails) -> list[str]:
    """Return the names of the states that a run went through."""
    return [transition.state_name for transition in run.transitions]


@contextlib.contextmanager
def printed() -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns the lines printed so far."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        yield lambda: out.getvalue().splitlines()


def failing(fn: Callable[[], object]) -> Exception:
    """Return what a call raises."""
    try:
        fn()
    except Exception as error:  # noqa: BLE001  that is what is asked for
        return error
    raise AssertionError("it did not fail")


def replaced(task: Any, fn: Callable[..., Any]) -> Any:
    """Return a task with the options of another."""
    return type(task)(fn, **task.options)


# --- section 3 --------------------------------------------------------------------------------------------------------


def first_flow(example: Example, clock: FrozenClock) -> None:
    with printed() as lines:
        assert example["etl_pipeline"]() is True
        assert example["etl_pipeline"]("api", destination="lake") is True
    assert lines()[0] == "Loaded data: {'source': 'database', 'records': [2, 4, 6, 8, 10], 'transformed': True}"
    first, second = history()
    assert first.definition == "ETL Pipeline"
    assert (first.parameters["source"], second.parameters["destination"]) == ("'database'", "'lake'")
    assert [(task.definition, states(task)) for task in first.children] == [
        (name, ["Running", "Completed"]) for name in ("extract_data", "transform_data", "load_data")
    ]


def task_options(example: Example, clock: FrozenClock) -> None:
    task = example["my_task"]
    assert (task.name, task.tags, task.retries) == ("My Task", {"etl", "production"}, 3)
    assert task("a") == "Result: a"
    assert task("b") == "Result: a"  # a static key: the same result, whatever the input
    clock.advance(timedelta(hours=1))
    assert task("c") == "Result: c"
    a, b, c = history("task")
    assert [states(run)[-1] for run in (a, b, c)] == ["Completed", "Cached", "Completed"]
    assert list(a.tags) == ["etl", "production"]

    tries = []

    def unlucky(param: str) -> str:
        tries.append(param)
        raise ConnectionError("not yet")

    failing(lambda: replaced(task, unlucky).with_options(cache_key_fn=None, cache_expiration=None)("d"))
    assert (len(tries), clock.slept) == (4, [60, 60, 60])
    clock.slept.clear()

    flaky = example["flaky_task"]
    random.random = iter([0.1, 0.2, 0.3, 0.4, 0.5, 0.9]).__next__
    assert flaky() == "Success"
    assert clock.slept == [10, 20, 40, 80, 160]
    random.random = lambda: 0.1
    assert str(failing(flaky)) == "Random failure"

    assert task.options["timeout_seconds"] == 3600
    slow = task.with_options(timeout_seconds=0.05, retries=0, cache_key_fn=None, cache_expiration=None)

    def endless(param: str) -> str:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            time.sleep(0.001)
        return param

    assert isinstance(failing(lambda: replaced(slow, endless)("e")), TimeoutError)
    assert states(history("task")[-1])[-1] == "TimedOut"


def flow_options(example: Example, clock: FrozenClock) -> None:
    flow = example["my_flow"]
    assert (flow.name, flow.version, flow.retries) == ("My Flow", "1.0.0", 2)
    assert flow() is None

    tries = []
    threads = set()
    task = make_task(lambda: threads.add(threading.current_thread()))

    def unlucky() -> list[int]:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionError("not yet")
        task.submit().wait()
        return tries

    assert replaced(flow, unlucky)() == [0, 1, 2]  # the whole flow is run again
    assert clock.slept == [300, 300]
    assert threads
    assert threading.current_thread() not in threads  # tasks run in threads
    assert any((settings.home_folder() / "results").iterdir())  # and the result of the flow is kept

    notes = []

    def note(number: int) -> None:
        notes.append(number)
        time.sleep(0.001)
        notes.append(number)

    noting = make_task(note)

    def submits() -> None:
        for number in range(5):
            noting.submit(number)

    replaced(example["sequential_flow"], submits)()
    assert notes == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]  # one at a time


# --- section 4 --------------------------------------------------------------------------------------------------------


def dynamic_tasks(example: Example, clock: FrozenClock) -> None:
    (run,) = history()
    assert [task.definition for task in run.children] == ["process_item"] * 4
    items = ["a", "b", "c", "d"]
    expected = [f"Processed: {item}" for item in items]
    assert example["dynamic_tasks_flow"](items) == expected
    assert example["parallel_tasks_flow"](items) == expected
    assert len(history()[-1].children) == 4


def conditions(example: Example, clock: FrozenClock) -> None:
    large, small = history()
    assert [task.definition for task in large.children] == ["check_condition", "process_large"]
    assert [task.definition for task in small.children] == ["check_condition", "process_small"]


def subflows(example: Example, clock: FrozenClock) -> None:
    main_run = next(run for run in history() if run.definition == "Main Pipeline")
    assert [child.definition for child in main_run.children] == ["ETL Subflow"] * 3
    for child in main_run.children:
        assert [task.definition for task in child.children] == ["extract", "transform", "load"]
        assert states(child)[-1] == "Completed"


# --- section 6.2 ------------------------------------------------------------------------------------------------------


def plain_python(example: Example, clock: FrozenClock) -> None:
    (run,) = history()
    assert [task.definition for task in run.children] == ["extract", "transform", "load"]
    extract, transform, load = run.children
    assert list(transform.upstream) == [extract.run_id]  # the order comes from the data
    assert list(load.upstream) == [transform.run_id]


# --- section 7 --------------------------------------------------------------------------------------------------------


def state_hooks(example: Example, clock: FrozenClock) -> None:
    with printed() as lines:
        error = failing(example["my_flow"])
    assert (type(error), str(error)) == (ValueError, "Something went wrong")
    assert lines() == ["Task risky_task failed!", "Flow failed!"]
    with printed() as lines:
        failing(example["risky_task"])
    assert lines() == ["Task risky_task failed!"]


def result_storage(example: Example, clock: FrozenClock) -> None:
    assert example["save_locally"]() == {"data": [1, 2, 3]}
    assert example["save_to_s3"]() == {"large": "data"}


def secrets(example: Example, clock: FrozenClock) -> None:
    example["Secret"](value="sk-12345").save("my-api-key", overwrite=True)
    assert example["use_secret"]() == "Using key: sk-1..."
    os.environ["MY_SECRET"] = "from outside"
    assert example["use_env_var"]() == "from outside"


CHECKS: dict[str, Check] = {
    "3_1": first_flow,
    "3_2": task_options,
    "3_3": flow_options,
    "4_1": dynamic_tasks,
    "4_2": conditions,
    "4_3": subflows,
    "6_2": plain_python,
    "7_1": state_hooks,
    "7_2": result_storage,
    "7_3": secrets,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
