"""Digests of files that were read before, by how the files look: `files.db` in the home.

A file that has the same size, times, number and device as when it was read is not read again. That holds only if no
change can leave all of them as they were. What is done so that none can:

- The time of change (ctime) is among them. It cannot be set: putting the time of modification back changes it.
- A file is not remembered if it changed less than two seconds before it was read: a change right after may carry the
  same time, as clocks of file systems are coarse (a tick of the kernel, two seconds on FAT).
- Memory-mapped writes carry the time at which a page was first written to since it was last saved, so that a change can
  have a time that is long past. A file is therefore saved (fsync) before it is read and remembered; from then on, the
  first write to each page is noted again. That holds for the file systems in `_NOTING`. On others (tmpfs, network file
  systems, whatever is unknown) nothing is remembered.

Small files are read each time: that is as quick. A lost or damaged `files.db` only costs time: every row has a digest
of its own over what it says, and what does not fit is not believed.
"""

import hashlib
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from entrepot import settings
from entrepot._database import DATABASE_GUARD, NewerSchemaError, open_for_reading, open_for_writing
from entrepot.errors import EntrepotError

__all__ = ["Look", "is_worth_it", "recall", "remember", "settle"]

_NAME: Final = "files.db"
_TABLE: Final = """
CREATE TABLE files (
    path BLOB PRIMARY KEY, look TEXT NOT NULL, digest BLOB NOT NULL, seal BLOB NOT NULL, seen INTEGER NOT NULL
) WITHOUT ROWID
"""
_LADDER: Final = ((_TABLE, "CREATE INDEX files_seen ON files (seen)"),)
_WORTH: Final = 256 << 10
"""Bytes from which on asking is quicker than reading."""

_SETTLED: Final = 2_000_000_000
"""Nanoseconds after its last change from which on a file may be remembered."""

_MOST: Final = 100_000
"""Files that are remembered; those that were read longest ago are forgotten."""

_PATIENCE: Final = 0.2
"""Seconds to wait for others: the file could be read meanwhile."""

_NOTING: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
"""File systems on local disks that note a mapped write to a page that was saved."""

_BROKEN: Final = (sqlite3.Error, NewerSchemaError, EntrepotError, OSError)


class Look(NamedTuple):
    """What a file looks like from outside."""

    size: int
    modified: int
    changed: int
    number: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the look that the system reports."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)

    def is_settled(self, now: int) -> bool:
        """Tell whether the last change is so long ago that another one could not carry the same time."""
        return max(self.modified, self.changed) + _SETTLED <= now

    def __str__(self) -> str:
        return ",".join(map(str, self))


def is_worth_it(look: Look) -> bool:
    """Tell whether a file is so large that it pays to ask, and lies where an answer can be believed."""
    return look.size >= _WORTH and file_system(look.device) in _NOTING


def recall(path: str, look: Look) -> bytes | None:
    """Return the digest of a file that was read when it looked like this, or None."""
    try:
        with DATABASE_GUARD:
            connection = open_for_reading(_place(), _LADDER, patience=_PATIENCE)
            if connection is None:
                return None
            with closing(connection):
                row = connection.execute(
                    "SELECT look, digest, seal FROM files WHERE path = ?", (os.fsencode(path),)
                ).fetchone()
    except _BROKEN:
        return None
    if row is None or row[0] != str(look) or row[2] != _seal(path, row[0], row[1]):
        return None
    return bytes(row[1])


def settle(descriptor: int) -> bool:
    """Save what was written to a file's mapped pages, so that later writes are noted; tell whether that is done."""
    try:
        os.fsync(descriptor)
    except OSError:
        return False
    return True


def remember(path: str, look: Look, digest: bytes) -> None:
    """Remember the digest of a file that was settled, looked like this before it was read, and still does."""
    row = (os.fsencode(path), str(look), digest, _seal(path, str(look), digest), time.time_ns())
    try:
        _insert(row)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # busy, full, not to be written
            return
        _start_afresh()
        with suppress(*_BROKEN):
            _insert(row)
    except _BROKEN:
        return


def _insert(row: tuple[object, ...]) -> None:
    with DATABASE_GUARD, closing(open_for_writing(_place(), _LADDER, patience=_PATIENCE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
        (count,) = connection.execute("SELECT count(*) FROM files").fetchone()
        if count > _MOST:
            connection.execute(
                "DELETE FROM files WHERE path IN (SELECT path FROM files ORDER BY seen LIMIT ?)", (_MOST // 10,)
            )
        connection.execute("COMMIT")


def file_system(device: int) -> str:
    """Return what kind of file system a device holds: "ext4"; "" where that is not known."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError, ValueError), Path("/proc/self/mountinfo").open(encoding="utf-8") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if before.split(" ", 3)[2] == wanted:
                return after.split(" ", 1)[0]
    return ""


def _place() -> Path:
    return settings.home_folder() / _NAME


def _seal(path: str, look: str, digest: bytes) -> bytes:
    said = b"\0".join((os.fsencode(path), look.encode(), digest))
    return hashlib.blake2b(said, digest_size=16, person=b"entrepot-files-1").digest()


def _start_afresh() -> None:
    """Remove a database that is none (any more); whoever has it open writes to what nobody reads."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{_place()}{suffix}").unlink()
