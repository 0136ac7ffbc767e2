"""Pickle: out-of-band buffers, the fallback by value, what is refused, and the container's bytes."""

import contextlib
import functools
import io
import json
import pickle
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import SerializationError, UnknownKeyError
from entrepot.serializers import PickleSerializer, get_serializer
from entrepot.storage import PrefixedStorage
from entrepot.storage.files import FileStorage
from entrepot.testing.serializers import SerializerContract

GOLDEN = Path(__file__).parent.parent / "golden" / "serializers"


def written(value: object) -> bytes:
    return b"".join(PickleSerializer().dumps(value))


def read(data: bytes) -> object:
    return PickleSerializer().loads(memoryview(bytearray(data)))


def refusal(value: object) -> SerializationError:
    with pytest.raises(SerializationError) as caught:
        PickleSerializer().dumps(value)
    return caught.value


class TestPickleSerializer(SerializerContract):
    def make_serializer(self) -> PickleSerializer:
        return PickleSerializer()

    def values(self) -> Iterable[object]:
        large = bytes(range(256)) * 1000
        return (
            *super().values(),
            (1, {2}),
            datetime(2026, 1, 1, tzinfo=UTC),
            large,
            bytearray(large),
            "x" * 300_000,
            {1: len},
        )


# --- buffers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 100_000])
def test_arrays_come_back_equal_and_writable(count: int) -> None:
    array = np.arange(count, dtype=np.float64)
    back = read(written({"a": array, "b": [array[::2], array.reshape(1, -1)]}))
    assert isinstance(back, dict)
    np.testing.assert_array_equal(back["a"], array)
    np.testing.assert_array_equal(back["b"][0], array[::2])
    np.testing.assert_array_equal(back["b"][1], array.reshape(1, -1))
    back["a"][...] = 7


def test_fortran_order_dtypes_and_read_only_arrays_come_back_as_they_were() -> None:
    fixed = np.arange(10_000)
    fixed.flags.writeable = False
    arrays = [
        np.asfortranarray(np.arange(10_000.0).reshape(100, 100)),
        np.zeros(5000, dtype=[("a", ">i4"), ("b", "U3")]),
        np.array([None, {"a": 1}], dtype=object),
        np.zeros((0, 5)),
        np.array(1.5),
        fixed,
    ]
    back = read(written(arrays))
    assert isinstance(back, list)
    for array, again in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype
        assert again.flags.f_contiguous == array.flags.f_contiguous
        assert again.flags.writeable == array.flags.writeable


def test_frames_come_back_equal() -> None:
    frame = pd.DataFrame({"n": np.arange(5000), "x": np.linspace(0, 1, 5000), "s": [f"row {i}" for i in range(5000)]})
    frame["when"] = pd.Timestamp("2026-01-01", tz="UTC")
    back = read(written(frame))
    pd.testing.assert_frame_equal(back, frame)


def test_writing_a_large_array_copies_nothing() -> None:
    array = np.zeros(50_000_000, dtype=np.uint8)
    tracemalloc.start()
    parts = PickleSerializer().dumps([array])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert any(
        isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part, np.uint8), array) for part in parts
    )


def test_writing_large_bytes_copies_nothing() -> None:
    data = bytes(50_000_000)
    tracemalloc.start()
    parts = PickleSerializer().dumps([data])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert any(part is data for part in parts)


def test_reading_a_large_array_shares_the_memory_it_is_given() -> None:
    memory = memoryview(bytearray(written({"a": np.arange(1_000_000)})))
    tracemalloc.start()
    back = PickleSerializer().loads(memory)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert isinstance(back, dict)
    assert np.shares_memory(back["a"], np.frombuffer(memory, np.uint8))


def test_large_buffers_start_at_multiples_of_64_bytes() -> None:
    data = written([np.full(5000, 1, np.uint8), np.full(7001, 2, np.uint8)])
    assert data.index(bytes([1]) * 5000) % 64 == 0
    assert data.index(bytes([2]) * 7001) % 64 == 0


@pytest.mark.parametrize("value", [None, {"a": [1, 2, 3]}, np.arange(100)], ids=["none", "dict", "small array"])
def test_without_large_buffers_the_file_is_a_plain_pickle(value: object) -> None:
    np.testing.assert_equal(pickle.loads(written(value)), value)


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False), st.lists))
def test_any_plain_value_comes_back(value: object) -> None:
    assert read(written(value)) == value


# --- by reference and by value ------------------------------------------------------------------------------------


def test_lambdas_closures_and_local_classes_are_written_by_value() -> None:
    base = 10

    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    back = read(written({"f": lambda x: x + base, "local": Local(3)}))
    assert isinstance(back, dict)
    assert back["f"](1) == 11
    assert back["local"].x == 3


def test_large_buffers_stay_out_of_band_in_the_fallback() -> None:
    array = np.arange(100_000)
    parts = PickleSerializer().dumps({"f": lambda: None, "a": array})
    assert any(
        isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part, np.int64), array) for part in parts[-1:]
    )


