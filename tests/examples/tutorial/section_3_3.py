from prefect import flow
from prefect.task_runners import ConcurrentTaskRunner, SequentialTaskRunner

@flow(
    name="My Flow",
    description="Flow 설명",
    version="1.0.0",
    retries=2,
    retry_delay_seconds=300,
    timeout_seconds=7200,
    task_runner=ConcurrentTaskRunner(),
    log_prints=True,
    persist_result=True,
)
def my_flow():
    pass


@flow(task_runner=SequentialTaskRunner())
def sequential_flow():
    pass
