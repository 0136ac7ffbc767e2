"""Frames as Parquet and as Arrow files: exact or refused, and never by a stored name."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd
from pyarrow import ipc, parquet

import entrepot_test_frames as frames
from entrepot.errors import SerializationError
from entrepot.serializers import ArrowSerializer, ParquetSerializer
from entrepot.testing.serializers import SerializerContract

SERIALIZERS: dict[str, Any] = {"arrow": ArrowSerializer(), "parquet": ParquetSerializer()}
KEPT = {**frames.pandas_frames(), **frames.polars_frames(), **frames.tables()}
ARROW_ONLY = {"empty", "no columns", "seconds"}  # Parquet has no table without columns, and no seconds


class Own(pd.DataFrame):
    pass


NESTED = pa.table({"a": pa.array([[1], None]), "d": pa.array(["a", "b"]).dictionary_encode(), "s": [{"x": 1}, None]})
NEITHER = {
    "a list": [1],
    "of a subclass": Own({"a": [1]}),
    "objects": pd.DataFrame({"a": [1, "x"]}, dtype=object),
    "None and NaN": pd.DataFrame({"a": pd.Series(["a", None, np.nan], dtype=object)}),
    "half a pair": pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}),
    "complex": pd.DataFrame({"a": [1j]}),
    "periods": pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="M")}),
    "intervals": pd.DataFrame({"i": pd.interval_range(0, 2)}),
    "sparse": pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}),
    "an index of periods": pd.DataFrame({"x": [1]}, index=pd.period_range("2024", periods=1, freq="M")),
    "a frequency without a name": pd.DataFrame(
        {"x": range(3)}, index=pd.date_range("2024", periods=3, freq=pd.DateOffset(days=1, hours=2))
    ),
    "categories with a name": pd.DataFrame(
        {"c": pd.Categorical(["a"], dtype=pd.CategoricalDtype(pd.Index(["a"], name="n")))}
    ),
    "categories in levels": pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_arrays([pd.Categorical(["a"]), [1]])),
    "attrs that are no plain data": pd.DataFrame({"x": [1]}),
    "labels that are no plain data": pd.DataFrame([[1, 2]], columns=pd.Index(["a", object()], dtype=object)),
    "polars objects": pl.DataFrame({"a": [object()]}),
    "polars categories": pl.DataFrame({"a": pl.Series(["x"], dtype=pl.Categorical)}),
    "our own key": pa.table({"a": [1]}).replace_schema_metadata({"entrepot": "x"}),
}
NEITHER["attrs that are no plain data"].attrs["lock"] = object()


def there_and_back(serializer: Any, value: object) -> Any:
    return serializer.loads(memoryview(bytearray(b"".join(serializer.dumps(value)))))


class _FramesContract(SerializerContract):
    def same(self, value: object, back: object) -> bool:
        return frames.is_same(value, back)

    def unwritable(self) -> Iterable[object]:
        return NEITHER.values()


class TestArrowSerializer(_FramesContract):
    def make_serializer(self) -> ArrowSerializer:
        return ArrowSerializer()

    def values(self) -> Iterable[object]:
        return [*KEPT.values(), NESTED]


class TestParquetSerializer(_FramesContract):
    def make_serializer(self) -> ParquetSerializer:
        return ParquetSerializer()

    def values(self) -> Iterable[object]:
        return [value for name, value in KEPT.items() if name not in ARROW_ONLY]


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("name", KEPT)
def test_a_frame_comes_back_as_it_was(serializer: str, name: str) -> None:
    writer = SERIALIZERS[serializer]
    accepted = serializer == "arrow" or name not in ARROW_ONLY
    assert writer.accepts(KEPT[name]) is accepted
    if accepted:
        frames.assert_same(KEPT[name], there_and_back(writer, KEPT[name]))
    else:
        with pytest.raises(SerializationError, match="use result_serializer='auto'"):
            writer.dumps(KEPT[name])


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("name", NEITHER)
def test_what_would_not_come_back_as_it_was_is_refused(serializer: str, name: str) -> None:
    assert not SERIALIZERS[serializer].accepts(NEITHER[name])
    with pytest.raises(SerializationError, match=serializer):
        SERIALIZERS[serializer].dumps(NEITHER[name])


def test_a_refusal_says_where_and_why() -> None:
    frame = pd.DataFrame({"a": [1], "b": [object()]})
    with pytest.raises(SerializationError, match=r"value\.columns\[1\].*objects") as caught:
        ParquetSerializer().dumps(frame)
    assert caught.value.path == "value.columns[1]"


def test_nested_columns_are_left_to_arrow() -> None:
    assert ArrowSerializer().accepts(NESTED)
    assert not ParquetSerializer().accepts(NESTED)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_frame_that_comes_back_can_be_changed(serializer: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "t": pd.to_datetime(["2024", "2025"])})
    back = there_and_back(SERIALIZERS[serializer], frame)
    back.iloc[0, 0] = 5.0
    back["a"] += 1
    assert back["a"].tolist() == [6.0, 3.0]


def test_columns_of_numbers_are_neither_copied_when_written_nor_when_read() -> None:
    frame = pd.DataFrame({"a": np.arange(10_000.0), "t": np.arange(10_000).astype("M8[us]")})
    parts = ArrowSerializer().dumps(frame)
    own = [frame[name].to_numpy().view(np.uint8) for name in frame]
    assert all(any(np.shares_memory(column, np.frombuffer(part, np.uint8)) for part in parts) for column in own)
    memory = bytearray(b"".join(parts))
    back: Any = ArrowSerializer().loads(memoryview(memory))
    assert all(np.shares_memory(back[name].to_numpy(), np.frombuffer(memory, np.uint8)) for name in back)


# --- laws -------------------------------------------------------------------------------------------------------------

COLUMNS = [
    hpd.column("i", dtype="int64"),
    hpd.column("f", dtype="float64"),
    hpd.column("b", dtype="bool"),
    hpd.column("u", dtype="uint16"),
    hpd.column("t", elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=5), dtype=object),
    hpd.column("d", dtype="M8[ns]"),
]
INDEXES = st.sampled_from([hpd.range_indexes(max_size=8), hpd.indexes(dtype="int64", max_size=8, unique=False)])


@pytest.mark.parametrize("serializer", SERIALIZERS)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(INDEXES.flatmap(lambda index: hpd.data_frames(COLUMNS, index=index)))
def test_every_frame_comes_back_as_it_was(serializer: str, frame: pd.DataFrame) -> None:
    writer = SERIALIZERS[serializer]
    assert writer.accepts(frame)
    frames.assert_same(frame, there_and_back(writer, frame))


# --- bytes of others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", SERIALIZERS)
@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_give_a_frame_or_our_error(serializer: str, data: bytes, at: int) -> None:
    whole = b"".join(SERIALIZERS[serializer].dumps(KEPT["plain"]))
    for torn in (data, whole[:at] + data, whole[:at] + data + whole[at + len(data) :]):
        try:
            SERIALIZERS[serializer].loads(memoryview(bytearray(torn)))
        except SerializationError as error:
            assert error.serializer == serializer  # noqa: PT017  or it gives a frame


def file_of(table: pa.Table, about: object) -> memoryview:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({"entrepot": json.dumps(about)})
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(bytearray(sink.getvalue()))


@pytest.mark.parametrize(
    "about",
    [
        {},
        [],
        {"format": 1, "of": "os.system"},
        {"format": 1, "of": ["pandas.DataFrame"]},
        {"format": 2, "of": "pandas.DataFrame"},
        {"format": 1, "of": "pandas.DataFrame"},
        {"format": 1, "of": "pandas.DataFrame", "columns": [{"kind": "numpy", "dtype": "O"}]},
        {"format": 1, "of": "pyarrow.Table", "schema": "AAAA"},
    ],
)
def test_a_table_that_does_not_say_what_it_was_is_refused(about: object) -> None:
    with pytest.raises(SerializationError, match="arrow serializer cannot read this"):
        ArrowSerializer().loads(file_of(pa.table({"a": [1]}), about))


def test_a_parquet_file_of_another_program_is_refused_and_says_so() -> None:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(SerializationError, match="open the file with another tool"):
        ParquetSerializer().loads(memoryview(bytearray(sink.getvalue())))
