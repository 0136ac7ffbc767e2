"""Which call a run is among all that its flow makes, so that a flow that runs again knows what was done before.

A flow that is resumed, or tried again, calls the same tasks again. Results that have a cache key are found by it. Of
the others, equal calls (same caller, same task, same inputs, same code) share a row of numbered slots: a result takes
the next one when it is kept, and in the run that comes after each call takes the next one that is there. So nothing
that was completed is done twice, no result serves two calls, and calls that failed leave no gap.

Who calls is told apart by where it stands: `/<digest of task and inputs>-<number among such calls>`, behind where its
own caller stands. A call that is not made again, because its result was kept, takes its number with it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from entrepot.engine.run import Run
from entrepot.hashing.values import hash_parts
from entrepot.results.keys import INPUTS, TASK_SOURCE, CacheKey, KeyContext
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record

__all__ = ["Call", "Calls", "call_of", "facts_of", "may_find", "standing_of", "use_up"]

_FORMAT: Final = "c1"
"""Starts every key that is made here; whatever changes how they are made changes it."""

_SHORT: Final = 32  # digits of a digest where it stands for a caller: enough to tell all calls of all flows apart
_TOLD: Final = "standing"  # the name that a record keeps it under

_naming = threading.RLock()
_unnamed: set[str] = set()  # tasks of which it was said that their results cannot be found again


def _after_fork_in_child() -> None:
    global _naming  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _naming = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Row:
    """The slots of equal calls, as far as one attempt of their caller has come.

    Attributes:
        lock: Held while an earlier result is looked for, and while one is written: a slot is taken only by a result
            that is there, and the next call must know whether one was.
        taken: How many slots are taken, by results that were found and by new ones.
        exhausted: Whether nothing that was kept earlier is left.
        free: Slots below these whose results were taken back.
    """

    __slots__ = ("exhausted", "free", "lock", "taken")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = 0
        self.exhausted = False
        self.free: tuple[int, ...] = ()


class Calls:
    """What one attempt of one run calls."""

    __slots__ = ("_numbers", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._numbers: dict[str, set[int]] = {}

    def row(self, digest: str) -> _Row:
        """Return the slots of equal calls."""
        found = self._rows.get(digest)
        return self._rows.setdefault(digest, _Row()) if found is None else found

    def number(self, digest: str) -> int:
        """Return the smallest number that no such call has."""
        with _naming:
            taken = self._numbers.setdefault(digest, set())
            number = next(number for number in range(1, len(taken) + 2) if number not in taken)
            taken.add(number)
            return number

    def use_up(self, digest: str, number: int) -> None:
        """Let no other call have a number."""
        with _naming:
            self._numbers.setdefault(digest, set()).add(number)


def _calls_of(run: Run) -> Calls:
    """Return what the attempt of a run that is under way calls."""
    if run.calls is None:
        with _naming:
            if run.calls is None:
                run.calls = Calls()
    return run.calls


# --- where a run stands -----------------------------------------------------------------------------------------------


def standing_of(run: Run) -> str:
    """Return where a run stands below its root: the same text in each run that resumes the root; "" for the root."""
    if run.standing is None:
        if run.enclosing is None:
            return ""
        with _naming:
            if run.standing is None:
                caller: Run = run.enclosing.engine
                digest = _digest(run)
                run.standing = f"{standing_of(caller)}/{digest[:_SHORT]}-{_calls_of(caller).number(digest)}"
    return run.standing


def use_up(run: Run, record: Record) -> None:
    """Take the number of the call whose kept result a run uses, so that no call that is made gets it."""
    start, _, number = record.run.get(_TOLD, "").rpartition("-")
    if start and run.enclosing is not None and record.run.get("root") in _roots(run):
        digest = _digest(run)
        if start == digest[:_SHORT] and number.isdecimal():
            _calls_of(run.enclosing.engine).use_up(digest, int(number))


def facts_of(run: Run) -> Mapping[str, str]:
    """Return what the record of a run's result says of its place in its flow."""
    facts = {"root": run.root_id}
    if run.standing is not None:  # something in it has asked, and kept its result
        facts[_TOLD] = run.standing.rpartition("/")[2]
    return facts