SCRIPT = """
import sys, dataclasses
from entrepot.serializers import PickleSerializer
@dataclasses.dataclass
class Point:
    x: int
def shout(text): return text.upper()
serializer = PickleSerializer()
if sys.argv[1] == "write":
    data = b"".join(serializer.dumps([Point(1), shout, {extra}]))
    open(sys.argv[2], "wb").write(data)
else:
    back = serializer.loads(memoryview(bytearray(open(sys.argv[2], "rb").read())))
    assert type(back[0]) is Point, type(back[0])
    assert back[0] == Point(1)
    assert back[1] is shout
    print("same")
"""


@pytest.mark.parametrize("extra", ["None", "lambda: Point(2)"])
def test_a_script_finds_its_own_classes_again_in_the_next_run(tmp_path: Path, extra: str) -> None:
    script, kept = tmp_path / "script.py", tmp_path / "kept.pkl"
    script.write_text(SCRIPT.replace("{extra}", extra))
    subprocess.run([sys.executable, script, "write", kept], check=True)
    done = subprocess.run([sys.executable, script, "read", kept], check=True, capture_output=True, text=True)
    assert done.stdout == "same\n"


@pytest.mark.filterwarnings("ignore:BuiltinImporter:DeprecationWarning")  # how 3.11 shows the __main__ of a worker
def test_another_program_is_told_that_the_class_is_in_the_script(tmp_path: Path) -> None:
    script, kept = tmp_path / "script.py", tmp_path / "kept.pkl"
    script.write_text(SCRIPT.replace("{extra}", "None"))
    subprocess.run([sys.executable, script, "write", kept], check=True)
    with pytest.raises(SerializationError, match="script that wrote it"):
        read(kept.read_bytes())


def test_a_module_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone_tomorrow.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(tmp_path)
    import gone_tomorrow  # type: ignore[import-not-found]  # noqa: PLC0415  made a line above

    data = written(gone_tomorrow.Thing())
    monkeypatch.delitem(sys.modules, "gone_tomorrow")
    (tmp_path / "gone_tomorrow.py").unlink()
    with pytest.raises(SerializationError, match="'gone_tomorrow'"):
        read(data)


# --- what is refused ----------------------------------------------------------------------------------------------


class WithParts:
    def __init__(self, part: object) -> None:
        self.part = part


@pytest.mark.parametrize(
    ("make", "path", "hint"),
    [
        (lambda: {"a": [1, threading.Lock()]}, "value['a'][1]", "locks belong to one process"),
        (lambda: (number for number in range(3)), "value", "make it a list"),
        (lambda: WithParts({"deep": (number for number in range(3))}), "value.part['deep']", "make it a list"),
        (lambda: [open("/dev/null")], "value[0]", "the file"),  # noqa: SIM115, PTH123  left open: that is the point
        (lambda: [open("/dev/null", "rb")], "value[0]", "the file"),  # noqa: SIM115, PTH123  the same
        (lambda: {"m": memoryview(b"x")}, "value['m']", "make it bytes"),
        (lambda: [socket.socket()], "value[0]", "connections belong to one process"),
        (lambda: {"s": {threading.Lock()}}, "value['s']{...}", "locks"),
    ],
    ids=["lock", "generator", "inside an object", "text file", "binary file", "memoryview", "socket", "in a set"],
)
def test_what_cannot_be_pickled_is_named_with_its_path_and_a_way_out(make: object, path: str, hint: str) -> None:
    error = refusal(make())  # type: ignore[operator]
    assert error.path == path
    assert hint in str(error)
    assert path in str(error)


def test_what_a_closure_holds_is_named() -> None:
    lock = threading.Lock()
    assert refusal([lambda: lock]).path == "value[0].<closure>.lock"


def test_a_value_that_contains_itself_is_fine_and_its_unwritable_part_is_found() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    back = read(written(loop))
    assert isinstance(back, list)
    assert back[1] is back
    loop.append(threading.Lock())
    assert refusal(loop).path.endswith("[2]")


def test_a_value_nested_too_deeply_is_refused() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in str(refusal(deep))


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (pydantic.SecretStr("hunter2"), "value"),
        ({"a": (1, pydantic.SecretBytes(b"hunter2"))}, "value['a'][1]"),
        ([Login(user="u", password=pydantic.SecretStr("hunter2"))], "value[0].password"),
        ({"f": lambda: 1, "s": pydantic.SecretStr("hunter2")}, "value['s']"),
        (pydantic.Secret[int](7), "value"),
    ],
    ids=["bare", "nested", "in a model", "beside a lambda", "generic"],
)
def test_secrets_are_refused_wherever_they_are(value: object, path: str) -> None:
    error = refusal(value)
    assert error.path == path
    assert "secret" in str(error)
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error.__cause__)


class Holder:
    def __init__(self, held: object) -> None:
        self.held = held


