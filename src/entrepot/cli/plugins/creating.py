"""`entrepot plugins new`: a project that works, to begin with."""

import contextlib
import importlib.util
import json
import keyword
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from entrepot._names import check_name
from entrepot.cli.output import ok
from entrepot.cli.plugins.topic import app
from entrepot.errors import ConfigurationError
from entrepot.plugins import BLOCKS, SERIALIZERS
from entrepot.plugins.manifest import FILE_NAME, Manifest, ManifestEntry
from entrepot.testing.manifests import manifest_for

__all__ = ["new"]

_ENDING: Final = ".in"
_PACKAGE: Final = "PACKAGE"  # in the paths of the template


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The name of the distribution: acme-entrepot.")],
    *,
    folder: Annotated[Path | None, typer.Option("--folder", help="Where to write it; by default ./NAME.")] = None,
) -> None:
    """Write the project of a new plugin: a block, a serializer, their manifest, and tests that pass.

    It is built by hatchling, and any other build tool does as well. What to do next is in its README.
    """
    check_name(name, what="distribution name")
    package, slug = name.replace("-", "_"), name.replace("_", "-")
    if why := _unusable(package) or _taken(name, slug):
        raise ConfigurationError(f"{name} cannot be the name of a new plugin: {why}; choose another", setting="name")
    target = Path(name) if folder is None else folder
    if (target.is_symlink() and not target.exists()) or (target.exists() and not target.is_dir()):
        raise ConfigurationError(f"{target} is no folder; choose another with --folder", setting="folder")
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty; choose another folder with --folder", setting="folder")
    words = "".join(word.capitalize() for word in package.split("_") if word)
    values = {"name": name, "package": package, "words": words, "slug": slug}
    for source, place in _sources(files("entrepot.cli.plugins") / "template"):
        path = target / place.replace(_PACKAGE, package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text()).substitute(values))
    _write_manifest(target / "src", values)
    ok(f"wrote {target}; next: cd {target} && pip install -e '.[test]' && pytest && entrepot plugins check {name}")


def _unusable(package: str) -> str:
    if not package.isidentifier() or keyword.iskeyword(package):
        return f"its package would be {package!r}, which cannot be imported"
    found = importlib.util.find_spec(package) is not None
    return f"its package would be {package!r}, which is installed already" if found else ""


def _taken(name: str, slug: str) -> str:
    if slug in BLOCKS.names():
        return f"a block type {slug!r} is there already"
    if f"{slug}-lines" in SERIALIZERS.names():
        return f"a serializer {slug}-lines is there already"
    with contextlib.suppress(PackageNotFoundError):
        return f"the distribution {distribution(name).metadata['Name']!r} is installed already"
    return ""


def _sources(folder: Traversable, place: str = "") -> Iterator[tuple[Traversable, str]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir():
            yield from _sources(each, f"{place}{each.name}/")
        elif each.name.endswith(_ENDING):
            yield each, place + each.name.removesuffix(_ENDING)


def _write_manifest(sources: Path, values: dict[str, str]) -> None:
    """Write the manifest of what was just written: its schema is the class's, so that class is imported."""
    package, slug, words = values["package"], values["slug"], values["words"]
    block = ManifestEntry(
        f"{package}.blocks:{words}", logo="logo.svg", contract=f"{package}.contracts:{words}BlockContract"
    )
    serializer = ManifestEntry(f"{package}.serializers:LinesSerializer", contract=f"{package}.contracts:LinesContract")
    plugins = {"entrepot.blocks": {slug: block}, "entrepot.serializers": {f"{slug}-lines": serializer}}
    points = {group: {name: entry.target for name, entry in names.items()} for group, names in plugins.items()}
    path = sources / package / FILE_NAME
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing but what was asked for is left there
    sys.path.insert(0, str(sources.resolve()))
    try:
        path.write_text(json.dumps(manifest_for(points, keep=Manifest(path, plugins=plugins)), indent=2) + "\n")
    finally:
        sys.path.remove(str(sources.resolve()))
        sys.dont_write_bytecode = before
