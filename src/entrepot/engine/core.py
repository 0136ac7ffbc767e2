"""What happens in a run, decided in one place.

`run_steps` is a generator: it yields effects (`Call`, `Do`, `Sleep`), is sent their outcomes, and returns the state in
which the run ended. The drivers act, sync and async; nothing here waits for anything.
"""

import logging
from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from entrepot._sentinels import MISSING
from entrepot.concurrency.tags import tag_slots
from entrepot.context import TRANSACTION
from entrepot.engine import inputs
from entrepot.engine.definition import function_name
from entrepot.engine.effects import Call, Do, Sleep, Steps
from entrepot.engine.hooks import NO_HOOKS, in_step
from entrepot.engine.outcomes import Ending, is_interrupt, of_error, of_value
from entrepot.engine.parameters import copied
from entrepot.engine.run import Run
from entrepot.errors import ChangedResultError, CrashedRunError, NotReadyError, ParameterError, StorageError
from entrepot.futures import EntrepotFuture
from entrepot.logging import captured_prints
from entrepot.protocols.task_runner import Place
from entrepot.results.lazy import Lazy
from entrepot.results.streams import Stream
from entrepot.states import State, StateType

if TYPE_CHECKING:
    from entrepot.concurrency import Slots
    from entrepot.engine.persistence import Keeper
    from entrepot.engine.run_transactions import Attempt

__all__ = ["call_hooks", "run_steps"]

_NOTHING = nullcontext()


def run_steps(run: Run) -> Steps[State[Any]]:
    """Run a flow or a task from its first state to its last.

    Args:
        run: Just made. Its arguments may hold futures and states of other runs.
    """
    if run.hears(logging.DEBUG):
        run.log(logging.DEBUG, "Created for %s", run.definition.label)
    ending = yield from _prepare(run)
    if ending is None and run.enclosing is None and run.definition.kind == "flow":
        ending = yield from _remember(run)
    keeper = None
    if ending is None:
        keeper = _keeper(run)
        try:
            ending = yield from _attempts(run, keeper)
        finally:
            if keeper is not None:
                keeper.let_go()
    state = _enter_last(run, ending, keeper)
    run.log_end(state)
    interrupt = None if run.definition.hooks is NO_HOOKS else (yield from call_hooks(run, state))
    if not run.submitted:  # else its future looks at it until it has the state itself
        run.let_go()
    if run.definition.kind == "flow" and run.flow_context is None:
        yield from _close(run, state)
    if interrupt is not None and not is_interrupt(state.data):
        raise interrupt
    return state


def _leave_to_parent(run: Run, ending: Ending) -> None:
    """Raise on what a child process is on its way out with that the run's code has forked: the run is the parent's."""
    if run.is_of_parent() and isinstance(ending.data, BaseException):
        raise ending.data


def _enter_last(run: Run, ending: Ending, keeper: "Keeper | None") -> State[Any]:
    """Put a run in its last state, which then knows how the cache was used."""
    _leave_to_parent(run, ending)
    state = run.enter(*ending)
    if keeper is not None:
        keeper.account_for(state)
    run.leave_trace(state)
    return state


def _attempts(run: Run, keeper: "Keeper | None") -> Steps[Ending]:
    """Try a run as often as its options say; return how it ends."""
    attempt: Attempt = _attempt
    if TRANSACTION.get() is not None or run.definition.hooks.are_of_transactions:
        from entrepot.engine.run_transactions import as_transaction  # noqa: PLC0415  most runs are in none

        attempt = as_transaction(_attempt)
    kept: Any = MISSING  # what an attempt returned whose result could not be kept yet
    while True:
        ending, kept = yield from attempt(run, keeper, kept)
        if keeper is not None and kept is MISSING:
            keeper.let_go()
        if ending.type is not StateType.FAILED and not isinstance(ending.data, CrashedRunError):
            return ending  # a lost process may be another's fault: that is tried again too
        last = yield from _give_up(run, ending, kept)
        if last is not None:
            return last if keeper is None else keeper.spared(last)
        del ending  # its error leads to what the attempt was called with
        run.new_attempt()


def _close(run: Run, state: State[Any]) -> Steps[None]:
    """Make the end of a flow durable before its caller hears of it; tasks and subflows are flushed with it."""
    if run.world.recorder is not None:
        safe, _ = yield Do(run.world.recorder.flush, masked=True)
        if not safe:  # the recorder itself has said why
            run.log(logging.DEBUG, "The run history is not safely written yet")
    if run.snapshot is not None:
        from entrepot.engine import snapshots  # noqa: PLC0415  loaded already: it was asked for a snapshot

        yield Do(partial(snapshots.settle, run, state))
    if run.passing is not None:
        from entrepot.engine import passing  # noqa: PLC0415  loaded already: it noted what is to be removed

        yield Do(partial(passing.remove, run, state), masked=True)
    if run.enclosing is None and run.past is not None and run.past.claim is not None:
        run.past.claim.release()


