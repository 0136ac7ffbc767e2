"""Scalars of NumPy and pandas in JSON: readable by other programs, and given back to the bit."""

import datetime as dt
import json
import pickle
import subprocess
import sys
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrepot.errors import SerializationError
from entrepot.serializers import AutoSerializer, JSONSerializer

JSON = JSONSerializer()
AUTO = AutoSerializer()
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
ZONES = [None, dt.UTC, BERLIN, zoneinfo.ZoneInfo("UTC"), dt.timezone(dt.timedelta(hours=-9, minutes=-30))]


def facts(value: Any) -> object:
    """Return all that two scalars must agree in to be the same."""
    if isinstance(value, np.generic):
        return type(value), value.dtype.str, value.tobytes()
    if isinstance(value, pd.Timestamp):
        return type(value), value.unit, value.asm8.tobytes(), repr(value.tz), type(value.tz), value.fold
    if isinstance(value, pd.Timedelta):
        return type(value), value.unit, value.asm8.tobytes()
    return type(value), repr(value)


def text_of(value: object) -> str:
    return b"".join(JSON.dumps(value)).decode()


def back_from(value: object) -> Any:
    return JSON.loads(memoryview(bytearray(text_of(value).encode())))


SCALARS = hnp.arrays(
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.floating_dtypes(sizes=(16, 32, 64), endianness="?")
    | hnp.complex_number_dtypes(sizes=(64, 128), endianness="?")
    | hnp.datetime64_dtypes()
    | hnp.timedelta64_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.byte_string_dtypes(),
    1,
).map(lambda array: array[0])
COUNTS = st.integers(-(2**62), 2**62)
MOMENTS = st.builds(
    lambda count, unit, zone: (
        pd.Timestamp(np.datetime64(count // {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[unit], unit)).tz_localize(
            "UTC"
        )
    ).tz_convert(zone),
    COUNTS,
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from(ZONES),
)
SPANS = st.builds(lambda count, unit: pd.Timedelta(np.timedelta64(count // 10**9, unit)), COUNTS, st.just("s")) | (
    st.builds(lambda count: pd.Timedelta(count, "ns"), COUNTS)
)


@settings(deadline=None, max_examples=150)
@given(SCALARS | MOMENTS | SPANS | st.sampled_from([pd.NaT, pd.NA]))
def test_what_auto_writes_as_json_comes_back_in_type_unit_zone_and_bits(value: object) -> None:
    if AUTO.choose(value).name == "json":
        assert facts(back_from(value)) == facts(value)
        assert facts(back_from([value])[0]) == facts(value) == facts(pickle.loads(pickle.dumps(value)))
    else:  # only what ISO 8601 has no text for
        assert isinstance(value, pd.Timestamp)
        assert not 1 <= value.year <= 9999


READABLE = {
    "float": (np.float64(1.5), {"$type": "numpy-scalar", "value": 1.5, "dtype": "float64"}),
    "small float": (np.float32(0.5), {"$type": "numpy-scalar", "value": 0.5, "dtype": "float32"}),
    "int": (np.int64(-3), {"$type": "numpy-scalar", "value": -3, "dtype": "int64"}),
    "bool": (np.array([True])[0], {"$type": "numpy-scalar", "value": True, "dtype": "bool"}),
    "infinity": (
        np.float64("-inf"),
        {"$type": "numpy-scalar", "value": {"$type": "float", "value": "-inf"}, "dtype": "float64"},
    ),
    "text": (np.str_("한"), {"$type": "numpy-scalar", "value": "한", "dtype": "str"}),
    "complex": (np.complex64(1 - 2j), {"$type": "numpy-scalar", "value": [1.0, -2.0], "dtype": "complex64"}),
    "day": (np.datetime64("2024-05-01"), {"$type": "numpy-scalar", "value": "2024-05-01", "dtype": "datetime64[D]"}),
    "span": (np.timedelta64(90, "m"), {"$type": "numpy-scalar", "value": 90, "dtype": "timedelta64[m]"}),
    "moment": (
        pd.Timestamp("2024-10-27T02:30:00.000000001+01:00").tz_convert(BERLIN),
        {
            "$type": "pandas-timestamp",
            "value": "2024-10-27T02:30:00.000000001+01:00",
            "unit": "ns",
            "zone": "Europe/Berlin",
        },
    ),
    "moment without a zone": (
        pd.Timestamp("2024-05-01").as_unit("s"),
        {"$type": "pandas-timestamp", "value": "2024-05-01T00:00:00", "unit": "s"},
    ),
    "moment in local time": (
        pd.Timestamp("1893-03-01T23:00:00Z").as_unit("s").tz_convert(BERLIN),
        {"$type": "pandas-timestamp", "value": "1893-03-01T23:00:00+00:00", "unit": "s", "zone": "Europe/Berlin"},
    ),
    "span of pandas": (pd.Timedelta(5, "ns"), {"$type": "pandas-timedelta", "value": 5, "unit": "ns"}),
    "no time": (pd.NaT, {"$type": "pandas-missing", "value": "NaT"}),
}


@pytest.mark.parametrize("name", READABLE)
def test_other_programs_can_read_them(name: str) -> None:
    value, expected = READABLE[name]
    assert json.loads(text_of(value)) == expected
    assert facts(back_from(value)) == facts(value)


def test_they_are_written_wherever_plain_data_may_be() -> None:
    value = {np.int64(3): [np.float64("nan"), (pd.Timestamp("2024"),)], "total": np.float32(1), None: {"a": pd.NA}}
    assert AUTO.choose(value).name == "json"
    back = back_from(value)
    assert repr(back) == repr(value)
    assert [type(key) for key in back] == [np.int64, str, type(None)]


def test_bits_beyond_what_a_number_says_are_kept() -> None:
    odd = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")[0]  # not a number, and not the usual one
    assert back_from(odd).tobytes() == odd.tobytes()
    odd = np.frombuffer(b"\x01\xfe", "<f2")[0]
    assert back_from(odd).tobytes() == odd.tobytes()


class Own(np.float64):
    pass


OTHERS = {
    "of a subclass": Own(1),
    "long": np.longdouble(1),
    "another int of the same size": np.longlong(1),
    "raw": np.void(b"x"),
    "fields": np.zeros(1, [("a", "i4")])[0],
    "a zone with a name of its own": pd.Timestamp("2024", tz=dt.timezone(dt.timedelta(0), "zero")),
    "a period": pd.Period("2024", "M"),
    "masked": np.ma.masked,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_would_come_back_as_something_else_is_left_to_pickle(name: str) -> None:
    assert AUTO.choose(OTHERS[name]).name == "pickle"
    assert AUTO.choose([OTHERS[name]]).name == "pickle"
    with pytest.raises(SerializationError, match="cannot write value"):
        JSON.dumps(OTHERS[name])


def test_of_very_many_pickle_is_faster() -> None:
    assert AUTO.choose([np.float64(n) for n in range(9_000)]).name == "json"
    assert AUTO.choose([np.float64(n) for n in range(11_000)]).name == "pickle"


@pytest.mark.parametrize(
    "tagged",
    [
        '{"$type":"numpy-scalar","value":1,"dtype":"object"}',
        '{"$type":"numpy-scalar","value":300,"dtype":"int8"}',
        '{"$type":"numpy-scalar","value":"x","dtype":"datetime64[D]"}',
        '{"$type":"numpy-scalar","value":1}',
        '{"$type":"pandas-timestamp","value":"2024","unit":"fortnights"}',
        '{"$type":"pandas-timedelta","value":"1","unit":"s"}',
        '{"$type":"pandas-missing","value":"x"}',
    ],
)
def test_tags_that_say_nothing_known_are_refused(tagged: str) -> None:
    with pytest.raises(SerializationError, match="cannot read a value of the type"):
        JSON.loads(memoryview(bytearray(tagged.encode())))


def test_they_are_read_by_a_program_that_has_imported_neither_library() -> None:
    program = (
        "import sys; from entrepot.serializers import get_serializer as get; data = sys.stdin.buffer.read();"
        "assert 'numpy' not in sys.modules; print(get('json').loads(memoryview(bytearray(data))))"
    )
    written = text_of([np.float64(1.5), pd.Timestamp("2024", tz=BERLIN)])
    done = subprocess.run(
        [sys.executable, "-c", program], input=written.encode(), check=True, capture_output=True, timeout=120
    )
    assert done.stdout.decode().strip() == repr([np.float64(1.5), pd.Timestamp("2024", tz=BERLIN)])
