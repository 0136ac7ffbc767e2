"""Variables that were meant to give a block, and give none: a slip in such a name would otherwise go unseen."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from entrepot.blocks.sources import PREFIX, capitals
from entrepot.plugins import BLOCKS
from entrepot.settings import SETTINGS

__all__ = ["Misspelt", "hint_for", "misspelt"]

_START: Final = re.compile(r"ENTREPOT_BLOCKS?_+(.+)", re.ASCII)
_NAME: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9_]*[A-Z0-9])?", re.ASCII)
_ALIKE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Misspelt:
    """A variable that gives no block.

    Attributes:
        variable: As it is.
        meant: As it probably should be; "" if nothing is near.
    """

    variable: str
    meant: str

    def __str__(self) -> str:
        what = f"did you mean {self.meant}?" if self.meant else f"it is written {PREFIX}TYPE__NAME, with a type of here"
        return f"{self.variable} is set and gives no block: {what}"


def misspelt() -> list[Misspelt]:
    """Return the variables that seem to be meant for blocks and give none, sorted; no value is looked at."""
    settings = {setting.variable for setting in SETTINGS.values()}
    wanted = [each for each in sorted(os.environ) if each.upper().startswith(PREFIX[:-2]) and each not in settings]
    types = {capitals(slug) for slug in BLOCKS.names()} if wanted else set()
    found = (Misspelt(each, _meant(each, types)) for each in wanted)
    return [each for each in found if each.meant != each.variable and (each.meant or each.variable.startswith(PREFIX))]


def hint_for(slug: str, name: str) -> str:
    """Return what to add to a message that a block is nowhere; "" if no variable is near.

    Args:
        slug: The type, "" for any.
        name: The name.
    """
    end = f"__{capitals(name)}"
    start = f"{PREFIX}{capitals(slug)}__" if slug else PREFIX
    near = [each for each in misspelt() if each.meant.startswith(start) and each.meant.endswith(end)]
    return "".join(f"; {each}" for each in near)


def _meant(variable: str, types: set[str]) -> str:
    start = _START.fullmatch(variable.upper().replace("-", "_"))
    readings = [each for each in _readings("" if start is None else start[1]) if _NAME.fullmatch(each[1])]
    exact = [each for each in readings if each[0] in types]
    near = ((kind, name) for each, name in readings for kind in get_close_matches(each, types, 1, _ALIKE))
    kind, name = next(iter(exact), None) or next(near, ("", ""))
    return f"{PREFIX}{kind}__{name}" if kind else ""


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """Yield how a text can be a type and a name: first at two underscores, then at one, the longest type first."""
    for gap in ("__", "_"):
        parts = text.split(gap)
        for place in range(len(parts) - 1, 0, -1):
            yield gap.join(parts[:place]).strip("_"), gap.join(parts[place:]).strip("_")
