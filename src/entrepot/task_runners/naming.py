"""From the name of a task runner, or its class, to one of them. Loaded by who gives a name."""

from typing import Any

from entrepot.plugins import TASK_RUNNERS
from entrepot.protocols.task_runner import TaskRunner

__all__ = ["named_task_runner"]

_METHODS = ("submit", "duplicate", "__enter__", "__exit__")


def named_task_runner(name: str) -> TaskRunner:
    """Return a task runner by its name: "threads", "processes", "sequential", or a plugin's.

    Raises:
        UnknownNameError: If nothing claims the name.
        PluginConflictError: If two distributions claim it.
        PluginLoadError: If the one that claims it cannot be imported, or is no task runner.
    """
    made: Any = TASK_RUNNERS.get(name)()
    return made  # type: ignore[no-any-return]  # what is in the registry was checked


def _check_class(name: str, claimed: object) -> None:
    """Refuse what claims a name but is no class of task runners, or calls itself by another name."""
    if not isinstance(claimed, type):
        raise TypeError(f"it is a {type(claimed).__qualname__}, not a class")
    missing = [method for method in _METHODS if not hasattr(claimed, method)]
    if missing:
        raise TypeError(f"{claimed.__qualname__} is no task runner: it lacks {', '.join(missing)}")
    called = getattr(claimed, "name", None)
    if called != name:
        raise ValueError(f"{claimed.__qualname__} calls itself {called!r}: it would not be found as {name!r}")


TASK_RUNNERS.set_check(_check_class)
