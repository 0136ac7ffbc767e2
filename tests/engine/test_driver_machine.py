"""Any history of calls: the sync driver, the async one and a model of a page agree on every state and every value."""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from entrepot import flow, task
from entrepot import settings as entrepot_settings
from entrepot.engine.world import World, use_world
from entrepot.states import Cancelled, Completed, Failed
from entrepot.storage import MemoryStorage
from entrepot.testing import FrozenClock
from entrepot_test_journal import Journal


class PlannedError(Exception):
    pass


@dataclass(frozen=True)
class Step:
    """What a function does when it is called."""

    kind: str
    value: Any = None

    def act(self) -> Any:
        if self.kind == "return":
            return self.value
        if self.kind == "state":
            return Completed(data=self.value)
        if self.kind == "failed state":
            return Failed("as planned")
        if self.kind == "cancelled state":
            return Cancelled("as planned")
        raise {"fail": PlannedError, "exit": SystemExit, "cancel": asyncio.CancelledError}[self.kind]("as planned")


@dataclass(frozen=True)
class Plan:
    """The options of a flow or task."""

    kind: str
    retries: int = 0
    delays: tuple[float, ...] = (0.0,)
    caches: bool = False
    expires: int | None = None
    refresh: bool = False

    def options(self, storage: MemoryStorage) -> dict[str, Any]:
        options: dict[str, Any] = {"retries": self.retries, "retry_delay_seconds": list(self.delays)}
        if self.caches:
            options |= {
                "cache_key_fn": lambda _, parameters: f"key-{parameters['argument']}",
                "cache_expiration": None if self.expires is None else timedelta(seconds=self.expires),
                "refresh_cache": self.refresh,
                "result_storage": storage,
                "result_serializer": "json",
            }
        return options


@dataclass
class Side:
    """One driver in a world of its own."""

    run_async: bool
    clock: FrozenClock = field(default_factory=FrozenClock)
    journal: Journal = field(default_factory=Journal)
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    steps: list[Step] = field(default_factory=list)
    made: dict[int, Any] = field(default_factory=dict)

    def make(self, number: int, plan: Plan) -> None:
        def body(argument: int) -> Any:
            return self.steps.pop(0).act()

        async def body_async(argument: int) -> Any:
            await asyncio.sleep(0)
            return body(argument)

        decorate = flow if plan.kind == "flow" else task
        fn = body_async if self.run_async else body
        fn.__qualname__ = f"made_{number}"  # a task is known by it: each has results of its own
        self.made[number] = decorate(fn, name=f"made-{number}", **plan.options(self.storage))

    def call(self, number: int, argument: int, steps: list[Step]) -> tuple[str, Any, list[tuple[str, int]]]:
        """Return the end, the value or error, and the states with their attempts."""
        self.steps[:] = steps
        before = len(self.journal.created)
        world = World(entrepot_settings.current(), self.journal, self.clock, chance=lambda: 0.5)
        with use_world(world):
            try:
                answer = self.made[number](argument)
                value: Any = asyncio.run(answer) if self.run_async else answer
            except BaseException as error:  # noqa: BLE001  exits and cancellations are among the steps
                value = type(error)
        run = list(self.journal.created.values())[before]
        transitions = self.journal.transitions[run.run_id]
        states = [(transition.state_name, transition.epoch) for transition in transitions]
        return states[-1][0], value, states


@dataclass
class Model:
    """What is expected, in as few lines as possible."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    cache: dict[tuple[int, int], tuple[Any, float | None]] = field(default_factory=dict)

    def call(self, number: int, plan: Plan, argument: int, steps: list[Step]) -> list[tuple[str, int]]:
        states: list[tuple[str, int]] = []
        left = list(steps)
        for attempt in range(1, plan.retries + 2):
            known = self.cache.get((number, argument))
            if plan.caches and not plan.refresh and known is not None and (known[1] is None or known[1] > self.now):
                return [*states, ("Cached", attempt)]
            states.append(("Running" if attempt == 1 else "Retrying", attempt))
            step = left.pop(0)
            if step.kind in {"return", "state"}:
                if plan.caches:
                    self.cache[number, argument] = (
                        step.value,
                        None if plan.expires is None else self.now + plan.expires,
                    )
                return [*states, ("Completed", attempt)]
            if step.kind == "exit":
                return [*states, ("Crashed", attempt)]
            if step.kind in {"cancel", "cancelled state"}:
                return [*states, ("Cancelled", attempt)]
            if attempt > plan.retries:
                break
            delay = plan.delays[min(attempt, len(plan.delays)) - 1]
            if delay:
                states.append(("AwaitingRetry", attempt))
                self.now += delay
                self.slept.append(delay)
        return [*states, ("Failed", plan.retries + 1)]


values = st.one_of(st.none(), st.integers(-5, 5), st.text(max_size=3))
steps = st.one_of(
    st.builds(Step, st.sampled_from(["return", "state"]), values),
    st.sampled_from(["fail", "failed state", "fail", "failed state", "cancelled state", "exit", "cancel"]).map(Step),
)
plans = st.builds(
    Plan,
    kind=st.sampled_from(["task", "flow"]),
    retries=st.integers(0, 3),
    delays=st.lists(st.sampled_from([0.0, 1.0, 10.0]), min_size=1, max_size=3).map(tuple),
    caches=st.booleans(),
    expires=st.none() | st.integers(1, 30),
    refresh=st.booleans(),
)


class Drivers(RuleBasedStateMachine):
    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side(run_async=False), Side(run_async=True)]
        self.model = Model()
        self.plans: list[Plan] = []

    @rule(target=numbers, plan=plans)
    def define(self, plan: Plan) -> int:
        self.plans.append(plan)
        for side in self.sides:
            side.make(len(self.plans) - 1, plan)
        return len(self.plans) - 1

    @rule(number=numbers, argument=st.integers(0, 1), script=st.lists(steps, min_size=4, max_size=4))
    def call(self, number: int, argument: int, script: list[Step]) -> None:
        expected = self.model.call(number, self.plans[number], argument, script)
        answers = [side.call(number, argument, script) for side in self.sides]
        assert answers[0] == answers[1]
        end, value, states = answers[0]
        assert states == expected
        if end in {"Completed", "Cached"} and self.plans[number].caches:
            assert value == self.model.cache[number, argument][0]

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.model.now += seconds
        for side in self.sides:
            side.clock.advance(seconds)

    @invariant()
    def both_slept_as_long(self) -> None:
        assert [side.clock.slept for side in self.sides] == [self.model.slept] * 2

    @invariant()
    def the_rules_of_runs_were_kept(self) -> None:
        assert [side.journal.rejections for side in self.sides] == [[], []]


class TestDrivers(Drivers.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=150,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not os.environ.get("ENTREPOT_SOAK"), reason="set ENTREPOT_SOAK for the long form")
class TestDriversForLong(Drivers.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=3000, stateful_step_count=30, deadline=None)
