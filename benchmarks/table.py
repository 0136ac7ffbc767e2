"""One table of figures, Entrepot beside its peers and the limits of the machine; and the same as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

__all__ = ["HEADS", "Row", "cells", "markdown", "printed"]

PEERS = ("joblib", "diskcache", "redun", "Prefect")
HEADS = ("what", "Entrepot", *PEERS, "limit of the machine", "verdict")
_WHOLE = 100  # from here on no digits after the point


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is measured.
        unit: Of all its figures.
        own: Entrepot's figure; None where the case failed.
        peers: Figures of other engines, by name; or why there is none, as "word" or "word: reason".
        limits: What the machine does without any engine, by name.
        ratio: Entrepot's figure through that of what it is held against.
        against: What that is.
        target: What the figure or the ratio is not to be beyond; None where none is set.
        at_least: Whether it is not to be below it instead.
        note: What else is to be said.
    """

    what: str
    unit: str
    own: float | None
    peers: Mapping[str, float | str] = field(default_factory=dict)
    limits: Mapping[str, float | str] = field(default_factory=dict)
    ratio: float | None = None
    against: str = ""
    target: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it is as it should be; None where nothing is set, or nothing was measured."""
        held = self.own if self.ratio is None else self.ratio
        if self.target is None or held is None:
            return None
        return held >= self.target if self.at_least else held <= self.target

    def as_data(self) -> dict[str, Any]:
        """Return what goes into a file for programs."""
        return {**asdict(self), "met": self.is_met}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> "Row":
        """Return the row that `as_data` was called on."""
        return cls(**{name: value for name, value in data.items() if name != "met"})


def cells(row: Row) -> list[str]:
    """Return the texts of a line."""
    verdict = "" if row.ratio is None else f"{row.ratio:.2f}x {row.against}"
    if row.target is not None:
        bound = f"{'≥' if row.at_least else '≤'} {row.target:g}"
        said = {True: "met", False: "**missed**", None: "not measured"}[row.is_met]
        verdict = f"{verdict}{', ' if verdict else ''}{said} ({bound})"
    reasons = (f"{name} {said}" for name, said in row.peers.items() if isinstance(said, str) and ": " in said)
    verdict = "; ".join(text for text in (verdict, row.note, *reasons) if text)
    return [
        f"{row.what} ({row.unit})" if row.unit else row.what,
        "failed" if row.own is None else _number(row.own),
        *(_number(row.peers[name]) if name in row.peers else "" for name in PEERS),
        ", ".join(f"{name} {_number(value)}" for name, value in row.limits.items()),
        verdict,
    ]


def printed(title: str, rows: list[Row]) -> Table:
    """Return the table for a terminal."""
    table = Table(title=title)
    for head in HEADS:
        table.add_column(head, justify="left" if head in {"what", "verdict", HEADS[-2]} else "right")
    for row in rows:
        table.add_row(*cells(row))
    return table


def markdown(title: str, rows: list[Row]) -> str:
    """Return the table as Markdown."""
    lines = [HEADS, ["---"] * len(HEADS), *([cell.replace("|", "/") for cell in cells(row)] for row in rows)]
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value.partition(": ")[0]
    if abs(value) >= _WHOLE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004  three digits that mean something
