"""A first flow: three tasks, called like functions."""

from entrepot import flow, task
from entrepot.logging import get_run_logger


# A task is a plain function. The decorator gives each call a run of its own: with states (Running, Completed, Failed),
# a line in the history, and retries, a cache or a timeout where asked for.
@task
def extract_data(source: str) -> dict:
    """Read some records."""
    # The logger of the run that is under way: each of its lines carries the run's name.
    logger = get_run_logger()
    logger.info(f"Extracting from {source}")

    # A database or an API would be asked here.
    data = {"source": source, "records": [1, 2, 3, 4, 5]}
    return data


@task
def transform_data(data: dict) -> dict:
    """Double every record."""
    logger = get_run_logger()
    logger.info(f"Transforming {len(data['records'])} records")

    data["records"] = [x * 2 for x in data["records"]]
    data["transformed"] = True
    return data


@task
def load_data(data: dict, destination: str) -> bool:
    """Write the records."""
    logger = get_run_logger()
    logger.info(f"Loading to {destination}")

    # A table or a file would be written here.
    print(f"Loaded data: {data}")
    return True


# A flow calls tasks. What depends on what is said by the data that goes from one to the next, and by nothing else.
# Parameters have defaults, as in any function, and are checked against their annotations when the flow is called.
@flow(name="ETL Pipeline")
def etl_pipeline(source: str = "database", destination: str = "warehouse"):
    """Extract, transform, load."""
    raw_data = extract_data(source)
    transformed = transform_data(raw_data)
    result = load_data(transformed, destination)
    return result


# No scheduler, no server, no account: `python 03_1_first_flow.py` is all. `entrepot runs` shows what happened.
if __name__ == "__main__":
    etl_pipeline()
