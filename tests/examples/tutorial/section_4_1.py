from prefect import flow, task

@task
def process_item(item: str) -> str:
    return f"Processed: {item}"


@flow
def dynamic_tasks_flow(items: list[str]):
    results = []
    for item in items:
        result = process_item(item)
        results.append(result)
    return results


dynamic_tasks_flow(["a", "b", "c", "d"])


@flow
def parallel_tasks_flow(items: list[str]):
    futures = []
    for item in items:
        future = process_item.submit(item)
        futures.append(future)

    results = [f.result() for f in futures]
    return results
