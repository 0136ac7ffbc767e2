"""Scalars of NumPy and pandas as tags and back, exactly: type, bits, unit, zone, nanoseconds.

`np.float64(1.5)` is `{"$type": "numpy-scalar", "value": 1.5, "dtype": "float64"}`, a `pandas.Timestamp` is its text
with its unit and zone. Each is made again when it is written: one that would come back as something else is refused.
"""

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from entrepot._sentinels import MISSING, Missing
from entrepot.serializers._tags import DECODERS, TAG, plain_float, plain_str

__all__ = ["plain_scalar", "scalar_classes", "scalar_of"]

_NUMBERS: Final = {
    np.dtype(name).type: name
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
_TYPES: Final = {name: kind for kind, name in _NUMBERS.items()}


def plain_scalar(value: object) -> dict[str, object] | Missing:
    """Return a scalar of NumPy or pandas as a tag; MISSING for anything else, and for what would not come back."""
    tag, encode = _encoder(type(value))
    if encode is None:
        return MISSING
    try:
        tagged = {TAG: tag, **encode(value)}
        back = scalar_of(tagged)
    except Exception:  # noqa: BLE001  what these libraries cannot make again, they say in many ways
        return MISSING
    return tagged if type(back) is type(value) and _facts(back) == _facts(value) else MISSING


def scalar_of(tagged: Mapping[str, object]) -> object:
    """Return the scalar of a tag; a tag that is malformed raises, whatever it is."""
    return _DECODERS[str(tagged[TAG])](dict(tagged))


def scalar_classes() -> list[type]:
    """Return the classes that may be written; those of pandas only if it was loaded."""
    pandas = sys.modules.get("pandas")
    known = [] if pandas is None else [pandas.Timestamp, pandas.Timedelta, type(pandas.NaT), type(pandas.NA)]
    return [*_NUMBERS, np.str_, np.bytes_, np.datetime64, np.timedelta64, *known]


def _encoder(kind: type) -> tuple[str, Callable[[Any], dict[str, object]] | None]:
    """Return the name of the tag for a class, and what gives its members; by exact class."""
    if kind in _NUMBERS:
        return "numpy-scalar", _number
    if kind in _OTHERS:
        return "numpy-scalar", _OTHERS[kind]
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if kind is pandas.Timestamp:
            return "pandas-timestamp", _timestamp
        if kind is pandas.Timedelta:
            return "pandas-timedelta", lambda value: {"value": int(value.asm8.astype("i8")), "unit": value.unit}
        if kind is type(pandas.NaT) or kind is type(pandas.NA):
            return "pandas-missing", lambda value: {"value": "NaT" if value is pandas.NaT else "NA"}
    return "", None


def _facts(value: Any) -> object:
    """Return all that makes up a scalar, apart from its class."""
    if isinstance(value, np.generic):
        return value.dtype.str, value.tobytes(), str(value) if isinstance(value, np.str_) else b""
    zone = getattr(value, "tzinfo", None)
    whole = value.asm8.tobytes() if hasattr(value, "asm8") else b""
    return repr(value), whole, getattr(value, "unit", ""), getattr(value, "fold", 0), type(zone), repr(zone)


# --- writing ----------------------------------------------------------------------------------------------------------


def _number(value: Any) -> dict[str, object]:
    name = _NUMBERS[type(value)]
    item: Any = value.item()
    plain: object = item
    if isinstance(item, complex):
        plain = [plain_float(item.real), plain_float(item.imag)]
    elif isinstance(item, float):
        plain = plain_float(item)
    written: dict[str, object] = {"value": plain, "dtype": name}
    if np.asarray(_read_numpy(written)).tobytes() != value.tobytes():  # no number: NaN has bits to spare
        written["bits"] = np.asarray(value).astype(np.dtype(name).newbyteorder("<")).tobytes().hex()
    return written


def _moment(value: Any) -> dict[str, object]:
    name, text = value.dtype.name, str(value)
    if np.datetime64(text, _unit(name)) == value or np.isnat(value):
        return {"value": text, "dtype": name}
    return {"value": int(value.astype("i8")), "dtype": name}


def _span(value: Any) -> dict[str, object]:
    return {"value": "NaT" if np.isnat(value) else int(value.astype("i8")), "dtype": value.dtype.name}


_OTHERS: Final[dict[type, Callable[[Any], dict[str, object]]]] = {
    np.str_: lambda value: {"value": plain_str(str(value)), "dtype": "str"},
    np.bytes_: lambda value: {"value": b64encode(value).decode(), "dtype": "bytes"},
    np.datetime64: _moment,
    np.timedelta64: _span,
}


def _timestamp(value: Any) -> dict[str, object]:
    written: dict[str, object] = {"value": value.isoformat(), "unit": value.unit}
    if type(value.tzinfo) is ZoneInfo and value.tzinfo.key is not None:
        written["zone"] = value.tzinfo.key
        if value.utcoffset().total_seconds() % 60:  # local time, before there were zones: ISO 8601 has no such offset
            written["value"] = value.tz_convert("UTC").isoformat()
    elif value.tzinfo is None and value.fold:
        written["fold"] = 1
    return written


# --- reading ----------------------------------------------------------------------------------------------------------


def _unit(name: str) -> Any:
    """Return the unit in a name such as `datetime64[15m]`, as NumPy takes it."""
    _, bracket, unit = name.partition("[")
    return unit.removesuffix("]") if bracket else "generic"


def _read_numpy(tagged: dict[str, object]) -> object:
    name, value = str(tagged["dtype"]), _decoded(tagged["value"])
    if name in _TYPES:
        kind = np.dtype(name).newbyteorder("<")
        if "bits" in tagged:
            return np.frombuffer(bytes.fromhex(str(tagged["bits"])), kind, 1)[0]
        given: Any = complex(*value) if isinstance(value, list) else value
        return _TYPES[name](given)
    if name == "str" and isinstance(value, str):
        return np.str_(value)
    if name == "bytes" and isinstance(value, str):
        return np.bytes_(b64decode(value, validate=True))
    for kind_of, prefix in ((np.datetime64, "datetime64"), (np.timedelta64, "timedelta64")):
        if name.partition("[")[0] == prefix and isinstance(value, str | int):
            return kind_of(value, _unit(name))
    raise TypeError("no scalar of NumPy that is known")


def _decoded(value: object) -> object:
    """Return what stands in a tag; readers have decoded it before, and `plain_scalar` has not."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return DECODERS[value[TAG]](value) if isinstance(value, dict) else value


def _read_timestamp(tagged: dict[str, object]) -> object:
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415  only for what is its own

    moment = pd.Timestamp(str(tagged["value"])).as_unit(str(tagged["unit"]), round_ok=False)
    if "zone" in tagged:
        return moment.tz_convert(ZoneInfo(str(tagged["zone"])))
    return moment.replace(fold=1) if tagged.get("fold") else moment


def _read_timedelta(tagged: dict[str, object]) -> object:
    import pandas as pd  # noqa: PLC0415  only for what is its own

    value, unit = tagged["value"], tagged["unit"]
    if type(value) is not int or unit not in {"s", "ms", "us", "ns"}:
        raise TypeError("no span")
    return pd.Timedelta(np.timedelta64(value, unit))


def _read_missing(tagged: dict[str, object]) -> object:
    import pandas as pd  # noqa: PLC0415  only for what is its own

    return {"NaT": pd.NaT, "NA": pd.NA}[str(tagged["value"])]


_DECODERS: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "numpy-scalar": _read_numpy,
    "pandas-timestamp": _read_timestamp,
    "pandas-timedelta": _read_timedelta,
    "pandas-missing": _read_missing,
}
