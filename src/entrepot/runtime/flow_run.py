"""The flow run around the code that asks: `from entrepot.runtime import flow_run`, then `flow_run.name`.

Attributes:
    id: A UUID, as text; None outside flows, as everything here that is a text.
    name: `brave-otter`.
    tags: Sorted; empty outside.
    parameters: As the flow function got them: validated, with defaults; empty outside.
    flow_name: The name of the flow.
    flow_version: The user's own version of it.
    run_count: The attempt, from 1; 0 outside.
    scheduled_start_time: When the run came into being, in UTC; outside: now.
    parent_flow_run_id: The flow run that this one is part of.
    root_flow_run_id: The outermost flow run that this one is part of; its own id if there is none around it.
    parent_deployment_id, job_variables, api_url, ui_url: Always empty: there are no deployments and no server yet.
"""

# ruff: noqa: A001  the names are those that users of such engines know

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from entrepot.context import FlowRunContext
from entrepot.runtime._attributes import Attribute, as_count, as_mapping, as_tags, as_text, as_time, attribute

if TYPE_CHECKING:
    id: str | None
    name: str | None
    tags: Sequence[str]
    parameters: Mapping[str, Any]
    flow_name: str | None
    flow_version: str | None
    run_count: int
    scheduled_start_time: datetime
    parent_flow_run_id: str | None
    root_flow_run_id: str | None
    parent_deployment_id: str | None
    job_variables: Mapping[str, Any]
    api_url: str | None
    ui_url: str | None

__all__ = [
    "api_url",
    "flow_name",
    "flow_version",
    "id",
    "job_variables",
    "name",
    "parameters",
    "parent_deployment_id",
    "parent_flow_run_id",
    "root_flow_run_id",
    "run_count",
    "scheduled_start_time",
    "tags",
    "ui_url",
]


def _fact(name: str, outside: Any = None) -> Callable[[], Any]:
    """Return what reads one fact of the flow run around the code."""

    def read() -> Any:
        context = FlowRunContext.get()
        return outside if context is None else getattr(context.flow_run, name)

    return read


def _tags() -> list[str]:
    context = FlowRunContext.get()
    return [] if context is None else list(context.flow_run.tags)


def _parameters() -> dict[str, Any]:
    context = FlowRunContext.get()
    return {} if context is None else dict(context.parameters)


def _flow_version() -> str | None:
    context = FlowRunContext.get()
    return None if context is None else context.flow.version


def _scheduled_start_time() -> datetime:
    context = FlowRunContext.get()
    moment: datetime = datetime.now(UTC) if context is None else context.engine.created
    return moment


def _parent_flow_run_id() -> str | None:
    context = FlowRunContext.get()
    around = None if context is None else context.engine.flow_run_id
    return None if around is None else str(around)


def _root_flow_run_id() -> str | None:
    context = FlowRunContext.get()
    while context is not None and context.engine.flow_context is not None:
        context = context.engine.flow_context
    return None if context is None else context.flow_run.id


_ATTRIBUTES: Final = MappingProxyType(
    {
        "id": Attribute(_fact("id"), as_text),
        "name": Attribute(_fact("name"), as_text),
        "tags": Attribute(_tags, as_tags),
        "parameters": Attribute(_parameters, as_mapping),
        "flow_name": Attribute(_fact("flow_name"), as_text),
        "flow_version": Attribute(_flow_version, as_text),
        "run_count": Attribute(_fact("run_count", 0), as_count),
        "scheduled_start_time": Attribute(_scheduled_start_time, as_time),
        "parent_flow_run_id": Attribute(_parent_flow_run_id, as_text),
        "root_flow_run_id": Attribute(_root_flow_run_id, as_text),
        "parent_deployment_id": Attribute(lambda: None, as_text),
        "job_variables": Attribute(dict, as_mapping),
        "api_url": Attribute(lambda: None, as_text),
        "ui_url": Attribute(lambda: None, as_text),
    }
)


def __getattr__(name: str) -> Any:
    return attribute(__name__, _ATTRIBUTES, name)


def __dir__() -> list[str]:
    return sorted(_ATTRIBUTES)
