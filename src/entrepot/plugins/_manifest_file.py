"""The file in which a distribution says what its plugins are: found, read and checked, and nothing of it imported.

`manifest.py` gives it types; a look-up, which asks it only whether a plugin may be loaded, has no time for them.
"""

from __future__ import annotations

import json
import os
import sys

from entrepot.errors import ConfigurationError

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

    from entrepot.plugins.discovery import Claim

__all__ = ["FILE_NAME", "FORMAT", "content_of", "file_of"]

FILE_NAME: Final = "entrepot-manifest.json"
FORMAT: Final = 1
_MOST_BYTES: Final = 4 * 1024 * 1024
_DEEPEST: Final = 64
_LARGEST_VERSION: Final = 10**9
_FIELDS: Final = frozenset({"format", "api", "plugins"})
_TEXTS: Final = ("target", "description", "title", "logo", "contract")
_ENTRY_FIELDS: Final = ("target", "description", "title", "logo", "schema", "schema_version", "contract")


def content_of(file: str) -> dict[str, Any]:
    """Return what a manifest file says: "api" and "plugins", as they are documented in `manifest.py`.

    Raises:
        ConfigurationError: If it cannot be read, or says what a manifest cannot.
    """
    found = _json_of(file)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        _refuse(file, f'it is no object with "format": {FORMAT}')
    if unknown := sorted(found.keys() - _FIELDS):
        _refuse(file, f"it has an unknown field {unknown[0]!r}; known: {', '.join(sorted(_FIELDS))}")
    api, plugins = found.get("api", {}), found.get("plugins", {})
    if not _is_mapping(api) or not all(map(_is_version, api.values())):
        _refuse(file, '"api" is no object with a number for each group')
    if not _is_mapping(plugins) or not all(map(_is_mapping, plugins.values())):
        _refuse(file, '"plugins" is no object of objects')
    for group, names in plugins.items():
        for name, said in names.items():
            _check_entry(file, f"{group} {name}", said)
    return {"api": api, "plugins": plugins}


def _json_of(file: str) -> Any:
    try:
        with open(file, "rb") as opened:  # noqa: PTH123  no time for pathlib
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            _refuse(file, f"it is longer than {_MOST_BYTES} bytes")
        found = json.loads(content)
    except OSError as error:
        _refuse(file, f"it cannot be read ({error.strerror})")
    except (ValueError, RecursionError) as error:
        _refuse(file, f"it is not JSON ({error})")
    if _is_deep(found):
        _refuse(file, f"it is nested more than {_DEEPEST} levels deep")
    return found


def _check_entry(file: str, what: str, said: Any) -> None:
    if not isinstance(said, dict) or not isinstance(said.get("target"), str):
        _refuse(file, f'{what} is no object with a "target"')
    if unknown := sorted(said.keys() - {*_ENTRY_FIELDS}):
        _refuse(file, f"{what} has an unknown field {unknown[0]!r}; known: {', '.join(_ENTRY_FIELDS)}")
    if not all(isinstance(said.get(name, ""), str) for name in _TEXTS):
        _refuse(file, f"a field of {what} is no text")
    schema, version = said.get("schema"), said.get("schema_version")
    if not (schema is None or isinstance(schema, dict)) or not (version is None or _is_version(version)):
        _refuse(file, f"the schema of {what} is none")


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


def _refuse(file: str, why: str) -> NoReturn:
    raise ConfigurationError(f"{file} is no manifest of plugins: {why}", setting=file)


def file_of(claim: Claim) -> str:
    """Return the manifest file that an entry point of the group of manifests names.

    Raises:
        ConfigurationError: If it names no package, or one without such a file.
    """
    parts = claim.target.partition(":")[0].strip().split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError(
            f"{claim} says that its manifest is in {claim.target!r}, which is no package", setting=claim.target
        )
    folders = _folders_of(parts)
    for folder in folders:
        file = os.path.join(folder, FILE_NAME)  # noqa: PTH118  no time for pathlib
        if os.path.isfile(file):  # noqa: PTH113  the same
            return file
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
            try:
                spec = finder.find_spec(name, folders)
            except Exception:  # noqa: BLE001, S112  of any class: one that is broken hides nothing of the others
                continue
            if spec is not None:
                break
        if spec is None or spec.submodule_search_locations is None:
            return []
        folders = list(spec.submodule_search_locations)
    return folders or []
