"""Results of runs: looked up before, kept after.

This module loads stores, keys and cryptography. The core imports it for the first run whose result is kept.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from entrepot._sentinels import MISSING, Missing
from entrepot.context import CURRENT
from entrepot.engine import lineage, passing, snapshots
from entrepot.engine.accounts import Story
from entrepot.engine.flights import earliness, new_flight
from entrepot.engine.keeping import keep_notes
from entrepot.engine.keying import changed_input, compute_key, policy_of
from entrepot.engine.outcomes import Ending
from entrepot.engine.places import result_store
from entrepot.engine.probe import check_return
from entrepot.engine.run import Run
from entrepot.engine.standing import Call, call_of, facts_of, may_find, use_up
from entrepot.engine.unit_of_work import UnitOfWork
from entrepot.errors import EntrepotError, UnhashableValueError
from entrepot.results.flight import Flight
from entrepot.results.keys import INPUTS, CacheKey
from entrepot.results.lazy import InStore
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.prepared import Prepared
from entrepot.results.record import Record
from entrepot.results.references import changed_reference
from entrepot.results.store import ResultStore
from entrepot.results.streams import Stream
from entrepot.serializers import Serializer, get_serializer
from entrepot.states import State, StateType

__all__ = ["Keeper"]


class Keeper:
    """Looks up and keeps the result of one run.

    Args:
        run: The run.
        keeps_always: Whether the result is kept even where it has no key to be found by.

    Attributes:
        unit: Of the transaction that the run is; None where a result is kept at once.
        was_known: Whether the last look-up found the result.
    """

    __slots__ = (
        "_call",
        "_computed",
        "_flight",
        "_keeps_always",
        "_key",
        "_replaces",
        "_run",
        "_serializer",
        "_spare",
        "_store",
        "_story",
        "_told",
        "unit",
        "was_known",
    )

    def __init__(self, run: Run, *, keeps_always: bool) -> None:
        self._run = run
        self._keeps_always = keeps_always
        self._computed = False
        self._key: CacheKey | None = None
        self._call: Call | None = None  # its place among equal calls, where no key says when its result is used again
        self._replaces = bool(run.definition.keeping.refresh)
        self._store: ResultStore | None = None
        self._serializer: Serializer | None = None
        self._story = Story(run)
        self._spare: Lookup | None = None  # can still be used if its renewal fails
        self._flight: Flight | None = None  # of the attempt under way
        self._told: dict[str, str] = {}  # of which damage the run was told
        self.unit: UnitOfWork | None = None
        self.was_known = False

    def look_up(self) -> Any | Missing:
        """Return the result if it is known, else `MISSING`.

        Raises:
            CacheKeyError: If the user's function for the key raises or returns no key.
            UnhashableValueError: If an argument has no stable identity, and options say that the result is found by it.
            SerializationError: If the annotation shows that no result could be kept.
            EntrepotError: What the store raises: an outage is not a miss.
        """
        try:
            return self._look_up()
        except EntrepotError as error:
            self._story.refused(error)
            raise

    def _look_up(self) -> Any | Missing:
        run = self._run
        self._story.begin()
        if not self._computed:
            try:
                self._key = compute_key(run, run.root_id)
            except UnhashableValueError as error:
                if run.definition.keeping.caches:
                    raise
                # Nobody asked for it to be found by its inputs: it is kept all the same, under a number.
                run.log(logging.WARNING, "Its result is kept, but not found again by its inputs: %s", error)
            if self._keeps_always if self._key is None else self._replaces:
                self._call = call_of(run)
            self._computed = True
        if self._key is None and not self._keeps_always:
            return MISSING
        # Opened before the work is done, even if nothing is looked up: a store that cannot be opened costs no work.
        store, serializer = self._open()
        staged = None if self.unit is None else self._staged(self.unit)
        if staged is not None:
            self._note(staged)
            self.was_known = True
            self._story.found(staged)
            return store.load_record(staged, serializer=serializer)
        flight = None
        # Not in a transaction: what that keeps is found when it is committed, and not before. And who refreshes wants a
        # result of its own.
        if self._key is not None and not self._replaces and self.unit is None:
            flight = self._flight = new_flight(run, store, self._key.key)
        if flight is None:
            found = self._found(store, serializer)
        else:
            found = flight.look(partial(self._found, store, serializer), is_early=earliness(run))
        if found is None or found.record is None:
            check_return(run.definition, serializer, store.allow)
            self._spare = None if flight is None else flight.spare
            self._story.renews(self._spare)
            snapshots.keep_for(run)
            return MISSING
        self._note(found.record)
        self.was_known = True
        lineage.note(run, found.value, found.record)
        self._story.found(found.record)
        return found.value

    def _note(self, record: Record) -> None:
        """Let the run know where its result is."""
        run = self._run
        store, serializer = self._open()
        run.cache_key, run.location = record.key, store.locate(record)
        if record.payload is not None:
            run.kept = InStore(store, record, serializer)

    def _staged(self, unit: UnitOfWork) -> Record | None:
        """Return the record of the result that the run's transaction has made ready, if it can be used."""
        if self._key is None or self._replaces:
            return None
        staged = unit.staging().find(self._key.key)
        if staged is not None and changed_reference(staged.about):
            self._replaces = True
            return None
        return staged

    def let_go(self) -> None:
        """Let others compute what this attempt did not keep. Does not block."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.let_go()

    def spared(self, ending: Ending) -> Ending:
        """Return how a run ends whose last attempt failed: well, where a result is there that has not expired yet."""
        spare, self._spare = self._spare, None
        record = None if spare is None else spare.record
        if ending.type is not StateType.FAILED or spare is None or record is None:
            return ending
        if record.expires is None or record.expires <= self._run.world.clock.now():
            return ending
        self._run.log(
            logging.WARNING,
            "%s; it was to renew a result that can be used until %s, and that is used",
            ending.message,
            record.expires.isoformat(),
        )
        return Ending(StateType.COMPLETED, "Cached", "", spare.value)

    def _found(self, store: ResultStore, serializer: Serializer) -> Lookup | None:
        """Return the result that is to be used again, or None."""
        run = self._run
        if self._key is not None and not self._replaces:
            for key in self._keys():
                found = store.fetch(key.key, serializer=serializer, told=self._told)
                if found.outcome is Outcome.HIT and found.record is not None:
                    if self._may_use(found.record):
                        passing.note(run, store, found.record)
                        if may_find(run):
                            use_up(run, found.record)
                        return found
                    self._replaces = True  # by what is computed now
                self._story.passed_over(found)
            return None
        if self._call is None or not may_find(run):
            return None
        found_call = self._call.take(lambda key: store.fetch(key, serializer=serializer))
        if found_call is not None and found_call.record is not None:
            passing.note(run, store, found_call.record)
        if found_call is not None and self._key is not None and found_call.record is not None:
            # Killed between its two writes, the run that refreshed it may have left the older result under the key.
            kept = store.describe(self._key.key).record
            if kept is None or kept.created < found_call.record.created:
                self._write(self._key, found_call.value, replace=True)
        return found_call

    def _keys(self) -> list[CacheKey]:
        """Return the keys that the result may be found under: of this line of runs, and of the one it takes over."""
        run, key = self._run, self._key
        keys = [] if key is None else [key]
        if run.past is not None and run.past.reuse is not None and run.definition.keeping.key_fn is None:
            other = compute_key(run, run.past.reuse.root_id)
            if other is not None and other != key:
                keys.append(other)
        return keys

    def _may_use(self, record: Record) -> bool:
        past = self._run.past
        if past is None or past.reuse is None:
            return True
        return past.reuse.allows(record.key, record.created, record.run, self._run.root_id)

    def keep(self, value: object) -> None:
        """Keep a result; on return it is durable, or staged in the run's transaction.

        Raises:
            SerializationError: If it cannot be written by its serializer.
            StorageError: If the store cannot be written.
        """
        run, key, call = self._run, self._key, self._call
        if key is None and not self._keeps_always:
            return
        if self._flight is not None:
            self._flight.computed = not isinstance(value, Stream)  # whose items are made while they are kept
        if key is not None and (changed := changed_input(run, key, policy_of(run))) is not None:
            self._warn_of(changed)
            return
        if call is not None and changed_input(run, call, INPUTS) is None:
            with call.kept() as own:
                self._write(own, value)
            if self.unit is not None:
                self.unit.when_undone(call.give_back)
        elif key is None:
            self._write(CacheKey(f"run/{run.id}", {"run": run.id}), value)
        flight = self._flight
        if key is not None and (flight is None or not flight.defers):
            self._write(key, value, replace=self._replaces or self._spare is not None, flight=flight)
        if flight is not None:
            flight.computed = True

    def _warn_of(self, changed: str) -> None:
        self._story.not_kept(f"its {changed} changed after the cache key was computed")
        self._run.log(
            logging.WARNING,
            "The result of %s is not kept: its %s changed after the cache key was computed, so the key no longer"
            " says what was computed. Hand over a copy, and do not change arguments in place",
            self._run.definition.label,
            changed,
        )

    def _changed_since(self) -> str | None:
        """Return which input changed while the items of a stream were made, or None."""
        run = self._run
        changed = None if self._key is None else changed_input(run, self._key, policy_of(run))
        return changed if changed or self._call is None else changed_input(run, self._call, INPUTS)

    def _write(self, key: CacheKey, value: object, *, replace: bool = False, flight: Flight | None = None) -> None:
        run, options = self._run, self._run.definition.keeping
        store, serializer = self._open()
        expires: datetime | None = None
        if options.expiration is not None:
            expires = run.world.clock.now() + options.expiration
        token = CURRENT.set(run.enter_context())  # the items of a stream are still its code
        try:
            prepared = store.prepare(
                key.key,
                value,
                serializer=serializer,
                parts=key.parts,
                task=self._task_facts(),
                run=self._run_facts(),
                expires=expires,
                about={**self._story.about(), **keep_notes(options, run.inherited), **lineage.content_notes(value)},
                details=self._story.details(key, store),
                replace=replace,
            )
            self._story.keep_sources(key)
            if isinstance(value, Stream) and (changed := self._changed_since()) is not None:
                self._warn_of(changed)
                value.moved_to(store.load_record(prepared.record, serializer=serializer))  # for who has it now
                return
            record = self._put(prepared, store, flight)
        except EntrepotError as error:
            error.add_note(f"{run.definition.label} did its work; only its result could not be kept")
            raise
        finally:
            CURRENT.reset(token)
        if record is None:
            self._say_lost()
            return
        passing.note(run, store, record)
        self._note(record)
        if isinstance(value, Stream):
            value.moved_to(store.load_record(record, serializer=serializer))

    def _put(self, prepared: Prepared, store: ResultStore, flight: Flight | None) -> Record | None:
        """Put a record in its place; return the one that is there, or None where another run has the key now."""
        if flight is not None and flight.is_claimed:
            return flight.commit(prepared)
        return store.put(prepared) if self.unit is None else self.unit.staging().add(prepared)

    def _say_lost(self) -> None:
        self._run.log(
            logging.WARNING,
            "The result of %s is not kept: another run computes it, since this one gave no sign of life for %g seconds"
            " (its process was stopped, or busy in code that lets no other thread run), or somebody removed its claim",
            self._run.definition.label,
            self._run.world.settings.results_lease_seconds,
        )

    def _open(self) -> tuple[ResultStore, Serializer]:
        if self._store is None or self._serializer is None:
            run = self._run
            options, around = run.definition.keeping, run.inherited
            self._store = result_store(around.storage if options.storage is None else options.storage, run.world)
            serializer = around.serializer if options.serializer is None else options.serializer
            self._serializer = get_serializer(
                run.world.settings.results_serializer if serializer is None else serializer
            )
            self._store.check_serializer(self._serializer)
        if self.unit is not None:
            self.unit.staging().bind(self._store)
        return self._store, self._serializer

    # --- what the record says -----------------------------------------------------------------------------------------

    def _task_facts(self) -> Mapping[str, str]:
        definition = self._run.definition
        facts = {"kind": definition.kind, "name": definition.name, "key": definition.key}
        if definition.version is not None:
            facts["version"] = definition.version
        return facts

    def account_for(self, state: State[Any]) -> None:
        """Let the state that the run ended in explain how the cache was used."""
        self._story.tell(state, self._key, self._store, staged=self.unit is not None)

    def _run_facts(self) -> Mapping[str, str]:
        run = self._run
        facts = {"id": run.id, "name": run.name}
        if run.flow_context is not None:
            facts |= facts_of(run)
            facts |= {"flow_run_id": run.flow_context.flow_run.id, "flow_run_name": run.flow_context.flow_run.name}
        return facts
