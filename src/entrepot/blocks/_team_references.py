"""Which secrets of this machine a block of a shared store may refer to: those that the machine's owner listed.

The setting `blocks_team_references` has patterns: `env://DB_*`, `vault://prod/*`, `file:///run/secrets/*`, `*` for all.
A `*` at the end stands for anything; elsewhere it does not go beyond a `/` or `#`. Whoever saves blocks in that store
writes the references, so nothing is matched that a source could understand otherwise than it looks.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote

from entrepot import settings
from entrepot.blocks.secret_sources.local import path_of

__all__ = ["is_listed", "line_for"]

_ALL: Final = "*"
_FILE: Final = "file"
_SIGNS: Final = "*, "  # what a list of patterns would take for something else
_DECODED: Final = 4  # a text that is quoted more often than this was made to deceive
_LONGEST: Final = 4096  # characters: what a pattern with several stars takes long to look at is none
_FIELD: Final = re.compile(r"(block://[^/%]+/[^/%]+)/[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def is_listed(reference: str) -> bool:
    """Return whether a block of a shared store may use a reference here; with a block, its fields are listed."""
    patterns = settings.current().blocks_team_references
    if not patterns or _ALL in patterns:
        return bool(patterns)
    whole = _FIELD.fullmatch(reference)
    ways = [reference] if whole is None else [reference, whole[1]]
    return any(_fits(pattern, way) for pattern in patterns for way in ways)


def line_for(reference: str) -> str:
    """Return what to set so that `is_listed` holds of a reference; "" if only `*` would do."""
    if _forms(reference) is None:
        return ""
    wanted = "".join(quote(each) if each in _SIGNS or not each.isprintable() else each for each in reference)
    patterns = [*settings.current().blocks_team_references, wanted]
    variable = settings.setting_named("blocks_team_references").variable
    if os.environ.get(variable):
        return f"{variable}={shlex.quote(','.join(patterns))}"
    listed = json.dumps(patterns, ensure_ascii=False)
    return f"blocks_team_references = {listed} in {settings.config_path()}"


def _fits(pattern: str, reference: str) -> bool:
    scheme, _, wanted = pattern.partition("://")
    own, _, rest = reference.partition("://")
    forms = _forms(reference)
    if own.lower() != scheme or forms is None:
        return False
    # Some sources decode what they are given, and others do not: each form is one that must be allowed.
    patterns = [_compiled(each) for each in _readings(wanted)]
    if not all(any(each.fullmatch(form) for each in patterns) for form in forms):
        return False
    return scheme != _FILE or _leads_into(wanted, os.path.realpath(path_of(rest)))


def _forms(reference: str) -> list[str] | None:
    """Return a reference without its scheme, as it is written and decoded; None if it is not what it looks like."""
    scheme, _, rest = reference.partition("://")
    forms = [rest]
    cut = scheme.lower() == _FILE and any(mark in rest for mark in "?#")  # of a path, they would be left out
    if cut or len(rest) > _LONGEST:
        return None
    while (decoded := unquote(forms[-1])) != forms[-1]:
        forms.append(decoded)
        if len(forms) > _DECODED:
            return None
    for form in forms:
        steps = (form.removeprefix("/") if scheme.lower() == _FILE else form).split("/")
        if _ODD.search(form) or any(step in {"", ".", ".."} for step in steps):
            return None
    return forms


def _readings(wanted: str) -> Iterator[list[str]]:
    """Yield the pieces of a pattern between its stars, as they are written and decoded: `%2A` is no star."""
    pieces = wanted.split(_ALL)
    yield pieces
    yield [unquote(piece) for piece in pieces]


def _compiled(pieces: list[str]) -> re.Pattern[str]:
    *others, last = map(re.escape, pieces)
    if not others:
        return re.compile(last)
    return re.compile("[^/#]*".join(others) + ("[^/#]*" + last if last else ".*"), re.DOTALL)


def _leads_into(wanted: str, path: str) -> bool:
    """Return whether a path without links is one that a pattern for files means.

    The folder that the pattern names may be behind links itself, as `/var/run` is.
    """
    pieces = [unquote(piece) for piece in wanted.split(_ALL)]
    if len(pieces) == 1:
        return os.path.realpath(pieces[0]) == path
    folder, slash, rest = pieces[0].rpartition("/")
    start = os.path.realpath(folder or "/").rstrip("/")
    return _compiled([f"{start}{slash}{rest}", *pieces[1:]]).fullmatch(path) is not None
