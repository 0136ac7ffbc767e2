"""A flow that calls flows."""

from entrepot import flow, task


@task
def extract(source: str) -> list:
    return [1, 2, 3, 4, 5]


@task
def transform(data: list) -> list:
    return [x * 2 for x in data]


@task
def load(data: list, target: str):
    print(f"Loading {len(data)} records to {target}")


# Called inside another flow, a flow is a subflow: it has a run, states, retries and logs of its own.
@flow(name="ETL Subflow")
def etl_subflow(source: str, target: str):
    """Extract, transform, load; for any source and target."""
    data = extract(source)
    transformed = transform(data)
    load(transformed, target)
    return len(transformed)


# It is called like a function, and returns what it returns. If it has retries and fails, it alone is run again: those
# before it are done.
@flow(name="Main Pipeline")
def main_pipeline():
    """Run the subflow for three sources."""
    # `entrepot runs show` draws the three below this run.
    count_a = etl_subflow("source_a", "target_a")
    count_b = etl_subflow("source_b", "target_b")
    count_c = etl_subflow("source_c", "target_c")

    print(f"Total processed: {count_a + count_b + count_c}")


main_pipeline()
