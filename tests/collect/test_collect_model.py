"""Laws: whatever writes, expires, is collected or killed in whatever order, no live result ever loses its value."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from entrepot.errors import TransactionError
from entrepot.protocols.storage import Storage
from entrepot.results.collect import Collector, Rules
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.staging import Staging
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage.memory import MemoryStorage
from entrepot_test_collect import KilledError, Mortal
from entrepot_test_results import RING, SetClock

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from([letter * 20_000 for letter in "xyz"] + ["small"])
HOURS = st.sampled_from([None, 1, 30])
LIVES = st.integers(0, 30)
DAY = timedelta(days=1)

# A value, and until when it is good; None stands for no result.
State = tuple[str, datetime | None] | None


class CollectedStore(RuleBasedStateMachine):
    """A store, and what each key may hold: several where a writer was killed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SetClock()
        self.storage = MemoryStorage("model", clock=self.clock)
        self.may_be: dict[str, list[State]] = {}
        self.staged: list[tuple[ResultStore, Staging, dict[str, State], datetime]] = []

    def store(self, storage: Storage | None = None) -> ResultStore:
        return ResultStore(self.storage if storage is None else storage, ring=RING, clock=self.clock)

    def is_live(self, state: State) -> bool:
        return state is not None and (state[1] is None or state[1] > self.clock.now())

    def options(self, value: str, hours: int | None, *, replace: bool) -> tuple[State, dict[str, Any]]:
        expires = None if hours is None else self.clock.now() + timedelta(hours=hours)
        facts = {"parts": {}, "task": {"name": "t", "key": "m.t"}, "run": {"id": "r"}}
        return (value, expires), {"serializer": get_serializer("json"), "expires": expires, "replace": replace, **facts}

    @rule(key=KEYS, value=VALUES, hours=HOURS, replace=st.booleans())
    def write(self, key: str, value: str, hours: int | None, *, replace: bool) -> None:
        state, options = self.options(value, hours, replace=replace)
        record = self.store().write(key, value, **options)
        before = self.may_be.get(key, [None])
        kept = [known for known in before if self.is_live(known)] if not replace else []
        # Where a live one is there, it stays; the record that comes back says which it is.
        self.may_be[key] = [known for known in (*kept, state) if known is not None and known[1] == record.expires]
        assert self.may_be[key]

    @rule(key=KEYS, value=VALUES, hours=HOURS, replace=st.booleans(), lives=LIVES, late=st.booleans())
    def write_and_die(self, key: str, value: str, hours: int | None, *, replace: bool, lives: int, late: bool) -> None:
        state, options = self.options(value, hours, replace=replace)
        with suppress(KilledError):
            self.store(Mortal(self.storage, lives, late=late)).write(key, value, **options)
        self.may_be[key] = [*self.may_be.get(key, [None]), state]

    @rule(keys=st.sets(KEYS, min_size=2), value=VALUES)
    def begin_transaction(self, keys: set[str], value: str) -> None:
        staging, store = Staging(), self.store()
        staging.bind(store)
        states: dict[str, State] = {}
        for key in keys:
            states[key], options = self.options(value, None, replace=True)
            staging.add(store.prepare(key, value, **options))
        self.staged.append((store, staging, states, self.clock.now()))

    @rule(lives=st.none() | LIVES, late=st.booleans())
    def commit_or_die(self, lives: int | None, *, late: bool) -> None:
        if not self.staged:
            return
        store, staging, states, began = self.staged.pop(0)
        is_long = self.clock.now() - began >= DAY  # as long as the grace: its payloads may have been collected
        if lives is None:
            with suppress(*([TransactionError] if is_long else [])):
                Commit(store, staging.take(), workers=1).run()
                self.may_be |= {key: [state] for key, state in states.items()}
            return
        dying = self.store(Mortal(self.storage, lives, late=late))
        with suppress(KilledError, *([TransactionError] if is_long else [])):
            Commit(dying, staging.take(), workers=1).run()
        for key, state in states.items():
            self.may_be[key] = [*self.may_be.get(key, [None]), state]

    @rule(hours=st.integers(1, 11))
    def wait(self, hours: int) -> None:
        self.clock.time += timedelta(hours=hours)

    @rule()
    def wait_for_days(self) -> None:
        self.clock.time += 3 * DAY

    @rule()
    def collect(self) -> None:
        Collector(self.store()).run()
        self.without_expired()

    @rule(lives=st.integers(0, 60), late=st.booleans())
    def collect_and_die(self, lives: int, *, late: bool) -> None:
        with suppress(KilledError):
            Collector(self.store(Mortal(self.storage, lives, late=late))).run()
        self.without_expired()

    @rule(key=KEYS)
    def keep_the_latest_ten_and_look(self, key: str) -> None:
        before = self.storage.list("records")
        assert Collector(self.store(), Rules(keep_last=10)).preview().kept <= len(list(before))
        self.store().lookup(key)

    def without_expired(self) -> None:
        """What has expired may be gone by now."""
        for key, states in self.may_be.items():
            if not all(map(self.is_live, states)):
                self.may_be[key] = [*(state for state in states if self.is_live(state)), None]

    @invariant()
    def every_live_result_is_there(self) -> None:
        for key, states in self.may_be.items():
            found = self.store().lookup(key)
            if found.outcome is Outcome.HIT:
                assert found.value in [state[0] for state in states if state is not None], key
            else:
                assert found.outcome in {Outcome.MISS, Outcome.EXPIRED}, (key, found.detail)
                assert not all(map(self.is_live, states)), (key, found.outcome)


TestCollectedStore = CollectedStore.TestCase
TestCollectedStore.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
