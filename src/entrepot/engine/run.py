"""One run: who it is, what state it is in, and what is told of it."""

import logging
import os
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entrepot._sentinels import MISSING
from entrepot.context import CURRENT, TAGS, FlowRun, FlowRunContext, RunContext, TaskRun, TaskRunContext
from entrepot.engine.children import Children
from entrepot.engine.definition import Definition
from entrepot.engine.entrypoints import entrypoint_of
from entrepot.engine.keeping import NOTHING_SAID, Inherited
from entrepot.engine.names import Counter, flow_run_name
from entrepot.engine.origins import Origins
from entrepot.engine.past import Past
from entrepot.engine.rendering import MASK, remember_secrets, render_all
from entrepot.engine.templates import run_name_of
from entrepot.engine.world import World, current_world
from entrepot.logging import FLOW_RUNS, TASK_RUNS, mask, mask_all, run_facts, set_up_logging, speak_for
from entrepot.protocols.recorder import LogLine, RunCreated, RunTransition
from entrepot.protocols.task_runner import Place
from entrepot.results.lazy import InStore
from entrepot.runs import process_token
from entrepot.states import State, StateType, new_id, next_id

if TYPE_CHECKING:
    from entrepot.engine.standing import Calls

__all__ = ["Run"]

_LONGEST_NAME = 250  # characters
_WELL = frozenset({StateType.COMPLETED, StateType.PAUSED})  # what a run may end an attempt or its process in
_NOTHING_PASSED: tuple[Sequence[object], Mapping[int, str]] = ((), {})
_outside_flows = Counter()
_CALLED: State[Any] = State(StateType.PENDING, "Pending", "", datetime.min.replace(tzinfo=UTC), "")
"""What a run is in until its first state: nobody is told of it, so all share one. What is submitted has its own."""

_process_id = os.getpid()


