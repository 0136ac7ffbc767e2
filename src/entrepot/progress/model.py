"""What is going on, as counts: events come in one by one, and what they say of runs that are over is a number.

A `Board` holds an entry for each run that is under way and an object for each group of runs; of a run that is over
nothing stays but its part of a sum and, for some, why it failed. So 100,000 mapped tasks need no more than ten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from entrepot._secrets import mask
from entrepot.protocols.recorder import RunCreated, RunEvent, RunTransition

__all__ = ["ENDED", "FAILURES", "Board", "Failure", "FlowView", "GroupView", "Phase", "phase_of"]

_FAILURES_OF_A_GROUP: Final = 3
_FAILURES_OF_A_FLOW: Final = 30
_MESSAGE: Final = 1_000  # characters of a failure's message
_GROUPS: Final = 300  # of one flow run, before those that are over are let go
_SUBFLOWS: Final = 50  # of one flow run, in a view


class Phase(IntEnum):
    """How far a run is: the states of runs as a person at a terminal tells them apart. The number is an index."""

    WAITING = 0
    RUNNING = 1
    RETRYING = 2
    PAUSED = 3
    COMPLETED = 4
    CACHED = 5
    FAILED = 6
    CRASHED = 7
    CANCELLED = 8
    NOT_READY = 9


ENDED: Final = frozenset({Phase.COMPLETED, Phase.CACHED, Phase.FAILED, Phase.CRASHED, Phase.CANCELLED, Phase.NOT_READY})
"""The phases that nothing leaves."""

FAILURES: Final = frozenset({Phase.FAILED, Phase.CRASHED})
"""The phases that are told with their message."""

_OF_NAME: Final = {
    ("RUNNING", "Retrying"): Phase.RETRYING,
    ("SCHEDULED", "AwaitingRetry"): Phase.RETRYING,
    ("COMPLETED", "Cached"): Phase.CACHED,
    ("PENDING", "NotReady"): Phase.NOT_READY,
}
_OF_TYPE: Final = {
    "RUNNING": Phase.RUNNING,
    "CANCELLING": Phase.RUNNING,
    "PAUSED": Phase.PAUSED,
    "COMPLETED": Phase.COMPLETED,
    "FAILED": Phase.FAILED,
    "CRASHED": Phase.CRASHED,
    "CANCELLED": Phase.CANCELLED,
}


def phase_of(state_type: str, state_name: str) -> Phase:
    """Return the phase of a run in a state of this type and name."""
    found = _OF_NAME.get((state_type, state_name))
    return _OF_TYPE.get(state_type, Phase.WAITING) if found is None else found


# --- what is seen of it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed or crashed.

    Attributes:
        name: The run's own.
        state_name: `Failed`, `TimedOut`, `Crashed`, ...
        message: What it said, secrets masked; not cleaned of control characters.
    """

    name: str
    state_name: str
    message: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """The runs of one flow or task inside one flow run.

    Attributes:
        name: Of the flow or task.
        is_flow: Whether they are subflows.
        counts: How many are in each phase.
        wide: Whether two or more were ever under way at once: mapped or submitted, not called one by one.
        current: The name of the run that started last, and when.
    """

    name: str
    is_flow: bool
    counts: Sequence[int]
    wide: bool
    current: tuple[str, datetime] | None

    @property
    def total(self) -> int:
        """How many runs it has so far."""
        return sum(self.counts)

    @property
    def done(self) -> int:
        """How many of them are over."""
        return sum(self.counts[phase] for phase in ENDED)

    @property
    def failed(self) -> int:
        """How many of them failed or crashed."""
        return sum(self.counts[phase] for phase in FAILURES)


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow run.

    Attributes:
        run_id: Its id.
        name: Its own name.
        definition: The name of its flow.
        phase: How far it is.
        state_name: The same as the run says it: `Running`, `TimedOut`, ...
        message: What it said with that.
        created: When it came into being.
        changed: When it entered its phase.
        counts: For top-level flow runs: how many task runs below it, at any depth, are in each phase.
        failures: For top-level flow runs: the first runs below it that failed, but of each group only some.
        groups: What it runs, in the order in which it began to.
        subflows: Those under way.
        more_subflows: How many others are.
    """

    run_id: str
    name: str
    definition: str
    phase: Phase
    state_name: str
    message: str
    created: datetime
    changed: datetime
    counts: Sequence[int]
    failures: Sequence[Failure]
    groups: Sequence[GroupView]
    subflows: Sequence["FlowView"]
    more_subflows: int

    @property
    def failed(self) -> int:
        """How many task runs below it failed or crashed."""
        return sum(self.counts[phase] for phase in FAILURES)


# --- the board itself -------------------------------------------------------------------------------------------------


class _Group:
    __slots__ = ("active", "counts", "current", "flow", "told", "totals", "wide")

    def __init__(self, flow: "_Flow", totals: list[int]) -> None:
        self.flow = flow
        self.counts = [0] * len(Phase)
        self.totals = totals
        self.active = 0
        self.told = 0  # failures that were kept
        self.wide = False
        self.current: tuple[str, datetime] | None = None


class _Flow:
    __slots__ = ("above", "counts", "event", "failures", "groups", "limit", "phase", "subflows", "top", "transition")

    def __init__(self, event: RunCreated, above: "_Flow | None") -> None:
        self.event = event
        self.above = above
        self.top: _Flow = self if above is None else above.top
        self.phase = Phase.WAITING
        self.transition: RunTransition | None = None
        self.groups: dict[tuple[str, str], _Group] = {}
        self.limit = _GROUPS
        self.subflows: dict[str, _Flow] = {}
        self.counts = [0] * len(Phase)
        self.failures: list[Failure] = []


class _Run:
    __slots__ = ("epoch", "flow", "group", "name", "phase")

    def __init__(self, name: str, group: _Group | None, flow: _Flow | None) -> None:
        self.name = name
        self.group = group
        self.flow = flow
        self.phase = Phase.WAITING
        self.epoch = 1


class Board:
    """What is going on in this process. It is not safe for threads: who shares it locks it.

    Runs outside flows are none of its business, and so are those of flows that it does not know.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}  # those that are not over
        self._flows: dict[str, _Flow] = {}  # the same, flows only
        self._tops: dict[str, _Flow] = {}  # the same, without those inside others
        self._over: list[_Flow] = []  # top-level flow runs that ended since the last `take_ended`

    @property
    def quiet(self) -> bool:
        """Whether there is no flow run to tell of."""
        return not self._tops and not self._over

    def __len__(self) -> int:
        return len(self._runs)

    def apply(self, event: RunEvent) -> bool:
        """Take note of an event; return whether a top-level flow run began or ended."""
        if type(event) is RunTransition:
            run = self._runs.get(event.run_id)
            return run is not None and self._enter(run, event)
        return type(event) is RunCreated and self._create(event)

    def flows(self) -> Iterator[FlowView]:
        """Yield the top-level flow runs under way, oldest first."""
        return map(_view, self._tops.values())

    def take_ended(self) -> Sequence[FlowView]:
        """Return the top-level flow runs that have ended, each once."""
        ended, self._over = self._over, []
        return [_view(flow) for flow in ended]

    def _create(self, event: RunCreated) -> bool:
        run_id = event.run_id
        if run_id in self._runs:
            return False
        is_flow = event.kind == "flow"
        if event.flow_run_id is None:
            if is_flow:
                self._tops[run_id] = self._flows[run_id] = flow = _Flow(event, None)
                self._runs[run_id] = _Run(event.name, None, flow)
            return is_flow
        around = self._flows.get(event.flow_run_id)
        if around is None:
            return False
        key = (event.kind, event.definition)
        group = around.groups.get(key)
        if group is None:
            if len(around.groups) >= around.limit:
                _let_go_of_groups(around)
            # Subflows are counted in their group only: what they do is counted with their tasks.
            totals = [0] * len(Phase) if is_flow else around.top.counts
            group = around.groups[key] = _Group(around, totals)
        group.counts[Phase.WAITING] += 1
        group.totals[Phase.WAITING] += 1
        group.active += 1
        if group.active > 1:
            group.wide = True
        flow_inside = None
        if is_flow:
            flow_inside = self._flows[run_id] = around.subflows[run_id] = _Flow(event, around)
        self._runs[run_id] = _Run(event.name, group, flow_inside)
        return False

    def _enter(self, run: _Run, event: RunTransition) -> bool:
        if event.epoch < run.epoch:
            return False
        phase = phase_of(event.state_type, event.state_name)
        before, run.phase = run.phase, phase
        run.epoch = event.epoch
        flow = run.flow
        if flow is not None:
            flow.phase = phase
            flow.transition = event
        over = phase in ENDED
        if over:
            del self._runs[event.run_id]
        group = run.group
        if group is not None:
            group.counts[before] -= 1
            group.counts[phase] += 1
            group.totals[before] -= 1
            group.totals[phase] += 1
            if over:
                group.active -= 1
                if phase in FAILURES:
                    _keep_failure(group, run.name, event)
            elif phase is Phase.RUNNING:
                group.current = (run.name, event.timestamp)
        return over and flow is not None and self._end_flow(event.run_id, flow)

    def _end_flow(self, run_id: str, flow: _Flow) -> bool:
        del self._flows[run_id]
        if flow.above is not None:
            flow.above.subflows.pop(run_id, None)
            return False
        del self._tops[run_id]
        self._over.append(flow)
        # What it left behind, a thread that was not waited for, say, is told of no more.
        for left in [run_id for run_id, run in self._runs.items() if run.group and run.group.flow.top is flow]:
            del self._runs[left]
            self._flows.pop(left, None)
        return True


