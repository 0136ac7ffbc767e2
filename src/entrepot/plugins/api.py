"""The groups of plugins, and the versions of the contracts that those of each group are written for."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__all__ = ["API_VERSIONS", "MANIFEST_GROUP", "api_needed"]

MANIFEST_GROUP: Final = "entrepot.manifest"
"""The entry points by which a distribution says what its plugins are; see `manifest.py`."""

API_VERSIONS: Final[Mapping[str, int]] = {
    "entrepot.blocks": 1,
    "entrepot.hashers": 1,
    "entrepot.key_providers": 1,
    "entrepot.secret_sources": 1,
    "entrepot.serializers": 1,
    "entrepot.task_runners": 1,
}
"""By group. A change that breaks the plugins of a group raises its number; all others leave it as it is."""


def api_needed(api: Mapping[str, int], group: str) -> str:
    """Return what is wrong with the version that plugins need of a group's contract; "" if nothing.

    Args:
        api: The versions that they are written for, by group, as their manifest says.
        group: The group.
    """
    wanted, ours = api.get(group), API_VERSIONS.get(group)
    if wanted is None or wanted == ours:
        return ""
    what = f"it is written for version {wanted} of the API of {group}"
    if ours is None:
        return f"{what}, which this entrepot does not know; upgrade entrepot"
    todo = "upgrade entrepot" if wanted > ours else "upgrade the plugin"
    return f"{what}, and this entrepot has {ours}; {todo}"
