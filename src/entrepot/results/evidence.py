"""Copies of what did not verify, for who wants to find out what happened."""

import contextlib
import hashlib
import logging
from typing import Final

from entrepot.errors import EntrepotError, ObjectExistsError, ObjectNotFoundError
from entrepot.protocols.storage import Storage

__all__ = ["keep_evidence"]

_MAX_SIZE: Final = 64 << 20

_logger = logging.getLogger("entrepot.results")


def keep_evidence(storage: Storage, path: str) -> str:
    """Copy an object below `damaged/`, to a name that follows from its bytes, so that the same damage is kept once.

    It is not moved: deleting it could hit what another writer has put in its place meanwhile.

    Returns:
        Where the copy is, for people; "" where there is nothing to copy, or it could not be written. Never an error of
        the storage: evidence is not worth stopping a run for.
    """
    folder, _, name = path.rpartition("/")
    stem, _, extension = name.partition(".")
    where = storage.location.rstrip("/")
    try:
        if storage.stat(path).size > _MAX_SIZE:  # somebody may have put anything there
            return f"{where}/{path} (too large to copy)"
        data = storage.get(path, length=_MAX_SIZE)
        kept = f"damaged/{folder}/{stem}-{hashlib.sha256(data).hexdigest()[:16]}.{extension}"
        with contextlib.suppress(ObjectExistsError):
            if storage.creates_exclusively:
                storage.create(kept, data)
            else:
                storage.put(kept, data)
    except ObjectNotFoundError:
        return ""  # a payload that is not there leaves nothing to keep
    except EntrepotError as error:
        _logger.debug("no copy of %s could be kept: %s", path, error)
        return ""
    return f"{where}/{kept}"
