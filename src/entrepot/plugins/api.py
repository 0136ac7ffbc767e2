"""The groups of plugins, and the versions of the contracts that those of each group are written for."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__all__ = ["API_VERSIONS", "MANIFEST_GROUP"]

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
