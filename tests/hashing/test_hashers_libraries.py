"""Arrow data, polars, sparse matrices, images and tensors: equal values agree, different ones do not."""

import datetime as dt
import decimal
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import UnhashableValueError
from entrepot.hashing.hashers import FOUND
from entrepot.hashing.values import hash_value

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
sparse = pytest.importorskip("scipy.sparse")
Image = pytest.importorskip("PIL.Image")


def distinct(values) -> bool:
    return len({hash_value(value) for value in values}) == len(values)


def same(*values) -> bool:
    return len({hash_value(value) for value in values}) == 1


# --- Arrow ------------------------------------------------------------------------------------------------------------

ITEMS = {
    "bool": (pa.bool_(), [True, None, True, False]),
    "int8": (pa.int8(), [1, None, -3, 4]),
    "int64": (pa.int64(), [1, None, 2**60, 4]),
    "float": (pa.float64(), [1.5, None, float("nan"), -0.0]),
    "half": (pa.float16(), [np.float16(1.5), None, np.float16(0), np.float16(2)]),
    "decimal": (pa.decimal128(10, 2), [decimal.Decimal("1.50"), None, decimal.Decimal(2), decimal.Decimal(3)]),
    "date": (pa.date32(), [dt.date(2024, 5, 1), None, dt.date(2024, 5, 2), dt.date(1970, 1, 1)]),
    "timestamp": (pa.timestamp("us", "Asia/Seoul"), [dt.datetime(2024, 5, n, tzinfo=dt.UTC) for n in (1, 2, 3, 4)]),
    "duration": (pa.duration("ms"), [dt.timedelta(1), None, dt.timedelta(2), dt.timedelta(3)]),
    "text": (pa.string(), ["a", None, "", "longer text"]),
    "large text": (pa.large_string(), ["a", None, "", "longer text"]),
    "text view": (pa.string_view(), ["a", None, "", "a text that is longer than twelve bytes"]),
    "bytes": (pa.binary(), [b"a", None, b"", b"longer"]),
    "fixed bytes": (pa.binary(2), [b"ab", None, b"cd", b"ef"]),
    "list": (pa.list_(pa.int64()), [[1, 2], None, [], [3, None]]),
    "large list": (pa.large_list(pa.string()), [["a"], None, [], ["b", None]]),
    "fixed list": (pa.list_(pa.int64(), 2), [[1, 2], None, [3, 4], [5, None]]),
    "list of lists": (pa.list_(pa.list_(pa.int8())), [[[1], []], None, [None], [[2]]]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None, [], [("b", None), ("c", 2)]]),
    "struct": (
        pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))]),
        [{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}, {"x": 2, "y": []}],
    ),
    "null": (pa.null(), [None] * 4),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", None, "b", "c"]),
}


@pytest.mark.parametrize("name", ITEMS)
class TestEveryArrowType:
    def test_chunks_and_slices_do_not_count(self, name):
        kind, items = ITEMS[name]
        whole = pa.array(items, kind)
        padded = pa.concat_arrays([whole[2:3], whole, whole[:1]])
        one = pa.chunked_array([whole])
        assert same(whole, padded[1:5])
        assert same(
            one,
            pa.chunked_array([whole[:1], whole[1:]]),
            pa.chunked_array([whole[:0], whole[:3], whole[3:]]),
            pa.chunked_array([padded[1:3], padded[3:5]]),
        )

    def test_every_item_counts(self, name):
        kind, items = ITEMS[name]
        if name == "null":
            pytest.skip("there is only one value of this type")
        others = [pa.array([*items[:n], items[(n + 1) % 4], *items[n + 1 :]], kind) for n in range(4)]
        assert all(hash_value(other) != hash_value(pa.array(items, kind)) for other in others)
        assert distinct([pa.array(items[:n], kind) for n in range(5)])

    def test_it_is_another_value_in_a_chunked_array_a_table_and_a_scalar(self, name):
        kind, items = ITEMS[name]
        array = pa.array(items, kind)
        assert distinct([array, pa.chunked_array([array]), pa.table({"a": array}), array[0], array.to_pylist()])
        assert same(array[0], pa.array(items, kind)[0])


