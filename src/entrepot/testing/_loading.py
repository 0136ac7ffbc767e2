"""Whether plugins load, and are what their manifest says: run in a process of its own by `checking.py`."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from entrepot.errors import PluginError
from entrepot.plugins.builtin import BLOCK_GROUP
from entrepot.plugins.discovery import Claim
from entrepot.plugins.distributions import PluginDistribution, plugin_distribution
from entrepot.plugins.manifest import ManifestEntry
from entrepot.testing._children import tell
from entrepot.testing._findings import Finding
from entrepot.testing._logos import logo_trouble
from entrepot.testing.manifests import how_to_make
from entrepot.testing.registries import ordered_claims, registry_for

__all__ = ["main"]


def main(distribution: str, first: int) -> None:
    """Load the plugins of a distribution in order, from one on, and tell of each in the working directory."""
    found = plugin_distribution(distribution)
    folder = Path.cwd()
    for number, (group, claim) in enumerate(ordered_claims(found)):
        if number >= first:
            tell(folder, started=number)
            for finding in _findings(found, group, claim):
                tell(folder, finding=asdict(finding))
            tell(folder, done=number)


def _findings(found: PluginDistribution, group: str, claim: Claim) -> Iterator[Finding]:
    try:
        loaded = registry_for(group).get(claim.name)
    except PluginError as error:
        yield Finding(group, claim.name, "loads", "failed", str(error))
        return
    yield Finding(group, claim.name, "loads", "passed")
    entry = None if found.manifest is None else found.manifest.entry(group, claim.name)
    if entry is not None and found.manifest is not None:
        try:
            complaint = _declared_wrongly(group, claim, entry, loaded, found.manifest.path)
        except Exception as error:  # noqa: BLE001  whatever a class raises when it is asked for its schema
            complaint = f"its schema cannot be had ({type(error).__name__}: {error})"
        yield Finding(group, claim.name, "declared", "failed" if complaint else "passed", complaint)


def _declared_wrongly(group: str, claim: Claim, entry: ManifestEntry, loaded: Any, path: Path) -> str:
    todo = how_to_make(claim.distribution, path)
    if entry.target != claim.target:
        return f"the manifest says {entry.target}, and the entry point {claim.target}; {todo}"
    if entry.logo and (wrong := logo_trouble(path.parent, entry.logo)):
        return f"its logo {entry.logo!r} {wrong}"
    if group == BLOCK_GROUP and (entry.schema, entry.schema_version) != (
        loaded.model_json_schema(),
        loaded._schema_version,  # noqa: SLF001  documented as the author's to set
    ):
        return f"the schema in the manifest is not that of the class; {todo}"
    return ""


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
