"""Names of blocks and serializers, and the classes behind them: built-ins first, installed plugins on a miss.

Importing this loads no plugin and no metadata reader.
"""

from entrepot.errors import UnknownBlockTypeError
from entrepot.plugins.builtin import BLOCK_GROUP, SERIALIZER_GROUP
from entrepot.plugins.registry import PluginEntry, PluginRegistry

__all__ = ["BLOCKS", "SERIALIZERS", "PluginEntry", "PluginRegistry"]

BLOCKS: PluginRegistry[type] = PluginRegistry(BLOCK_GROUP, kind="block type", unknown=UnknownBlockTypeError)
"""Block classes by slug."""

SERIALIZERS: PluginRegistry[type] = PluginRegistry(SERIALIZER_GROUP, kind="serializer")
"""Serializer classes by name."""
