"""Results of runs: looked up before, kept after.

This module loads stores, keys and cryptography. The core imports it for the first run whose result is kept.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from entrepot._sentinels import MISSING, Missing
from entrepot.context import CURRENT
from entrepot.engine.places import result_store
from entrepot.engine.run import Run
from entrepot.engine.unit_of_work import UnitOfWork
from entrepot.errors import CacheKeyError, EntrepotError
from entrepot.results.keys import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    CacheKey,
    CachePolicy,
    KeyContext,
    named_key,
    user_key,
)
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers import Serializer, get_serializer

__all__ = ["Keeper"]

_FIXED = frozenset({type(None), bool, int, float, complex, str, bytes})  # nobody can change one of these


class Keeper:
    """Looks up and keeps the result of one run.

    Args:
        run: The run.
        keeps_always: Whether the result is kept even where it has no key to be found by.

    Attributes:
        unit: Of the transaction that the run is; None where a result is kept at once.
        was_known: Whether the last look-up found the result.
    """

    __slots__ = ("_computed", "_keeps_always", "_key", "_run", "_serializer", "_store", "unit", "was_known")

    def __init__(self, run: Run, *, keeps_always: bool) -> None:
        self._run = run
        self._keeps_always = keeps_always
        self._computed = False
        self._key: CacheKey | None = None
        self._store: ResultStore | None = None
        self._serializer: Serializer | None = None
        self.unit: UnitOfWork | None = None
        self.was_known = False

    def look_up(self) -> Any | Missing:
        """Return the result if it is known, else `MISSING`.

        Raises:
            CacheKeyError: If the user's function for the key raises or returns no key.
            UnhashableValueError: If an argument has no stable identity.
            EntrepotError: What the store raises: an outage is not a miss.
        """
        run = self._run
        if not self._computed:
            token = CURRENT.set(run.enter_context())  # the user's function for the key may ask for its run
            try:
                self._key = self._compute_key()
            finally:
                CURRENT.reset(token)
            self._computed = True
        if self._key is None and not self._keeps_always:
            return MISSING
        # Opened before the work is done, even if nothing is looked up: a store that cannot be opened costs no work.
        store, serializer = self._open()
        if self._key is None or run.definition.keeping.refresh:
            return MISSING
        staged = None if self.unit is None else self.unit.staging().find(self._key.key)
        if staged is not None:
            run.cache_key, run.location, self.was_known = staged.key, store.locate(staged), True
            return store.load_record(staged, serializer=serializer)
        found = store.fetch(self._key.key, serializer=serializer)
        if found.outcome is not Outcome.HIT or found.record is None:
            return MISSING
        run.cache_key, run.location, self.was_known = found.record.key, store.locate(found.record), True
        return found.value

    def keep(self, value: object) -> None:
        """Keep a result; on return it is durable, or staged in the run's transaction.

        Raises:
            SerializationError: If it cannot be written by its serializer.
            StorageError: If the store cannot be written.
        """
        run, key = self._run, self._key
        if key is None:
            if not self._keeps_always:
                return
            key = CacheKey(f"run/{run.id}", {"run": run.id})
        elif (changed := self._changed_input(key)) is not None:
            run.log(
                logging.WARNING,
                "The result of %s is not kept: its %s changed after the cache key was computed, so the key no longer"
                " says what was computed. Hand over a copy, and do not change arguments in place",
                run.definition.label,
                changed,
            )
            return
        options = run.definition.keeping
        store, serializer = self._open()
        expires: datetime | None = None
        if options.expiration is not None:
            expires = run.world.clock.now() + options.expiration
        try:
            prepared = store.prepare(
                key.key,
                value,
                serializer=serializer,
                parts=key.parts,
                task=self._task_facts(),
                run=self._run_facts(),
                expires=expires,
                replace=bool(options.refresh),
            )
            record = store.put(prepared) if self.unit is None else self.unit.staging().add(prepared)
        except EntrepotError as error:
            error.add_note(f"{run.definition.label} did its work; only its result could not be kept")
            raise
        run.cache_key, run.location = record.key, store.locate(record)

    def _open(self) -> tuple[ResultStore, Serializer]:
        if self._store is None or self._serializer is None:
            run = self._run
            options, around = run.definition.keeping, run.inherited
            self._store = result_store(around.storage if options.storage is None else options.storage, run.world)
            serializer = around.serializer if options.serializer is None else options.serializer
            self._serializer = get_serializer(
                run.world.settings.results_serializer if serializer is None else serializer
            )
        if self.unit is not None:
            self.unit.staging().bind(self._store)
        return self._store, self._serializer

    def _changed_input(self, key: CacheKey) -> str | None:
        """Return which value that the key stands for is another one now, or None.

        Whoever called may have gone on to change a list, or the function itself has, in this attempt or the last.
        """
        run, options = self._run, self._run.definition.keeping
        if options.key_fn is not None or options.result_key is not None:
            return None  # what the user's function looks at is not known; asked again, it may answer for another moment
        policy = DEFAULT if options.policy is None else options.policy
        covers, flow = policy.covers, run.flow_context
        inputs = run.parameters if INPUTS.covers <= covers else {}
        outer = flow.parameters if flow is not None and FLOW_PARAMETERS.covers <= covers else {}
        if all(type(value) in _FIXED for values in (inputs, outer) for value in values.values()):
            return None
        # The code is left out: what it refers to may well change while it runs, which says nothing of the arguments.
        values_only = CachePolicy(covers & (INPUTS.covers | FLOW_PARAMETERS.covers), policy.without)
        context = KeyContext(run.definition.key, run.definition.fn, inputs, flow_parameters=outer)
        try:
            again = values_only.compute(context)
        except Exception:  # noqa: BLE001  what has a key no longer has changed, in whatever way
            return "input"
        parts = {} if again is None else again.parts
        for name, digest in key.parts.items():
            kind, colon, value = name.partition(":")
            if colon and kind in {"input", "flow-parameter"} and parts.get(name) != digest:
                return f"{'parameter' if kind == 'input' else 'flow parameter'} {value!r}"
        return None

    # --- the key ------------------------------------------------------------------------------------------------------

    def _compute_key(self) -> CacheKey | None:
        run = self._run
        definition = run.definition
        options = definition.keeping
        if options.no_cache:
            return None
        if options.key_fn is not None:
            return self._users_key()
        if options.result_key is not None:
            from entrepot.engine.storage_keys import storage_key_text  # noqa: PLC0415  few tasks have a template

            return named_key(definition.key, storage_key_text(run, options.result_key))
        policy = options.policy
        if policy is None:
            if definition.kind == "flow" and not options.caches:
                return None  # a flow's work is what its tasks do: it is not skipped unless somebody asked for that
            policy = DEFAULT
        flow = run.flow_context
        key: CacheKey | None = policy.compute(
            KeyContext(
                task_key=definition.key,
                fn=definition.fn,
                inputs=run.parameters,
                flow_parameters=None if flow is None else flow.parameters,
                run_id=run.id if flow is None else flow.flow_run.id,
                version=definition.version,
            )
        )
        return key

    def _users_key(self) -> CacheKey | None:
        run = self._run
        definition, options = run.definition, run.definition.keeping
        arguments = (run.context, run.parameters) if options.key_fn_asks else ()
        try:
            text: object = None if options.key_fn is None else options.key_fn(*arguments)
        except Exception as error:
            raise CacheKeyError(
                f"the cache_key_fn of {definition.label} raised {type(error).__name__}; nothing was run: mend it, or"
                " return None where a call is not to be cached",
                task=definition.name,
            ) from error
        return None if text is None else user_key(definition.key, text)

    # --- what the record says -----------------------------------------------------------------------------------------

    def _task_facts(self) -> Mapping[str, str]:
        definition = self._run.definition
        facts = {"kind": definition.kind, "name": definition.name, "key": definition.key}
        if definition.version is not None:
            facts["version"] = definition.version
        return facts

    def _run_facts(self) -> Mapping[str, str]:
        run = self._run
        facts = {"id": run.id, "name": run.name}
        if run.flow_context is not None:
            facts |= {"flow_run_id": run.flow_context.flow_run.id, "flow_run_name": run.flow_context.flow_run.name}
        return facts
