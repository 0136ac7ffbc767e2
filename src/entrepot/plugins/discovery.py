"""What installed distributions claim: entry points by group, read once per process, without importing any plugin.

Distributions that are folders on `sys.path` are read by `_plain.py`, all of our groups in one go; where there are
others (in a zip file, or of a finder of their own) `importlib.metadata` is asked, which knows all and takes longer.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from entrepot.plugins._plain import NotPlainError, PlainClaim, PlainScan, normalise
from entrepot.plugins._plain import scan as scan_folders

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["OWN_DISTRIBUTION", "Claim", "Scan", "entry_points_of", "normalise", "reset"]

OWN_DISTRIBUTION: Final = "entrepot"

# Finders of what is on `sys.path`, and of nothing else; the second is a backport of the first.
_FIND_FOLDERS: Final = frozenset({"_frozen_importlib_external", "importlib_metadata"})


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

    claims: Mapping[str, tuple[Claim, ...]]
    unreadable: tuple[tuple[str, str], ...] = ()


_lock = threading.Lock()
_scans: dict[tuple[str, tuple[str, ...]], Scan] = {}
_plain: dict[tuple[str, ...], PlainScan | None] = {}


def entry_points_of(group: str) -> Scan:
    """Return what installed distributions claim in `group`.

    Read once per process, and again after `reset()` or when `sys.path` has changed. A distribution whose metadata is
    damaged is reported, and hides no other.
    """
    path = tuple(sys.path)
    scan = _scans.get((group, path))
    if scan is None:
        if path not in _plain:
            plain = _scan_plain(path)
            with _lock:
                _plain[path] = plain
        found = _plain[path]
        scan = _read(group) if found is None else _scan_of(group, found)
        with _lock:
            _scans[group, path] = scan
    return scan


def reset() -> None:
    """Forget what was read: something was installed or removed while this process runs."""
    with _lock:
        _scans.clear()
        _plain.clear()


# --- distributions that are folders ---------------------------------------------------------------------------------


def _scan_plain(path: tuple[str, ...]) -> PlainScan | None:
    """Return what is in folders, or None where that is not all there may be."""
    if any(
        hasattr(finder, "find_distributions") and finder.__module__.partition(".")[0] not in _FIND_FOLDERS
        for finder in map(_class_of, sys.meta_path)
    ):
        return None  # distributions that are no folders
    try:
        return scan_folders(path, without=OWN_DISTRIBUTION)
    except NotPlainError:
        return None


def _class_of(finder: object) -> type:
    return finder if isinstance(finder, type) else type(finder)


def _scan_of(group: str, found: PlainScan) -> Scan:
    needle = group.encode()
    unreadable = [(whose.name, why) for whose, content, why in found.unreadable if needle in content]
    return Scan(_PlainClaims(found.claims.get(group, {})), tuple(unreadable))


class _PlainClaims(Mapping[str, tuple[Claim, ...]]):
    """Claims by name, sorted; the metadata of a distribution is read when one of its claims is looked at."""

    def __init__(self, found: Mapping[str, list[PlainClaim]]) -> None:
        self._found = found
        self._made: dict[str, tuple[Claim, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Claim, ...]:
        made = self._made.get(name)
        if made is None:
            claims = [
                Claim(name, raw.target, raw.distribution.name, raw.distribution.version) for raw in self._found[name]
            ]
            made = self._made[name] = tuple(sorted(claims, key=str))
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found


# --- all others ---------------------------------------------------------------------------------------------------


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
