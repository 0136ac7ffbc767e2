"""The task run around the code that asks: `from entrepot.runtime import task_run`, then `task_run.name`.

Attributes:
    id: A UUID, as text; None outside tasks, as everything here that is a text.
    name: `extract-3`.
    tags: Sorted; empty outside.
    parameters: As the task function got them; empty outside.
    task_name: The name of the task.
    run_count: The attempt, from 1; 0 outside.
    api_url, ui_url: Always None: there is no server yet.
"""

# ruff: noqa: A001  the names are those that users of such engines know

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from entrepot.context import TaskRunContext
from entrepot.runtime._attributes import Attribute, as_count, as_mapping, as_tags, as_text, attribute

if TYPE_CHECKING:
    id: str | None
    name: str | None
    tags: Sequence[str]
    parameters: Mapping[str, Any]
    task_name: str | None
    run_count: int
    api_url: str | None
    ui_url: str | None

__all__ = ["api_url", "id", "name", "parameters", "run_count", "tags", "task_name", "ui_url"]


def _fact(name: str, outside: Any = None) -> Callable[[], Any]:
    """Return what reads one fact of the task run around the code."""

    def read() -> Any:
        context = TaskRunContext.get()
        return outside if context is None else getattr(context.task_run, name)

    return read


def _tags() -> list[str]:
    context = TaskRunContext.get()
    return [] if context is None else list(context.task_run.tags)


def _parameters() -> dict[str, Any]:
    context = TaskRunContext.get()
    return {} if context is None else dict(context.parameters)


def _task_name() -> str | None:
    context = TaskRunContext.get()
    return None if context is None else context.task.name


_ATTRIBUTES: Final = MappingProxyType(
    {
        "id": Attribute(_fact("id"), as_text),
        "name": Attribute(_fact("name"), as_text),
        "tags": Attribute(_tags, as_tags),
        "parameters": Attribute(_parameters, as_mapping),
        "task_name": Attribute(_task_name, as_text),
        "run_count": Attribute(_fact("run_count", 0), as_count),
        "api_url": Attribute(lambda: None, as_text),
        "ui_url": Attribute(lambda: None, as_text),
    }
)


def __getattr__(name: str) -> Any:
    return attribute(__name__, _ATTRIBUTES, name)


def __dir__() -> list[str]:
    return sorted(_ATTRIBUTES)
