"""The tags that every reader knows: types that hold no other values, of the standard library, and `File` and `Dir`.

Scalars of NumPy and pandas have tags, too: see `_scalars`, which is loaded where there are such.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, TypeAlias, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from entrepot._sentinels import MISSING, Missing
from entrepot.hashing.files import Dir, File, note_reference
from entrepot.serializers._describe import type_name

__all__ = [
    "DECODERS",
    "LEAF_ENCODERS",
    "TAG",
    "Decoder",
    "Refusal",
    "is_of_library",
    "is_utf8",
    "library_scalar",
    "plain_float",
    "plain_int",
    "plain_str",
    "tag",
]

TAG: Final = "$type"
"""The key that makes a JSON object a tag."""

Decoder: TypeAlias = Callable[[dict[str, object]], object]
"""Gives the value of one tag; what is inside the tag has been decoded before."""

_LIBRARIES: Final = frozenset({"numpy", "pandas"})
_MAX_PLAIN_BITS: Final = 2048  # longer integers are tagged, in hex: Python limits how many decimal digits it reads


class Refusal(Exception):  # noqa: N818  it never leaves: `to_plain` turns it into a SerializationError
    """Raised inside `to_plain`, by encoders too: this value cannot be written.

    Args:
        value: Only its type is ever shown.
        why: What is known and what to do.
    """

    def __init__(self, value: object, why: str) -> None:
        super().__init__(why)
        self.kind = type(value)
        self.steps: list[str] = []


def tag(name: str, value: object, **extra: object) -> dict[str, object]:
    """Return a tag; `value` is plain JSON."""
    return {TAG: name, "value": value, **extra}


# --- writing ------------------------------------------------------------------------------------------------------


def is_utf8(text: str) -> bool:
    """Return whether a string is free of lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_str(value: str) -> object:
    """Return a string as plain JSON."""
    return value if is_utf8(value) else tag("str", _base64(value.encode("utf-8", "surrogatepass")))


def plain_int(value: int) -> object:
    """Return an integer as plain JSON."""
    return value if value.bit_length() <= _MAX_PLAIN_BITS else tag("int", hex(value))


def plain_float(value: float) -> object:
    """Return a float as plain JSON, which has no NaN and no infinities."""
    return value if isfinite(value) else tag("float", str(value))


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _iso(name: str, when: datetime | time) -> object:
    zone = when.tzinfo
    extra: dict[str, object] = {"fold": 1} if when.fold else {}
    if type(zone) is ZoneInfo and zone.key is not None:
        # The text is then the time on the wall: the offset follows from the zone, and `fold` settles what is left.
        return tag(name, when.replace(tzinfo=None).isoformat(), **extra, zone=zone.key)
    if zone is not None and type(zone) is not timezone and not _is_offset(zone):
        raise Refusal(when, f"its tzinfo is a {type_name(type(zone))}; use zoneinfo.ZoneInfo or datetime.timezone")
    return tag(name, when.isoformat(), **extra)


def _is_offset(zone: tzinfo) -> bool:
    """Return whether a zone is pydantic's own kind of fixed offset: what it makes of a time in JSON or a file."""
    return (type(zone).__module__, type(zone).__name__) == ("pydantic_core._pydantic_core", "TzInfo")


def _timedelta(value: object) -> object:
    span = cast("timedelta", value)
    return tag("timedelta", {"days": span.days, "seconds": span.seconds, "microseconds": span.microseconds})


def _complex(value: object) -> object:
    number = cast("complex", value)
    return tag("complex", [plain_float(number.real), plain_float(number.imag)])


def _fraction(value: object) -> object:
    number = cast("Fraction", value)
    return tag("fraction", [plain_int(number.numerator), plain_int(number.denominator)])


def _range(value: object) -> object:
    span = cast("range", value)
    return tag("range", [plain_int(span.start), plain_int(span.stop), plain_int(span.step)])


def _text(name: str) -> Callable[[object], object]:
    return lambda value: tag(name, plain_str(str(value)))


def _reference(name: str) -> Callable[[object], object]:
    def encode(value: object) -> object:
        note_reference(cast("File | Dir", value))
        return tag(name, plain_str(str(value)))

    return encode


