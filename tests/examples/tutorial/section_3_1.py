from prefect import flow, task
from prefect.logging import get_run_logger

@task
def extract_data(source: str) -> dict:
    logger = get_run_logger()
    logger.info(f"Extracting from {source}")

    data = {"source": source, "records": [1, 2, 3, 4, 5]}
    return data


@task
def transform_data(data: dict) -> dict:
    logger = get_run_logger()
    logger.info(f"Transforming {len(data['records'])} records")

    data["records"] = [x * 2 for x in data["records"]]
    data["transformed"] = True
    return data


@task
def load_data(data: dict, destination: str) -> bool:
    logger = get_run_logger()
    logger.info(f"Loading to {destination}")

    print(f"Loaded data: {data}")
    return True


@flow(name="ETL Pipeline")
def etl_pipeline(source: str = "database", destination: str = "warehouse"):
    raw_data = extract_data(source)
    transformed = transform_data(raw_data)
    result = load_data(transformed, destination)
    return result


if __name__ == "__main__":
    etl_pipeline()