def test_connections_are_refused_wherever_they_are_because_their_keys_would_go_along() -> None:
    fs = MemoryFileSystem(skip_instance_cache=True, key="hunter2")
    storage = FileStorage(fs, "bucket")
    assert b"hunter2" in pickle.dumps(storage), "pickle itself does write them: to worker processes, say"
    closure = [lambda: storage]
    for value, path in [
        (storage, "value"),
        (fs, "value"),
        ({"a": [storage]}, "value['a'][0]"),
        (Holder(storage), "value.held"),
        ([PrefixedStorage(storage, "x")], "value[0]._storage"),
        (closure, "value[0].<closure>.storage"),
        (functools.partial(print, storage), "value"),
    ]:
        error = refusal(value)
        assert error.path == path
        assert "keys of its account" in str(error)
        assert "hunter2" not in str(error)
    with pytest.raises(SerializationError):
        get_serializer("compressed/pickle").dumps(storage)


def test_a_connection_is_refused_where_pydantic_is_not_loaded() -> None:
    program = (
        "import sys; from fsspec.implementations.memory import MemoryFileSystem;"
        "from entrepot.errors import SerializationError; from entrepot.serializers import PickleSerializer\n"
        "assert 'pydantic' not in sys.modules\n"
        "try: PickleSerializer().dumps([MemoryFileSystem(skip_instance_cache=True)])\n"
        "except SerializationError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_a_secret_in_a_closure_is_refused() -> None:
    secret = pydantic.SecretStr("hunter2")
    assert "secret" in str(refusal(lambda: secret))


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


def test_an_error_of_ours_raised_while_pickling_comes_through() -> None:
    with pytest.raises(UnknownKeyError):
        PickleSerializer().dumps([Raises(UnknownKeyError("no such key", key_id="k"))])


def test_any_other_error_raised_while_pickling_is_wrapped_with_its_cause() -> None:
    error = refusal({"x": Raises(ValueError("odd"))})
    assert error.path == "value['x']"
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\x80",
        b"\x80\x05.",
        b"\x80\x05N",
        b"\x80\xff",
        b"EPICKLE1",
        b"EPICKLE2" + bytes(100),
        b"\x80\x04\x97.",
    ],
)
def test_malformed_bytes_are_our_error(data: bytes) -> None:
    with pytest.raises(SerializationError):
        read(data)


def test_a_container_whose_table_does_not_fit_is_our_error() -> None:
    data = written(np.arange(5000))
    assert data.startswith(b"EPICKLE1")
    for broken in (
        data[:-1],
        data + b"x",
        data[:8] + struct.pack("<I", 0xFFFFFFFF) + data[12:],
        data[:8] + struct.pack("<I", 0) + data[12:],
        data[:12] + struct.pack("<I", 1) + data[16:],
        data[:16] + struct.pack("<Q", 1 << 60) + data[24:],
        data[:24] + struct.pack("<Q", 1 << 60) + data[32:],
        data[:24] + struct.pack("<Q", (1 << 64) - 1) + data[32:],
    ):
        with pytest.raises(SerializationError):
            read(broken)


@pytest.mark.parametrize("at", range(32))
def test_a_changed_byte_in_the_table_gives_a_value_or_our_error(at: int) -> None:
    data = bytearray(written(np.arange(5000)))
    for byte in range(256):
        data[at] = byte
        with contextlib.suppress(SerializationError):
            read(bytes(data))


# --- bytes --------------------------------------------------------------------------------------------------------


def test_the_container_is_that_of_the_golden_file() -> None:
    class Sequence(bytearray):
        """A buffer that is pickled out of band, with nothing of NumPy's own in the bytes."""

        def __reduce_ex__(self, _: object) -> tuple[object, ...]:
            return bytearray, (pickle.PickleBuffer(self),)

    value = {"a": Sequence(b"A" * 4096), "small": Sequence(b"B" * 10), "b": Sequence(b"C" * 5000)}
    data = written(value)
    assert data == (GOLDEN / "container.pkl").read_bytes()
    assert read(data) == {"a": bytearray(b"A" * 4096), "small": bytearray(b"B" * 10), "b": bytearray(b"C" * 5000)}


def test_a_small_value_is_the_golden_pickle() -> None:
    data = (GOLDEN / "small.pkl").read_bytes()
    assert written({"a": [1, 2.5, None]}) == data
    assert read(data) == {"a": [1, 2.5, None]}


def test_text_files_are_not_quietly_turned_into_something_else() -> None:
    assert "StringIO" not in str(refusal(io.TextIOWrapper(io.BytesIO(b"x"))))


def test_plain_values_load_neither_cloudpickle_nor_pydantic() -> None:
    program = (
        "import sys, json; from entrepot.serializers import PickleSerializer; s = PickleSerializer();"
        "s.loads(memoryview(bytearray(b''.join(s.dumps([1, {'a': 2}])))));"
        "print(json.dumps([m for m in ('cloudpickle', 'pydantic', 'numpy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
