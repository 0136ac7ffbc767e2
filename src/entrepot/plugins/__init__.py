"""Names of plugins of all kinds, and the classes behind them: built-ins first, what is installed on a miss.

Importing this loads no plugin and no metadata reader.
"""

from __future__ import annotations

from entrepot.errors import UnknownBlockTypeError
from entrepot.plugins.builtin import (
    BLOCK_GROUP,
    HASHER_GROUP,
    KEY_PROVIDER_GROUP,
    SECRET_SOURCE_GROUP,
    SERIALIZER_GROUP,
    TASK_RUNNER_GROUP,
)
from entrepot.plugins.registry import PluginRegistry

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from entrepot.plugins.entry import PluginEntry
    from entrepot.protocols.keys import OpensKeyProvider

__all__ = [
    "BLOCKS",
    "HASHERS",
    "KEY_PROVIDERS",
    "SECRET_SOURCES",
    "SERIALIZERS",
    "TASK_RUNNERS",
    "PluginEntry",
    "PluginRegistry",
]

BLOCKS: PluginRegistry[type] = PluginRegistry(BLOCK_GROUP, kind="block type", unknown=UnknownBlockTypeError)
"""Block classes by slug."""

HASHERS: PluginRegistry[Callable[[Any], object]] = PluginRegistry(HASHER_GROUP, kind="hasher")
"""Functions that say what values stand for in cache keys, by the full name of the type: `module.QualName`."""


def _check_key_provider(name: str, found: object) -> None:
    if not callable(getattr(found, "open", None)):
        raise TypeError(f"the key provider {name} has no class method `open`")


KEY_PROVIDERS: PluginRegistry[type[OpensKeyProvider]] = PluginRegistry(
    KEY_PROVIDER_GROUP, kind="key provider", check=_check_key_provider
)
"""Classes of what keeps the keyring, by name."""

SECRET_SOURCES: PluginRegistry[type] = PluginRegistry(SECRET_SOURCE_GROUP, kind="source of secrets")
"""Classes that give the secrets behind references, by the scheme of those."""

SERIALIZERS: PluginRegistry[type] = PluginRegistry(SERIALIZER_GROUP, kind="serializer")
"""Serializer classes by name."""

TASK_RUNNERS: PluginRegistry[type] = PluginRegistry(TASK_RUNNER_GROUP, kind="task runner")
"""Task runner classes by name."""


def __getattr__(name: str) -> Any:
    if name == "PluginEntry":
        from entrepot.plugins.entry import PluginEntry  # noqa: PLC0415  a dataclass, which no look-up needs

        return PluginEntry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