LEAF_ENCODERS: Final[Mapping[type, Callable[[object], object]]] = {
    bytes: lambda value: tag("bytes", _base64(cast("bytes", value))),
    bytearray: lambda value: tag("bytearray", _base64(cast("bytearray", value))),
    complex: _complex,
    range: _range,
    datetime: lambda value: _iso("datetime", cast("datetime", value)),
    date: lambda value: tag("date", cast("date", value).isoformat()),
    time: lambda value: _iso("time", cast("time", value)),
    timedelta: _timedelta,
    UUID: _text("uuid"),
    Decimal: _text("decimal"),
    Fraction: _fraction,
    type(Path()): _text("path"),
    PurePosixPath: _text("pure-posix-path"),
    PureWindowsPath: _text("pure-windows-path"),
    File: _reference("file"),
    Dir: _reference("dir"),
}
"""By exact type: a subclass would come back as its base."""


def is_of_library(kind: type) -> bool:
    """Return whether a class is one of NumPy's or pandas', whose scalars may be written."""
    return kind.__module__.partition(".")[0] in _LIBRARIES


def library_scalar(value: object) -> dict[str, object] | Missing:
    """Return a scalar of NumPy or pandas as a tag; MISSING for anything else."""
    if not is_of_library(type(value)):
        return MISSING
    from entrepot.serializers._scalars import plain_scalar  # noqa: PLC0415  it loads NumPy, for what is NumPy's only

    return plain_scalar(value)


# --- reading ------------------------------------------------------------------------------------------------------


def _str_of(tagged: dict[str, object]) -> str:
    if not isinstance(tagged["value"], str):
        raise TypeError("not text")
    return tagged["value"]


def _bytes_of(tagged: dict[str, object]) -> bytes:
    return base64.b64decode(_str_of(tagged), validate=True)


def _list_of(tagged: dict[str, object]) -> list[object]:
    if not isinstance(tagged["value"], list):
        raise TypeError("not a list")
    return tagged["value"]


def _ints_of(tagged: dict[str, object]) -> list[int]:
    return cast("list[int]", _list_of(tagged))


def _float_of(tagged: dict[str, object]) -> float:
    value = float(_str_of(tagged))
    if isfinite(value):
        raise ValueError("finite numbers are not tagged")
    return value


def _zoned(tagged: dict[str, object], when: datetime | time) -> datetime | time:
    if "zone" in tagged:
        when = when.replace(tzinfo=ZoneInfo(str(tagged["zone"])))
    return when.replace(fold=1) if tagged.get("fold") else when


def _scalar(tagged: dict[str, object]) -> object:
    from entrepot.serializers._scalars import scalar_of  # noqa: PLC0415  it loads NumPy, for what is NumPy's only

    return scalar_of(tagged)


DECODERS: Final[Mapping[str, Decoder]] = {
    "str": lambda tagged: _bytes_of(tagged).decode("utf-8", "surrogatepass"),
    "int": lambda tagged: int(_str_of(tagged), 16),
    "float": _float_of,
    "dict": lambda tagged: dict(cast("list[tuple[object, object]]", _list_of(tagged))),
    "tuple": lambda tagged: tuple(_list_of(tagged)),
    "set": lambda tagged: set(_list_of(tagged)),
    "frozenset": lambda tagged: frozenset(_list_of(tagged)),
    "bytes": _bytes_of,
    "bytearray": lambda tagged: bytearray(_bytes_of(tagged)),
    "complex": lambda tagged: complex(*cast("list[float]", _list_of(tagged))),
    "range": lambda tagged: range(*_ints_of(tagged)),
    "datetime": lambda tagged: _zoned(tagged, datetime.fromisoformat(_str_of(tagged))),
    "date": lambda tagged: date.fromisoformat(_str_of(tagged)),
    "time": lambda tagged: _zoned(tagged, time.fromisoformat(_str_of(tagged))),
    "timedelta": lambda tagged: timedelta(**cast("dict[str, int]", tagged["value"])),
    "uuid": lambda tagged: UUID(_str_of(tagged)),
    "decimal": lambda tagged: Decimal(_str_of(tagged)),
    "fraction": lambda tagged: Fraction(*_ints_of(tagged)),
    "path": lambda tagged: Path(_str_of(tagged)),
    "pure-posix-path": lambda tagged: PurePosixPath(_str_of(tagged)),
    "pure-windows-path": lambda tagged: PureWindowsPath(_str_of(tagged)),
    "file": lambda tagged: File(Path(_str_of(tagged))),
    "dir": lambda tagged: Dir(Path(_str_of(tagged))),
    "numpy-scalar": _scalar,
    "pandas-timestamp": _scalar,
    "pandas-timedelta": _scalar,
    "pandas-missing": _scalar,
}
