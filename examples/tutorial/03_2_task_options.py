"""What a task may be told: its name, when it is tried again, how long it may take, when its result is used again."""

from entrepot import task
from datetime import timedelta


@task(
    name="My Task",
    description="What the task does",  # its docstring, if this is not given
    tags=["etl", "production"],  # to find its runs by
    retries=3,  # tried three more times when it fails: most trouble with networks passes
    retry_delay_seconds=60,  # and each time a minute later, so that the other side can recover
    timeout_seconds=3600,  # stopped after an hour, and in the state TimedOut
    cache_key_fn=lambda: "static_key",  # one key whatever the arguments: the first result serves all calls
    cache_expiration=timedelta(hours=1),  # for an hour
    log_prints=True,  # what it prints goes to the run's log
)
def my_task(param: str) -> str:
    print(f"Processing: {param}")
    return f"Result: {param}"


# Delays that double: 10, 20, 40, 80 and 160 seconds. Many tasks that fail together do not all come back at once if
# `retry_jitter_factor` is given, too.
from entrepot.tasks import exponential_backoff


@task(
    retries=5,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
)
def flaky_task():
    """Call something that often fails."""
    import random

    if random.random() < 0.7:
        raise Exception("Random failure")
    return "Success"


if __name__ == "__main__":
    print(my_task("first"))
    print(my_task("second"))  # the result of the first: see the key above
