"""Any other serializer's bytes, compressed with Zstandard: one plain frame, so that `zstd -d` opens the file."""

from collections.abc import Iterator, Sequence
from typing import Final

import zstandard

from entrepot.errors import OptionError, SerializationError
from entrepot.protocols.serializer import ChoosesSerializer, Serializer
from entrepot.protocols.storage import Buffer
from entrepot.serializers import COMPRESSED, get_serializer
from entrepot.serializers.buffers import allocate, flat, total_size

__all__ = ["DEFAULT_MAX_SIZE", "CompressedSerializer"]

DEFAULT_MAX_SIZE: Final = 16 << 30
"""Bytes of a value before compression, at most."""

_PIECE: Final = 1 << 20  # given to the compressor at a time: it would answer a large buffer with all of it compressed


class CompressedSerializer:
    """Compresses what another serializer writes.

    Args:
        serializer: The other one, or its name.
        level: Of Zstandard, 1 (fast) to 22 (small).
        max_size: The most bytes that a value may have before compression, written or read: a small file cannot claim
            all the memory of its reader.

    Raises:
        OptionError: If `level` is out of range, or the other serializer compresses already.
    """

    is_text = False

    def __init__(
        self, serializer: str | Serializer = "json", level: int = 3, *, max_size: int = DEFAULT_MAX_SIZE
    ) -> None:
        self._inner = get_serializer(serializer)
        if isinstance(self._inner, CompressedSerializer):
            raise OptionError(f"{self._inner.name!r} compresses already; wrap what it wraps", option="serializer")
        if not 1 <= level <= zstandard.MAX_COMPRESSION_LEVEL:
            raise OptionError(
                f"level={level!r} is no compression level; use 1 to {zstandard.MAX_COMPRESSION_LEVEL}", option="level"
            )
        self._level = level
        self._max_size = max_size
        self.name: str = f"{COMPRESSED}{self._inner.name}"
        self.extension: str = f"{self._inner.extension}.zst"
        self.reads_code: bool = self._inner.reads_code

    def choose(self, value: object, *, allow: frozenset[str] | None = None) -> Serializer:
        """Return what writes a value: this, or, around a serializer that picks (`auto`), this around what it picks.

        Raises:
            RefusedSerializerError: As of the other serializer.
        """
        inner = self._inner
        if not isinstance(inner, ChoosesSerializer):
            return self
        named = None if allow is None else frozenset(name.removeprefix(COMPRESSED) for name in allow)
        return CompressedSerializer(inner.choose(value, allow=named), self._level, max_size=self._max_size)

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the value's bytes.

        Raises:
            SerializationError: If the other serializer cannot write it, or it is larger than `max_size`.
        """
        return [*self.compress([flat(part) for part in self._inner.dumps(value)])]

    def compress(self, parts: Sequence[memoryview]) -> Iterator[bytes]:
        """Yield what the other serializer has written, compressed, piece by piece.

        Raises:
            SerializationError: If it is larger than `max_size`.
        """
        size = total_size(parts)
        self._check_size(size)
        # The frame states the size: a reader then allocates once, and knows when something is cut short.
        compressor = zstandard.ZstdCompressor(level=self._level).compressobj(size=size)
        for part in parts:
            for start in range(0, part.nbytes, _PIECE):
                if piece := compressor.compress(part[start : start + _PIECE]):
                    yield piece
        yield compressor.flush()

    def loads(self, data: memoryview) -> object:
        """Return the value.

        Raises:
            SerializationError: If this is no single, whole frame that states its size, or not the other serializer's.
        """
        try:
            size = zstandard.frame_content_size(data)
        except zstandard.ZstdError:
            size = -1
        if size < 0:
            raise self._unreadable("it does not begin with a Zstandard frame of stated size")
        self._check_size(size)
        whole = allocate(size)
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        try:
            done = 0
            while done < size and (count := reader.readinto(whole[done:])):
                done += count
            if done < size or reader.read(1):
                raise self._unreadable("its size is not what it states")
        except zstandard.ZstdError:
            raise self._unreadable("the compressed data is damaged") from None
        return self._inner.loads(whole)

    def _check_size(self, size: int) -> None:
        if size > self._max_size:
            raise SerializationError(
                f"the {self.name} serializer handles values of up to {self._max_size} bytes, and this one has {size};"
                f" raise max_size, or use result_serializer={self._inner.name!r}",
                serializer=self.name,
                path="value",
            )

    def _unreadable(self, why: str) -> SerializationError:
        return SerializationError(
            f"the {self.name} serializer cannot read this: {why}", serializer=self.name, path="value"
        )
