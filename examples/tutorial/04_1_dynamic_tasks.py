"""As many tasks as there are items: one after another, or at the same time."""

from entrepot import flow, task


@task
def process_item(item: str) -> str:
    return f"Processed: {item}"


# The loop is a loop of Python: how many tasks there are is known when it runs, and need not be known before.
@flow
def dynamic_tasks_flow(items: list[str]):
    """Process each item, one after another."""
    results = []
    for item in items:
        # Each call is a run of its own in the history.
        result = process_item(item)
        results.append(result)
    return results


dynamic_tasks_flow(["a", "b", "c", "d"])


# `.submit()` hands a call to the flow's task runner. It pays where tasks wait: for APIs, downloads, databases.
@flow
def parallel_tasks_flow(items: list[str]):
    """Process all items at the same time."""
    futures = []
    for item in items:
        # A future comes back at once; nothing waits here.
        future = process_item.submit(item)
        futures.append(future)

    # `.result()` waits. Submit everything first, and ask for results afterwards.
    results = [f.result() for f in futures]
    return results


if __name__ == "__main__":
    parallel_tasks_flow(["a", "b", "c", "d"])
