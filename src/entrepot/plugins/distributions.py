"""What one distribution offers, of every kind, read without importing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from entrepot.errors import ConfigurationError, UnknownNameError
from entrepot.plugins import discovery
from entrepot.plugins._standing import refusal
from entrepot.plugins.api import API_VERSIONS, MANIFEST_GROUP
from entrepot.plugins.discovery import Claim, normalise
from entrepot.plugins.manifest import Manifest, manifest_at

__all__ = ["GROUPS", "PluginDistribution", "plugin_distribution", "plugin_distributions"]

GROUPS: Final = tuple(sorted(API_VERSIONS))


@dataclass(frozen=True, slots=True)
class PluginDistribution:
    """A distribution with plugins.

    Attributes:
        name: Its name, as its metadata has it.
        version: Its version.
        claims: What it claims: by group, by name.
        manifest: Its manifest; None where it has none, or one that cannot be read.
        trouble: Why its manifest cannot be read; "" where it can, or there is none.
        refusal: Why the settings do not allow it; "" if they do.
    """

    name: str
    version: str
    claims: Mapping[str, Mapping[str, Claim]]
    manifest: Manifest | None
    trouble: str
    refusal: str


def plugin_distributions() -> list[PluginDistribution]:
    """Return the distributions that claim something in one of our groups, or have a manifest, sorted by name."""
    found: dict[str, dict[str, dict[str, Claim]]] = {}
    owners: dict[str, Claim] = {}
    for group in (*GROUPS, MANIFEST_GROUP):
        for name, claims in discovery.entry_points_of(group).claims.items():
            for claim in claims:
                key = claim.key
                owners.setdefault(key, claim)
                groups = found.setdefault(key, {})
                if group != MANIFEST_GROUP:
                    groups.setdefault(group, {})[name] = claim
    return [_described(owners[key], found[key]) for key in sorted(found)]


def plugin_distribution(name: str) -> PluginDistribution:
    """Return one of them.

    Raises:
        UnknownNameError: If no installed distribution of this name has plugins.
    """
    every = plugin_distributions()
    for each in every:
        if normalise(each.name) == normalise(name):
            return each
    known = [each.name for each in every]
    near = get_close_matches(name, known, n=1)
    raise UnknownNameError(
        f"no installed distribution named {name[:100]!r} has plugins of entrepot"
        f"{f'; did you mean {near[0]!r}?' if near else ''}; known: {', '.join(known) or 'none'}",
        group="distributions",
        name=name,
        known=known,
    )


def _described(owner: Claim, claims: Mapping[str, Mapping[str, Claim]]) -> PluginDistribution:
    manifest, trouble = None, ""
    try:
        where = discovery.entry_points_of(MANIFEST_GROUP).of(owner.key)
        manifest = None if where is None else manifest_at(where)
    except ConfigurationError as error:
        trouble = str(error)
    return PluginDistribution(owner.distribution, owner.version, claims, manifest, trouble, refusal(owner))
