"""The elements of an SVG document, as text: every number short, every text and attribute escaped."""

import html
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from entrepot._text import clean

__all__ = ["TIMES", "Drawing", "escaped", "fitting", "number"]

TIMES: Final = "\N{MULTIPLICATION SIGN}"

_LETTER: Final = 0.6  # of the size of the font: what letters of wide fonts take on average
_NARROW: Final = frozenset("iIjlftr.,:;'|!()[] ")


def escaped(text: str) -> str:
    """Return text as it may stand in an element or an attribute: XML has no place for most control characters."""
    return html.escape(clean(text))


def number(value: float) -> str:
    """Return a number with one decimal at most."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def fitting(text: str, pixels: float, size: float = 12, *, strong: bool = False) -> str:
    """Return as much of a text as should fit, on one line; which font it will be is not known here."""
    line = " ".join(clean(text).split())
    room = pixels / size / (1.12 if strong else 1)
    taken = 0.0
    for at, letter in enumerate(line):
        if unicodedata.east_asian_width(letter) in "WF":
            taken += 1
        else:
            taken += 0.35 if letter in _NARROW else 0.7 if letter.isupper() else _LETTER
        if taken > room:
            return line[: max(at - 1, 0)].rstrip() + "…"
    return line


class Drawing:
    """Collects elements."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._parts)

    def add(self, element: str) -> None:
        """Add an element as it is."""
        self._parts.append(element)

    @contextmanager
    def group(
        self, style: str = "", *, title: str = "", at: tuple[float, float] | None = None, scale: float = 1
    ) -> Iterator[None]:
        """Put what is drawn in here together.

        Args:
            style: Its class.
            title: What is told to who points at it.
            at: Where its upper left corner is.
            scale: How large it is drawn.
        """
        moved = "" if at is None else f"translate({number(at[0])} {number(at[1])})"
        if scale != 1:
            moved += f" scale({scale:.3f})"
        self.add(f"<g{_attribute('class', style)}{_attribute('transform', moved)}>")
        if title:
            self.add(f"<title>{escaped(title)}</title>")
        yield
        self.add("</g>")

    def rectangle(self, x: float, y: float, width: float, height: float, style: str, *, round_: float = 0) -> None:
        """Draw a rectangle."""
        corner = _attribute("rx", number(round_)) if round_ else ""
        self.add(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" height="{number(height)}"'
            f"{corner}{_attribute('class', style)}/>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """Draw a line."""
        self.path([f"M{number(x1)} {number(y1)}", f"L{number(x2)} {number(y2)}"], style)

    def path(self, steps: Sequence[str], style: str) -> None:
        """Draw a path."""
        self.add(f'<path d="{"".join(steps)}"{_attribute("class", style)}/>')

    def text(self, x: float, y: float, text: str, style: str = "", *, anchor: str = "") -> None:
        """Write a line of text; its base line is at y.

        Args:
            x: Where it begins, ends or has its middle, by the anchor.
            y: The base line.
            text: What.
            style: Its class.
            anchor: "" for the beginning, "end" or "middle".
        """
        self.add(
            f'<text x="{number(x)}" y="{number(y)}"{_attribute("class", style)}{_attribute("text-anchor", anchor)}>'
            f"{escaped(text)}</text>"
        )


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escaped(value)}"' if value else ""
