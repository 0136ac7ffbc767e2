"""Which recorder the engine tells: the local one, or none."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot import settings
from entrepot.protocols.recorder import Recorder, RunEvent

if TYPE_CHECKING:
    from entrepot.runs.local import LocalRecorder

__all__ = ["DATABASE_NAME", "NULL_RECORDER", "NullRecorder", "default_path", "default_recorder"]

DATABASE_NAME = "runs.db"

_lock = threading.Lock()
_open: "tuple[Path, LocalRecorder] | None" = None


class NullRecorder:
    """A `Recorder` that keeps nothing, for when the history is switched off."""

    def record(self, event: RunEvent) -> None:
        """Do nothing."""

    def flush(self) -> bool:
        """Return True: what is to be kept is kept."""
        return True

    def close(self) -> None:
        """Do nothing."""


NULL_RECORDER = NullRecorder()


def default_path() -> Path:
    """Return the file of the run history in the home."""
    return settings.home_folder() / DATABASE_NAME


def default_recorder() -> Recorder:
    """Return the recorder that the settings ask for; the same one as long as they do not change."""
    global _open  # noqa: PLW0603  one recorder for each process and home
    now = settings.current()
    if not now.runs_record:
        return NULL_RECORDER
    known = _open
    if known is not None and known[0] == now.home:
        return known[1]
    from entrepot.runs.local import LocalRecorder  # noqa: PLC0415  the lazy seam: it loads SQLite

    with _lock:
        if _open is not None and _open[0] == now.home:
            return _open[1]
        if _open is not None:
            _open[1].close()  # nothing is lost; who still holds it can go on recording
        recorder = LocalRecorder(now.home / DATABASE_NAME)
        _open = (now.home, recorder)
        return recorder
