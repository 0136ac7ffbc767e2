"""Entry points of distributions that are folders on `sys.path`, without `importlib.metadata`.

Most are. `importlib.metadata` takes tens of milliseconds to import, and reads the metadata of each distribution that
has an entry point; here each `entry_points.txt` is read once for all of our groups, and the metadata of a distribution
when one of its claims is looked at. What is no plain folder is for `importlib.metadata` to say (`discovery.py`).

Formats: https://packaging.python.org/en/latest/specifications/entry-points/ and .../recording-installed-packages/.
"""

from __future__ import annotations

import os

from entrepot.plugins._claims import Claim, normalise

TYPE_CHECKING = False  # `typing` and `re` take longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

__all__ = ["NotPlainError", "PlainDistribution", "PlainScan", "egg_name", "folder_name", "scan"]

_METADATA_FILES: Final = ("METADATA", "PKG-INFO")
_FOLDERS: Final = (".dist-info", ".egg-info")
_PREFIX: Final = b"entrepot."


class NotPlainError(Exception):
    """Something on the path is no folder (a zip file, say), and may hold distributions."""


class PlainDistribution:
    """A metadata folder.

    Attributes:
        folder: Where it is.
        key: The name that it goes by, normalised: installers and `importlib.metadata` find it by the folder's.
    """

    __slots__ = ("_known", "folder", "key")

    def __init__(self, folder: str, key: str) -> None:
        self.folder = folder
        self.key = key
        self._known: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name; that of the folder, where its metadata does not say."""
        return self._metadata()[0] or self.key

    @property
    def version(self) -> str:
        """Its version, or ""."""
        return self._metadata()[1]

    def _metadata(self) -> tuple[str, str]:
        if self._known is None:
            self._known = _name_and_version(self.folder)
        return self._known


class PlainScan:
    """What was found.

    Attributes:
        claims: By group, by name.
        unreadable: Distributions that mention us, and whose entry points cannot be read: which, and why.
    """

    __slots__ = ("claims", "unreadable")

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, list[Claim]]] = {}
        self.unreadable: list[tuple[PlainDistribution, bytes, str]] = []


def folder_name(folder: str) -> str:
    """Return the name that a metadata folder's own name says, normalised; "" if it is none."""
    stem, dot, ending = folder.lower().rpartition(".")
    return normalise(stem.partition("-")[0]) if dot + ending in _FOLDERS else ""


def egg_name(folder: str) -> str:
    """Return the name that the folder around an `EGG-INFO` says, normalised; "" if it is no egg."""
    base = folder.lower()
    return normalise(base.removesuffix(".egg").partition("-")[0]) if base.endswith(".egg") else ""


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
                    _collect(PlainDistribution(folder, key), content, found)
    return found


def _metadata_folders(entry: str) -> Iterator[tuple[str, str]]:
    """Yield the names of distributions in one entry of the path, normalised, with their metadata folders."""
    try:
        names = os.listdir(entry or ".")  # noqa: PTH208  a Path for each would cost more than all the rest
    except NotADirectoryError:
        raise NotPlainError from None
    except OSError:
        return  # not there, or not for us: no import could come from it
    for name in names:
        if key := folder_name(name):
            yield key, f"{entry or '.'}{os.sep}{name}"
        elif name.lower() == "egg-info" and (key := egg_name(os.path.basename(entry))):  # noqa: PTH119  the same
            yield key, f"{entry}{os.sep}{name}"


def _read(file: str) -> bytes | None:
    try:
        # Not to wait where somebody put a named pipe.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
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
        found.claims.setdefault(group, {}).setdefault(name, []).append(Claim(name, target, distribution))


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    group = None
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] == "#":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1]
            continue
        if group is None:
            continue  # whatever stands before the first group is nothing
        name, equals, target = line.partition("=")
        if not equals:
            raise ValueError(f"{line[:100]!r} is no entry point: it has no '='")
        if group.startswith("entrepot."):
            yield group, name.strip(), target.strip()


def _name_and_version(folder: str) -> tuple[str, str]:
    for file in (*(f"{folder}{os.sep}{name}" for name in _METADATA_FILES), folder):
        content = _read(file)  # an .egg-info may itself be the file
        if content is not None:
            said: dict[str, str] = {}
            for line in content.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
                field, colon, text = line.partition(":")
                if not (colon or line.startswith((" ", "\t"))):
                    break  # the end of the headers
                said.setdefault(field.lower(), text.strip())  # said twice: `importlib.metadata` takes the first, too
            return said.get("name", ""), said.get("version", "")
    return "", ""
