"""What a check found, as lines for people and as JSON for programs."""

import json
from collections.abc import Iterator
from typing import Final

from entrepot.compat.check import Report, Use
from entrepot.compat.names import names

__all__ = ["as_json", "as_lines"]

_SHOWN: Final = 3  # places of one name in a line
_INDENT: Final = " " * 11


def as_lines(report: Report) -> Iterator[str]:
    """Yield lines for people: what is absent first, the sum at the end."""
    for use in report.uses:
        yield from _told(use)
    if report.variables:
        yield ""
        yield "Variables of the environment, which have no effect here:"
        for use in report.variables:
            yield from _told(use)
    for file, why in report.unreadable.items():
        yield _plain(f"unread     {file}: {why}")
    if report.uses or report.variables or report.unreadable:
        yield ""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts().items() if count)
    passed_by = f"; {_number(report.notebooks, 'notebook')} passed by" if report.notebooks else ""
    found = f"{_number(len(report.uses), 'name')} of Prefect in {_number(report.files, 'file')}"
    yield f"{found}{': ' if counts else ''}{counts}{passed_by}"
    yield f"(compared with Prefect {' and '.join(names().versions)})"


def as_json(report: Report) -> Iterator[str]:
    """Yield the lines of one JSON object."""
    document = {
        "versions": names().versions,
        "files": report.files,
        "notebooks": report.notebooks,
        "counts": report.counts(),
        "fits": report.fits,
        "names": [_fields(use) for use in report.uses],
        "variables": [_fields(use) for use in report.variables],
        "unreadable": report.unreadable,
    }
    yield from json.dumps(document, indent=2).splitlines()


def _told(use: Use) -> Iterator[str]:
    verdict = use.verdict
    here = f" -> {verdict.ours}" if verdict.target else ""
    places = ", ".join(f"{place.file}:{place.line}" for place in use.places[:_SHOWN])
    more = f" and {len(use.places) - _SHOWN} more" if len(use.places) > _SHOWN else ""
    yield _plain(f"{verdict.status:<10} {verdict.name}{here}   {places}{more}")
    if verdict.note:
        yield f"{_INDENT}  {verdict.note}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _plain(text: str) -> str:
    """Return a line in which names of files cannot control the terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _fields(use: Use) -> dict[str, object]:
    return {
        "name": use.verdict.name,
        "status": use.verdict.status,
        "ours": use.verdict.ours or None,
        "note": use.verdict.note or None,
        "places": [{"file": place.file, "line": place.line} for place in use.places],
    }
