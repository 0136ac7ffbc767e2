"""Records that this process has verified, with the bytes that they were verified as.

A record is read from its store at every look-up. Where the very same bytes are in the very same place again, and the
ring is the same, the answer of signature and decoding is the same too: neither is done again. Nothing else about a
record is remembered: whether it is there, whether it counts, has expired, or what it refers to is seen each time.
"""

from typing import Final

from entrepot.crypto.keyring import Keyring
from entrepot.results.record import Record

__all__ = ["Remembered"]

_MOST: Final = 512  # records of one store
_LONGEST: Final = 4096  # bytes of one: so that all take a few megabytes at most


class Remembered:
    """The small records of one store that were verified last. Safe to share between threads."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, Keyring, Record]] = {}

    def find(self, path: str, data: bytes, ring: Keyring) -> Record | None:
        """Return what these bytes say in this place, if they were verified there under this ring.

        Args:
            path: Where they are.
            data: All that is there now.
            ring: The reader's keys; a ring never changes, so that another state of keys is another ring.
        """
        known = self._known.get(path)
        return known[2] if known is not None and known[1] is ring and known[0] == data else None

    def note(self, path: str, data: bytes, ring: Keyring, record: Record) -> None:
        """Remember that bytes were verified; those of large results are not worth it."""
        if record.payload is not None or len(data) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.clear()  # one step, whatever other threads do
        self._known[path] = (data, ring, record)
