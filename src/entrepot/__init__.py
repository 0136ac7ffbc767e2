"""A workflow engine of plain Python functions, with sealed blocks and a result store that is never wrong."""

from __future__ import annotations

from entrepot._version import __version__

TYPE_CHECKING = False  # `typing` takes longer to import than all that is needed to look up a plugin
if TYPE_CHECKING:
    from typing import Any

    from entrepot import runtime
    from entrepot.annotations import allow_failure, unmapped
    from entrepot.context import tags
    from entrepot.flow_runs import pause_flow_run, resume_flow_run, suspend_flow_run
    from entrepot.flows import Flow, flow
    from entrepot.hashing.files import Dir, File
    from entrepot.hashing.hashers import hasher
    from entrepot.logging import get_run_logger
    from entrepot.results.lazy import Lazy
    from entrepot.results.streams import Stream
    from entrepot.states import State
    from entrepot.tasks import Task, task

__all__ = [
    "Dir",
    "File",
    "Flow",
    "Lazy",
    "State",
    "Stream",
    "Task",
    "__version__",
    "allow_failure",
    "flow",
    "get_run_logger",
    "hasher",
    "pause_flow_run",
    "resume_flow_run",
    "runtime",
    "suspend_flow_run",
    "tags",
    "task",
    "unmapped",
]

_HOMES = {
    "Dir": "hashing.files",
    "File": "hashing.files",
    "Flow": "flows",
    "Lazy": "results.lazy",
    "State": "states",
    "Stream": "results.streams",
    "Task": "tasks",
    "allow_failure": "annotations",
    "flow": "flows",
    "get_run_logger": "logging",
    "hasher": "hashing.hashers",
    "pause_flow_run": "flow_runs",
    "resume_flow_run": "flow_runs",
    "runtime": "runtime",
    "suspend_flow_run": "flow_runs",
    "tags": "context",
    "task": "tasks",
    "unmapped": "annotations",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  the lazy seam

    module = import_module(f"{__name__}.{home}")
    found = module if home == name else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
