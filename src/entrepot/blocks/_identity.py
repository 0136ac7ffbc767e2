"""What stands for a block in cache keys: its slug and fields, with keyed digests for secrets."""

import hmac
import json
from typing import Final

from entrepot.blocks._decoding import quietly
from entrepot.blocks._encoding import encode_fields
from entrepot.blocks.core import Block
from entrepot.blocks.documents import current_ring
from entrepot.errors import SerializationError, UnhashableValueError

__all__ = ["identity"]

_IDENTITY: Final = "entrepot/block/identity/1"


def identity(block: Block) -> tuple[str, object]:
    """Return what stands for a block in cache keys; see `Block.__entrepot_key__`.

    Raises:
        UnhashableValueError: If a field cannot be written, so that nothing stable stands for it.
    """
    slug = type(block).get_block_type_slug()

    def veil(plain: object) -> str:
        ring = current_ring()
        key = ring.derive(ring.primary("block"), _IDENTITY)
        return hmac.digest(key, json.dumps(plain, sort_keys=True).encode(), "sha256").hex()

    encoded = quietly(lambda: encode_fields(block, lambda _: None, veil=veil))
    if isinstance(encoded, SerializationError):
        raise UnhashableValueError(
            f"a block of type {slug} has no stable identity: {encoded}", parameter="block", path=encoded.path
        )
    if not isinstance(encoded, dict):
        raise encoded
    return slug, encoded
