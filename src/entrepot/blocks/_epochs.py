"""The epoch of the keyring, as documents say it: an older copy of the keyring, put back, is noticed by that."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from entrepot.crypto.keyring import Keyring

__all__ = ["EPOCH", "warn_if_older"]

EPOCH: Final = "epoch"
"""What a header calls the epoch of the ring that sealed it."""

_logger = logging.getLogger("entrepot.keys")
_told: set[tuple[str, int]] = set()  # the rings, by id and epoch, that were said to be older copies


def warn_if_older(ring: Keyring, header: Mapping[str, str | int], what: str, key_id: Callable[[], str]) -> None:
    """Say once if a ring lacks changes that were made elsewhere when a document was sealed.

    It may be the copy of another machine, which was not changed yet, so it is used all the same. Where the document is
    under a key that is yet to become the primary one here, that is a rotation on its way, and nothing is said.

    Args:
        ring: That opened the document.
        header: What that says of itself, verified.
        what: Which document, for people.
        key_id: Returns the id of its key; called where it matters.
    """
    mark = header.get(EPOCH)
    if not isinstance(mark, int) or mark <= ring.epoch or (ring.ring_id, ring.epoch) in _told:
        return
    if ring.is_ahead(key_id(), "block") or (ring.newest is not None and ring.newest().epoch >= mark):
        return
    _told.add((ring.ring_id, ring.epoch))
    _logger.warning(
        "The keyring %s is of epoch %d, and %s was sealed under epoch %d of it: it lacks changes that were made"
        " elsewhere, such as keys that were disabled since. Import a newer export of it (entrepot keys import FILE); if"
        " it is the only copy, an older one was put back: entrepot keys doctor",
        ring.location,
        ring.epoch,
        what,
        mark,
    )
