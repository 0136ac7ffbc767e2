"""What installed distributions claim: entry points by group, read once per process, without importing any plugin.

`importlib.metadata` costs more to import than the scan does (tens of milliseconds against a few), and most machines
have no plugin at all. So a plain look through the metadata folders comes first; only where a distribution other than
our own mentions the group is `importlib.metadata` loaded, and it alone decides what the entry points are.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["OWN_DISTRIBUTION", "Claim", "Scan", "entry_points_of", "reset"]

OWN_DISTRIBUTION: Final = "entrepot"

_SEPARATORS = re.compile(r"[-_.]+")
_METADATA_FOLDERS = (".dist-info", ".egg-info")
_EGG = ".egg"


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry point.

    Attributes:
        name: The name that is claimed.
        target: Where the object is: `module:attribute`, as the distribution wrote it.
        distribution: The distribution's name.
        version: Its version, or "" where its metadata does not say.
    """

    name: str
    target: str
    distribution: str
    version: str

    def __str__(self) -> str:
        """Return the distribution, for messages: `acme-plugin 1.2`."""
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Scan:
    """What one group's entry points are.

    Attributes:
        claims: By name, sorted by distribution; our own distribution's are left out.
        unreadable: Distributions that mention the group, but whose entry points cannot be read: name, and why.
    """

    claims: dict[str, tuple[Claim, ...]]
    unreadable: tuple[tuple[str, str], ...] = ()


_lock = threading.Lock()
_scans: dict[tuple[str, tuple[str, ...]], Scan] = {}


def entry_points_of(group: str) -> Scan:
    """Return what installed distributions claim in `group`.

    Read once per process, and again after `reset()` or when `sys.path` has changed. A distribution whose metadata is
    damaged is reported, and hides no other.
    """
    key = (group, tuple(sys.path))
    scan = _scans.get(key)
    if scan is None:
        scan = _read(group) if _is_mentioned(group) else Scan({})
        with _lock:
            _scans[key] = scan
    return scan


def reset() -> None:
    """Forget what was read: something was installed or removed while this process runs."""
    with _lock:
        _scans.clear()


def normalise(distribution: str) -> str:
    """Return the name that decides whether two spellings are one distribution (PEP 503)."""
    return _SEPARATORS.sub("-", distribution).lower()


# --- the first look -----------------------------------------------------------------------------------------------


def _is_mentioned(group: str) -> bool:
    """Return whether a distribution other than ours may have entry points in `group`; "maybe" counts as yes."""
    if any(
        hasattr(finder, "find_distributions") and finder.__module__ != "_frozen_importlib_external"
        for finder in map(_class_of, sys.meta_path)
    ):
        return True  # distributions that are no folders: only importlib.metadata can say
    needle = group.encode()
    return any(_mentions(file, needle) for entry in dict.fromkeys(sys.path) for file in _entry_point_files(entry))


def _class_of(finder: object) -> type:
    return finder if isinstance(finder, type) else type(finder)


def _entry_point_files(entry: str) -> Iterator[str | None]:
    """Yield the entry point files of the distributions in one entry of `sys.path`; None where that is no folder."""
    try:
        with os.scandir(entry or ".") as found:
            names = [item.name for item in found]
    except NotADirectoryError:
        yield None  # a zip file, say
        return
    except OSError:
        return  # not there, or not for us: no import could come from it
    for name in names:
        stem, dot, ending = name.rpartition(".")
        if dot + ending in _METADATA_FOLDERS:
            if normalise(stem.partition("-")[0]) != OWN_DISTRIBUTION:
                yield os.path.join(entry, name, "entry_points.txt")  # noqa: PTH118  pathlib would double the time of this loop
        elif dot + ending == _EGG:
            yield os.path.join(entry, name, "EGG-INFO", "entry_points.txt")  # noqa: PTH118  the same


def _mentions(file: str | None, needle: bytes) -> bool:
    if file is None:
        return True
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        content = os.read(descriptor, 1 << 20)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return needle in content or len(content) == 1 << 20


# --- the real reading ---------------------------------------------------------------------------------------------


def _read(group: str) -> Scan:
    from importlib.metadata import distributions  # noqa: PLC0415  costs tens of ms, and is rarely needed

    claims: dict[str, list[Claim]] = {}
    unreadable: list[tuple[str, str]] = []
    seen: set[str] = set()
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt")
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append((_name_of(distribution), f"{type(error).__name__}: {error}"))
            continue
        if not text or group not in text:
            continue
        name = _name_of(distribution)
        if (key := normalise(name)) in seen or key == OWN_DISTRIBUTION:
            continue
        seen.add(key)
        try:
            found = _claims_of(_active(distribution, name), name, group)
        except Exception as error:  # noqa: BLE001  one damaged distribution must not hide the others
            unreadable.append((name, f"{type(error).__name__}: {error}"))
            continue
        for claim in found:
            claims.setdefault(claim.name, []).append(claim)
    in_order = {name: tuple(sorted(found, key=str)) for name, found in sorted(claims.items())}
    return Scan(in_order, tuple(unreadable))


def _active(distribution: "Distribution", name: str) -> "Distribution":
    """Return the distribution of this name that comes first on `sys.path`: one that it shadows has no say."""
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415  as above
    from importlib.metadata import distribution as first_of  # noqa: PLC0415  as above

    try:
        return first_of(name)
    except PackageNotFoundError:
        return distribution


def _claims_of(distribution: "Distribution", name: str, group: str) -> list[Claim]:
    version = _metadata_of(distribution, "Version")
    targets = dict.fromkeys((point.name, point.value) for point in distribution.entry_points if point.group == group)
    return [Claim(point, target, name, version) for point, target in targets]


def _name_of(distribution: "Distribution") -> str:
    # Without metadata the folder's name is the best that there is.
    return _metadata_of(distribution, "Name") or str(getattr(distribution, "_path", distribution.locate_file("")))


def _metadata_of(distribution: "Distribution", field: str) -> str:
    try:
        return distribution.metadata[field] or ""
    except Exception:  # noqa: BLE001  absent metadata raises differently in each Python version
        return ""
