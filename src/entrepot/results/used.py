"""When results were last used: what a store that is full goes by.

Where files can be touched, the record's own time says so. Elsewhere an object `used/<2 hex>/<name>` does, whose own
time counts. It is noted only in stores with a largest size, and coarsely: an hour, or a day.
"""

import threading
from typing import Final

from entrepot._clock import Clock
from entrepot.errors import EntrepotError
from entrepot.protocols.storage import Storage, Touches

__all__ = ["USED", "Uses", "used_path"]

USED: Final = "used"

_TOUCHED: Final = 3600.0  # seconds between two notes of one record by one process
_WRITTEN: Final = 86_400.0  # the same where a note is a request that costs money
_KNOWN: Final = 65_536  # records that a process remembers


class Uses:
    """Notes the use of the records of one store.

    Args:
        storage: Where.
        clock: Tells how long ago the last note was.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}

    def note(self, path: str) -> None:
        """Note that the record of a path was used just now; a store that does not take the note does no harm."""
        storage, now = self._storage, self._clock.monotonic()
        every = _TOUCHED if isinstance(storage, Touches) else _WRITTEN
        last = self._noted.get(path)
        if last is not None and now - last < every:
            return
        with self._lock:
            if len(self._noted) >= _KNOWN:
                self._noted.clear()
            self._noted[path] = now
        try:
            if isinstance(storage, Touches):
                storage.touch(path)
            else:
                storage.put(used_path(path), b"1")
        except EntrepotError:
            pass  # read-only, say: then the time when it was made counts


def used_path(path: str) -> str:
    """Return where the use of a record is noted."""
    folder, _, name = path.partition("/")[2].rpartition("/")
    return f"{USED}/{folder}/{name.removesuffix('.json')}"
