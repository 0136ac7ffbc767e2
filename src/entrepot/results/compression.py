"""Whether a large result is worth compressing: a quick sample of its bytes tells."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.serializers import is_allowed
from entrepot.serializers.buffers import total_size
from entrepot.storage.stages import Spool

if TYPE_CHECKING:
    from entrepot.serializers.compressed import CompressedSerializer

__all__ = ["Compression", "compressed_where_worth_it", "is_worth_it"]

Compression: TypeAlias = Literal["auto", "never", "always"]
"""When large values are compressed; "auto": on their way to another machine, if a sample shrinks to four fifths."""

_LEAST: Final = 1 << 20
_BLOCK: Final = 64 << 10
_BLOCKS: Final = 5
_LEVEL: Final = 1
_RATIO: Final = 0.8
_HELD: Final = 8 << 20
_HERE: Final = ("memory", "file", "local")


def compressed_where_worth_it(
    storage: Storage,
    serializer: Serializer,
    parts: Sequence[memoryview],
    *,
    compression: Compression,
    allow: frozenset[str] | None,
) -> tuple[Serializer, Sequence[memoryview]]:
    """Return a written value and its serializer, or both compressed where that is worth it.

    What is compressed takes a few MiB of memory: the rest is in a file without a name. For an encrypted store it is all
    in memory, since nothing goes to a disk in plain.

    Args:
        storage: Where it goes.
        serializer: What wrote it.
        parts: Its bytes.
        compression: When to compress.
        allow: The names of the serializers that may be used; None for all.

    Raises:
        StorageError: If there is no room for the file.
    """
    size = total_size(parts)
    if compression == "never" or size < _LEAST or (compression == "auto" and not _is_remote(storage)):
        return serializer, parts
    from entrepot.serializers.compressed import (  # noqa: PLC0415  zstandard, for large results only
        DEFAULT_MAX_SIZE,
        CompressedSerializer,
    )
    from entrepot.storage.encrypted import EncryptedStorage  # noqa: PLC0415  the same

    if size > DEFAULT_MAX_SIZE or isinstance(serializer, CompressedSerializer):
        return serializer, parts
    if compression == "auto" and not is_worth_it(parts):
        return serializer, parts
    outer = CompressedSerializer(serializer, level=_LEVEL)
    if not is_allowed(outer.name, allow):
        return serializer, parts
    return outer, _packed(outer, parts, spools=not isinstance(storage, EncryptedStorage))


def is_worth_it(parts: Sequence[memoryview]) -> bool:
    """Return whether a few blocks from all over a value shrink to at most four fifths."""
    import zstandard  # noqa: PLC0415  as above

    size = total_size(parts)
    step = max(0, size - _BLOCK) / (_BLOCKS - 1)
    sample = b"".join(_block(parts, int(number * step)) for number in range(_BLOCKS))
    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample)) <= _RATIO * len(sample)


def _block(parts: Sequence[memoryview], start: int) -> bytes:
    pieces: list[memoryview] = []
    left = _BLOCK
    for part in parts:
        if start < part.nbytes and left:
            piece = part[start : start + left]
            pieces.append(piece)
            left -= piece.nbytes
        start = max(0, start - part.nbytes)
    return b"".join(pieces)


def _is_remote(storage: Storage) -> bool:
    scheme, mark, _ = storage.location.partition("://")
    return bool(mark) and scheme not in _HERE


def _packed(serializer: "CompressedSerializer", parts: Sequence[memoryview], *, spools: bool) -> Sequence[memoryview]:
    held: list[memoryview] = []
    size = 0
    spool: Spool | None = None
    try:
        for piece in serializer.compress(parts):
            view = memoryview(piece)
            size += view.nbytes
            if spools and size > _HELD:
                if spool is None:
                    spool = Spool()
                    for earlier in held:
                        spool.write(earlier)
                spool.write(view)
            else:
                held.append(view)
        return held if spool is None else [spool.view()]  # the view keeps the file
    finally:
        if spool is not None:
            spool.close()
