"""The digest of long runs of bytes: BLAKE3, which works on several cores and reads memory without a copy."""

from blake3 import blake3

from entrepot.protocols.storage import Buffer

__all__ = ["Bulk", "bulk_digest"]

_THREADED = 1 << 20
"""Bytes below which starting threads costs more than they save."""


class Bulk:
    """A running digest over pieces; where the pieces are cut does not matter.

    Args:
        size: About how many bytes will come; many are worth several threads.
    """

    __slots__ = ("_hasher",)

    def __init__(self, size: int = 0) -> None:
        self._hasher = blake3(max_threads=blake3.AUTO if size >= _THREADED else 1)

    def update(self, piece: Buffer) -> None:
        """Take one more piece."""
        self._hasher.update(piece)

    def digest(self) -> bytes:
        """Return the 32 bytes."""
        return self._hasher.digest()


def bulk_digest(data: Buffer) -> bytes:
    """Return the 32-byte digest of one run of bytes."""
    bulk = Bulk(len(data))
    bulk.update(data)
    return bulk.digest()
