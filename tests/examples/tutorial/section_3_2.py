from prefect import task
from datetime import timedelta

@task(
    name="My Task",
    description="Task 설명",
    tags=["etl", "production"],
    retries=3,
    retry_delay_seconds=60,
    timeout_seconds=3600,
    cache_key_fn=lambda: "static_key",
    cache_expiration=timedelta(hours=1),
    log_prints=True,
)
def my_task(param: str) -> str:
    print(f"Processing: {param}")
    return f"Result: {param}"


from prefect.tasks import exponential_backoff

@task(
    retries=5,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
)
def flaky_task():
    import random
    if random.random() < 0.7:
        raise Exception("Random failure")
    return "Success"
