"""The deployment that the run around the code came from. There are none yet: everything here is empty.

Attributes:
    id, name, version, flow_run_id: None.
    parameters: Empty.
"""

# ruff: noqa: A001  the names are those that users of such engines know

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from entrepot.runtime._attributes import Attribute, as_mapping, as_text, attribute

if TYPE_CHECKING:
    id: str | None
    name: str | None
    version: str | None
    flow_run_id: str | None
    parameters: Mapping[str, Any]

__all__ = ["flow_run_id", "id", "name", "parameters", "version"]

_ATTRIBUTES: Final = MappingProxyType(
    {
        "id": Attribute(lambda: None, as_text),
        "name": Attribute(lambda: None, as_text),
        "version": Attribute(lambda: None, as_text),
        "flow_run_id": Attribute(lambda: None, as_text),
        "parameters": Attribute(dict, as_mapping),
    }
)


def __getattr__(name: str) -> Any:
    return attribute(__name__, _ATTRIBUTES, name)


def __dir__() -> list[str]:
    return sorted(_ATTRIBUTES)
