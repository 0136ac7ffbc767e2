"""The tutorial that our users come from: its sections 3, 4 and 6.2, which need one word changed here."""

# ruff: noqa: G004, T201, TRY002  code as its users write it

import logging
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.logging import get_run_logger
from entrepot.task_runners import ConcurrentTaskRunner, SequentialTaskRunner
from entrepot.tasks import exponential_backoff
from entrepot.testing import FrozenClock

# --- 3.1: a first flow ------------------------------------------------------------------------------------------------


@task
def extract_data(source: str) -> dict:
    """Read the data."""
    logger = get_run_logger()
    logger.info(f"Extracting from {source}")
    return {"source": source, "records": [1, 2, 3, 4, 5]}


@task
def transform_data(data: dict) -> dict:
    """Change the data."""
    logger = get_run_logger()
    logger.info(f"Transforming {len(data['records'])} records")
    data["records"] = [x * 2 for x in data["records"]]
    data["transformed"] = True
    return data


@task
def load_data(data: dict, destination: str) -> bool:
    """Write the data."""
    logger = get_run_logger()
    logger.info(f"Loading to {destination}")
    print(f"Loaded data: {data}")
    return True


@flow(name="ETL Pipeline")
def etl_pipeline(source: str = "database", destination: str = "warehouse"):
    """Extract, transform, load."""
    raw_data = extract_data(source)
    transformed = transform_data(raw_data)
    return load_data(transformed, destination)


def test_3_1_a_first_flow(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], journal: Any) -> None:
    with caplog.at_level(logging.INFO):
        assert etl_pipeline() is True
    out = capsys.readouterr().out
    assert out == "Loaded data: {'source': 'database', 'records': [2, 4, 6, 8, 10], 'transformed': True}\n"
    for text in ("Extracting from database", "Transforming 5 records", "Loading to warehouse"):
        assert text in caplog.text
    assert journal.run("ETL Pipeline").parameters == {"source": "'database'", "destination": "'warehouse'"}
    for name in ("extract_data", "transform_data", "load_data"):
        assert journal.states(name) == ["Running", "Completed"]
    assert etl_pipeline("api", destination="lake") is True


# --- 3.2: options of tasks --------------------------------------------------------------------------------------------


@task(
    name="My Task",
    description="What the task does",
    tags=["etl", "production"],
    retries=3,
    retry_delay_seconds=60,
    cache_key_fn=lambda: "static_key",
    cache_expiration=timedelta(hours=1),
    log_prints=True,
)
def my_task(param: str) -> str:
    print(f"Processing: {param}")
    return f"Result: {param}"


def test_3_2_options_of_a_task(caplog: pytest.LogCaptureFixture, clock: FrozenClock, journal: Any) -> None:
    assert (my_task.name, my_task.description) == ("My Task", "What the task does")
    assert my_task.tags == {"etl", "production"}
    with caplog.at_level(logging.INFO):
        assert my_task("a") == "Result: a"
    assert "Processing: a" in caplog.text
    assert my_task("b") == "Result: a"  # a static key: the same result whatever the input
    clock.advance(timedelta(hours=1))
    assert my_task("c") == "Result: c"
    ends = [said[-1].state_name for said in journal.transitions.values()]
    assert ends == ["Completed", "Cached", "Completed"]


outcomes: list[float] = []


@task(
    retries=5,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
)
def flaky_task():
    """Call something that is not always there."""
    if outcomes.pop(0) < 0.7:
        raise Exception("Random failure")
    return "Success"


def test_3_2_a_flaky_task_waits_longer_and_longer(clock: FrozenClock) -> None:
    outcomes[:] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.9]
    assert flaky_task() == "Success"
    assert clock.slept == [10, 20, 40, 80, 160]
    outcomes[:] = [0.1] * 6
    with pytest.raises(Exception, match="Random failure"):
        flaky_task()


# --- 3.3: options of flows --------------------------------------------------------------------------------------------

tries: list[str] = []


@flow(
    name="My Flow",
    description="What the flow does",
    version="1.0.0",
    retries=2,
    retry_delay_seconds=300,
    task_runner=ConcurrentTaskRunner(),
    log_prints=True,
    persist_result=True,
)
def my_flow():
    print("trying")
    tries.append("once")
    if len(tries) < 3:
        raise ConnectionError