def _keep_failure(group: _Group, name: str, event: RunTransition) -> None:
    failures = group.flow.top.failures
    if group.told < _FAILURES_OF_A_GROUP and len(failures) < _FAILURES_OF_A_FLOW:
        group.told += 1
        # Whoever tells of it may know of no secrets; and a message may be as long as it likes.
        failures.append(Failure(mask(name), event.state_name, mask(event.message)[:_MESSAGE]))


def _let_go_of_groups(flow: _Flow) -> None:
    """Forget groups without failures of which all is over; their runs stay in the sums of the flow."""
    over = [
        key
        for key, group in flow.groups.items()
        if not group.active and group.counts[Phase.COMPLETED] + group.counts[Phase.CACHED] == sum(group.counts)
    ]
    for key in over:
        del flow.groups[key]
    flow.limit = max(_GROUPS, 2 * len(flow.groups))  # so that the next look comes when there may be something to find


def _view(flow: _Flow) -> FlowView:
    last = flow.transition
    shown = list(flow.subflows.values())[:_SUBFLOWS]
    return FlowView(
        run_id=flow.event.run_id,
        name=flow.event.name,
        definition=flow.event.definition,
        phase=flow.phase,
        state_name="Pending" if last is None else last.state_name,
        message="" if last is None else last.message,
        created=flow.event.created,
        changed=flow.event.created if last is None else last.timestamp,
        counts=tuple(flow.counts),
        failures=tuple(flow.failures),
        groups=tuple(
            GroupView(name, kind == "flow", tuple(group.counts), group.wide, group.current)
            for (kind, name), group in flow.groups.items()
        ),
        subflows=tuple(_view(inner) for inner in shown),
        more_subflows=len(flow.subflows) - len(shown),
    )
