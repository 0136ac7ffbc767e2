"""The history of runs: what may happen is decided here, and what happened is kept and found again."""

from typing import TYPE_CHECKING, Any

from entrepot.runs.default import NULL_RECORDER, NullRecorder, default_path, default_recorder
from entrepot.runs.process import process_token

if TYPE_CHECKING:
    from entrepot.runs.history import RunDetails, RunHistory, RunSummary
    from entrepot.runs.local import LocalRecorder
    from entrepot.runs.logs import RunLine, RunLogs

__all__ = [
    "NULL_RECORDER",
    "LocalRecorder",
    "NullRecorder",
    "RunDetails",
    "RunHistory",
    "RunLine",
    "RunLogs",
    "RunSummary",
    "default_path",
    "default_recorder",
    "process_token",
]

_LAZY = {
    "LocalRecorder": "entrepot.runs.local",
    "RunDetails": "entrepot.runs.history",
    "RunHistory": "entrepot.runs.history",
    "RunLine": "entrepot.runs.logs",
    "RunLogs": "entrepot.runs.logs",
    "RunSummary": "entrepot.runs.history",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:  # these load SQLite; what the engine needs at import does not
        from importlib import import_module  # noqa: PLC0415  the lazy seam

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