def _what(run: Run) -> str:
    return run.definition.kind.title()


# --- before the first attempt -----------------------------------------------------------------------------------------


def _prepare(run: Run) -> Steps[Ending | None]:
    """Put results in the places of futures, and validate parameters; return how the run ends if it cannot start."""
    validator = run.definition.validator
    leaves = inputs.leaves_of((run.parameters, run.wait_for) if run.wait_for else run.parameters)
    upstream = inputs.upstream_of(leaves) if leaves else []
    if not run.submitted:
        run.trace(inputs.run_ids_of(upstream) if upstream else ())
    late = validator is not None or run.definition.run_name is not None  # to be told: not all is known of it yet
    if not late:
        run.tell_created()
    if leaves:
        ending = yield from _resolve(run, leaves, upstream)
        if ending is not None:
            run.tell_created(run.parameters)
            return ending
    if validator is not None:
        try:
            run.set_parameters(validator.validated(run.parameters))
        except ParameterError as error:
            run.tell_created(validator.doubtful(run.parameters))
            return of_error(error, _what(run))
    if late:
        run.take_name()
        run.tell_created()  # only now: what was given may be a secret that validation has wrapped up
    if run.definition.kind == "flow":
        run.log(logging.INFO, "Beginning flow run %r for flow %r", run.name, run.definition.name)
    return None


def _resolve(run: Run, leaves: list[Any], upstream: list[inputs.Upstream]) -> Steps[Ending | None]:
    """Wait for what a run needs, and put results in the places of futures and states."""
    pending = [future for future in upstream if isinstance(future, EntrepotFuture) and not future.done()]
    if pending:
        _, error = yield Do(lambda: [future.wait() for future in pending])
        if error is not None:
            return of_error(error, _what(run))
    try:
        inputs.check(leaves)
    except NotReadyError as error:
        return Ending(StateType.PENDING, "NotReady", str(error), error)
    substitute = partial(inputs.replaced, run.parameters, inputs.upstream_result)
    if inputs.must_be_read(upstream):
        parameters, problem = yield Do(substitute)
        if problem is not None:
            return of_error(problem, _what(run))
    else:
        parameters = substitute()
    run.set_parameters(parameters)
    run.passed = upstream
    if run.world.settings.check:
        from entrepot.engine.checking import check_passed  # noqa: PLC0415  only the checking mode pays for it

        try:
            check_passed(upstream)
        except ChangedResultError as error:
            return of_error(error, _what(run))
    return None


def _remember(run: Run) -> Steps[Ending | None]:
    """Keep a top-level flow's parameters for who resumes it; return how it ends if that was interrupted.

    They are written now if the flow keeps its result. Else a task may, and what they were is remembered until then.
    """
    persist = run.inherited.persist
    if persist is None:
        persist = run.world.settings.results_persist
    if not persist:
        run.remembered = copied(run.parameters)
        return None
    from entrepot.engine import snapshots  # noqa: PLC0415  the lazy seam: it loads stores and cryptography

    _, interrupt = yield Do(partial(snapshots.keep, run, run.parameters))
    return None if interrupt is None else of_error(interrupt, _what(run))


def _keeper(run: Run) -> "Keeper | None":
    """Return what looks up and keeps the run's result, or None where it is not kept.

    It is kept if `persist_result` says so, or any other option about results was given. Else the flow around it
    decides, and else the setting `results_persist`.
    """
    options = run.definition.keeping
    persist = options.persist
    if persist is None:
        persist = True if options.places else run.inherited.persist
    if persist is None:
        persist = run.world.settings.results_persist
    if not persist and (options.persist is False or not options.caches):
        return None
    return _keeper_type()(run, keeps_always=persist)


@cache
def _keeper_type() -> "type[Keeper]":
    from entrepot.engine.persistence import Keeper  # noqa: PLC0415  the lazy seam: it loads stores and cryptography

    return Keeper


# --- one attempt ------------------------------------------------------------------------------------------------------


def _attempt(run: Run, keeper: "Keeper | None", kept: Any) -> Steps[tuple[Ending, Any]]:
    """Try once; return how that ended, and what was returned if it could not be kept."""
    if keeper is not None and kept is MISSING:
        found, error = yield Do(keeper.look_up)
        if error is not None:
            return of_error(error, _what(run), run.id), MISSING  # before any work was done
        if found is not MISSING:
            return Ending(StateType.COMPLETED, "Cached", "", found), MISSING
    slots = tag_slots(run.tags, home=run.world.settings.home) if run.tags and run.definition.kind == "task" else None
    if slots is None:
        return (yield from _run_now(run, keeper, kept))
    error = yield from _take(run, slots)
    if error is not None:
        return of_error(error, _what(run)), MISSING
    ending, kept = yield from _run_now(run, keeper, kept)
    # A coroutine that is thrown away cannot await any more.
    waits = run.definition.is_async and not isinstance(ending.data, GeneratorExit)
    give_back = slots.arelease if waits else slots.release
    _, error = yield Call(give_back, (), {}, run.enter_context(), shielded=True)
    return (ending if error is None or is_interrupt(ending.data) else of_error(error, _what(run))), kept


