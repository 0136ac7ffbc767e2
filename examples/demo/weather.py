"""The flow of `make demo`: a year of measured temperatures of two cities, hour by hour.

Extract reads what the weather stations wrote, transform works on every month in parallel, aggregate compares the
cities, load writes the report. Everything up to the aggregate is kept in the bucket that the block `s3/harbour`
describes; the report is kept on the local disk.
"""

import hashlib
import os
from pathlib import Path

import pandas as pd
from vega_datasets import local_data

from entrepot import flow, get_run_logger, task
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.filesystems import LocalFileSystem

SOURCES = {"Seattle": local_data.seattle_temps.filepath, "San Francisco": local_data.sf_temps.filepath}

# The same inputs and the same code give the same result: then there is no need to compute it again, in any process.
REUSE = INPUTS + TASK_SOURCE


@task(result_storage="s3/harbour", cache_policy=REUSE)
def extract(path: str, checksum: str) -> pd.DataFrame:
    """Read hourly temperatures in °F. The checksum stands for the file's content, so a new file is read anew."""
    readings = pd.read_csv(path, parse_dates=["date"])
    get_run_logger().info("read %d hours from %s (%s)", len(readings), Path(path).name, checksum[:8])
    return readings


@task(result_storage="s3/harbour", cache_policy=REUSE, result_serializer="json", tags=["monthly"])
def summarise(city: str, month: int, readings: pd.DataFrame) -> dict[str, object]:
    """Summarise one month of one city, in °C."""
    celsius = (readings.loc[readings["date"].dt.month == month, "temp"] - 32) / 1.8
    return {
        "city": city,
        "month": month,
        "hours": len(celsius),
        "mean": round(float(celsius.mean()), 2),
        "coldest": round(float(celsius.min()), 1),
        "warmest": round(float(celsius.max()), 1),
    }


@task(result_storage="s3/harbour", cache_policy=REUSE, result_serializer="json")
def compare(months: list[dict[str, object]]) -> dict[str, object]:
    """Compare the cities."""
    table = pd.DataFrame(months)
    means = table.groupby("city")["mean"].mean().round(2)
    warmest = table.loc[table["warmest"].idxmax()]
    return {
        "yearly_mean_celsius": {str(city): float(mean) for city, mean in means.items()},
        "hottest_hour_celsius": float(warmest["warmest"]),
        "hottest_city": str(warmest["city"]),
        "hours_measured": int(table["hours"].sum()),
    }


# A block need not be saved to be used: this one is only a path.
@task(
    result_storage=LocalFileSystem(basepath=os.environ.get("DEMO_REPORTS", "demo-reports")),
    cache_policy=REUSE,
    result_serializer="json",
)
def report(comparison: dict[str, object]) -> list[str]:
    """Write the report's lines."""
    lines = [f"{city}: {mean} °C on average" for city, mean in comparison["yearly_mean_celsius"].items()]
    return [*lines, f"hottest hour: {comparison['hottest_hour_celsius']} °C in {comparison['hottest_city']}"]


@flow(name="Weather of two cities")
def weather() -> list[str]:
    """Extract, transform in parallel, aggregate, load."""
    months = []
    for city, path in SOURCES.items():
        checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        readings = extract.submit(path, checksum)
        months += [summarise.submit(city, month, readings) for month in range(1, 13)]
    return report(compare(months))


if __name__ == "__main__":
    for line in weather():
        print(line)
