"""The manifest that a distribution of plugins should have, made from its classes."""

import importlib
import inspect
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from entrepot.errors import PluginDeniedError
from entrepot.plugins.api import API_VERSIONS, MANIFEST_GROUP
from entrepot.plugins.builtin import BLOCK_GROUP
from entrepot.plugins.distributions import plugin_distribution
from entrepot.plugins.manifest import FORMAT, Manifest

__all__ = ["how_to_make", "manifest_for", "plugin_manifest"]

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def plugin_manifest(distribution: str) -> dict[str, Any]:
    """Return the manifest that an installed distribution should have; its plugins are imported.

    Logos, contracts and titles are taken from the manifest that it has: no class knows them.

    Raises:
        UnknownNameError: If no installed distribution of this name has plugins.
        PluginDeniedError: If the settings do not allow it.
        ImportError: If one of them cannot be imported.
    """
    found = plugin_distribution(distribution)
    if found.refusal:
        raise PluginDeniedError(
            f"{found.name} is not allowed here, and nothing of it was imported: {found.refusal}",
            group=MANIFEST_GROUP,
            name=found.name,
            distribution=found.name,
        )
    points = {group: {name: claim.target for name, claim in names.items()} for group, names in found.claims.items()}
    return manifest_for(points, keep=found.manifest)


def how_to_make(distribution: str, path: Path) -> str:
    """Return which command makes the manifest again, for messages.

    Args:
        distribution: Whose it is.
        path: Where the manifest is read from. If that is where packages are installed, and not the sources themselves
            (`pip install -e`), it is the sources that must get it.
    """
    at = max((at for at, part in enumerate(path.parts) if part in _INSTALLED), default=None)
    command = f"entrepot plugins manifest {shlex.quote(distribution)} --output"
    if at is None:
        return f"run: {command} {shlex.quote(str(path))}"
    inside = "/".join(path.parts[at + 1 :])
    return f"run, in the folder of its project: {command} {shlex.quote(f'src/{inside}')}, and install it again"


def manifest_for(points: Mapping[str, Mapping[str, str]], *, keep: Manifest | None = None) -> dict[str, Any]:
    """Return a manifest.

    Args:
        points: Entry points: by group, by name.
        keep: A manifest whose logos, contracts and titles are kept.
    """
    return {
        "format": FORMAT,
        "api": {group: API_VERSIONS[group] for group in sorted(points) if group in API_VERSIONS},
        "plugins": {
            group: {name: _entry(group, name, points[group][name], keep) for name in sorted(points[group])}
            for group in sorted(points)
        },
    }


def _entry(group: str, name: str, target: str, keep: Manifest | None) -> dict[str, Any]:
    held = None if keep is None else keep.entry(group, name)
    obj = _object_at(target)
    entry: dict[str, Any] = {"target": target}
    if group == BLOCK_GROUP:
        entry["title"] = obj.get_block_type_name()
        entry["description"] = obj.get_description() or ""
        entry["schema"] = obj.model_json_schema()
        entry["schema_version"] = obj._schema_version  # noqa: SLF001  documented as the author's to set
    else:
        entry["description"] = (inspect.getdoc(obj) or "").partition("\n\n")[0].replace("\n", " ")
    if held is not None:
        kept = {"title": held.title, "logo": held.logo, "contract": held.contract}
        entry |= {field: text for field, text in kept.items() if text and field not in entry}
    return entry


def _object_at(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module.strip())
    for attribute in path.partition("[")[0].strip().split("."):
        found = getattr(found, attribute)
    return found