class TestArrow:
    def test_types_count(self):
        arrays = [pa.array([1, 2], kind) for kind in (pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.float64())]
        texts = [pa.array(["1", "2"], kind) for kind in (pa.string(), pa.large_string(), pa.binary(), pa.string_view())]
        times = [pa.array([1, 2], kind) for kind in (pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.timestamp("ms"))]
        assert distinct([*arrays, *texts, *times, pa.array([None, None]), pa.array([[1], [2]])])

    def test_what_lies_under_a_null_does_not_count(self):
        mask = pa.py_buffer(bytes([0b101]))
        for kind in (pa.int64(), pa.float64()):
            clean, dirty = (pa.py_buffer(np.array([1, n, 3], kind.to_pandas_dtype())) for n in (0, 99))
            assert same(
                *(pa.Array.from_buffers(kind, 3, [mask, data]) for data in (clean, dirty)), pa.array([1, None, 3], kind)
            )
        offsets = pa.py_buffer(np.array([0, 1, 3, 4], np.int32))
        assert same(
            pa.Array.from_buffers(pa.string(), 3, [mask, offsets, pa.py_buffer(b"aXXb")]), pa.array(["a", None, "b"])
        )
        inner = pa.array([1, 7, 7, 2])
        assert same(
            pa.Array.from_buffers(pa.list_(pa.int64()), 3, [mask, offsets], children=[inner]),
            pa.array([[1], None, [2]]),
        )
        fields = [pa.field("x", pa.int64())]
        hidden = pa.StructArray.from_arrays([pa.array([1, 7, 3])], fields=fields, mask=pa.array([False, True, False]))
        assert same(hidden, pa.array([{"x": 1}, None, {"x": 3}]))
        assert distinct([hidden, pa.array([{"x": 1}, {"x": None}, {"x": 3}])])

    def test_where_the_nulls_are_counts(self):
        assert distinct([pa.array(items) for items in ([None, 0], [0, None], [0, 0], [None, None, 0])])
        assert distinct([pa.array(items) for items in (["", None], [None, ""], ["", ""])])
        assert distinct([pa.array(items) for items in ([[], None], [None, []], [[], []], [[None], []])])

    def test_where_texts_end_counts(self):
        assert distinct([pa.array(["ab", "c"]), pa.array(["a", "bc"]), pa.array(["abc", ""])])

    def test_tables_count_names_types_metadata_and_nullability(self):
        table = pa.table({"a": [1, 2], "b": ["x", "y"]})
        strict = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])
        noted = pa.schema([pa.field("a", pa.int64(), metadata={"k": "v"}), pa.field("b", pa.string())])
        assert distinct(
            [
                table,
                table.rename_columns(["a", "c"]),
                table.select(["b", "a"]),
                table.replace_schema_metadata({"k": "v"}),
                table.cast(strict),
                table.cast(noted),
                table.to_batches()[0],
                table.schema,
                table.schema.field(0),
                table.schema.field(0).type,
                table[:1],
                table.select([]),
            ]
        )
        assert same(table, pa.concat_tables([table[:1], table[1:]]), pa.table({"a": [1, 2], "b": ["x", "y"]}))
        assert same(
            table.replace_schema_metadata({"a": "1", "b": "2"}), table.replace_schema_metadata({"b": "2", "a": "1"})
        )

    def test_dictionaries_count_with_their_order(self):
        def made(indices, values):
            return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(values))

        assert distinct([made([0, 1], ["a", "b"]), made([1, 0], ["b", "a"]), made([0, 1], ["a", "b", "c"])])
        assert same(made([0, 1], ["a", "b"]), made([1, 0, 1], ["a", "b"])[1:])

    def test_runs_and_extensions_count_by_their_values(self):
        runs = pa.array([1, 1, 2])
        encoded = pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2])
        assert distinct([runs, encoded, pa.RunEndEncodedArray.from_arrays([1, 3], [1, 2])])
        assert same(encoded, pa.RunEndEncodedArray.from_arrays([1, 2, 3], [1, 1, 2]))
        tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(6).reshape(3, 2))
        assert distinct([tensor, tensor.storage, tensor[:2]])

    def test_runs_of_no_bytes_count_by_their_number_and_nulls(self):
        assert distinct([pa.array(items, pa.binary(0)) for items in ([b""], [b"", b""], [b"", None], [None, b""])])

    def test_buffers_count_by_their_bytes(self):
        assert same(pa.py_buffer(b"ab"), pa.py_buffer(b"xab")[1:])
        assert distinct([pa.py_buffer(b"ab"), pa.py_buffer(b""), b"ab"])

    def test_unions_are_refused_with_where_they_are(self):
        union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
        with pytest.raises(UnhashableValueError, match="cannot be looked at") as caught:
            hash_value(pa.table({"a": [1, 2], "u": union}), name="data")
        assert caught.value.path == "data.columns[1]"

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.none() | st.integers(-5, 5) | st.just(2**40)) | st.lists(st.none() | st.text(max_size=3)),
        st.data(),
    )
    def test_arrays_agree_if_and_only_if_their_items_do(self, items, data):
        kind = pa.string() if any(isinstance(item, str) for item in items) else pa.int64()
        array = pa.array(items, kind)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(items)), max_size=4)))
        pieces = [array[a:b] for a, b in zip([0, *cuts], [*cuts, len(items)], strict=True)]
        assert same(pa.chunked_array([array]), pa.chunked_array(pieces, kind))
        other = data.draw(st.permutations(items))
        assert (hash_value(pa.array(other, kind)) == hash_value(array)) == (other == items)

    def test_many_rows_are_gone_through_in_parts(self, monkeypatch):
        from entrepot.hashing import _arrow  # noqa: PLC0415  it loads pyarrow

        values = [None if n % 7 == 0 else n for n in range(1000)]
        texts = [None if value is None else f"text {value}" for value in values]
        table = pa.table({"n": values, "s": texts, "b": [value is None for value in values]})
        whole = hash_value(table)
        monkeypatch.setattr(_arrow, "_ROWS", 64)
        assert hash_value(table) == whole


