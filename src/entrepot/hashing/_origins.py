"""Where a module comes from: Python itself, an installed distribution, or the user's own project.

The user's own code counts by what it says; Python's by its version; a distribution's by name and version. What lies
neither in the standard library nor in a `site-packages` folder is the user's own, which includes editable installs.
"""

import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final, Literal

from entrepot._version import __version__

__all__ = [
    "BUILT_IN",
    "PYTHON",
    "Origin",
    "is_projects",
    "origin_of",
    "origin_of_file",
    "origin_of_function",
    "origin_of_module",
]

PYTHON: Final = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
"""Whose code Python's own functions are, and whose compiler made the rest."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where code comes from.

    Attributes:
        kind: "python", "package" or "project".
        package: The distribution's name, or "".
        version: The distribution's version (a digest of the files where it has none), or "".
    """

    kind: Literal["python", "package", "project"]
    package: str = ""
    version: str = ""


_PYTHON_ORIGIN: Final = Origin("python")
_PROJECT_ORIGIN: Final = Origin("project")
_MAIN: Final = frozenset({"__main__", "__mp_main__"})
BUILT_IN: Final = frozenset({"built-in", "frozen"})
"""What the import system says instead of a file, of the modules inside the interpreter."""
_SITES: Final = frozenset({"site-packages", "dist-packages"})

_by_name: dict[str, tuple[ModuleType, Origin]] = {}


def origin_of(name: str) -> Origin:
    """Return where the loaded module of this name comes from; one that is not loaded is the user's own."""
    module = sys.modules.get(name)
    if module is None:
        return _PYTHON_ORIGIN if name in sys.builtin_module_names else _PROJECT_ORIGIN
    return origin_of_module(module)


def origin_of_function(fn: FunctionType) -> Origin:
    """Return where a function was written.

    Its module's name alone does not say: under `python -m cProfile script.py` the module of the name `__main__` is
    cProfile's, and the script's functions have a namespace of their own. Then the file of the code decides.
    """
    name = fn.__globals__.get("__name__", "")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if isinstance(module, ModuleType) and vars(module) is fn.__globals__:
        return origin_of_module(module)
    file = fn.__code__.co_filename
    if name in _MAIN:
        return _PROJECT_ORIGIN
    if not Path(file).is_absolute():  # made by `exec`: only the name is left
        return origin_of(str(name))
    return origin_of_file(file, str(name))


def is_projects(value: FunctionType | type) -> bool:
    """Tell whether it is sure that a function or class is the project's own: its module is loaded, and is."""
    name = value.__module__ if isinstance(value, type) else value.__globals__.get("__name__", "")
    if not isinstance(name, str) or name not in sys.modules or origin_of(name).kind != "project":
        return False
    return isinstance(value, type) or origin_of_function(value).kind == "project"


def origin_of_module(module: ModuleType) -> Origin:
    """Return where a module comes from; the program that runs is always the user's own."""
    name = module.__name__
    if name in _MAIN:
        return _PROJECT_ORIGIN
    known = _by_name.get(name)
    if known is not None and known[0] is module:
        return known[1]
    origin = _find(module, name)
    _by_name[name] = (module, origin)
    return origin


def _find(module: ModuleType, name: str) -> Origin:
    top = name.partition(".")[0]
    file = getattr(module, "__file__", None)
    if file is None:
        # A namespace package has no code of its own, only modules of several owners: it is looked through, like ours.
        return _PYTHON_ORIGIN if top in sys.stdlib_module_names and _is_built_in(module) else _PROJECT_ORIGIN
    return origin_of_file(file, name)


def _is_built_in(module: ModuleType) -> bool:
    return getattr(getattr(module, "__spec__", None), "origin", None) in BUILT_IN


@cache
def origin_of_file(file: str, name: str) -> Origin:
    """Return where a module comes from, by its file and its full name."""
    if name.partition(".")[0] == "entrepot" and file.startswith(_OURS):
        return Origin("package", "entrepot", __version__)
    path = Path(file)
    if not _SITES.isdisjoint(path.parts):
        return _package_of(path)
    if any(file.startswith(folder) for folder in _STANDARD_FOLDERS):
        return _PYTHON_ORIGIN
    if file.endswith(tuple(EXTENSION_SUFFIXES)):  # compiled: nothing to walk through, so its bytes are its version
        return Origin("package", f"{name} (compiled)", _content_version(str(path.parent), path.name))
    return _PROJECT_ORIGIN


_OURS: Final = str(Path(__file__).parent.parent)  # a checkout of Entrepot is no part of the project that uses it
_STANDARD_FOLDERS: Final = tuple(
    {f"{folder}{os.sep}" for key in ("stdlib", "platstdlib") if (folder := sysconfig.get_paths().get(key))}
    | {f"{Path(os.__file__).parent}{os.sep}"}
)


def _package_of(path: Path) -> Origin:
    """Return the distribution that a file of a `site-packages` folder belongs to.

    Reads the folder's `.dist-info`: the one whose name is the package's first, then the others. That is a hundred
    times cheaper than `importlib.metadata.packages_distributions`, which reads every file list of the machine.
    """
    depth = max(index for index, part in enumerate(path.parts) if part in _SITES) + 1
    site = Path(*path.parts[:depth])
    inside = "/".join(path.parts[depth:])
    top = path.parts[depth].partition(".")[0]
    infos = _infos(str(site))
    for info in sorted(infos, key=lambda info: infos[info][0] != _normal(top)):
        if _lists(site / info, inside):
            return Origin("package", *infos[info])
    for info, (name, version) in infos.items():
        # Without a list of files (a distribution's own packaging): by the name alone.
        if name == _normal(top) and not (site / info / "RECORD").exists():
            return Origin("package", name, version)
    return Origin("package", top, _content_version(str(site), path.parts[depth]))


@cache
def _infos(site: str) -> dict[str, tuple[str, str]]:
    """Return name and version of the distributions in a folder, by the name of their `.dist-info`."""
    found = {}
    for entry in sorted(Path(site).iterdir()):
        if entry.suffix in {".dist-info", ".egg-info"}:
            name, _, version = entry.stem.partition("-")
            found[entry.name] = (_normal(name), version)
    return found


@lru_cache(maxsize=16)
def _record(info: str) -> str:
    try:
        return "\n" + (Path(info) / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return ""


def _lists(info: Path, inside: str) -> bool:
    return f"\n{inside}," in _record(str(info))


@cache
def _content_version(site: str, top: str) -> str:
    """Return a digest of a package's code: what was copied by hand into `site-packages` has no version."""
    root = Path(site) / top
    suffixes = (".py", *EXTENSION_SUFFIXES)
    files = sorted(file for file in root.rglob("*") if file.name.endswith(suffixes)) if root.is_dir() else [root]
    digest = blake2b(digest_size=16)
    for file in files:
        content = blake2b(file.read_bytes(), digest_size=16).digest()
        digest.update(str(file.relative_to(site)).encode("utf-8", "surrogatepass") + b"\0" + content)
    return f"content-{digest.hexdigest()}"


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
