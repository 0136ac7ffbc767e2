"""Large results of other runs: their digest is made when they are written, and known from their records then.

    frame = extract.submit()          # found in the store: its record says the digest of the frame
    report.submit(frame)              # its key takes that digest; the frame is not read again

Only what the engine itself has read from a store, and hands from one run to the next, is known so: nobody else had it.
What was computed in this process is hashed by its content: whoever computed it may hold it still, and change it in
place. So is a result that somebody has looked at. The digest is the same in each case, and so are the keys.

A task that changes such an argument in place, and lets another task have the same object, is found out where the change
shows in a sample of its bytes, and in the checking mode (`checking.py`) always.
"""

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Final

from entrepot._sentinels import MISSING
from entrepot.engine.run import Run
from entrepot.futures import EntrepotFuture
from entrepot.hashing.sample import sample_of, size_of
from entrepot.hashing.values import hash_value
from entrepot.results.record import Record
from entrepot.serializers import COMPRESSED

__all__ = ["CONTENT", "SMALLEST", "content_notes", "digests", "note", "unchanged"]

CONTENT: Final = "content"
"""What the digest is called among the notes of a record."""

SMALLEST: Final = 1 << 20
"""Bytes from which a value's digest is kept with it: below, hashing it costs less than explaining this."""

_EXACT: Final = frozenset({"arrow", "npy", "parquet", "pickle"})
"""Serializers that give back what they were given; a user's own may not."""

_LIMIT: Final = 10_000  # results that are known at a time

_known: dict[int, tuple[weakref.ref[Any], str, bytes]] = {}


def content_notes(value: object) -> Mapping[str, str]:
    """Return what the record of a value is to note: its digest, if it is large and nothing but its bytes counts."""
    if size_of(value) < SMALLEST or sample_of(value) is None:
        return {}
    return {CONTENT: hash_value(value)}


def note(run: Run, value: object, record: Record) -> None:
    """Know a value that was just read from a store for the run, unless the user's code sees it first."""
    digest = record.about.get(CONTENT)
    if digest is None or run.definition.hooks.on_completion or record.serializer.removeprefix(COMPRESSED) not in _EXACT:
        return
    sample = sample_of(value)
    if sample is None:
        return
    key = id(value)

    def forget(reference: weakref.ref[Any]) -> None:
        known = _known.get(key)
        if known is not None and known[0] is reference:
            del _known[key]

    while len(_known) >= _LIMIT:
        _known.pop(next(iter(_known)), None)
    _known[key] = (weakref.ref(value, forget), digest, sample)


def digests(upstream: Iterable[object]) -> Mapping[int, str]:
    """Return the digests of results that futures hand on, by the identity of the value.

    Args:
        upstream: The futures and states among the arguments of a run; their values are alive as long as these are.
    """
    found: dict[int, str] = {}
    for future in upstream:
        if not isinstance(future, EntrepotFuture) or future.asked:
            continue
        value = future.peek().data
        known = None if value is MISSING else _known.get(id(value))
        if known is not None and known[0]() is value and known[2] == sample_of(value):
            found[id(value)] = known[1]
    return found


def unchanged(stored: Mapping[int, str]) -> Mapping[int, str]:
    """Return those of the digests that `digests` has returned whose values look as they did."""
    found: dict[int, str] = {}
    for key, digest in stored.items():
        known = _known.get(key)
        if known is not None and known[1] == digest and known[2] == sample_of(known[0]()):
            found[key] = digest
    return found
