"""How to write the standard library's own kinds of value.

By the names of the types, so that none of their modules is imported here.
"""

from collections.abc import Callable
from typing import Any, Final

from entrepot.hashing._bytes import bytes_form, text
from entrepot.hashing._encoder import Encoder, Encoding, Refused

__all__ = ["STANDARD"]


def _plain(name: str, *read: Callable[[Any], Any]) -> Encoding:
    """Return an encoding that is a name and what `read` gives."""

    def encoding(encoder: Encoder, value: Any) -> bytes:
        return encoder.named(name, *[encoder.encode(get(value)) for get in read])

    return encoding


def _contents(name: str, *read: tuple[str, Callable[[Any], Any]]) -> Encoding:
    """Return an encoding for a container: parts by the step that a refusal says."""

    def form(encoder: Encoder, value: Any) -> bytes:
        return encoder.named(name, *[encoder.part(step, get(value)) for step, get in read])

    def encoding(encoder: Encoder, value: Any) -> bytes:
        return encoder.container(value, form)

    return encoding


def _bytearray(encoder: Encoder, value: bytearray) -> bytes:
    return encoder.named("bytearray", bytes_form(value))


def _memoryview(encoder: Encoder, value: memoryview) -> bytes:
    flat = value.cast("B") if value.c_contiguous else memoryview(value.tobytes())
    return encoder.named("memoryview", text(value.format), encoder.encode(value.shape), bytes_form(flat))


def _array(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("array.array", text(value.typecode), bytes_form(memoryview(value).cast("B")))


def _datetime(encoder: Encoder, value: Any) -> bytes:
    zone = encoder.part(".tzinfo", value.tzinfo)
    return encoder.named("datetime.datetime", text(value.replace(tzinfo=None).isoformat()), b"i%d;" % value.fold, zone)


def _time(encoder: Encoder, value: Any) -> bytes:
    zone = encoder.part(".tzinfo", value.tzinfo)
    return encoder.named("datetime.time", text(value.replace(tzinfo=None).isoformat()), b"i%d;" % value.fold, zone)


def _timezone(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("datetime.timezone", encoder.encode(value.utcoffset(None)), text(value.tzname(None)))


def _zoneinfo(encoder: Encoder, value: Any) -> bytes:
    if value.key is None:
        raise Refused("a zoneinfo.ZoneInfo", "which was read from a file and has no key")
    return encoder.named("zoneinfo.ZoneInfo", text(value.key))


def _path(encoder: Encoder, value: Any) -> bytes:
    return encoder.named(f"pathlib.{type(value).__name__}", text(str(value)))


def _address(encoder: Encoder, value: Any) -> bytes:
    return encoder.named(f"ipaddress.{type(value).__name__}", text(str(value)))


def _reduced(encoder: Encoder, value: Any) -> bytes:
    """Write an itemgetter, attrgetter or methodcaller: what they are made of is only in what they reduce to."""
    return encoder.named(f"operator.{type(value).__name__}", encoder.encode(tuple(value.__reduce__())))


def _partial_form(encoder: Encoder, value: Any) -> bytes:
    return encoder.named(
        "functools.partial",
        encoder.part(".func", value.func),
        encoder.part(".args", value.args),
        encoder.part(".keywords", value.keywords),
        encoder.attributes(vars(value)),
    )


def _partial(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _partial_form)


def _logger(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("logging.Logger", text(value.name))


def _namespace_form(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("types.SimpleNamespace", encoder.attributes(vars(value)))


def _namespace(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _namespace_form)


def _keys(name: str) -> Encoding:
    def encoding(encoder: Encoder, value: Any) -> bytes:
        return encoder.named(name, encoder.sequence(b"[", list(value)))

    return encoding


_PATHS: Final = ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")
_ADDRESSES: Final = ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "IPv4Interface", "IPv6Interface")

STANDARD: Final[dict[str, Encoding]] = {
    "builtins.ellipsis": _plain("ellipsis"),
    "builtins.NotImplementedType": _plain("NotImplemented"),
    "builtins.bytearray": _bytearray,
    "builtins.memoryview": _memoryview,
    "builtins.range": _plain("range", lambda v: v.start, lambda v: v.stop, lambda v: v.step),
    "builtins.slice": _contents(
        "slice", (".start", lambda v: v.start), (".stop", lambda v: v.stop), (".step", lambda v: v.step)
    ),
    "builtins.mappingproxy": _contents("mappingproxy", ("", lambda v: v | {})),
    "builtins.dict_keys": _keys("dict_keys"),
    "builtins.dict_values": _keys("dict_values"),
    "builtins.dict_items": _keys("dict_items"),
    "array.array": _array,
    "collections.OrderedDict": _contents("OrderedDict", (".keys()", list), ("", dict.copy)),
    "collections.defaultdict": _contents(
        "defaultdict", (".default_factory", lambda v: v.default_factory), ("", dict.copy)
    ),
    "collections.deque": _contents("deque", (".maxlen", lambda v: v.maxlen), ("", list)),
    "collections.ChainMap": _contents("ChainMap", (".maps", lambda v: v.maps)),
    "datetime.date": _plain("datetime.date", lambda v: v.isoformat()),
    "datetime.datetime": _datetime,
    "datetime.time": _time,
    "datetime.timedelta": _plain("datetime.timedelta", lambda v: v.days, lambda v: v.seconds, lambda v: v.microseconds),
    "datetime.timezone": _timezone,
    "decimal.Decimal": _plain("decimal.Decimal", str),
    "fractions.Fraction": _plain("fractions.Fraction", lambda v: v.numerator, lambda v: v.denominator),
    "functools.partial": _partial,
    "functools.partialmethod": _contents(
        "functools.partialmethod",
        (".func", lambda v: v.func),
        (".args", lambda v: v.args),
        (".keywords", lambda v: v.keywords),
    ),
    "logging.Logger": _logger,
    "logging.RootLogger": _logger,
    "operator.attrgetter": _reduced,
    "operator.itemgetter": _reduced,
    "operator.methodcaller": _reduced,
    "re.Pattern": _plain("re.Pattern", lambda v: v.pattern, lambda v: v.flags),
    "types.SimpleNamespace": _namespace,
    "uuid.UUID": _plain("uuid.UUID", lambda v: v.int),
    "zoneinfo.ZoneInfo": _zoneinfo,
    **{f"{module}.{name}": _path for name in _PATHS for module in ("pathlib", "pathlib._local")},
    **{f"ipaddress.{name}": _address for name in _ADDRESSES},
}
"""How to write a value, by module and qualified name of its exact type."""