# --- pandas -----------------------------------------------------------------------------------------------------------


class TestArrowInPandas:
    def test_columns_that_arrow_keeps_count_by_their_values(self):
        frame = pd.DataFrame(
            {"a": pd.array([1, None, 3], "int64[pyarrow]"), "s": pd.array(["x", None, "y"], "string[pyarrow]")}
        )
        again = pd.concat([frame[:1], frame[1:]], ignore_index=True)
        assert same(frame, again, frame.copy())
        assert distinct(
            [
                frame,
                frame.assign(a=pd.array([1, 2, 3], "int64[pyarrow]")),
                frame.assign(a=pd.array([1, None, 3], "Int64")),
                frame.assign(s=pd.array(["x", None, "z"], "string[pyarrow]")),
                frame.assign(s=pd.array(["x", "", "y"], "string[pyarrow]")),
                frame.assign(s=pd.array(["x", None, "y"], "string[python]")),
                frame.assign(s=pd.array(["x", None, "y"], pd.ArrowDtype(pa.string()))),
            ]
        )

    def test_texts_agree_whichever_width_their_offsets_have(self):
        short = pd.arrays.ArrowStringArray(pa.chunked_array([pa.array(["a", None])]), dtype=pd.StringDtype("pyarrow"))
        assert same(pd.Series(short), pd.Series(["a", None], dtype="string[pyarrow]"))


# --- polars -----------------------------------------------------------------------------------------------------------


class TestPolars:
    def test_frames_count_names_types_and_values(self):
        frame = pl.DataFrame({"a": [1, 2, None], "s": ["x", None, "z"]})
        assert same(frame, pl.concat([frame[:1], frame[1:]], rechunk=False), frame.sort("a", nulls_last=True))
        assert distinct(
            [
                frame,
                frame.rename({"a": "b"}),
                frame.select("s", "a"),
                frame.with_columns(pl.col("a").cast(pl.Int32)),
                frame.with_columns(pl.lit(1).alias("c")),
                frame[:2],
                frame.with_columns(pl.col("a").fill_null(0)),
                frame["a"],
                frame["a"].rename("b"),
                frame.to_arrow(),
                pl.DataFrame(),
                frame.clear(),
            ]
        )

    def test_all_kinds_of_columns_can_be_hashed(self):
        values = [
            pl.Series([True, None]),
            pl.Series([1.5, None]),
            pl.Series([dt.date(2024, 5, 1)]),
            pl.Series([dt.datetime(2024, 5, 1)]),  # noqa: DTZ001  a naive one is the point
            pl.Series([dt.datetime(2024, 5, 1, tzinfo=dt.UTC)]),
            pl.Series([dt.timedelta(1)]),
            pl.Series([dt.time(1)]),
            pl.Series([b"a"]),
            pl.Series([decimal.Decimal("1.5")]),
            pl.Series([[1, 2], None]),
            pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
            pl.Series([{"x": 1, "y": "a"}]),
            pl.Series(["a", "b"], dtype=pl.Categorical),
            pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
            pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            pl.Series(["a", "b"]),
            pl.Series([["a"], ["b"]], dtype=pl.List(pl.Categorical)),
            pl.Series([None, None]),
            pl.Series([(1, 2)], dtype=pl.Object),
            pl.Int64(),
            pl.Datetime("us"),
            pl.Datetime("ms"),
        ]
        assert distinct(values)

    def test_categoricals_do_not_depend_on_what_was_there_before(self):
        first = hash_value(pl.Series(["b", "a"], dtype=pl.Categorical))
        pl.Series(["a", "c", "b"], dtype=pl.Categorical)
        assert hash_value(pl.Series(["b", "a"], dtype=pl.Categorical)) == first

    def test_without_pyarrow_it_says_what_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        for name in ("_arrow", "_polars"):
            monkeypatch.delitem(sys.modules, f"entrepot.hashing.{name}", raising=False)
        FOUND.clear()
        with pytest.raises(UnhashableValueError, match=r"a polars\..*DataFrame, which is not hashed without pyarrow"):
            hash_value(pl.DataFrame({"a": [1]}))

    def test_what_is_no_data_is_refused(self):
        with pytest.raises(UnhashableValueError, match=r"a plan and no data.*collect"):
            hash_value(pl.LazyFrame({"a": [1]}))
        with pytest.raises(UnhashableValueError):
            hash_value(pl.col("a"))
        with pytest.raises(UnhashableValueError) as caught:
            hash_value(pl.DataFrame({"a": [1], "o": pl.Series([object()], dtype=pl.Object)}), name="data")
        assert caught.value.path == "data.columns[1][0]"


