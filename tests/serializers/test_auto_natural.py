"""Payloads of a real store, opened by other programs as they are."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from entrepot import task
from entrepot.storage import LocalStorage

CITIES = pd.DataFrame(
    {
        "city": pd.Series(["Seoul", "Busan", "서귀포"] * 1000, dtype="str"),
        "kind": pd.Categorical(["big", "big", "small"] * 1000),
        "people": np.random.default_rng(0).integers(0, 10**7, 3000),
        "since": pd.date_range("2024", periods=3000, freq="h", tz="Asia/Seoul"),
        "missing": pd.array([1, None, 3] * 1000, "Int64"),
    }
)


def kept(folder: Path, value: Any) -> Path:
    """Let a task return a value, and return the one payload that is there then."""

    @task(persist_result=True, result_storage=LocalStorage(folder))
    def give() -> Any:
        return value

    give()
    (path,) = [path for path in (folder / "payloads").rglob("*") if path.is_file()]
    return path


def test_duckdb_and_pandas_and_polars_and_pyarrow_open_frames(tmp_path: Path) -> None:
    path = kept(tmp_path, CITIES)
    assert path.suffix == ".parquet"
    total, small = duckdb.sql(f"select sum(people), count(*) filter (kind = 'small') from '{path}'").fetchall()[0]
    assert (total, small) == (CITIES["people"].sum(), 1000)
    assert duckdb.sql(f"select city from '{path}' where missing is null limit 1").fetchall() == [("Busan",)]
    assert pd.read_parquet(path)["city"].tolist() == CITIES["city"].tolist()
    assert pl.read_parquet(path)["people"].to_list() == CITIES["people"].tolist()
    assert parquet.read_table(path)["since"].type == pa.timestamp("us", tz="Asia/Seoul")


def test_an_index_is_a_column_to_others(tmp_path: Path) -> None:
    path = kept(tmp_path, CITIES.set_index(["city", "people"]))
    (rows,) = duckdb.sql(f"select count(*) from '{path}' where city = 'Seoul' and people >= 0").fetchall()
    assert rows == (1000,)


def test_pandas_and_polars_open_arrow_files(tmp_path: Path) -> None:
    seconds = CITIES.assign(since=CITIES["since"].dt.tz_localize(None).dt.as_unit("s"))
    path = kept(tmp_path, seconds)
    assert path.suffix == ".arrow"
    assert pd.read_feather(path)["people"].tolist() == CITIES["people"].tolist()
    assert pl.read_ipc(path)["city"].to_list() == CITIES["city"].tolist()


def test_numpy_opens_and_maps_arrays(tmp_path: Path) -> None:
    path = kept(tmp_path, np.arange(10_000.0).reshape(100, 100))
    assert path.suffix == ".npy"
    assert np.load(path, mmap_mode="r", allow_pickle=False)[7, 7] == 707.0


@pytest.mark.parametrize("program", ["jq", "python"])
def test_jq_and_pandas_open_plain_data(tmp_path: Path, program: str) -> None:
    rows = [{"city": "서울", "n": number} for number in range(1000)]
    path = kept(tmp_path, rows)
    assert path.suffix == ".json"
    if program == "python":
        assert json.loads(path.read_text()) == rows
        assert pd.read_json(path)["n"].sum() == sum(range(1000))
        return
    found = shutil.which("jq")
    if found is None:
        pytest.skip("jq is not installed")
    done = subprocess.run([found, "map(.n) | add", str(path)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "499500\n"


def test_bytes_are_the_file(tmp_path: Path) -> None:
    value = bytes(range(256)) * 100
    path = kept(tmp_path, value)
    assert (path.suffix, path.read_bytes()) == (".bin", value)
