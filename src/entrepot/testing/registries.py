"""The registry of each group of plugins, and the order in which a distribution's plugins are looked at."""

from typing import Any

from entrepot import plugins
from entrepot.plugins import PluginRegistry
from entrepot.plugins.discovery import Claim
from entrepot.plugins.distributions import PluginDistribution

__all__ = ["ordered_claims", "registry_for"]


def registry_for(group: str) -> PluginRegistry[Any]:
    """Return the registry of a group."""
    for found in vars(plugins).values():
        if isinstance(found, PluginRegistry) and found.group == group:
            return found
    return PluginRegistry(group, kind=group.rpartition(".")[2].replace("_", " "))


def ordered_claims(distribution: PluginDistribution) -> list[tuple[str, Claim]]:
    """Return every claim with its group, in an order that is the same in every process."""
    return [(group, names[name]) for group, names in sorted(distribution.claims.items()) for name in sorted(names)]