def _after_fork_in_child() -> None:
    global _process_id  # noqa: PLW0603  asked once in a process: the question costs as much as recording a run
    _process_id = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Run:
    """One run, from its creation to its last state. The core writes to it; nobody else does.

    Args:
        owner: The flow or task object that users know.
        definition: The same for the engine.
        args: What it is called with.
        kwargs: What it is called with, by name.
        parameters: The same, bound to the signature.
        wait_for: Futures of runs that must complete before it starts.
        past: What a top-level flow run takes over from earlier ones; those below it take over the same.
    """

    __slots__ = (
        "__weakref__",
        "_named",
        "_shown",
        "_told",
        "args",
        "around_until",
        "attempt",
        "cache_key",
        "calls",
        "children",
        "context",
        "created",
        "definition",
        "enclosing",
        "flow_context",
        "id",
        "inherited",
        "kept",
        "kwargs",
        "location",
        "name",
        "names",
        "origins",
        "owner",
        "parameters",
        "passed",
        "passing",
        "past",
        "place",
        "process_id",
        "remembered",
        "root_id",
        "snapshot",
        "standing",
        "state",
        "stored",
        "submitted",
        "tags",
        "until",
        "upstream",
        "wait_for",
        "world",
    )

    def __init__(
        self,
        owner: Any,
        definition: Definition,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        wait_for: Any = None,
        past: Past | None = None,
    ) -> None:
        enclosing = CURRENT.get()
        flow = enclosing.flow_run_context if isinstance(enclosing, TaskRunContext) else enclosing
        self.owner = owner
        self.definition = definition
        self.args = args
        self.kwargs = kwargs
        self.parameters = parameters
        self.wait_for, self.submitted = wait_for, False
        self.place: Place | None = None  # where its function is called, if not here
        # The futures and states among its arguments, and the digests that stand for their values in its key.
        self.passed, self.stored = _NOTHING_PASSED
        self.upstream: Sequence[str] = ()  # the ids of the runs whose results it takes
        ambient = TAGS.get()
        self.tags = tuple(sorted(ambient.union(definition.tags))) if ambient else definition.tags
        self.enclosing: RunContext | None = enclosing
        self.flow_context: FlowRunContext | None = flow
        self.world: World = current_world() if enclosing is None else enclosing.engine.world
        # When the time of the run around it is over, as of `time.monotonic`; and when its own attempt's is.
        self.around_until: float | None = None if enclosing is None else enclosing.engine.until
        self.until: float | None = self.around_until
        self.id = new_id() if definition.kind == "flow" else next_id()
        self.process_id, self.attempt = _process_id, 1
        self.context: RunContext | None = None  # of the attempt under way
        self.children: Children | None = None  # of the attempt under way; made by its first submit
        self.cache_key: str | None = None
        self.location: str | None = None
        self.kept: InStore | None = None  # its result, if that is large and kept
        self.inherited: Inherited = (
            NOTHING_SAID if flow is None else flow.engine.inherited
        )  # of results, from the flow around it
        if definition.kind == "flow":
            self.inherited = self.inherited.with_options(definition.keeping)
            self.name = flow_run_name()
            self.names = Counter()
            self.origins: Origins | None = Origins()
        else:
            self.names = _outside_flows if flow is None else flow.engine.names
            self.origins = None
            self.name = self.names.name(mask(definition.name))
        # The same for every run that resumes this one, so that what it kept is found again.
        self.root_id: str = self.id if flow is None else flow.engine.root_id
        if past is not None and past.root_id is not None:
            self.root_id = past.root_id
        self.past: Past | None = past if enclosing is None else enclosing.engine.past
        self.calls: Calls | None = None  # of the attempt under way; made by the first that asks where it stands
        self.standing: str | None = None  # among what its caller calls; where nobody asked, not known
        self.remembered: Mapping[str, Any] | None = None  # of a top-level flow: its parameters as they were
        self.passing: list[Any] | None = None  # of a top-level flow: results that are kept until it ends
        self.snapshot: bool | None = None  # whether these are kept for who resumes it; None: not needed so far
        if enclosing is None:
            set_up_logging(self.world.settings)
        self.created = self.world.clock.now()
        self.state: State[Any] | None = _CALLED
        self._told = self._named = False
        self._shown = 0  # the id of the error of a run inside whose traceback was kept

    # --- who it is ----------------------------------------------------------------------------------------------------

    @property
    def flow_run_id(self) -> str | None:
        """The id of the flow run around it, or None."""
        return None if self.flow_context is None else self.flow_context.flow_run.id

    @property
    def parent_run_id(self) -> str | None:
        """The id of the run that called it, or None."""
        enclosing = self.enclosing
        if enclosing is None:
            return None
        return enclosing.task_run.id if isinstance(enclosing, TaskRunContext) else enclosing.flow_run.id

    def entrypoint(self) -> str | None:
        """Return where another process finds a top-level flow; None for what is called inside, or in no file."""
        if self.enclosing is not None or self.definition.kind != "flow":
            return None
        found = entrypoint_of(self.definition)
        return None if found is None else found.text

    def view(self) -> FlowRun | TaskRun:
        """Return what user code may know of it, as of now."""
        definition, now = self.definition, self.world.clock.now()
        if definition.kind == "flow":
            return FlowRun(
                self.id,
                self.name,
                definition.name,
                self.attempt,
                now,
                parameters=self.parameters,
                tags=self.tags,
                parent_run_id=self.parent_run_id,
            )
        return TaskRun(
            self.id,
            self.name,
            definition.key,
            self.attempt,
            now,
            tags=self.tags,
            flow_run_id=self.flow_run_id,
            parent_run_id=self.parent_run_id,
        )

    def enter_context(self) -> RunContext:
        """Return the context of this attempt, made at the first question."""
        if self.context is None:
            view, definition = self.view(), self.definition
            log_prints = definition.log_prints
            if log_prints is None:
                log_prints = self.enclosing is not None and self.enclosing.log_prints
            if isinstance(view, FlowRun):
                self.context = FlowRunContext(self.owner, view, self.parameters, view.start_time, log_prints, self)
            else:
                self.context = TaskRunContext(
                    self.owner, view, self.parameters, view.start_time, self.flow_context, log_prints, self
                )
        return self.context

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Call the function with other parameters; before the first attempt."""
        self.parameters = parameters
        self.args, self.kwargs = self.definition.binder.call(parameters)

    def trace(self, futures: Iterable[str]) -> None:
        """Note whose results it takes, before these stand in the places of futures.

        Args:
            futures: The ids of the runs behind the futures among its arguments.
        """
        origins = None if self.flow_context is None else self.flow_context.engine.origins
        plain = [] if origins is None else origins.of(self.parameters.values())
        upstream = dict.fromkeys((*futures, *plain))
        if upstream:
            self.upstream = tuple(upstream)

    def leave_trace(self, state: State[Any]) -> None:
        """Let the flow run around it know what it returned."""
        if self.world.settings.check:
            from entrepot.engine.checking import note_result  # noqa: PLC0415  only the checking mode pays for it

            note_result(state)
        if self.flow_context is not None and state.type is StateType.COMPLETED:
            self.flow_context.engine.origins.note(state.data, self.id)

    def take_name(self) -> None:
        """Give it the name that its option says, now that its parameters are known; the usual one if that fails."""
        given = self.definition.run_name
        if given is None or self._named:
            return
        self._named = True
        secrets = self.definition.binder.secrets
        shown = {name: MASK if name in secrets else value for name, value in self.parameters.items()}
        token = CURRENT.set(self.enter_context())  # a function may ask for its run
        try:
            name = run_name_of(given, shown)
        except Exception as error:  # noqa: BLE001  names are for people: whatever a template does, the run goes on
            self.log(logging.WARNING, "It keeps its usual name, since the one of its option failed: %r", error)
            return
        finally:
            CURRENT.reset(token)
            self.context = None
        self.name = " ".join(mask(name).split())[:_LONGEST_NAME]

    def is_of_parent(self) -> bool:
        """Return whether this process was forked by the run's own code: it only has a copy of the run."""
        return self.process_id != _process_id

    def new_attempt(self) -> None:
        """Begin the next attempt."""
        self.attempt += 1
        self.context = None
        self.children = None
        if self.definition.kind == "flow":
            self.calls = None  # an attempt finds what the last one kept; of a task, only that of another flow's attempt

    def let_go(self) -> None:
        """Forget what it was called with and how it ended; it is over, and others were told."""
        # The context holds the run: without this, only the garbage collector would free large arguments.
        self.context = None
        self.args, self.kwargs, self.parameters, (self.passed, self.stored) = (), {}, {}, _NOTHING_PASSED
        self.wait_for = self.state = self.remembered = self.calls = self.kept = None

    # --- what is told of it -------------------------------------------------------------------------------------------

    def enter(self, kind: StateType, name: str, message: str = "", data: Any = MISSING) -> State[Any]:
        """Put the run in a new state, tell the recorder, and return it.

        A state that a user made is never taken over as it is: its id names one transition of one run.
        """
        world = self.world
        # The message may repeat what an exception says; a state that a user made has a name of theirs.
        name, message = mask(name), mask(str(message))
        self.state = state = State(kind, name, message, world.clock.now(), data=data)
        recorder = world.recorder
        if recorder is not None:
            recorder.record(
                RunTransition(
                    state.id,
                    self.id,
                    self.attempt,
                    state.type._value_,  # `value` is a property written in Python
                    state.name,
                    state.timestamp,
                    message,
                    self.cache_key,
                    self.location,
                )
            )
        return state

    def hears(self, level: int) -> bool:
        """Return whether a line of a level would go anywhere."""
        return (FLOW_RUNS if self.definition.kind == "flow" else TASK_RUNS).isEnabledFor(level)

    def log(self, level: int, message: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Write a line to the run's log."""
        logger = FLOW_RUNS if self.definition.kind == "flow" else TASK_RUNS
        if logger.isEnabledFor(level):
            flow_run_id = self.id if self.definition.kind == "flow" else self.flow_run_id
            facts = run_facts(self.definition.kind, self.name, self.id, flow_run_id)
            speak_for(self.id, self.world.recorder)
            logger.log(level, message, *values, extra=facts, exc_info=exc_info)

    def log_end(self, state: State[Any]) -> None:
        """Write a line about the last state; with the traceback where no caller gets the exception."""
        if state.type is StateType.COMPLETED and not self.hears(logging.INFO):
            return  # most runs, where nobody listens: not even the line's text is made
        level = logging.INFO if state.type in _WELL else logging.ERROR
        error = state.data if self.submitted and state.type is StateType.FAILED else None
        # Its text, not itself: handlers may keep records, and with them results and tracebacks.
        self.log(
            level, "Finished in state %s", repr(state), exc_info=error if isinstance(error, BaseException) else None
        )
        if state.type is StateType.FAILED and isinstance(state.data, Exception):
            self._keep_traceback(state.data)

    def _keep_traceback(self, error: Exception) -> None:
        """Keep a traceback in the history, once, with the innermost run; at a terminal the caller shows it."""
        known, around = self._shown == id(error), self.enclosing
        if around is not None:
            around.engine._shown = id(error)  # noqa: SLF001  the same class
        recorder, settings = self.world.recorder, self.world.settings
        if known or self.submitted or recorder is None or not settings.logging_to_history:
            return  # a submitted run has logged it: nobody else may
        text = mask("".join(traceback.format_exception(error)).rstrip())
        flow, kind = (self.id, FLOW_RUNS) if self.definition.kind == "flow" else (self.flow_run_id, TASK_RUNS)
        recorder.record(LogLine(self.id, self.world.clock.now(), logging.ERROR, kind.name, text, flow))

    def tell_created(self, untrusted: Collection[str] = ()) -> None:
        """Tell the recorder of the run, once.

        Args:
            untrusted: Parameters of which only the type is told: they are not what they were to be, and so may be
                secrets that nothing wraps up.
        """
        recorder = self.world.recorder
        if self._told:
            return
        remember_secrets(self.parameters)
        if recorder is None:
            return
        self._told = True
        definition = self.definition
        recorder.record(
            RunCreated(
                self.id,
                definition.kind,
                self.name,
                mask(definition.name),
                definition.key,
                self.created,
                self.flow_run_id,
                self.parent_run_id,
                mask_all(
                    render_all(
                        self.parameters,
                        definition.binder.secrets.union(untrusted) if untrusted else definition.binder.secrets,
                    )
                ),
                tuple(sorted(set(map(mask, self.tags)))) if self.tags else (),
                _process_id,
                process_token(),
                None if self.root_id == self.id or self.enclosing is not None else self.root_id,
                version=None if definition.version is None else mask(definition.version),
                entrypoint=self.entrypoint(),
                upstream=self.upstream,
            )
        )
