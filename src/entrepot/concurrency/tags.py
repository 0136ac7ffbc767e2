"""Limits by tag: a task run whose tags have one holds a slot of it while it runs. Cheap where there is none.

The names of such limits are read when the shared file has changed; else a task run pays for a look at its times.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from entrepot import settings
from entrepot.concurrency.slots import Slots
from entrepot.coordination.names import DATABASE_NAME, TAG_PREFIX
from entrepot.errors import StorageError

__all__ = ["tag_slots"]

_UNSETTLED: Final = 100_000_000  # nanoseconds: a file changed so shortly before it was read may change again unseen

_Look = tuple[tuple[int, int, int, int] | None, tuple[int, int, int, int] | None]

_log = logging.getLogger("entrepot.concurrency")

_unread: set[str] = set()  # files that could not be read the last time
_known: tuple[str, _Look, frozenset[str]] | None = None  # the file, how it looked, the limits by tag in it


def tag_slots(tags: Iterable[str], *, home: Path | None = None) -> Slots | None:
    """Return the slots that a task run with these tags has to hold while it runs, or None: most often None.

    Limits that cannot be read limit nothing: that is logged, once. What is wrong with their file then fails no run that
    may have nothing to do with it.

    Args:
        tags: Of the task run.
        home: Where the shared file is; the home folder by default.
    """
    names = [TAG_PREFIX + tag for tag in tags]
    if not names:
        return None
    limited = _limited(settings.home_folder() if home is None else home)
    found = sorted(name for name in names if name in limited) if limited else None
    return Slots(found) if found else None


def _limited(home: Path) -> frozenset[str]:
    """Return the names of the limits by tag that are active."""
    global _known  # noqa: PLW0603  one immutable tuple, replaced whole: threads need no lock
    file = os.path.join(home, DATABASE_NAME)  # noqa: PTH118  text: it is looked at in every task run
    look = (_look(file), _look(file + "-wal"))
    known = _known
    if known is not None and known[0] == file and known[1] == look:
        return known[2]
    if look[0] is None:
        return frozenset()
    from entrepot.coordination.limits import read_limits  # noqa: PLC0415  the lazy seam: it loads SQLite

    begun = time.time_ns()
    try:
        found = read_limits(path=Path(file))
    except StorageError as error:
        if file not in _unread:
            _unread.add(file)
            _log.warning("limits by tag limit nothing for now: %s", error)
        return frozenset()
    _unread.discard(file)
    limited = frozenset(limit.name for limit in found if limit.active and limit.name.startswith(TAG_PREFIX))
    # A file's times have steps of some milliseconds: two changes within one look alike.
    settled = all(part is None or part[2] + _UNSETTLED < begun for part in look)
    _known = (file, look, limited) if settled else None
    return limited


def _look(file: str) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116  on every task run
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
