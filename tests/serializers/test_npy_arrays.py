"""Arrays in NumPy's own format: exact or refused, without a copy, and opened by NumPy."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrepot.errors import SerializationError
from entrepot.serializers import NpySerializer
from entrepot.testing.serializers import SerializerContract

GOLDEN = Path(__file__).parent.parent / "golden" / "serializers"
NPY = NpySerializer()
GRID = np.arange(24, dtype=np.float64).reshape(2, 3, 4)

KEPT = {
    "c order": GRID,
    "fortran order": np.asfortranarray(GRID),
    "strided": GRID[:, ::2],
    "strided, the other way": GRID.T[::2],
    "backwards": GRID[::-1],
    "no axes": np.array(3.5),
    "no items": np.zeros((0, 3)),
    "bools": np.array([True, False]),
    "half floats": np.float16([1, np.nan]),
    "complex": np.array([1 + 2j, complex(np.nan, -0.0)]),
    "big-endian": np.arange(3, dtype=">i4"),
    "signed zero, nan, infinities": np.array([-0.0, np.nan, np.inf, -np.inf]),
    "dates": np.array(["2024-01-01", "NaT"], "M8[D]"),
    "dates by the quarter hour": np.array(["2024-01-01T00:15"], "M8[15m]"),
    "spans": np.arange(6).astype("m8[ns]"),
    "texts": np.array(["a", "한국어", ""]),
    "byte strings": np.array([b"x", b"yz"]),
    "raw": np.zeros(2, "V5"),
    "fields": np.zeros(3, [("a", "<f8"), ("b", "S3", (2,)), ("c", [("d", "<i2")])]),
    "fields beyond ascii": np.zeros(2, [("é", "<f8")]),
    "padded fields": np.zeros(2, {"names": ["a"], "formats": ["<i2"], "offsets": [4], "itemsize": 16}),
    "one axis of one": np.ones((3, 1), order="F"),
}


def written(value: object) -> bytes:
    return b"".join(NPY.dumps(value))


def read(data: bytes) -> np.ndarray:
    back = NPY.loads(memoryview(bytearray(data)))
    assert isinstance(back, np.ndarray)
    return back


def is_same(one: object, other: object) -> bool:
    assert isinstance(one, np.ndarray)
    return (
        type(other) is np.ndarray
        and one.dtype == other.dtype
        and one.dtype.str == other.dtype.str
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
        and other.flags.writeable
    )


class TestNpySerializer(SerializerContract):
    def make_serializer(self) -> NpySerializer:
        return NpySerializer()

    def values(self) -> Iterable[object]:
        return KEPT.values()

    def same(self, value: object, back: object) -> bool:
        return is_same(value, back)

    def unwritable(self) -> Iterable[object]:
        return ([1.0], np.float64(1), *REFUSED.values())


class Own(np.ndarray):
    pass


REFUSED = {
    "objects": np.array([{}], dtype=object),
    "fields of objects": np.zeros(1, [("a", object)]),
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "of a subclass": np.zeros(2).view(Own),
    "records": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "of record type": np.zeros(2, np.dtype((np.record, [("a", "i4")]))),
    "aligned fields": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "fields with titles": np.zeros(2, [(("title", "a"), "i4")]),
    "overlapping fields": np.zeros(2, {"names": ["a", "b"], "formats": ["<i4", "<i4"], "offsets": [0, 2]}),
    "texts of any length": np.array(["a"], np.dtypes.StringDType()),
    "notes on the type": np.zeros(2, np.dtype("i4", metadata={"unit": "m"})),
    "axes in an order of their own": GRID.transpose(1, 0, 2),
    "one item for many": np.broadcast_to(np.array([1.0]), (3, 4)),
    "a hundred thousand fields": np.zeros(1, [(f"field {n}", "i1") for n in range(10_000)]),
}


@pytest.mark.parametrize("name", KEPT)
def test_numpy_opens_what_is_written(name: str) -> None:
    array = KEPT[name]
    assert NPY.accepts(array)
    back = np.load(io.BytesIO(written(array)), allow_pickle=False)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert repr(back.tolist()) == repr(array.tolist())  # NumPy leaves what lies between fields as it finds it


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_as_it_was_is_refused(name: str) -> None:
    assert not NPY.accepts(REFUSED[name])
    with pytest.raises(SerializationError, match="npy serializer") as caught:
        NPY.dumps(REFUSED[name])
    assert caught.value.path == "value"


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_is_kept(order: str) -> None:
    back = read(written(np.array(GRID, order=order)))
    assert (back.flags.c_contiguous, back.flags.f_contiguous) == (order == "C", order == "F")
    assert (back == GRID).all()


@pytest.mark.parametrize("array", [GRID, np.asfortranarray(GRID), np.arange(100).astype("M8[s]")])
def test_nothing_is_copied_either_way(array: np.ndarray) -> None:
    parts = NPY.dumps(array)
    assert np.shares_memory(np.frombuffer(parts[-1], np.uint8), array.view(np.uint8) if array.ndim == 1 else array)
    memory = bytearray(b"".join(parts))
    assert np.shares_memory(NPY.loads(memoryview(memory)), np.frombuffer(memory, np.uint8))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_what_numpy_writes_is_read(version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, GRID, version=version)
    assert is_same(GRID, read(file.getvalue()))


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        dtype=st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(), hnp.byte_string_dtypes()),
        shape=hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
        fill=st.nothing(),
    ),
    st.booleans(),
)
def test_every_array_comes_back_as_it_was(array: np.ndarray, fortran: bool) -> None:  # noqa: FBT001
    array = np.asfortranarray(array) if fortran and array.ndim else array
    assert NPY.accepts(array)
    back = read(written(array))
    assert is_same(array, back)
    assert back.flags.f_contiguous == array.flags.f_contiguous


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_give_an_array_or_our_error(data: bytes) -> None:
    for given_bytes in (data, written(GRID)[:10] + data, b"\x93NUMPY\x01\x00" + data):
        try:
            read(given_bytes)
        except SerializationError as error:
            assert error.serializer == "npy"  # noqa: PT017  or it gives an array


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 70,)}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': [1]}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}",
        "__import__('os').getpid()",
        "(" * 500,
    ],
)
def test_a_header_that_says_something_else_is_refused(header: str) -> None:
    body = header.encode()
    data = b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + bytes(8)
    with pytest.raises(SerializationError, match="no whole array file"):
        read(data)


def test_the_bytes_are_those_of_the_golden_file() -> None:
    golden = (GOLDEN / "grid.npy").read_bytes()
    grid = np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3))
    assert written(grid) == golden
    assert is_same(grid, read(golden))
