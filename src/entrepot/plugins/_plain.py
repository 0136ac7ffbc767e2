"""Entry points of distributions that are folders on `sys.path`, without `importlib.metadata`.

Most are. `importlib.metadata` takes tens of milliseconds to import, and reads the metadata of each distribution that
has an entry point; here each `entry_points.txt` is read once for all of our groups, and the metadata of a distribution
when one of its claims is looked at. What is no plain folder is for `importlib.metadata` to say (`discovery.py`).

Formats: https://packaging.python.org/en/latest/specifications/entry-points/ and .../recording-installed-packages/.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["NotPlainError", "PlainClaim", "PlainDistribution", "PlainScan", "normalise", "scan"]

_SEPARATORS = re.compile(r"[-_.]+")
_METADATA_FILES: Final = ("METADATA", "PKG-INFO")
_FOLDERS: Final = (".dist-info", ".egg-info")
_PREFIX: Final = b"entrepot."


class NotPlainError(Exception):
    """Something on the path is no folder (a zip file, say), and may hold distributions."""


@dataclass(slots=True)
class PlainDistribution:
    """A metadata folder.

    Attributes:
        folder: Where it is.
    """

    folder: str
    _known: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name; the folder, where its metadata does not say."""
        return self._metadata()[0] or self.folder

    @property
    def version(self) -> str:
        """Its version, or ""."""
        return self._metadata()[1]

    def _metadata(self) -> tuple[str, str]:
        if self._known is None:
            self._known = _name_and_version(self.folder)
        return self._known


@dataclass(frozen=True, slots=True)
class PlainClaim:
    """One entry point of one distribution."""

    name: str
    target: str
    distribution: PlainDistribution


@dataclass(slots=True)
class PlainScan:
    """What was found.

    Attributes:
        claims: By group, by name.
        unreadable: Distributions that mention us, and whose entry points cannot be read: which, and why.
    """

    claims: dict[str, dict[str, list[PlainClaim]]] = field(default_factory=dict)
    unreadable: list[tuple[PlainDistribution, bytes, str]] = field(default_factory=list)


def normalise(distribution: str) -> str:
    """Return the name that decides whether two spellings are one distribution (PEP 503)."""
    return _SEPARATORS.sub("-", distribution).lower()


def scan(path: Sequence[str], *, without: str) -> PlainScan:
    """Return the entry points of our groups, of every distribution but one.

    Of two copies of a distribution the first on the path counts, with or without entry points.

    Raises:
        NotPlainError: If something on the path is no folder.
    """
    found = PlainScan()
    seen = {without}
    for entry in dict.fromkeys(path):
        for key, folder in _metadata_folders(entry):
            if key not in seen:
                seen.add(key)
                content = _read(f"{folder}{os.sep}entry_points.txt")
                if content is not None and _PREFIX in content:
                    _collect(PlainDistribution(folder), content, found)
    return found


def _metadata_folders(entry: str) -> Iterator[tuple[str, str]]:
    """Yield the names of distributions in one entry of the path, normalised, with their metadata folders."""
    try:
        names = os.listdir(entry or ".")  # noqa: PTH208  a Path for each would cost more than all the rest
    except NotADirectoryError:
        raise NotPlainError from None
    except OSError:
        return  # not there, or not for us: no import could come from it
    base = os.path.basename(entry).lower()  # noqa: PTH119  the same
    for name in names:
        stem, dot, ending = name.lower().rpartition(".")
        if dot + ending in _FOLDERS:
            yield normalise(stem.partition("-")[0]), f"{entry or '.'}{os.sep}{name}"
        elif name.lower() == "egg-info" and base.endswith(".egg"):
            yield normalise(base.removesuffix(".egg").partition("-")[0]), f"{entry}{os.sep}{name}"


def _read(file: str) -> bytes | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        content = os.read(descriptor, 1 << 16)
        if len(content) == 1 << 16:
            while more := os.read(descriptor, 1 << 20):
                content += more
    except OSError:
        return None
    else:
        return content
    finally:
        os.close(descriptor)


def _collect(distribution: PlainDistribution, content: bytes, found: PlainScan) -> None:
    try:
        points = list(_entry_points(content.decode()))
    except ValueError as error:  # also what is not UTF-8
        found.unreadable.append((distribution, content, f"{type(error).__name__}: {error}"))
        return
    for group, name, target in dict.fromkeys(points):
        named = found.claims.setdefault(group, {}).setdefault(name, [])
        named.append(PlainClaim(name, target, distribution))


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    group = None
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] == "#":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1]
            continue
        name, equals, target = line.partition("=")
        if not equals:
            raise ValueError(f"{line[:100]!r} is no entry point: it has no '='")
        if group is not None and group.startswith("entrepot."):
            yield group, name.strip(), target.strip()


def _name_and_version(folder: str) -> tuple[str, str]:
    for file in (*(f"{folder}{os.sep}{name}" for name in _METADATA_FILES), folder):
        content = _read(file)  # an .egg-info may itself be the file
        if content is not None:
            headers = content.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")[0]
            said = dict(re.findall(r"^(Name|Version):[ \t]*(.*?)[ \t]*$", headers, re.MULTILINE))
            return said.get("Name", ""), said.get("Version", "")
    return "", ""
