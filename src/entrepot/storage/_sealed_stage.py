"""Objects under way to an encrypted store: nothing of them is written anywhere in plain."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entrepot.protocols.storage import Buffer, Storage
from entrepot.storage.stages import Spool, write_staged

__all__ = ["SealedStage"]

_NONCE: Final = 12
_PIECE: Final = 1 << 20


class SealedStage:
    """Spools encrypted, under a key that never leaves this object; the object itself is encrypted once it has a path.

    Args:
        storage: Where the object goes.
        seal: Encrypts an object, of (path, its size, its pieces).
    """

    def __init__(self, storage: Storage, seal: Callable[[str, int, Iterable[Buffer]], Iterable[Buffer]]) -> None:
        self._storage = storage
        self._seal = seal
        self._spool = Spool()
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._pieces: list[int] = []  # the length of each, in the spool
        self._size = 0

    def write(self, data: Buffer) -> None:
        """Add bytes.

        Raises:
            StorageError: If there is no room for the spool file.
        """
        view = memoryview(data).cast("B")
        for start in range(0, view.nbytes, _PIECE):
            piece = view[start : start + _PIECE]
            sealed = self._cipher.encrypt(self._nonce(len(self._pieces)), piece, None)
            self._spool.write(memoryview(sealed))
            self._pieces.append(len(sealed))
            self._size += piece.nbytes

    def commit(self, path: str, *, replace: bool) -> None:
        """Encrypt the object for its path, and write it.

        Raises:
            ObjectExistsError: If `replace` is not set and there is one.
            StorageError: If it cannot be done.
        """
        write_staged(self._storage, path, self._seal(path, self._size, self._plain()), replace=replace)

    def close(self) -> None:
        """Let go of the spool file."""
        self._spool.close()

    def _plain(self) -> Iterator[bytes]:
        start = 0
        for number, size in enumerate(self._pieces):
            yield self._cipher.decrypt(self._nonce(number), self._spool.read(start, size), None)
            start += size

    def _nonce(self, number: int) -> bytes:
        return number.to_bytes(_NONCE, "big")  # of a key that is used for nothing else
