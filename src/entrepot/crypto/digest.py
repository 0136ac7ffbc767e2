"""Keyed digests (BLAKE3): the names and checksums of result payloads.

A digest is `blake3:<key id>:<64 hex digits>`. It is keyed: who can write to a store but has no key can make no payload
that verifies, and who can list a store learns nothing about its values.
"""

import re
from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from entrepot.crypto.keyring import Key, Keyring
from entrepot.errors import IntegrityError
from entrepot.protocols.storage import Buffer

__all__ = ["Digester", "Hasher"]

_LABEL: Final = "entrepot/result/digest/1"
_DIGEST: Final = re.compile(r"blake3:(k[0-9a-f]{16}):([0-9a-f]{64})\Z", re.ASCII)
_THREADS_FROM: Final = 1 << 20  # below 1 MiB, one thread is faster than handing out the work


class Hasher:
    """Takes bytes piece by piece; `digest()` is the digest of all of them.

    Attributes:
        key_id: The key it works under.
    """

    __slots__ = ("_hash", "key_id")

    def __init__(self, key_id: str, key: bytes, *, threads: bool) -> None:
        self.key_id = key_id
        self._hash = blake3(key=key, max_threads=blake3.AUTO if threads else 1)

    def update(self, data: Buffer) -> None:
        """Take more bytes (contiguous)."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """Return the 64 hex digits for the bytes so far."""
        return self._hash.hexdigest()

    def digest(self) -> str:
        """Return the digest, with its key id, of the bytes so far."""
        return f"blake3:{self.key_id}:{self._hash.hexdigest()}"


class Digester:
    """Makes keyed digests.

    Args:
        ring: Its primary result key makes new digests; its other keys still check older ones.
    """

    __slots__ = ("_ring",)

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def new(self, *, size: int | None = None) -> Hasher:
        """Return a hasher under the primary key; `size` (bytes to come, if known) decides about threads."""
        return self._hasher(self._ring.primary("result"), size)

    def digest(self, parts: Sequence[Buffer]) -> str:
        """Return the digest of the parts, one after another (contiguous buffers; none is copied)."""
        hasher = self.new(size=sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts))
        for part in parts:
            hasher.update(part)
        return hasher.digest()

    def hasher_for(self, digest: str, *, size: int | None = None) -> Hasher:
        """Return a hasher under the key of a given digest, to check bytes against it.

        Raises:
            IntegrityError: If it is not a digest of this form.
            UnknownKeyError: If the ring does not have its key, or no longer enables it.
        """
        match = _DIGEST.match(digest)
        if match is None:
            raise IntegrityError(f"not a digest that this version reads: {digest[:100]!a}", location=digest[:100])
        return self._hasher(self._ring.key(match[1], "result"), size)

    def _hasher(self, key: Key, size: int | None) -> Hasher:
        threads = size is None or size >= _THREADS_FROM
        return Hasher(key.id, self._ring.derive(key, _LABEL), threads=threads)
