"""A pipeline without a graph to draw up: functions return values, and functions take them."""

from entrepot import flow, task


@task
def extract() -> list:
    return [1, 2, 3, 4, 5]


@task
def transform(data: list) -> list:
    return [x * 2 for x in data]


@task
def load(data: list):
    print(f"Loading: {data}")


@flow
def etl_entrepot():
    # The order is that of the data: nothing else has to be declared, and nothing can disagree with it.
    data = extract()
    transformed = transform(data)
    load(transformed)


# It is run, and debugged, as any script.
etl_entrepot()