# --- sparse matrices --------------------------------------------------------------------------------------------------

DENSE = np.array([[0, 1.5, 0], [2, 0, 3]])
FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


class TestSparse:
    @pytest.mark.parametrize("name", [f"{kept}_{kind}" for kept in FORMATS for kind in ("array", "matrix")])
    def test_every_format_counts_by_what_it_holds(self, name):
        make = getattr(sparse, name)
        other = DENSE.copy()
        other[1, 0] = 4
        assert same(make(DENSE), make(DENSE.copy()))
        assert distinct([make(DENSE), make(other), make(DENSE.astype(np.float32)), make((2, 3)), make((3, 3)), DENSE])

    def test_formats_and_classes_differ(self):
        assert distinct([getattr(sparse, f"{kept}_{kind}")(DENSE) for kept in FORMATS for kind in ("array", "matrix")])

    def test_the_order_of_entries_and_written_zeros_count(self):
        def made(data, columns):
            return sparse.csr_array((np.array(data), np.array(columns), np.array([0, len(data)])), shape=(1, 3))

        values = [made([1.0, 2.0], [0, 1]), made([2.0, 1.0], [1, 0]), made([1.0, 2.0, 0.0], [0, 1, 2])]
        assert distinct(values)
        assert same(*[each.sorted_indices() for each in values[:2]])

    def test_keys_agree_in_any_order(self):
        one, two = sparse.dok_array((2, 2)), sparse.dok_array((2, 2))
        one[0, 0], one[1, 1] = 1, 2
        two[1, 1], two[0, 0] = 2, 1
        assert same(one, two)

    def test_a_class_of_the_users_is_refused(self):
        class Mine(sparse.csr_array):
            pass

        with pytest.raises(UnhashableValueError, match="Mine"):
            hash_value(Mine(DENSE))


# --- images -----------------------------------------------------------------------------------------------------------


class TestImages:
    def test_pixels_mode_size_palette_and_info_count(self):
        image = Image.new("RGB", (3, 2), (1, 2, 3))
        dotted = image.copy()
        dotted.putpixel((2, 1), (9, 9, 9))
        noted = image.copy()
        noted.info["dpi"] = (72, 72)
        palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
        other = palette.copy()
        other.putpalette([9, 9, 9] * 256)
        assert same(image, image.copy())
        assert distinct(
            [image, dotted, noted, palette, other, image.convert("L"), image.resize((2, 3)), image.rotate(90)]
        )

    def test_a_file_counts_by_what_is_in_it_whether_it_was_read_or_not(self, tmp_path):
        Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
        read = Image.open(tmp_path / "b.png")
        read.load()
        assert same(Image.open(tmp_path / "a.png"), read)

    def test_several_frames_are_refused(self, tmp_path):
        frames = [Image.new("L", (2, 2), n) for n in (1, 200)]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        with pytest.raises(UnhashableValueError, match="several frames"):
            hash_value(Image.open(tmp_path / "a.gif"))


# --- and all of them --------------------------------------------------------------------------------------------------

SCRIPT = """
from entrepot.hashing.values import hash_value
import numpy as np, pyarrow as pa, polars as pl, scipy.sparse as sparse
from PIL import Image
print(hash_value([
    pa.table({"a": [1, None], "s": ["x", None], "l": [[1], []]}),
    pl.DataFrame({"a": [1, None], "c": pl.Series(["x", "y"], dtype=pl.Categorical)}),
    sparse.dok_array(np.eye(3)), sparse.csr_array(np.eye(3)), Image.new("RGB", (2, 2)),
]))
"""


def test_digests_are_the_same_under_another_hash_seed(capsys):
    exec(SCRIPT, {})
    here = capsys.readouterr().out
    command, environment = [sys.executable, "-c", SCRIPT], {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(here) > 64
    assert here == there
