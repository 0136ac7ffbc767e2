"""What a distribution says of its plugins, read without importing any of it.

A distribution names the package that has its manifest by an entry point of the group `entrepot.manifest`; the manifest
is the file `entrepot-manifest.json` in that package's folder::

    [project.entry-points."entrepot.manifest"]
    acme-entrepot = "acme_entrepot"

An entry point and a file of the package work with every build tool, and for editable installs, too; a file in the
metadata folder does not. Finding the package's folder imports nothing.
"""

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from entrepot.errors import ConfigurationError
from entrepot.plugins import discovery
from entrepot.plugins.api import API_VERSIONS, MANIFEST_GROUP
from entrepot.plugins.discovery import Claim, normalise

__all__ = ["FILE_NAME", "FORMAT", "Manifest", "ManifestEntry", "manifest_at", "manifest_of", "read_manifest"]

FILE_NAME: Final = "entrepot-manifest.json"
FORMAT: Final = 1
_MOST_BYTES: Final = 4 * 1024 * 1024
_DEEPEST: Final = 64
_LARGEST_VERSION: Final = 10**9
_FIELDS: Final = frozenset({"format", "api", "plugins"})


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

    def needs(self, group: str) -> str:
        """Return what is wrong with the version that it needs of a group's contract; "" if nothing."""
        wanted, ours = self.api.get(group), API_VERSIONS.get(group)
        if wanted is None or wanted == ours:
            return ""
        what = f"it is written for version {wanted} of the API of {group}"
        if ours is None:
            return f"{what}, which this entrepot does not know; upgrade entrepot"
        todo = "upgrade entrepot" if wanted > ours else "upgrade the plugin"
        return f"{what}, and this entrepot has {ours}; {todo}"


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
    return read_manifest(_file_of(claim))


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest file says.

    Raises:
        ConfigurationError: If it cannot be read, or says what a manifest cannot.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            _refuse(path, f"it is longer than {_MOST_BYTES} bytes")
        found = json.loads(content)
    except OSError as error:
        _refuse(path, f"it cannot be read ({error.strerror})")
    except (ValueError, RecursionError) as error:
        _refuse(path, f"it is not JSON ({error})")
    if _is_deep(found):
        _refuse(path, f"it is nested more than {_DEEPEST} levels deep")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        _refuse(path, f'it is no object with "format": {FORMAT}')
    if unknown := sorted(found.keys() - _FIELDS):
        _refuse(path, f"it has an unknown field {unknown[0]!r}; known: {', '.join(sorted(_FIELDS))}")
    api, plugins = found.get("api", {}), found.get("plugins", {})
    if not _is_mapping(api) or not all(map(_is_version, api.values())):
        _refuse(path, '"api" is no object with a number for each group')
    if not _is_mapping(plugins) or not all(map(_is_mapping, plugins.values())):
        _refuse(path, '"plugins" is no object of objects')
    return Manifest(
        path,
        api,
        {
            group: {name: _entry(path, f"{group} {name}", said) for name, said in names.items()}
            for group, names in plugins.items()
        },
    )


def _entry(path: Path, what: str, said: Any) -> ManifestEntry:
    if not isinstance(said, dict) or not isinstance(said.get("target"), str):
        _refuse(path, f'{what} is no object with a "target"')
    known = ManifestEntry.__dataclass_fields__
    if unknown := sorted(said.keys() - known.keys()):
        _refuse(path, f"{what} has an unknown field {unknown[0]!r}; known: {', '.join(known)}")
    texts = ("target", "description", "title", "logo", "contract")
    if not all(isinstance(said.get(name, ""), str) for name in texts):
        _refuse(path, f"a field of {what} is no text")
    schema, version = said.get("schema"), said.get("schema_version")
    if not (schema is None or isinstance(schema, dict)) or not (version is None or _is_version(version)):
        _refuse(path, f"the schema of {what} is none")
    return ManifestEntry(**said)


def _is_deep(found: object) -> bool:
    """Return whether JSON is nested so deeply that who walks through it may run out of stack."""
    level = [found]
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = inner
    return bool(level)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_version(value: object) -> bool:
    return type(value) is int and abs(value) <= _LARGEST_VERSION  # it is printed


def _refuse(path: Path, why: str) -> NoReturn:
    raise ConfigurationError(f"{path} is no manifest of plugins: {why}", setting=str(path))


def _file_of(claim: Claim) -> Path:
    parts = claim.target.partition(":")[0].strip().split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError(
            f"{claim} says that its manifest is in {claim.target!r}, which is no package", setting=claim.target
        )
    folders = _folders_of(parts)
    for folder in folders:
        path = Path(os.path.join(folder, FILE_NAME))  # noqa: PTH118  the folder may be any text of a finder
        if path.is_file():
            return path
    raise ConfigurationError(
        f"{claim} says that its manifest is in the package {claim.target!r}, and there is no file {FILE_NAME}"
        f"{f' in {folders[0]}' if folders else ', nor such a package'}; reinstall {claim.distribution}",
        setting=claim.target,
    )


def _folders_of(parts: list[str]) -> list[str]:
    """Return the folders of a package, as the finders of this process know them; nothing is imported.

    `importlib.util.find_spec` of a package inside another imports the outer one, which may be a denied distribution's.
    """
    folders: list[str] | None = None
    for number in range(len(parts)):
        name = ".".join(parts[: number + 1])
        spec = None
        for finder in sys.meta_path:
            with contextlib.suppress(Exception):  # of any class: one that is broken hides nothing of the others
                spec = finder.find_spec(name, folders)
            if spec is not None:
                break
        if spec is None or spec.submodule_search_locations is None:
            return []
        folders = list(spec.submodule_search_locations)
    return folders or []
