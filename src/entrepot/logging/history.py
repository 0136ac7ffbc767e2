"""Log lines on their way into the run history."""

import logging
import threading
from datetime import UTC, datetime
from typing import Any, Final

from entrepot._secrets import mask
from entrepot._sentinels import MISSING
from entrepot.context import CURRENT
from entrepot.logging.lines import say_failure, stamp, text_of
from entrepot.logging.loggers import recorder_of
from entrepot.protocols.recorder import LogLine
from entrepot.runs import NULL_RECORDER, default_recorder

__all__ = ["LONGEST_LINE", "HistoryHandler", "UnlockedHandler"]

LONGEST_LINE: Final = 16_384
"""Characters that are kept of a line; as of every text in the history."""

_LOOKED_AT: Final = 4 * LONGEST_LINE  # more than is kept: a secret that lies across the end is masked, not cut
_RECORDER: Final = "entrepot.runs"  # the logger of those who keep the history


class _Busy(threading.local):
    now = False


_busy = _Busy()


class UnlockedHandler(logging.Handler):
    """A handler without a lock, for one that has nothing to guard: threads do not wait for each other."""

    def createLock(self) -> None:  # noqa: N802  logging's name
        """Make none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Do as the base class does, which since Python 3.13 insists on a lock."""
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed


class HistoryHandler(UnlockedHandler):
    """Gives the lines of runs to the recorder of their history.

    A line is of the run that its record names, else of the run that is current where it was logged; lines outside runs
    are not kept. It waits for nothing and raises nothing. What the recorder itself logs is not kept: it could not be.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Record one line."""
        if _busy.now or record.name.startswith(_RECORDER):
            return
        _busy.now = True
        try:
            self._keep(record)
        except Exception:  # noqa: BLE001  logging never breaks a program
            say_failure(self, record)
        finally:
            _busy.now = False

    def _keep(self, record: logging.LogRecord) -> None:
        facts = record.__dict__
        context = CURRENT.get()
        if context is not None:
            stamp(record, context)
        elif "run_kind" not in facts:
            return
        run_id = str(facts["run_id"])
        recorder = recorder_of(run_id, context)
        if recorder is MISSING:
            recorder = default_recorder()
        if recorder is None or recorder is NULL_RECORDER:
            return
        flow_run_id = facts.get("flow_run_id")
        recorder.record(
            LogLine(
                run_id,
                datetime.fromtimestamp(record.created, UTC),
                record.levelno,
                record.name,
                _line(record),
                None if flow_run_id is None else str(flow_run_id),
            )
        )


def _line(record: logging.LogRecord) -> str:
    try:
        text = text_of(record)
    except Exception:  # noqa: BLE001  arguments that do not fit: another handler says so, and here the rest is kept
        text = str(record.msg)
    if len(text) <= LONGEST_LINE:
        return mask(text)
    text = mask(text[:_LOOKED_AT])
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "..."
