from prefect import flow, task

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
    data = extract(source)
    transformed = transform(data)
    load(transformed, target)
    return len(transformed)


@flow(name="Main Pipeline")
def main_pipeline():
    count_a = etl_subflow("source_a", "target_a")
    count_b = etl_subflow("source_b", "target_b")
    count_c = etl_subflow("source_c", "target_c")

    print(f"Total processed: {count_a + count_b + count_c}")


main_pipeline()