def _digest(run: Run) -> str:
    """Return what such calls share, whatever their code: one that was mended since is still the same call."""
    definition = run.definition
    try:
        key = INPUTS.compute(KeyContext(definition.key, definition.fn, run.parameters))
    except Exception:  # noqa: BLE001  an input of any class; then such calls are told apart by their order only
        key = None
    return hash_parts({"task": definition.key, "inputs": "unknown"} if key is None else key.parts)


# --- results without a cache key --------------------------------------------------------------------------------------


def may_find(run: Run) -> bool:
    """Return whether an earlier run of its line, or an earlier attempt of a flow around, may have kept something."""
    if run.past is not None:
        return True
    caller = run.enclosing
    while caller is not None:
        around: Run = caller.engine
        if around.attempt > 1 and around.definition.kind == "flow":
            return True
        caller = around.enclosing
    return False


@dataclass(slots=True)
class Call:
    """A call whose result is kept so that the run that comes after finds it, but no other call of the same run does.

    Attributes:
        run: Made by it.
        parts: What its key is made of, but for the caller.
        rows: By the caller: the slots of its own line of runs, and of the one that it takes results over from.
        slot: Where it puts its result, if that is settled: where one has expired or is damaged.
    """

    run: Run
    parts: Mapping[str, str]
    rows: Mapping[str, tuple[str, _Row]]
    slot: int | None = field(default=None)

    def take(self, look: Callable[[str], Lookup]) -> Lookup | None:
        """Return the next result that was kept for such a call, or None.

        Args:
            look: Looks up a key, and raises where the store cannot be read.
        """
        past = self.run.past
        reuse = None if past is None else past.reuse
        for which, (digest, row) in enumerate(self.rows.values()):
            with row.lock:
                while not row.exhausted:
                    found = look(_key(digest, row.taken + 1))
                    record = found.record
                    if found.outcome is Outcome.MISS:
                        row.exhausted = True
                        break
                    row.taken += 1
                    if found.outcome is not Outcome.HIT or record is None:
                        if which == 0:
                            self.slot = row.taken
                            return None
                    elif reuse is None or reuse.allows(record.key, record.created, record.run, self.run.root_id):
                        use_up(self.run, record)
                        return found
        return None

    @contextmanager
    def kept(self) -> Iterator[CacheKey]:
        """Give the key to keep the result under; the slot is taken if the body raises nothing."""
        caller, (digest, row) = next(iter(self.rows.items()))
        if self.slot is not None:
            yield CacheKey(_key(digest, self.slot), {**self.parts, "run": caller, "call": str(self.slot)})
            return
        with row.lock:
            row.exhausted = True
            slot = row.free[0] if row.free else row.taken + 1
            yield CacheKey(_key(digest, slot), {**self.parts, "run": caller, "call": str(slot)})
            row.free, row.taken = row.free[1:], max(row.taken, slot)
            self.slot = slot

    def give_back(self) -> None:
        """Let the next call have the slot: the result that was to be kept in it was taken back."""
        _, row = next(iter(self.rows.values()))
        with row.lock:
            if self.slot is not None:
                row.free = tuple(sorted((*row.free, self.slot)))
                self.slot = None


def call_of(run: Run) -> Call | None:
    """Return which call a run inside a flow is; None outside flows, and where its inputs or code have no identity."""
    definition = run.definition
    if run.enclosing is None or run.flow_context is None:
        return None
    context = KeyContext(definition.key, definition.fn, run.parameters, version=definition.version)
    try:
        key = (INPUTS + TASK_SOURCE).compute(context)
    except Exception as error:  # noqa: BLE001  of any class; the task has no cache, and so need not have a key
        if definition.key not in _unnamed:
            _unnamed.add(definition.key)
            run.log(logging.DEBUG, "Results of %s are not found by runs that resume this: %s", definition.label, error)
        return None
    parts = {} if key is None else key.parts
    caller: Run = run.enclosing.engine
    rows = {}
    for root in _roots(run):
        stands = f"{root}{standing_of(caller)}/"
        digest = hash_parts({**parts, "run": stands})
        rows[stands] = (digest, _calls_of(caller).row(digest))
    return Call(run, parts, rows)


def _roots(run: Run) -> list[str]:
    """Return the lines of runs whose results a run may use: its own, and the one that it takes over from."""
    reuse = None if run.past is None else run.past.reuse
    return [run.root_id] if reuse is None else [run.root_id, reuse.root_id]


def _key(digest: str, slot: int) -> str:
    return f"{_FORMAT}-{digest}-{slot}"
