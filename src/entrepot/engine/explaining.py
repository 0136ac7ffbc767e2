"""Explanations of how the cache was used, found out when asked for: from records, the history and the store."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from entrepot.engine.accounts import BECAUSE, NO_RECORD, kept_sources
from entrepot.errors import EntrepotError
from entrepot.results.explain import Explanation, Facts, facts_of, run_text, with_sources
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.nearest import nearest
from entrepot.results.payloads import check_payload
from entrepot.results.record import Record
from entrepot.results.references import reference_states, refers_to_files
from entrepot.results.store import ResultStore
from entrepot.runs import default_path
from entrepot.runs.keyed import recent_keys

__all__ = ["BY_NOW", "explain_record", "explain_run", "with_nearest"]

BY_NOW: Final = "; by now it is "
"""Stands in what `explain_run` says between why the run did what it did, and what has become of the result since."""

_RUNS: Final = 100  # of the task, in the history, whose records are compared
_SCANNED: Final = 5000  # records of the store that are looked at unasked, where the history leads to none

_FILES: Final = 3  # that are named
_BECAUSE: Final = "; it was computed because of this: "


def explain_record(
    store: ResultStore,
    found: Lookup,
    *,
    home: Path,
    scan: bool = False,
    watched: Callable[[Iterable[Lookup]], Iterable[Lookup]] = iter,
) -> Explanation:
    """Return what is to be said of a key by what its record says; a payload is read and checked.

    Args:
        store: The store.
        found: What `describe` said.
        home: The home folder, where sources are kept.
        scan: Whether to compare with every record of the task in the store, not only with those of its last runs.
        watched: Shows the progress of a scan.

    Raises:
        EntrepotError: If the store or the history cannot be read.
    """
    record = found.record
    if record is None:
        outcome = found.outcome.value
        evidence = "".join(f"; a copy of what was found is kept in {one}" for one in _evidence(store, found.path))
        return Explanation(outcome, "", f"{found.detail}{evidence}", location=f"{store.location}/{found.path}")
    known = Explanation(
        found.outcome.value,
        record.key,
        found.detail or f"computed by {run_text(record.run)}, {record.created.isoformat(timespec='seconds')}",
        record.task.get("key", ""),
        record.run,
        record.created,
        store.locate(record),
    )
    problem = ""
    if record.payload is not None:
        problem = check_payload(
            store.storage, record.payload, size=record.size, digest=record.digest, ring=store.keys()
        )
    if problem:
        evidence = "".join(f"; a copy is kept in {one}" for one in _evidence(store, record.payload or ""))
        known = replace(known, outcome="damaged", why=f"{known.location}: {problem}{evidence}")
    because = record.about.get(BECAUSE)
    if because:
        outcome, _, why = because.partition(": ")
        return replace(known, why=f"{known.why}{_BECAUSE}{_said(outcome, why)}")
    return with_nearest(known, facts_of(record), store, record, home=home, scan=scan, watched=watched)


def explain_run(
    known: Explanation,
    record: Record | None,
    run_id: str,
    *,
    cached: bool,
    began: datetime | None = None,
    ended: datetime | None = None,
) -> Explanation:
    """Return what is to be said of a run that is over, by what is to be said of its key now.

    Args:
        known: Of `explain_record`.
        record: Of the key, if there is one.
        run_id: Of the run.
        cached: Whether it used a result that was there.
        began: When it came into being; None if that is not known.
        ended: When it ended; None if that is not known.
    """
    now = "" if known.outcome == "hit" else f"{BY_NOW}{_said(known.outcome, known.why.partition(_BECAUSE)[0])}"
    if record is None:
        outcome = "hit" if cached else "miss"
        what = "the result that it used" if cached else "its result"
        return replace(known, outcome=outcome, why=f"{what} can no longer be read{now}", nearest=None)
    computed = f"computed by {run_text(record.run)}, {record.created.isoformat(timespec='seconds')}"
    if cached and ended is not None and record.created > ended:
        computed = f"what it used was replaced since, by what was {computed}"
    if cached:
        return replace(known, outcome="hit", why=f"{computed}{now}", nearest=None)
    if record.run.get("id") == run_id:
        outcome, _, because = record.about.get(BECAUSE, "").partition(": ")
        return replace(known, outcome=outcome or "miss", why=f"{because or NO_RECORD}{now}")
    if began is not None and record.created < began and refers_to_files(record.about):
        files = [f"the {kind} {path}" for kind, path, _ in islice(reference_states(record.about), _FILES)]
        why = (
            f"what was {computed}, refers to {' and '.join(files)}, which had changed when this run began, and became"
            f" what it was{now}"
        )
        return replace(known, outcome="expired", why=why, nearest=None)
    return replace(known, outcome="miss", why=f"what is kept under its key now was {computed}{now}")


def _said(outcome: str, why: str) -> str:
    """Return an outcome and why, without saying "expired: expired at ..."."""
    return why if why.startswith(f"{outcome} ") else f"{outcome}: {why}"


def _evidence(store: ResultStore, path: str) -> Iterator[str]:
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0]
    for info in store.storage.list(f"damaged/{folder}"):
        if info.path.rpartition("/")[2].startswith(stem):
            yield f"{store.location.rstrip('/')}/{info.path}"


def with_nearest(
    known: Explanation,
    facts: Facts,
    store: ResultStore,
    record: Record | None,
    *,
    home: Path,
    scan: bool = False,
    watched: Callable[[Iterable[Lookup]], Iterable[Lookup]] = iter,
) -> Explanation:
    """Return an explanation with the nearest record, if there is one."""
    before = None if record is None else record.created
    near, count = None, 0
    if not scan:
        near, count = nearest(facts, _of_history(known.task, store), store, key=known.key, before=before)
    if near is None:
        looks: Iterable[Lookup] = store.records()
        looks = watched(looks) if scan else (look for look, _ in zip(looks, range(_SCANNED), strict=False))
        near, count = nearest(facts, _of_task(known.task, looks), store, key=known.key, before=before)
    if near is not None:
        sources = kept_sources(home)
        near = replace(near, differences=with_sources(near.differences, sources.read))
    return replace(known, nearest=near, scanned=count)


def _of_history(task: str, store: ResultStore) -> Iterator[Record]:
    with contextlib.suppress(EntrepotError):  # a history that cannot be read is only the quicker way
        for key in recent_keys(default_path(), task, limit=_RUNS):
            record = store.describe(key).record
            if record is not None and record.task.get("key") == task:
                yield record


def _of_task(task: str, looks: Iterable[Lookup]) -> Iterator[Record]:
    for found in looks:
        if found.record is not None and found.record.task.get("key") == task and found.outcome is not Outcome.DAMAGED:
            yield found.record
