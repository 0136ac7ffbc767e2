"""What runs leave behind in the home folder, and how it goes: snapshots, answers to questions, unfinished writes.

A snapshot and an answer are there for a run that is resumed, or run again. Once the last run of a line has been over
for `OLD` seconds, nobody is expected to. Those of a line that did not complete stay as long again, and what the history
knows nothing of goes by its age.

What is to go is found first, and each is looked at once more right before it goes: a run that was resumed meanwhile
keeps what it needs. Each goes in one step, so that a collection that is killed leaves the rest for the next one.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination import pauses
from entrepot.engine.past import SNAPSHOTS
from entrepot.engine.snapshots import forget, has_snapshot
from entrepot.errors import RunNotFoundError
from entrepot.runs import RunHistory
from entrepot.runs.default import DATABASE_NAME
from entrepot.runs.lines import line_of
from entrepot.storage import LocalStorage
from entrepot.storage.paths import RESERVED_PREFIX

__all__ = ["OLD", "Tidied", "tidy"]

OLD: Final = 30 * 86_400.0
"""Seconds after the end of a run."""

_UNFINISHED: Final = 86_400.0  # seconds: longer than a write takes
_FOLDERS: Final = (SNAPSHOTS, "blocks", "sources")


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was removed of a home, or would be.

    Attributes:
        snapshots: How many snapshots of runs that are over.
        answers: How many questions that were answered, and whose runs are over.
        unfinished: How many files that killed writers left.
        size: Bytes of the files.
    """

    snapshots: int = 0
    answers: int = 0
    unfinished: int = 0
    size: int = 0


def tidy(home: Path, *, is_dry: bool, clock: Clock = SYSTEM_CLOCK) -> Tidied:
    """Remove from a home what no run needs any more; results are no affair of this.

    Args:
        home: The folder.
        is_dry: Only say what would be removed.
        clock: Tells the time.

    Raises:
        EntrepotError: If the history, or the file of questions, cannot be read or written.
        StorageError: If a folder cannot be read.
    """
    now = clock.now()
    history = RunHistory(home / DATABASE_NAME)
    size = snapshots = answers = unfinished = 0
    found = [one for one in _snapshots(home) if _is_over(history, one[0], one[2], now)]
    asked = [one for one in pauses.answered_roots() if _is_over(history, *one, now)]
    for run_id, file_size, modified in found:
        if is_dry or _is_over(history, run_id, modified, now):
            snapshots, size = snapshots + 1, size + file_size
            if not is_dry:
                forget(home, run_id)
    for root_run_id, answered in asked:
        if is_dry or _is_over(history, root_run_id, answered, now):
            answers += pauses.forget_answered(root_run_id, answered, is_dry=is_dry)
    for folder in _FOLDERS:
        storage = LocalStorage(home / folder)
        for info in list(storage.unfinished(datetime.fromtimestamp(now.timestamp() - _UNFINISHED, UTC))):
            unfinished, size = unfinished + 1, size + info.size
            if not is_dry:
                storage.sweep(info.path)
    return Tidied(snapshots, answers, unfinished, size)


def _snapshots(home: Path) -> Iterator[tuple[str, int, datetime]]:
    with suppress(FileNotFoundError):
        for file in (home / SNAPSHOTS).iterdir():
            if file.name.startswith(RESERVED_PREFIX) or not has_snapshot(home, file.name):
                continue
            with suppress(FileNotFoundError):
                status = file.stat()
                yield file.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)


def _is_over(history: RunHistory, run_id: str, known: datetime, now: datetime) -> bool:
    """Return whether nobody is expected to go on with the line of runs that a run belongs to.

    Args:
        history: Where the runs are.
        run_id: One of them.
        known: When something was last heard of it, for a run that the history does not know.
        now: The time.
    """
    try:
        run = history.find(run_id)
        line = line_of(history, run.root_run_id or run.run_id)
    except RunNotFoundError:
        return (now - known).total_seconds() >= 2 * OLD
    if not all(one.is_terminal for one in line):
        return False
    ended = max((one.ended for one in line if one.ended is not None), default=known)
    wait = OLD if any(one.state_type == "COMPLETED" for one in line) else 2 * OLD
    return (now - ended).total_seconds() >= wait
