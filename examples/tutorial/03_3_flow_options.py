"""What a flow may be told: its version, its retries, where its tasks run, whether its result is kept."""

from entrepot import flow
from entrepot.task_runners import ConcurrentTaskRunner, SequentialTaskRunner


@flow(
    name="My Flow",
    description="What the flow does",
    version="1.0.0",  # stands in the history of its runs
    retries=2,  # the whole flow is run again, not single tasks; those whose results are kept are not computed again
    retry_delay_seconds=300,
    timeout_seconds=7200,  # two hours, and no more
    task_runner=ConcurrentTaskRunner(),  # submitted tasks run in threads: right for what waits for others
    log_prints=True,
    persist_result=True,  # the flow's result is kept in the result store
)
def my_flow():
    pass


# One task at a time, in the order of submission: right for tasks that share something, such as a file.
@flow(task_runner=SequentialTaskRunner())
def sequential_flow():
    pass


if __name__ == "__main__":
    my_flow()
    sequential_flow()
