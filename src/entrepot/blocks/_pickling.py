"""Blocks with secrets in pickles: sealed, so that they open only where the keyring is."""

import pickle
from typing import TypeVar

from entrepot.blocks.core import Block
from entrepot.blocks.documents import current_ring
from entrepot.blocks.fields import remember_secrets
from entrepot.crypto.seal import seal, unseal

__all__ = ["open_pickle", "seal_pickle"]

B = TypeVar("B", bound=Block)


def seal_pickle(block: Block) -> bytes:
    """Return the state of a block, private attributes included, sealed."""
    return seal(current_ring(), memoryview(pickle.dumps(block.__getstate__(), 5)), place=_pickle_place(type(block)))


def open_pickle(cls: type[B], sealed: bytes) -> B:
    """Return a block from what `seal_pickle` gave; any process that has the keyring can do that.

    Raises:
        IntegrityError: If it was altered.
        UnknownKeyError: If the ring here does not have its key.
    """
    block = cls.__new__(cls)
    ring = current_ring()
    location = f"the pickled {cls.get_block_type_slug()} block"
    # Sealed by us: only who has the key can have made this pickle.
    block.__setstate__(pickle.loads(unseal(ring, sealed, place=_pickle_place(cls), location=location)))  # noqa: S301
    remember_secrets(block)
    return block


def _pickle_place(cls: type[Block]) -> dict[str, str | int]:
    return {"kind": "pickled block", "type": cls.get_block_type_slug()}
