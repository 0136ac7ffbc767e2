"""Where two outlines of a value differ: which part of it is another one. `entrepot.hashing.outline` makes them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Change", "changes"]

_RANGE: Final = re.compile(r"(.*)\[(\d+):(\d+)\]\Z", re.DOTALL)
_SIZE: Final = re.compile(r"[\[,][0-9x]*\]\Z", re.ASCII)
_FILE: Final = re.compile(r"(File|Dir)=(.+)", re.DOTALL)
_BIT: Final = re.compile(r"(.*)\[bit (\d+)=([01])\]\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """A part of a value that differs.

    Attributes:
        path: From the name of the value on: `df.columns[3]`, `rows[128:256]`.
        was: What kind of thing was there; "" for nothing, or where that is not known.
        now: What kind of thing is there.
        file: What the file or folder is called that it is; "" for anything else, and where that is not known.
    """

    path: str
    was: str = ""
    now: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of an outline: `<kind>`, `=<name>` of a file, a colon if the parts follow, and the digest."""

    kind: str
    digest: str
    has_parts: bool
    file: str = ""


_NOTHING: Final = _Entry("", "", has_parts=False)


def changes(name: str, old: Mapping[str, str], new: Mapping[str, str], *, comparable: bool) -> list[Change]:
    """Return which parts of a value differ; only the value itself where no more is known.

    Args:
        name: Of the part of the key: `input:rows`.
        old: The details of the record that it is compared with.
        new: The details of the record that is explained.
        comparable: Whether both were made under the same key; if not, only kinds are compared.
    """
    shown = name.partition(":")[2]
    before, after = _below(name, old), _below(name, new)
    top = _change(shown, before.get(""), after.get(""))
    if _family(top.was) != _family(top.now):
        return [top]
    found = list(_differing(before, after, comparable=comparable))
    inner = [one for one in found if not any(_is_inside(other.path, one.path) for other in found)]
    inner = _with_ranges(inner) if top.was == top.now else [*_without_ranges(inner), *_moved(before, after, top)]
    return [replace(one, path=shown + one.path) for one in inner] or [top]


def _below(name: str, details: Mapping[str, str]) -> dict[str, _Entry]:
    """Return the entries of one value by the path inside it, "" for itself."""
    found = {}
    for full, text in details.items():
        path = full.removeprefix(name)
        if full.startswith(name) and (not path or path[0] in ".["):
            kind, _, digest = text.rpartition("#") if "#" in text else (text, "", "")
            kind = kind.rstrip()
            file = _FILE.fullmatch(kind)
            found[path] = _Entry(
                file[1] if file else kind.removesuffix(":"), digest, kind.endswith(":"), file[2] if file else ""
            )
    return found


def _differing(old: Mapping[str, _Entry], new: Mapping[str, _Entry], *, comparable: bool) -> Iterator[Change]:
    for path in {**old, **new}:
        if not path:
            continue
        one, two = old.get(path), new.get(path)
        if one is not None and two is not None:
            if one.kind != two.kind or (comparable and one.digest != two.digest):
                yield _change(path, one, two)
        elif _is_told(path, old) and _is_told(path, new):  # else it may only have been left out
            yield Change(path, "" if one is None else one.kind or "?", "" if two is None else two.kind or "?")


def _change(path: str, old: _Entry | None, new: _Entry | None) -> Change:
    was, now = old or _NOTHING, new or _NOTHING
    file = now.file
    if file and was.file and file != was.file:
        file = f"{file} (was {was.file})"
    return Change(path, was.kind, now.kind, file)


def _is_told(path: str, outline: Mapping[str, _Entry]) -> bool:
    """Tell whether an outline has all parts of the value that a path leads into."""
    around = max((other for other in outline if other != path and _is_inside(path, other)), key=len, default=None)
    return around is not None and outline[around].has_parts


def _is_inside(path: str, other: str) -> bool:
    return len(path) > len(other) and path.startswith(other) and path[len(other)] in ".["


def _family(kind: str) -> str:
    """Return a kind without its size: `list` of `list[3]`, `ndarray[int64` of `ndarray[int64,3x4]`."""
    return _SIZE.sub("", kind)


def _without_ranges(found: list[Change]) -> list[Change]:
    return [one for one in found if not (_BIT.match(one.path) or _RANGE.match(one.path))]


def _moved(old: Mapping[str, _Entry], new: Mapping[str, _Entry], top: Change) -> Iterator[Change]:
    """Yield from where on a sequence differs whose length does: behind an insertion, everything has moved."""
    before, after = (
        {int(span[2]): (span[1], span[3], outline[span[0]].digest) for path in outline if (span := _RANGE.match(path))}
        for outline in (old, new)
    )
    start = next((start for start in sorted(before) if before[start] != after.get(start)), max(before, default=0))
    if start:
        yield Change(f"{before[start][0]}[{start}:]", top.was, top.now)


def _with_ranges(found: list[Change]) -> list[Change]:
    """Put the one item in the place of the bits that spell its index, and neighbours among ranges together."""
    prefix = ""  # one value has at most one long sequence in its outline
    bits: dict[int, set[int]] = {}
    ranges: list[tuple[int, int]] = []
    for one in found:
        if bit := _BIT.match(one.path):
            prefix = bit[1]
            bits.setdefault(int(bit[2]), set()).add(int(bit[3]))
        elif span := _RANGE.match(one.path):
            prefix = span[1]
            ranges.append((int(span[2]), int(span[3])))
    others = _without_ranges(found)
    if bits and all(len(sides) == 1 for sides in bits.values()):
        index = sum(next(iter(sides)) << bit for bit, sides in bits.items())
        if all(start <= index < end for start, end in ranges):
            return [*others, Change(f"{prefix}[{index}]")]
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return [*others, *[Change(f"{prefix}[{start}:{end}]") for start, end in joined]]
