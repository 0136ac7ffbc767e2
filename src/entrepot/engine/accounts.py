"""What a run remembers of how it used the cache, and what it keeps with its result so that others can be explained.

Nothing here is worth a run: what fails is logged, and missing from an explanation.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from entrepot._frozen import quick
from entrepot._secrets import mask
from entrepot.engine.run import Run
from entrepot.errors import EntrepotError, StorageError, UnknownKeyError
from entrepot.hashing.outline import outline
from entrepot.protocols.recorder import Recorder
from entrepot.results.keys import CacheKey
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.sources import KeptSources
from entrepot.results.store import ResultStore
from entrepot.states import State

if TYPE_CHECKING:
    from entrepot.results.explain import Explanation

__all__ = ["BECAUSE", "NO_RECORD", "Account", "Story", "kept_sources"]

BECAUSE: Final = "because"
"""The name among `Record.about` of why a result was computed, where it was not simply unknown."""

_LABEL: Final = "entrepot/result/outline/1"
_LONGEST: Final = 250  # bytes of a note
NO_RECORD: Final = "there was no result under this key"

_log = logging.getLogger("entrepot.results")
_sources: dict[Path, KeptSources] = {}


def kept_sources(home: Path) -> KeptSources:
    """Return the sources that are kept in a home folder."""
    return _sources.setdefault(home, KeptSources(home / "sources"))


class Story:
    """What one run did with the cache, as far as it has come.

    Attributes:
        outcome: Of the last look-up, as of `Explanation`.
        why: One sentence.
    """

    __slots__ = ("_details", "_hit", "_run", "outcome", "why")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._hit: Record | None = None
        self._details: Mapping[str, str] | None = None
        self.begin()

    def begin(self) -> None:
        """Forget the last look-up; the next one begins."""
        self.outcome, self.why, self._hit = "miss", NO_RECORD, None
        if self._run.definition.keeping.refresh:
            self.outcome, self.why = "refreshed", "refresh_cache asks for a new result"

    def found(self, record: Record) -> None:
        """Take note that a result is used again."""
        self._hit = record

    def passed_over(self, found: Lookup) -> None:
        """Take note of why what was found is not used."""
        if found.outcome is Outcome.HIT:
            self.outcome, self.why = "refreshed", "the run that this one resumes does not allow the use of what is kept"
        elif found.outcome is not Outcome.MISS:
            evidence = f"; a copy of what was found is kept in {found.evidence}" if found.evidence else ""
            self.outcome, self.why = found.outcome.value, f"{found.detail}{evidence}"

    def renews(self, spare: Lookup | None) -> None:
        """Take note that a result which can still be used is computed again, as `refresh_early` asks."""
        record = None if spare is None else spare.record
        if record is not None:
            until = "" if record.expires is None else f" at {record.expires.isoformat(timespec='seconds')}"
            self.outcome, self.why = "refreshed", f"refreshed before its expiry{until}, as refresh_early asks"

    def refused(self, error: EntrepotError) -> None:
        """Take note of an error that ended the look-up."""
        outcomes = {UnknownKeyError: "unknown key", StorageError: "unreachable"}
        self.outcome = next((name for kind, name in outcomes.items() if isinstance(error, kind)), "failed")
        self.why = str(error)

    def not_kept(self, why: str) -> None:
        """Take note that the result is not kept."""
        self.outcome, self.why = "not kept", why

    # --- what is kept with the result ---------------------------------------------------------------------------------

    def about(self) -> Mapping[str, str]:
        """Return what results are found by besides their keys, and why this one was computed."""
        run = self._run
        about = {f"tag:{mask(tag)}": "" for tag in run.tags}
        if run.flow_context is not None:
            about["flow"] = run.flow_context.flow_run.flow_name
        if self.outcome != "miss":
            about[BECAUSE] = _short(f"{self.outcome}: {mask(self.why)}")
        return about

    def details(self, key: CacheKey, store: ResultStore) -> Mapping[str, str]:
        """Return the digests of the parts of the inputs, as far as the key covers them."""
        if self._details is None:
            self._details = self._outline(key, store)
        return self._details

    def _outline(self, key: CacheKey, store: ResultStore) -> Mapping[str, str]:
        run = self._run
        flow = run.flow_context
        values: dict[str, Any] = {}
        for part in key.parts:
            kind, _, name = part.partition(":")
            if kind == "input" and name in run.parameters:
                values[part] = run.parameters[name]
            elif kind == "flow-parameter" and flow is not None and name in flow.parameters:
                values[part] = flow.parameters[name]
        if not values:
            return {}
        hidden = {f"input:{name}" for name in run.definition.binder.secrets}
        if flow is not None:
            hidden |= {f"flow-parameter:{name}" for name in flow.engine.definition.binder.secrets}
        try:
            ring = store.keys()
            key_of_parts = ring.derive(ring.primary("result"), _LABEL)
            return outline(values, key=key_of_parts, hidden=hidden, stored=run.stored)
        except Exception as error:  # noqa: BLE001  of any class: values run their own code here
            _log.debug("no details of %s for explanations: %r", run.definition.label, error)
            return {}

    def keep_sources(self, key: CacheKey) -> None:
        """Keep the source of the code that the key covers, on this machine; what is known is not written again."""
        run = self._run
        digests = [digest for name, digest in key.parts.items() if name == "code" or name.startswith("code:")]
        if not digests:
            return
        try:
            kept_sources(run.world.settings.home).keep(digests, lambda: _sources_of(run.definition.fn, key.parts))
        except Exception as error:  # noqa: BLE001  as above
            _log.debug("the source of %s is not kept for explanations: %r", run.definition.label, error)

    # --- what is told -------------------------------------------------------------------------------------------------

    def tell(self, state: State[Any], key: CacheKey | None, store: ResultStore | None, *, staged: bool) -> None:
        """Let the state that the run ended in explain it.

        Args:
            state: The state.
            key: The cache key; None where there is none.
            store: Where the result is kept, if it was opened.
            staged: Whether the record may not count yet.
        """
        run, record, world = self._run, self._hit, self._run.world
        outcome, why = self.outcome, self.why
        hit = parts = None
        if record is not None:
            outcome, why = "hit", "the same call was computed before"
            hit = (record.run, record.created, run.location or "")
        elif key is None and outcome in {"miss", "refreshed"}:
            outcome, why = "not cached", self._why_no_key()
        elif key is not None and (staged or outcome == "not kept" or not state.is_completed()):
            parts = key.parts  # no record says so
        text = run.cache_key or ("" if key is None else key.key)
        account = Account(
            outcome, why, text, run.definition.key, world.settings.home, world.recorder, store, parts, hit
        )
        object.__setattr__(state, "_account", account)

    def _why_no_key(self) -> str:
        options = self._run.definition.keeping
        if options.key_fn is not None:
            return "its cache_key_fn returned None, so no other run may use its result"
        if options.no_cache:
            return "its cache policy is NO_CACHE, so no other run may use its result"
        if self._run.definition.kind == "flow":
            return "no cache policy was given to this flow, so no other run may use its result"
        return "one of its inputs has no stable identity (its log says which), so no other run may use its result"


def _short(text: str) -> str:
    """Return a text that a record keeps as it is, and not as its hash."""
    data = text.encode(errors="replace")
    return text if len(data) <= _LONGEST else f"{data[: _LONGEST - 3].decode(errors='ignore')}..."


def _sources_of(fn: object, parts: Mapping[str, str]) -> Mapping[str, str]:
    from entrepot.hashing.sources import sources_of  # noqa: PLC0415  needed once for each new piece of code

    return sources_of(fn, parts)


@quick
@dataclass(frozen=True, slots=True)
class Account:
    """What explains how one run used the cache. It is small, and holds neither arguments nor results.

    Attributes:
        outcome: As of `Explanation`.
        why: One sentence.
        key: The cache key; "" where there is none.
        task: The stable name of the task.
        home: The home folder.
        recorder: Who keeps the history.
        store: Where the result is kept; None if nothing is.
        parts: What the key was made of, where no record says so.
        hit: Of a hit: the run that computed it, when, and where it is kept.
    """

    outcome: str
    why: str
    key: str
    task: str
    home: Path
    recorder: Recorder | None = None
    store: ResultStore | None = None
    parts: Mapping[str, str] | None = None
    hit: tuple[Mapping[str, str], Any, str] | None = None

    def __call__(self) -> "Explanation":
        """Return the explanation; for a miss, the nearest record is looked for now.

        Raises:
            EntrepotError: If the store or the history cannot be read.
        """
        # What only explanations need is loaded with the first one.
        from entrepot.engine.explaining import with_nearest  # noqa: PLC0415
        from entrepot.results.explain import Explanation, Facts, facts_of, run_text  # noqa: PLC0415

        known = Explanation(self.outcome, self.key, self.why, self.task)
        if self.hit is not None:
            run, created, location = self.hit  # its record may be shared by look-ups
            why = f"computed by {run_text(run)}, {created.isoformat(timespec='seconds')}"
            return replace(known, why=why, run=dict(run), created=created, location=location)
        if self.store is None or not self.key:
            return known
        record = None if self.parts is not None else self.store.describe(self.key).record
        if record is not None:
            known = replace(known, run=record.run, created=record.created, location=self.store.locate(record))
        facts = None if self.parts is None else Facts(self.parts)
        if record is not None:
            facts = facts_of(record)
        if self.outcome != "miss" or facts is None:
            return known
        if self.recorder is not None:
            self.recorder.flush()  # so that the history knows of the runs that were a moment ago
        return with_nearest(known, facts, self.store, record, home=self.home)
