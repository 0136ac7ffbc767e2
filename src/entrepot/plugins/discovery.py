"""What installed distributions claim: entry points by group, read once per process, without importing any plugin.

Distributions that are folders on `sys.path` are read by `_plain.py`, all of our groups in one go; where there are
others (in a zip file, or of a finder of their own) `importlib.metadata` is asked, which knows all and takes longer.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock  # what `threading.Lock` is, without the milliseconds of that import

from entrepot.plugins._claims import OWN_DISTRIBUTION, Claim, KnownOwner, normalise
from entrepot.plugins._plain import NotPlainError, PlainScan, egg_name, folder_name
from entrepot.plugins._plain import scan as scan_folders

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import Distribution
    from typing import Final

__all__ = ["OWN_DISTRIBUTION", "Claim", "Scan", "entry_points_of", "normalise", "reset"]

# Finders of what is on `sys.path`, and of nothing else; the second is a backport of the first.
_FIND_FOLDERS: Final = frozenset({"_frozen_importlib_external", "importlib_metadata"})


class Scan:
    """What one group's entry points are.

    Attributes:
        claims: By name, both sorted; our own distribution's are left out.
        unreadable: Distributions that mention the group, but whose entry points cannot be read: name, and why.
    """

    __slots__ = ("_by_key", "claims", "unreadable")

    def __init__(self, claims: Mapping[str, tuple[Claim, ...]], unreadable: tuple[tuple[str, str], ...] = ()) -> None:
        self.claims = claims
        self.unreadable = unreadable
        self._by_key: dict[str, Claim] | None = None

    def of(self, key: str) -> Claim | None:
        """Return the first claim of the distribution that is found by a name (`Claim.key`), or None."""
        if self._by_key is None:
            self._by_key = {}
            for found in self.claims.values():
                for claim in found:
                    self._by_key.setdefault(claim.key, claim)
        return self._by_key.get(key)


_lock = allocate_lock()
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
    return Scan(_in_order(found.claims.get(group, {})), tuple(unreadable))


def _in_order(found: Mapping[str, list[Claim]]) -> dict[str, tuple[Claim, ...]]:
    # The metadata of a distribution is read for its name: only where there are two.
    return {
        name: tuple(sorted(claims, key=str) if len(claims) > 1 else claims) for name, claims in sorted(found.items())
    }


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
    return Scan(_in_order(claims), tuple(unreadable))


def _active(distribution: Distribution, name: str) -> Distribution:
    """Return the distribution of this name that comes first on `sys.path`: one that it shadows has no say."""
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415  as above
    from importlib.metadata import distribution as first_of  # noqa: PLC0415  as above

    try:
        return first_of(name)
    except PackageNotFoundError:
        return distribution


def _claims_of(distribution: Distribution, name: str, group: str) -> list[Claim]:
    owner = KnownOwner(name, _metadata_of(distribution, "Version"), _key_of(distribution) or normalise(name))
    targets = dict.fromkeys((point.name, point.value) for point in distribution.entry_points if point.group == group)
    return [Claim(point, target, owner) for point, target in targets]


def _name_of(distribution: Distribution) -> str:
    # Without metadata the folder's name is the best that there is.
    return _metadata_of(distribution, "Name") or _key_of(distribution) or str(distribution.locate_file(""))


def _key_of(distribution: Distribution) -> str:
    path = getattr(distribution, "_path", None)
    name = str(getattr(path, "name", ""))
    if name.lower() == "egg-info":
        return egg_name(str(getattr(getattr(path, "parent", None), "name", "")))
    return folder_name(name)


def _metadata_of(distribution: Distribution, field: str) -> str:
    try:
        return distribution.metadata[field] or ""
    except Exception:  # noqa: BLE001  absent metadata raises differently in each Python version
        return ""
