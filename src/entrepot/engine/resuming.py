"""Which earlier run a flow takes over from, and whether it may: `resume=` and `rerun_from=`.

This module loads SQLite and stores; the engine imports it for a call that asks for one of the two.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from entrepot._clock import SYSTEM_CLOCK
from entrepot.context import CURRENT
from entrepot.engine import snapshots
from entrepot.engine.core import run_steps
from entrepot.engine.drive import drive
from entrepot.engine.outcomes import answer_of
from entrepot.engine.past import Past, Reuse
from entrepot.engine.run import Run
from entrepot.engine.world import current_world
from entrepot.errors import EntrepotError, NotResumableError, RunNotFoundError
from entrepot.protocols.recorder import Recorder, RunTransition
from entrepot.runs import RunHistory, RunSummary, process_token
from entrepot.runs.default import DATABASE_NAME
from entrepot.runs.lines import completed_before, heartbeat_of, inside, line_of, top_of
from entrepot.runs.liveness import FOLDER, Claim, Life, claim, life_of
from entrepot.runs.sweeping import sweep
from entrepot.states import State, new_id

__all__ = ["call_again", "past_of", "rerun", "resume"]

_log = logging.getLogger("entrepot.runs")


def past_of(option: str, wanted: str, flow_key: str) -> Past:
    """Return what a flow takes over that is called with `resume=` or `rerun_from=`.

    Args:
        option: Which of the two.
        wanted: What it was given: an id, the beginning of one, or a name.
        flow_key: The stable identity of the flow.

    Raises:
        RunNotFoundError: If there is no such run, or more than one.
        NotResumableError: If it cannot be taken over from.
        EntrepotError: If the history cannot be read.
    """
    world = current_world()
    if CURRENT.get() is not None:
        raise NotResumableError(
            f"{option}= is for flows that are called outside of other flows and tasks: what runs inside them is resumed"
            " together with them",
            run_id=str(wanted),
        )
    if not isinstance(wanted, str) or not wanted:
        raise NotResumableError(
            f"{option}= takes the id of a run, the beginning of it, or its name, not {wanted!r}", run_id=str(wanted)
        )
    if world.recorder is not None:
        world.recorder.flush()  # it may be a run of this very process
    take_over = resume if option == "resume" else rerun
    return take_over(wanted, flow_key, world.settings.home, world.recorder)


# --- resuming a run that did not complete -----------------------------------------------------------------------------


def resume(wanted: str, flow_key: str, home: Path, recorder: Recorder | None) -> Past:
    """Return what a flow takes over from a run that did not complete, and hold that against other processes.

    Args:
        wanted: The run's id, the beginning of it, or its name.
        flow_key: The stable identity of the flow that is called.
        home: The folder of the history.
        recorder: Is told of runs whose process turns out to be dead.

    Raises:
        RunNotFoundError: If there is no such run, or more than one.
        NotResumableError: If it goes on, has completed, is no run of this flow, or is resumed by somebody else.
        EntrepotError: If the history cannot be read.
    """
    history = RunHistory(home / DATABASE_NAME)
    try:
        run = history.find(wanted)
        if not run.key:
            raise RunNotFoundError(
                f"the history of run {run.run_id} is lost: only its last states are known", run_id=run.run_id
            )
    except EntrepotError:
        # The history may have been lost, or be out of reach. What was kept of a run says enough, for its whole id.
        kept = snapshots.load(home, wanted)
        if kept is None:
            raise
        _check_flow(kept.name, kept.run_id, kept.key, flow_key)
        lives = life_of(home / FOLDER, kept.process, None, SYSTEM_CLOCK.now()) is Life.LIVES
        if lives and kept.process != process_token():  # of a run of its own process the caller knows that it is over
            _refuse(kept.name, kept.run_id, "its process may still run it; end that, or wait for it")
        held = _claim(home, kept.name, kept.run_id, kept.root_id)
        try:
            _check_not_completed(_known_line(history, kept.root_id), kept.name, kept.run_id)
        except BaseException:
            held.release()
            raise
        return Past(kept.root_id, kept.run_id, claim=held)
    if run.kind != "flow" or run.flow_run_id or run.parent_run_id:
        what = "a subflow" if run.kind == "flow" else "a task run"
        _refuse(run.name, run.run_id, f"it is {what}; resume the flow run around it: {top_of(history, run).run_id}")
    _check_flow(run.name, run.run_id, run.key, flow_key)
    root_id = run.root_run_id or run.run_id
    held = _claim(home, run.name, run.run_id, root_id)  # before the look at its line: what is seen then stays so
    try:
        _check_line(history, run, root_id, recorder)
        return Past(root_id, run.run_id, _reuse_of(history, run.run_id), held)
    except BaseException:
        held.release()
        raise


def _claim(home: Path, name: str, run_id: str, root_id: str) -> Claim:
    held = claim(home / FOLDER, root_id)
    if held is None:
        _refuse(name, run_id, "somebody else resumes it at this moment; wait for that")
    return held


def _check_flow(name: str, run_id: str, key: str, flow_key: str) -> None:
    if key != flow_key:
        _refuse(name, run_id, f"it is a run of {key}, and this flow is {flow_key}")


def _check_line(history: RunHistory, run: RunSummary, root_id: str, recorder: Recorder | None) -> None:
    """See that no run of a line goes on or has completed; those that wait for what this one will do are ended."""
    line = line_of(history, root_id)
    _check_not_completed(line, run.name, run.run_id)
    waiting = [one for one in line if one.state_name == "Suspended"]  # in no process
    going_on = [one for one in line if not one.is_terminal and one not in waiting]
    processes = {one.process for one in going_on if one.process}
    if recorder is not None and processes:
        sweep(history.path, recorder, processes=processes)
    for one in going_on:
        beat = heartbeat_of(history, one.process or "")
        life = life_of(history.path.parent / FOLDER, one.process or "", beat, SYSTEM_CLOCK.now())
        if life is not Life.ENDED:
            where = f"pid {one.process_id}" + (f" on {beat.host}" if beat is not None else "")
            words = f"{'it' if one.run_id == run.run_id else f'{one.name} ({one.run_id}), which resumes it,'} is"
            sure = "" if life is Life.LIVES else ", as far as can be told from here; ask again in a minute"
            _refuse(
                run.name, run.run_id, f"{words} {one.state_name or 'Pending'} in a process that lives ({where}){sure}"
            )
    if recorder is not None:
        waiting += [one for one in going_on if one.state_type == "PAUSED"]
        for outer in line:
            ends = outer in waiting
            for one in (*inside(history.get(outer.run_id)), outer):
                # Also a subflow that waited when the process of the run around it died: it waits for nobody now.
                if one.is_terminal or not (ends or one.state_type == "PAUSED"):
                    continue
                now, words = SYSTEM_CLOCK.now(), "another run goes on in its place"
                recorder.record(RunTransition(new_id(), one.run_id, one.epoch, "CANCELLED", "Resumed", now, words))


def _known_line(history: RunHistory, root_id: str) -> Sequence[RunSummary]:
    """Return what a history that was lost knows again of a line of runs; nothing where it is out of reach."""
    try:
        return line_of(history, root_id)
    except EntrepotError:
        return ()


def _check_not_completed(line: Iterable[RunSummary], name: str, run_id: str) -> None:
    """See that no run of a line has completed what another one began."""
    for one in line:
        if one.state_type == "COMPLETED":
            by = "it has completed" if one.run_id == run_id else f"{one.name} ({one.run_id}) has completed it"
            _refuse(
                name,
                run_id,
                f"{by}; to do it again from one of its tasks on, use rerun_from=... or"
                f" `entrepot runs rerun {one.run_id[:8]} --from TASK`",
            )


def _refuse(name: str, run_id: str, why: str) -> NoReturn:
    raise NotResumableError(f"{name} ({run_id}) cannot be resumed: {why}", run_id=run_id)


# --- doing a run again from one of its tasks on -----------------------------------------------------------------------


def rerun(wanted: str, flow_key: str, home: Path, recorder: Recorder | None) -> Past:
    """Return what a flow takes over that does a run again from one of its tasks on.

    Args:
        wanted: The task run, or subflow run, from which on all is computed anew: its id, the beginning of it, or its
            name.
        flow_key: The stable identity of the flow that is called.
        home: The folder of the history.
        recorder: Is told of runs whose process turns out to be dead.

    Raises:
        RunNotFoundError: If there is no such run, or more than one.
        NotResumableError: If it is not inside a run of this flow, or that goes on.
        EntrepotError: If the history cannot be read.
    """
    history = RunHistory(home / DATABASE_NAME)
    start = history.find(wanted)
    top = top_of(history, start)
    if top.run_id == start.run_id:
        _refuse_rerun(
            start, "it is a whole flow run; name a task run inside it, or call the flow to do all of it again"
        )
    if top.key != flow_key:
        _refuse_rerun(start, f"it is part of a run of {top.key}, and this flow is {flow_key}")
    if not top.is_terminal and top.process and recorder is not None:
        sweep(history.path, recorder, processes={top.process})
        top = history.find(top.run_id)
    if not top.is_terminal:
        _refuse_rerun(start, f"the run around it, {top.name} ({top.run_id}), is {top.state_name}; wait for its end")
    return Past(reuse=_reuse(history, start))


def _reuse(history: RunHistory, start: RunSummary) -> Reuse:
    keys, until = completed_before(history, start, SYSTEM_CLOCK.now())
    top = top_of(history, start)
    return Reuse(top.root_run_id or top.run_id, start.run_id, keys, until)


def _reuse_of(history: RunHistory, run_id: str) -> Reuse | None:
    """Return what a run took over that did another one again in part; None if it is none, or that is not known."""
    try:
        kept = snapshots.load(history.path.parent, run_id)
        return None if kept is None or kept.reuses is None else _reuse(history, history.find(kept.reuses))
    except EntrepotError as error:  # then more is computed than would have to be
        _log.debug("what run %s took over is not known: %s", run_id, error)
        return None


def _refuse_rerun(start: RunSummary, why: str) -> NoReturn:
    raise NotResumableError(
        f"nothing can be done again from {start.name} ({start.run_id}) on: {why}", run_id=start.run_id
    )


# --- calling a flow again in a process that is there for it -----------------------------------------------------------


def call_again(flow: Any, parameters: Mapping[str, Any], past: Past | None) -> tuple[Run, State[Any]]:
    """Run a flow to its end, in a loop of its own if it is async; return its run and its last state.

    Args:
        flow: The flow.
        parameters: By name, as they were kept.
        past: What it takes over.

    Raises:
        ParameterError: If the parameters do not fit any more.
        BaseException: An interrupt.
    """
    binder = flow._definition.binder  # noqa: SLF001  a flow's engine side
    names = binder.signature.parameters
    args, kwargs = binder.call({name: value for name, value in parameters.items() if name in names})
    unknown = {name: value for name, value in parameters.items() if name not in names}
    run: Run = flow._run(tuple(args), {**kwargs, **unknown}, None, past)  # noqa: SLF001  it refuses what is unknown
    if not flow.isasync:
        return run, answer_of(drive(run_steps(run), run.world.clock), return_state=True)
    from entrepot.engine.drive_async import drive_async, run_to_end  # noqa: PLC0415  asyncio only for async flows

    return run, answer_of(run_to_end(drive_async(run_steps(run), run.world.clock)), return_state=True)
