"""What to say to who asked for a block that is not there: names that are near, or when it was deleted and by whom."""

import json
from difflib import get_close_matches
from typing import Final

from entrepot._text import clean, cut
from entrepot.blocks._about import read_about

__all__ = ["deleted", "nearest", "offer"]

_LONGEST: Final = 60  # characters of a name of a user or host, in a message


def offer(name: str, names: list[str], *, slug: str = "TYPE") -> str:
    """Return what to say of the names that are there: those that are near, or the first of all.

    Args:
        name: The one that is not.
        names: Those that are.
        slug: The block type, where it is known.
    """
    if not names:
        return f"none is saved there (`entrepot block create {slug} {name}` saves it)"
    shown = nearest(name, names)
    if shown:
        return f"did you mean {' or '.join(repr(each) for each in shown)}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""  # noqa: PLR2004  what fits a line
    return f"saved there: {', '.join(names[:10])}{more}"


def nearest(name: str, names: list[str]) -> list[str]:
    """Return the names that somebody may have meant, at most three: `type/name`, or a name alone, as they are."""
    exact = [each for each in names if name in each.split("/")]
    # A name alone is not held against the types: they would make it look far from all.
    ends = names if "/" in name else [each.rpartition("/")[2] for each in names]
    near = [
        each for end in get_close_matches(name, ends, n=3) for each, its in zip(names, ends, strict=True) if its == end
    ]
    return list(dict.fromkeys([*exact, *near]))[:3]


def deleted(body: bytes, what: str = "it") -> str:
    """Return what to say of a block that was deleted: when and by whom, if that is known, and what to do.

    Args:
        body: What its tombstone says, opened; empty where that cannot be.
        what: The block, where it was not named before.
    """
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = {}
    about = read_about(said.get("about") if isinstance(said, dict) else None)
    when = f" on {about.saved:%Y-%m-%d %H:%M} UTC" if about.saved else ""
    who = f" by {cut(clean(about.by), _LONGEST)}" if about.by else ""
    where = f" on {cut(clean(about.host), _LONGEST)}" if about.by and about.host else ""
    return f"{what} was deleted there{when}{who}{where}; save it again to have it back"