@task
def note(number: int) -> threading.Thread:
    notes.append(number)
    time.sleep(0.001)
    notes.append(number)


notes: list[int] = []


@flow(task_runner=SequentialTaskRunner())
def sequential_flow():
    for number in range(5):
        note.submit(number)


def test_3_3_options_of_a_flow(clock: FrozenClock, caplog: pytest.LogCaptureFixture) -> None:
    tries.clear()
    with caplog.at_level(logging.INFO):
        assert my_flow() is None
    assert len(tries) == 3
    assert clock.slept == [300, 300]
    assert caplog.text.count("trying") == 3
    assert (my_flow.name, my_flow.version, my_flow.description) == ("My Flow", "1.0.0", "What the flow does")


def test_3_3_a_sequential_runner_runs_one_task_at_a_time() -> None:
    notes.clear()
    sequential_flow()
    assert notes == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


# --- 4: dynamic workflows ---------------------------------------------------------------------------------------------


@task
def process_item(item: str) -> str:
    return f"Processed: {item}"


@flow
def dynamic_tasks_flow(items: list[str]):
    """As many tasks as there are items."""
    results = []
    for item in items:
        result = process_item(item)
        results.append(result)
    return results


@flow
def parallel_tasks_flow(items: list[str]):
    """The same, at the same time."""
    futures = []
    for item in items:
        future = process_item.submit(item)
        futures.append(future)
    return [f.result() for f in futures]


@pytest.mark.parametrize("which", [dynamic_tasks_flow, parallel_tasks_flow], ids=lambda which: which.name)
def test_4_1_as_many_tasks_as_items(which: Any, journal: Any) -> None:
    assert which(["a", "b", "c", "d"]) == [f"Processed: {letter}" for letter in "abcd"]
    assert sum(run.definition == "process_item" for run in journal.created.values()) == 4


@task
def check_condition(data: dict) -> bool:
    return data.get("count", 0) > 100


@task
def process_large(data: dict):
    print(f"Processing large dataset: {data['count']} records")


@task
def process_small(data: dict):
    print(f"Processing small dataset: {data['count']} records")


@flow
def conditional_flow(data: dict):
    """One branch or the other."""
    is_large = check_condition(data)

    if is_large:
        process_large(data)
    else:
        process_small(data)


def test_4_2_a_condition_is_an_if(capsys: pytest.CaptureFixture[str], journal: Any) -> None:
    conditional_flow({"count": 150})
    conditional_flow({"count": 50})
    assert capsys.readouterr().out == ("Processing large dataset: 150 records\nProcessing small dataset: 50 records\n")
    assert journal.states("process_large") == ["Running", "Completed"]


@task
def extract(source: str) -> list:
    return [1, 2, 3, 4, 5]


@task
def transform(data: list) -> list:
    return [x * 2 for x in data]


@task
def load(data: list, target: str):
    print(f"Loading {len(data)} records to {target}")


@flow(name="ETL Subflow")
def etl_subflow(source: str, target: str):
    """A flow to be used by others."""
    data = extract(source)
    transformed = transform(data)
    load(transformed, target)
    return len(transformed)


@flow(name="Main Pipeline")
def main_pipeline():
    """A flow of flows."""
    count_a = etl_subflow("source_a", "target_a")
    count_b = etl_subflow("source_b", "target_b")
    count_c = etl_subflow("source_c", "target_c")

    print(f"Total processed: {count_a + count_b + count_c}")


def test_4_3_subflows_have_runs_of_their_own(capsys: pytest.CaptureFixture[str], journal: Any) -> None:
    main_pipeline()
    assert capsys.readouterr().out.splitlines()[-1] == "Total processed: 15"
    subflows = [run for run in journal.created.values() if run.definition == "ETL Subflow"]
    assert len({run.run_id for run in subflows}) == 3
    assert {run.parent_run_id for run in subflows} == {journal.run("Main Pipeline").run_id}


# --- 6.2: the pipeline of other engines, in plain Python --------------------------------------------------------------


@task(name="load")
def show(data: list):
    print(f"Loading: {data}")


@flow
def etl():
    data = extract("anywhere")
    transformed = transform(data)
    show(transformed)


def test_6_2_plain_python_is_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    etl()
    assert capsys.readouterr().out == "Loading: [2, 4, 6, 8, 10]\n"
