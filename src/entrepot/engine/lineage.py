"""Large results of other runs: known by the digest they were stored with, so that they are hashed once, when written.

    frame = extract.submit()          # kept: its record says the digest of its bytes
    report.submit(frame)              # its key takes that digest; the frame is not read again

Only what the engine itself hands from one run to the next is known so: a future whose result nobody has looked at.
What the user's code has had in hands may be another value now, and is hashed by its content like any argument. A task
that changes such an argument in place, and lets another task have the same object, is found out where the change shows
in a sample of its bytes, and in the checking mode (`checking.py`) always.
"""

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Final

from entrepot._sentinels import MISSING
from entrepot.futures import EntrepotFuture
from entrepot.hashing.sample import sample_of
from entrepot.results.record import Record

__all__ = ["SMALLEST", "digests", "note", "unchanged"]

SMALLEST: Final = 1 << 20
"""Bytes of a stored result from which its digest stands for it: below, hashing it costs less than explaining this."""

_LIMIT: Final = 10_000  # results that are known at a time

_known: dict[int, tuple[weakref.ref[Any], str, bytes]] = {}


def note(value: object, record: Record) -> None:
    """Know a value as the one of a record, if it is large, and of a type of which nothing but its bytes counts."""
    if record.size < SMALLEST:
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
    _known[key] = (weakref.ref(value, forget), f"{record.serializer}:{record.digest}", sample)


def digests(upstream: Iterable[object]) -> Mapping[int, str]:
    """Return the stored digests of results that futures hand on, by the identity of the value.

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
