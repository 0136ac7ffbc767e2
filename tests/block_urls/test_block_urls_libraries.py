"""`block://` in the libraries that people use: pandas, polars, pyarrow, Dask, DuckDB, zarr."""

from typing import Any

import dask.dataframe
import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import zarr

from entrepot import errors
from entrepot_test_block_urls import save_s3

FRAME = pd.DataFrame({"city": ["Ghent", "Pusan"], "sold": [3, 4]})


@pytest.fixture
def base(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(getattr(request, "param", "local_block"))


on_s3_too = pytest.mark.parametrize("base", ["local_block", "s3_block"], indirect=True)


@pytest.fixture
def sales(base: str) -> str:
    url = f"{base}/2026/sales.parquet"
    FRAME.to_parquet(url)
    return url


@on_s3_too
def test_pandas_writes_and_reads_parquet_and_csv(base: str, sales: str) -> None:
    assert pd.read_parquet(sales).equals(FRAME)
    FRAME.to_csv(f"{base}/sales.csv", index=False)
    assert pd.read_csv(f"{base}/sales.csv").equals(FRAME)
    FRAME.to_csv(f"{base}/sales.csv", index=False, header=False, mode="a")
    assert len(pd.read_csv(f"{base}/sales.csv")) == 4


def test_pandas_says_why_a_store_refuses(s3_block: str, s3_server: Any) -> None:
    """It asks once more, with an option of its own (`anon`); that must not be what the person reads."""
    save_s3(s3_server, s3_server.bucket(), aws_secret_access_key="HUSH-wrong")
    fsspec.filesystem("block").invalidate_cache()
    with pytest.raises(errors.StorageAccessError) as caught:
        pd.read_csv("block://s3/prod/x.csv")
    assert "HUSH" not in str(caught.value)


def test_polars_reads_and_writes_through_open_files(base: str, sales: str) -> None:
    with fsspec.open(sales) as file:
        frame = pl.read_parquet(file)
    assert frame["sold"].to_list() == [3, 4]
    with fsspec.open(f"{base}/polars.parquet", "wb") as file:
        frame.write_parquet(file)
    assert pl.read_parquet(f"{base}/polars.parquet", use_pyarrow=True).equals(frame)


def test_pyarrow_reads_a_file_and_a_folder_of_them(base: str, sales: str) -> None:
    files = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(fsspec.filesystem("block")))
    path = sales.removeprefix("block://")
    assert pq.read_table(path, filesystem=files).num_rows == 2
    pa.dataset.write_dataset(
        pa.table({"n": [1, 2, 3]}), f"{base}/set".removeprefix("block://"), filesystem=files, format="parquet"
    )
    found = pa.dataset.dataset(f"{base}/set".removeprefix("block://"), filesystem=files, format="parquet")
    assert found.to_table()["n"].to_pylist() == [1, 2, 3]


def test_dask_reads_and_writes_partitions(base: str) -> None:
    frame = dask.dataframe.from_pandas(pd.DataFrame({"n": range(10)}), npartitions=3)
    frame.to_parquet(f"{base}/parts")
    assert dask.dataframe.read_parquet(f"{base}/parts").n.sum().compute(scheduler="threads") == 45


@on_s3_too
def test_duckdb_queries_and_copies(base: str, sales: str) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("block"))
        assert connection.sql(f"SELECT sum(sold) FROM read_parquet('{sales}')").fetchall() == [(7,)]
        pattern = sales.replace("sales", "*")
        assert connection.sql(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchall() == [(2,)]
        connection.sql(f"COPY (SELECT 42 AS n) TO '{base}/answer.csv'")
    assert pd.read_csv(f"{base}/answer.csv").n.tolist() == [42]


@on_s3_too
def test_zarr_keeps_arrays_and_leaves_out_what_is_not_there(base: str) -> None:
    store = f"{base}/cube.zarr"
    cube = zarr.open_array(store, mode="w", shape=(6, 4), chunks=(3, 4), dtype="i4", fill_value=7)
    cube[:3] = np.arange(12).reshape(3, 4)
    again: Any = zarr.open_array(store, mode="r")
    assert again[1].tolist() == [4, 5, 6, 7]
    assert again[5].tolist() == [7, 7, 7, 7]


@on_s3_too
def test_duckdb_writes_partitions_into_a_folder_that_is_not_there_yet(base: str) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("block"))
        rows = "SELECT 1 AS a, 2 AS b UNION ALL SELECT 2, 3"
        copy = f"COPY ({rows}) TO '{base}/parts' (FORMAT parquet, PARTITION_BY (a))"
        connection.sql(copy)
        found = connection.sql(f"SELECT a, b FROM read_parquet('{base}/parts/*/*.parquet') ORDER BY a").fetchall()
        assert found == [(1, 2), (2, 3)]
        with pytest.raises(duckdb.IOException, match="not empty"):
            connection.sql(copy)
