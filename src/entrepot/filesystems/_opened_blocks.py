"""From the type and the name of a saved block to its storage, with the block as it is now."""

import os
import threading
from collections import OrderedDict
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.blocks.core import Block
from entrepot.blocks.documents import current_documents
from entrepot.blocks.sources import sources
from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Storage, SupportsStorage

__all__ = ["KEPT_SECONDS", "forget", "storage_of"]

KEPT_SECONDS: Final = 5.0
"""For how long a block is not asked for again, where documents are on another machine."""

_MOST: Final = 64
_kept: OrderedDict[tuple[int, tuple[str, ...], str], tuple[float, Storage]] = OrderedDict()
_lock = threading.Lock()


def storage_of(slug: str, name: str, *, clock: Clock = SYSTEM_CLOCK) -> Storage:
    """Return the storage of a saved block.

    Documents on this machine are asked each time: a block that was saved a moment ago is the one that is used. Where
    each look is a request to a server, what it gave is used for `KEPT_SECONDS`, and no longer.

    Raises:
        BlockNotFoundError: If there is no such block.
        ConfigurationError: If it is no storage block.
        StorageError: If the documents cannot be reached.
    """
    locations = (*(source.location for source in sources()), current_documents().store.location)
    if not any(map(_is_far, locations)):
        return _loaded(slug, name)
    key = (os.getpid(), locations, f"{slug}/{name}")
    now = clock.monotonic()
    with _lock:
        for stale in [each for each, (until, _) in _kept.items() if until <= now]:
            del _kept[stale]
        found = _kept.get(key)
    if found is not None:
        return found[1]
    storage = _loaded(slug, name)
    with _lock:
        _kept[key] = (now + KEPT_SECONDS, storage)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return storage


def forget() -> None:
    """Let the next operation ask for every block again."""
    with _lock:
        _kept.clear()


def _is_far(location: str) -> bool:
    return "://" in location and not location.startswith("memory://")


def _loaded(slug: str, name: str) -> Storage:
    block = Block.load(f"{slug}/{name}")
    if isinstance(block, SupportsStorage):
        return block.as_storage()
    raise ConfigurationError(
        f"block://{slug}/{name} names a block of the type {slug}, which is no storage; use a block such as"
        " local-file-system, s3, gcs, azure or remote-file-system",
        setting=f"{slug}/{name}",
    )
