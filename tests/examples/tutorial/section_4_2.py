from prefect import flow, task

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
    is_large = check_condition(data)

    if is_large:
        process_large(data)
    else:
        process_small(data)


conditional_flow({"count": 150})
conditional_flow({"count": 50})
