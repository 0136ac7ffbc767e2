"""Compression around any serializer."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from entrepot.errors import OptionError, SerializationError, UnknownNameError
from entrepot.serializers import CompressedSerializer, PickleSerializer, get_serializer
from entrepot.testing.serializers import SerializerContract

GOLDEN = Path(__file__).parent.parent / "golden" / "serializers"


def written(serializer: CompressedSerializer, value: object) -> bytes:
    return b"".join(serializer.dumps(value))


def read(serializer: CompressedSerializer, data: bytes) -> object:
    return serializer.loads(memoryview(bytearray(data)))


class TestCompressedJSON(SerializerContract):
    def make_serializer(self) -> CompressedSerializer:
        return CompressedSerializer("json")

    def unwritable(self) -> Iterable[object]:
        return ()  # the inner serializer refuses, under its own name


class TestCompressedPickle(SerializerContract):
    def make_serializer(self) -> CompressedSerializer:
        return CompressedSerializer(PickleSerializer(), level=9)

    def values(self) -> Iterable[object]:
        return (*super().values(), list(range(100_000)))

    def unwritable(self) -> Iterable[object]:
        return ()


def test_it_says_what_it_wraps() -> None:
    serializer = get_serializer("compressed/pickle")
    assert (serializer.name, serializer.extension, serializer.is_text, serializer.reads_code) == (
        "compressed/pickle",
        "pkl.zst",
        False,
        True,
    )
    assert CompressedSerializer().name == "compressed/json"
    assert not CompressedSerializer().reads_code


def test_arrays_come_back_writable() -> None:
    serializer = CompressedSerializer("pickle")
    array = np.zeros((1000, 1000))
    data = written(serializer, [array])
    assert len(data) < array.nbytes / 100
    back = read(serializer, data)
    assert isinstance(back, list)
    np.testing.assert_array_equal(back[0], array)
    back[0][0] = 1


def test_any_zstandard_tool_opens_the_file() -> None:
    assert zstandard.decompress(written(CompressedSerializer("json"), [1, 2])) == b"[1,2]"


def test_a_value_beyond_the_limit_is_refused_on_both_sides() -> None:
    data = written(CompressedSerializer("json"), "x" * 1_000_000)
    small = CompressedSerializer("json", max_size=1000)
    with pytest.raises(SerializationError, match="max_size"):
        read(small, data)
    with pytest.raises(SerializationError, match="max_size"):
        small.dumps("x" * 1000)


def test_a_frame_that_states_an_absurd_size_takes_no_memory() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(b"[]"))
    bomb = bytes(frame[:4]) + b"\xe0" + (1 << 50).to_bytes(8, "little") + bytes(frame[6:])
    with pytest.raises(SerializationError, match="max_size"):
        read(CompressedSerializer("json"), bomb)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data + data,
        lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(b"[]"),
        lambda data: data[:4] + b"\x20\x01" + data[6:],
    ],
    ids=["short", "long", "twice", "no stated size", "wrong stated size"],
)
def test_anything_but_one_whole_frame_is_refused(spoil: object) -> None:
    serializer = CompressedSerializer("json")
    with pytest.raises(SerializationError):
        read(serializer, spoil(written(serializer, [1, 2, 3])))  # type: ignore[operator]


@pytest.mark.parametrize("level", [0, -1, 23, 100])
def test_levels_out_of_range_are_refused(level: int) -> None:
    with pytest.raises(OptionError, match="1 to 22"):
        CompressedSerializer("json", level)


def test_compressing_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="compresses already"):
        get_serializer("compressed/compressed/json")


def test_an_unknown_inner_serializer_is_named() -> None:
    with pytest.raises(UnknownNameError, match="jsn"):
        get_serializer("compressed/jsn")


def test_the_golden_file_is_read() -> None:
    assert read(CompressedSerializer("json"), (GOLDEN / "list.json.zst").read_bytes()) == list(range(100))
