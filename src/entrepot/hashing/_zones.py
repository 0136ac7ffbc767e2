"""How to write the time zones of pytz and dateutil, which older frames and datetimes carry."""

from typing import Any

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding

__all__ = ["encoding_for"]


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a zone of this class, or None if this module does not know it."""
    if cls.__module__.startswith("pytz"):
        return _pytz
    return _DATEUTIL.get(cls.__qualname__)


def _pytz(encoder: Encoder, value: Any) -> bytes:
    # A zone of pytz that a datetime carries is fixed at one of the zone's offsets.
    moment = (getattr(value, "_utcoffset", None), getattr(value, "_dst", None), getattr(value, "_tzname", None))
    return encoder.named("pytz", text(str(value)), encoder.encode(moment))


def _utc(encoder: Encoder, _: Any) -> bytes:
    return encoder.named("dateutil.tz.tzutc")


def _offset(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("dateutil.tz.tzoffset", encoder.encode((value.tzname(None), value.utcoffset(None))))


_DATEUTIL = {"tzutc": _utc, "tzoffset": _offset}
