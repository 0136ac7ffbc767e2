"""Names of plugins of all kinds, and the classes behind them: built-ins first, what is installed on a miss.

Importing this loads no plugin and no metadata reader.
"""

from entrepot.errors import UnknownBlockTypeError
from entrepot.plugins.builtin import BLOCK_GROUP, SERIALIZER_GROUP, TASK_RUNNER_GROUP
from entrepot.plugins.registry import PluginEntry, PluginRegistry

__all__ = ["BLOCKS", "SERIALIZERS", "TASK_RUNNERS", "PluginEntry", "PluginRegistry"]

BLOCKS: PluginRegistry[type] = PluginRegistry(BLOCK_GROUP, kind="block type", unknown=UnknownBlockTypeError)
"""Block classes by slug."""

SERIALIZERS: PluginRegistry[type] = PluginRegistry(SERIALIZER_GROUP, kind="serializer")
"""Serializer classes by name."""

TASK_RUNNERS: PluginRegistry[type] = PluginRegistry(TASK_RUNNER_GROUP, kind="task runner")
"""Task runner classes by name."""
