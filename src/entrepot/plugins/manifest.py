"""What a distribution says of its plugins, read without importing any of it.

A distribution names the package that has its manifest by an entry point of the group `entrepot.manifest`; the manifest
is the file `entrepot-manifest.json` in that package's folder::

    [project.entry-points."entrepot.manifest"]
    acme-entrepot = "acme_entrepot"

An entry point and a file of the package work with every build tool, and for editable installs, too; a file in the
metadata folder does not. Finding the package's folder imports nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrepot.plugins import discovery
from entrepot.plugins._manifest_file import FILE_NAME, FORMAT, content_of, file_of
from entrepot.plugins.api import MANIFEST_GROUP, api_needed
from entrepot.plugins.discovery import Claim, normalise

__all__ = ["FILE_NAME", "FORMAT", "Manifest", "ManifestEntry", "manifest_at", "manifest_of", "read_manifest"]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What a manifest says of one plugin.

    Attributes:
        target: Where the object is: `module:attribute`, as in the entry point.
        description: What it is for.
        title: The name for people.
        logo: A picture: an https URL, or a path beside the manifest.
        schema: For a block type, the JSON schema of its fields.
        schema_version: For a block type, the version of that schema.
        contract: A subclass of a contract of `entrepot.testing`, as `module:attribute`, which knows how to make one.
    """

    target: str
    description: str = ""
    title: str = ""
    logo: str = ""
    schema: Mapping[str, Any] | None = None
    schema_version: int | None = None
    contract: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest.

    Attributes:
        path: The file.
        api: Versions of our contracts that the plugins are written for, by group.
        plugins: What it declares: by group, by name.
    """

    path: Path
    api: Mapping[str, int] = field(default_factory=dict)
    plugins: Mapping[str, Mapping[str, ManifestEntry]] = field(default_factory=dict)

    def entry(self, group: str, name: str) -> ManifestEntry | None:
        """Return what it says of a plugin, or None."""
        return self.plugins.get(group, {}).get(name)

    def logo_of(self, entry: ManifestEntry) -> str | None:
        """Return where the picture of one of its plugins is: a path, or a URL; None where it names none."""
        if not entry.logo:
            return None
        return entry.logo if "://" in entry.logo else str(self.path.parent / entry.logo)

    def needs(self, group: str) -> str:
        """Return what is wrong with the version that it needs of a group's contract; "" if nothing."""
        return api_needed(self.api, group)


def manifest_of(distribution: str) -> Manifest | None:
    """Return the manifest of an installed distribution, or None if it has none.

    Raises:
        ConfigurationError: If it has one that cannot be read or is none.
    """
    where = discovery.entry_points_of(MANIFEST_GROUP).of(normalise(distribution))
    return None if where is None else manifest_at(where)


def manifest_at(claim: Claim) -> Manifest:
    """Return the manifest that an entry point of its group names.

    Raises:
        ConfigurationError: If it cannot be read or is none.
    """
    return read_manifest(Path(file_of(claim)))


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest file says.

    Raises:
        ConfigurationError: If it cannot be read, or says what a manifest cannot.
    """
    said = content_of(str(path))
    plugins = said["plugins"].items()
    return Manifest(
        path,
        said["api"],
        {group: {name: ManifestEntry(**entry) for name, entry in names.items()} for group, names in plugins},
    )
