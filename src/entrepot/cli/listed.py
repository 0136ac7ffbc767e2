"""Lists of results: a line each, in the columns that fit the terminal, printed as they are found."""

import re
import sys
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from entrepot.cli.output import clean, columns_of, cut, told, when
from entrepot.cli.records import kept_until, own_names, size_text
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record

__all__ = ["Lines", "short_key", "shortened", "state_of"]

_STYLES: Final = {Outcome.HIT: "green", Outcome.EXPIRED: "yellow"}
_COMPUTED: Final = re.compile(r"([ec][0-9]{1,3}-[0-9a-f]{12})[0-9a-f]{20,}", re.ASCII)
_DIGITS: Final = 12  # of a computed key, or of a record's file name: of a million, no two begin alike
_LONGEST_KEY: Final = 68  # columns: the keys that policies make have 67 characters
_SHORT_KEY: Final = 16
_OF: Final = 20
_MINUTES: Final = 16  # characters of a time without its seconds
_SECONDS: Final = 19
_KEPT: Final = "kept "  # until then, by its own keep=: it does not expire, it is removed
_WIDE: Final = 171  # from so many columns on everything fits
_WITH_SERIALIZER, _WITH_EXPIRES = 96, 116


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int


class Lines:
    """Makes the lines of a list.

    Args:
        columns: How many there are; None for as many as are needed. By default, what stdout has.
    """

    def __init__(self, columns: int | None = -1) -> None:
        if columns == -1:
            columns = columns_of(sys.stdout)
        self._is_wide = columns is None or columns >= _WIDE
        room = _WIDE if columns is None else columns
        self._stamp = _SECONDS if self._is_wide else _MINUTES
        self._key = _LONGEST_KEY if self._is_wide else _SHORT_KEY
        rest = [_Column("Created", self._stamp)]
        if room >= _WITH_EXPIRES:
            rest.append(_Column("Expires", len(_KEPT) + self._stamp))
        rest.append(_Column("Size", 10))
        if room >= _WITH_SERIALIZER:
            rest.append(_Column("Serializer", 10))
        left = room - self._key - sum(column.width + 1 for column in rest) - len(Outcome.UNREACHABLE.value) - 2
        self._rest = [_Column("Of", max(_OF if self._is_wide else 8, min(left, 32))), *rest]

    def heading(self) -> Text:
        """Return the line above the list."""
        cells = [f"{'Key':<{self._key}}", *(f"{column.heading:<{column.width}}" for column in self._rest), "State"]
        return Text(" ".join(cells), style="bold")

    def line(self, found: Lookup) -> Text:
        """Return the line of a result; a key that is too long has a line to itself above the rest."""
        cells = self._cells(found)
        rest = [f"{cut(clean(str(cells[one.heading])), one.width):<{one.width}}" for one in self._rest]
        key = clean(cells["Key"])
        # In a wide list it pushes the rest aside, so that there is one line for each result.
        above = f"{key}\n{'':<{self._key}}" if len(key) > self._key and not self._is_wide else f"{key:<{self._key}}"
        return Text(" ".join([above, *rest, ""])).append_text(state_of(found))

    def _cells(self, found: Lookup) -> dict[str, Any]:
        record = found.record
        if record is None:
            cells: dict[str, Any] = dict.fromkeys(("Of", "Created", "Expires", "Size", "Serializer"), "")
            return cells | {"Key": found.path if self._is_wide else short_key(found)}
        return {
            "Key": record.key if self._is_wide else short_key(found),
            "Of": record.task.get("name", ""),
            "Created": when(record.created)[: self._stamp],
            "Expires": self._ends(record),
            "Size": size_text(record.size),
            "Serializer": record.serializer,
        }

    def _ends(self, record: Record) -> str:
        """Return when a result expires, or until when it is kept, whichever comes first."""
        until = kept_until(record)
        if until is not None and (record.expires is None or until < record.expires):
            return f"{_KEPT}{when(until)[: self._stamp]}"
        if record.expires is None and record.about.get("keep") == "run":
            return "with its run"
        return when(record.expires)[: self._stamp]


def short_key(found: Lookup) -> str:
    """Return what a result can be asked for by: its task and the user's own text, or the beginning of its key."""
    record = found.record
    if record is None:
        return found.path.rpartition("/")[2][:_DIGITS]
    own = own_names(record)
    # What is not printable could look like lines of the list.
    return own[-1] if own and own[-1].isprintable() else shortened(record.key)


def shortened(key: str) -> str:
    """Return the beginning of a key that was computed; any other one as it is."""
    computed = _COMPUTED.fullmatch(key)
    return key if computed is None else computed.group(1)


def state_of(found: Lookup) -> Text:
    """Return whether a result is good, in its colour."""
    return told("good" if found.outcome is Outcome.HIT else found.outcome.value, _STYLES.get(found.outcome, "red"))
