"""Forms of runs of bytes and of texts, short and long."""

import math
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from entrepot.protocols.storage import Buffer

if TYPE_CHECKING:
    from entrepot.hashing._bulk import Bulk

__all__ = ["INLINE", "bulk", "bytes_form", "pack", "pack_texts", "stream", "text"]

INLINE: Final = 65_536
"""Longer runs of bytes are replaced by their digest."""

_MANY: Final = 16_384
"""Texts that are joined at a time; the lengths of more are longer than `INLINE` in any case."""

_ONE_NAN: Final = float("nan")


def text(value: str) -> bytes:
    """Return the form of a text; lone surrogates are kept."""
    data = _utf8(value)
    return b"s%d:" % len(data) + data if len(data) <= INLINE else b"S" + bulk(data)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def bytes_form(data: Buffer) -> bytes:
    """Return the form of a run of bytes; a memoryview must be flat and of single bytes."""
    return b"b%d:" % len(data) + data if len(data) <= INLINE else b"B" + bulk(data)


def pack_texts(items: "list[str] | tuple[str, ...]") -> bytes:
    """Return the lengths of texts in characters, and the texts joined: together they give each back."""
    if len(items) > _MANY:
        return _stream_texts(items)
    return bytes_form(struct.pack(f"<{len(items)}q", *map(len, items))) + text("".join(items))


def _stream_texts(items: "list[str] | tuple[str, ...]") -> bytes:
    """Return what `pack_texts` does, with a part of them in memory at a time."""
    lengths, texts = _new_bulk(), _new_bulk()
    held: list[bytes] = []
    size = 0
    for start in range(0, len(items), _MANY):
        part = items[start : start + _MANY]
        lengths.update(struct.pack(f"<{len(part)}q", *map(len, part)))
        data = _utf8("".join(part))
        texts.update(data)
        size += len(data)
        if size <= INLINE:
            held.append(data)
        else:
            held.clear()
    joined = b"s%d:" % size + b"".join(held) if size <= INLINE else b"S" + texts.digest()
    return b"B" + lengths.digest() + joined


def pack(items: "list[Any] | tuple[Any, ...]") -> bytes | None:
    """Return the form of items that are all int64, all floats or all texts; None for others."""
    kinds = set(map(type, items))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    count = len(items)
    if kind is int:
        try:
            return b"q%d:" % count + struct.pack(f"<{count}q", *items)
        except struct.error:  # one is longer than 64 bits
            return None
    if kind is float:
        if math.isnan(sum(items)):  # true of every sum with a NaN in it, and quickly found
            items = [_ONE_NAN if math.isnan(item) else item for item in items]
        return b"d%d:" % count + struct.pack(f"<{count}d", *items)
    if kind is str:
        return b"s%d:" % count + pack_texts(items)
    return None


def stream(chunks: Iterable[bytes]) -> bytes:
    """Return the form that the chunks make together, without holding a long one in memory."""
    held: list[bytes] = []
    size = 0
    running: Bulk | None = None
    for chunk in chunks:
        size += len(chunk)
        if running is None and size > INLINE:
            running = _new_bulk()
            for early in held:
                running.update(early)
            held.clear()
        if running is None:
            held.append(chunk)
        else:
            running.update(chunk)
    return b"".join(held) if running is None else b"#" + running.digest()


def bulk(data: Buffer) -> bytes:
    """Return the 32-byte digest of a long run of bytes."""
    from entrepot.hashing._bulk import bulk_digest  # noqa: PLC0415  blake3 loads for long values only

    return bulk_digest(data)


def _new_bulk() -> "Bulk":
    from entrepot.hashing._bulk import Bulk  # noqa: PLC0415  blake3 loads for long values only

    return Bulk()