def _take(run: Run, slots: "Slots") -> Steps[BaseException | None]:
    """Wait for the slots that the tags of a task run need; return what ended the wait without them."""
    wait = partial(run.enter, StateType.SCHEDULED, "AwaitingConcurrencySlot")
    acquire = slots.aacquire if run.definition.is_async else slots.acquire
    _, error = yield Call(acquire, (), {"on_wait": wait}, run.enter_context())
    return error


def _run_now(run: Run, keeper: "Keeper | None", kept: Any) -> Steps[tuple[Ending, Any]]:
    """Run the function, and keep what it returned."""
    running = run.enter(StateType.RUNNING, "Running" if run.attempt == 1 else "Retrying")
    if run.definition.hooks is not NO_HOOKS:
        interrupt = yield from call_hooks(run, running)
        if interrupt is not None:
            return of_error(interrupt, _what(run)), MISSING
    if kept is MISSING:
        ending = yield from _work(run)
        if ending.type is not StateType.COMPLETED:
            return ending, MISSING
    else:
        ending = Ending(StateType.COMPLETED, "Completed", "", kept)
    if run.passing is not None and type(ending.data) is Lazy:
        value, error = yield Do(ending.data.get)  # what it leads to is removed when the run has ended
        if error is not None:
            return of_error(error, _what(run)), MISSING
        ending = ending._replace(data=value)
    if keeper is not None:
        streams = isinstance(ending.data, Stream)  # its items are made while they are kept: that is still work
        _, error = yield Do(partial(keeper.keep, ending.data), shielded=not streams)
        if error is not None:
            return of_error(error, _what(run)), MISSING if streams else ending.data
    return ending, MISSING


def _work(run: Run) -> Steps[Ending]:
    """Call the user's function, and wait for what it submitted."""
    definition = run.definition
    context = run.enter_context()
    with captured_prints() if context.log_prints else _NOTHING:
        value, error = yield Call(definition.fn, run.args, run.kwargs, context, definition.timeout, _place(run))
        submitted = run.children is not None
        if run.children is not None:
            _, trouble = yield Do(partial(run.children.close, error), shielded=error is not None)
            if trouble is not None and error is None:
                error = trouble  # it was not to wait, or to wait no longer: whatever runs is seen to now
                yield Do(partial(run.children.close, error), shielded=True)
    if error is not None:
        return of_error(error, _what(run), run.id)
    return of_value(value, submitted=submitted)


def _place(run: Run) -> Place | None:
    """Return where the function is called; None for here."""
    if not run.definition.isolated:
        return run.place
    from entrepot.engine.isolation import ONE_SHOT  # noqa: PLC0415  who uses no processes pays nothing for them

    return ONE_SHOT


def call_hooks(run: Run, state: State[Any]) -> Steps[BaseException | None]:
    """Call the hooks of a state that the run has entered; return an interrupt that came through one of them.

    What hooks raise is logged and changes nothing; after an interrupt the rest is not called.
    """
    for hook in run.definition.hooks.at(state.type):
        call = hook if run.definition.is_async else in_step(hook)
        _, error = yield Call(call, (run.owner, run.view(), state), {}, run.enter_context(), shielded=True)
        if isinstance(error, Exception):
            name = function_name(hook)
            run.log(logging.ERROR, "Its hook %s at %s raised %r", name, state.name, error, exc_info=error)
        elif error is not None:
            return error
    return None


# --- between attempts -------------------------------------------------------------------------------------------------


def _give_up(run: Run, ending: Ending, kept: Any) -> Steps[Ending | None]:
    """Decide whether a failed run is tried again, and wait until then; return how it ends if it is not."""
    policy = run.definition.retry
    if run.attempt > policy.retries:
        return ending
    if kept is not MISSING and not isinstance(ending.data, StorageError):
        return ending  # the work was done; what the serializer cannot write now, it cannot write in a minute
    if policy.condition is not None:
        state: State[Any] = State(ending.type, ending.name, ending.message, data=ending.data)
        verdict, error = yield Call(policy.condition, (run.owner, run.view(), state), {}, run.enter_context())
        if isinstance(error, Exception):
            run.log(logging.ERROR, "The retry_condition_fn raised %s; there is no retry", repr(error))
        if error is not None or not verdict:
            return ending if error is None or isinstance(error, Exception) else of_error(error, _what(run))
    delay = policy.delay(run.attempt, run.world.chance)
    run.log(logging.WARNING, "%s; retry %d of %d in %g seconds", ending.message, run.attempt, policy.retries, delay)
    if delay > 0:
        run.enter(StateType.SCHEDULED, "AwaitingRetry", f"Retry {run.attempt} of {policy.retries} in {delay:g} seconds")
        _, interrupt = yield Sleep(delay)
        if interrupt is not None:
            return of_error(interrupt, _what(run))
    return None
