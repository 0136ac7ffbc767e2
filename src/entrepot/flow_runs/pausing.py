"""The flow's side of a pause: it asks, waits, reads the answer, and goes on."""

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from entrepot._clock import Clock
from entrepot._sentinels import MISSING
from entrepot.context import CURRENT, FlowRunContext
from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot.engine.drive import drive
from entrepot.engine.effects import Do, Sleep, Steps
from entrepot.engine.run import Run
from entrepot.errors import (
    CancelledRunError,
    InputError,
    IntegrityError,
    KeyringError,
    MissingContextError,
    ParameterError,
    PausedRunError,
    PauseTimeoutError,
    StorageError,
    UnknownKeyError,
)
from entrepot.flow_runs.place import claimer, identity, root_run_id
from entrepot.flow_runs.sealing import open_answer, seal_answer
from entrepot.input.question import Question, question_of
from entrepot.states import StateType

__all__ = ["Awaiting", "pausing", "suspending"]

T = TypeVar("T")

_DAY: Final = 86_400.0
_LONGEST_KEY: Final = 200


@dataclass(frozen=True, slots=True)
class Awaiting:
    """What is left to do, in one of two ways: by a thread that waits, or in a loop."""

    _run: Run
    _steps: Steps[Any]

    def here(self) -> Any:
        """Return the outcome; in the loop of an async flow, something to await for it."""
        return self.in_loop() if self._run.definition.is_async and _in_loop() else drive(self._steps, self._clock)

    async def in_loop(self) -> Any:
        """Return the outcome; the loop goes on meanwhile."""
        from entrepot.engine.drive_async import drive_async  # noqa: PLC0415  asyncio is loaded by who uses it

        return await drive_async(self._steps, self._clock)

    @property
    def _clock(self) -> Clock:
        return self._run.world.clock


def pausing(name: str, wanted: Any, timeout: float | None, poll_interval: float, key: str | None) -> Awaiting:
    """Return the pause that `pause_flow_run` asks for; see there.

    Args:
        name: What the caller is called in messages.
        wanted: What to ask for.
        timeout: Seconds, or None.
        poll_interval: Seconds.
        key: What the question is called, or None.
    """
    run = _flow_run(name)
    question = question_of(wanted)
    if not _is_number(poll_interval) or not 0 < poll_interval <= _DAY:
        raise ParameterError(f"poll_interval is a number of seconds, not {poll_interval!r}", parameter="poll_interval")
    pause = _pause(run, question, timeout, key, "pause")
    return Awaiting(run, _pause_steps(run, question, pause, key, poll_interval))


def suspending(name: str, wanted: Any, timeout: float | None, key: str | None) -> Awaiting:
    """Return the suspension that `suspend_flow_run` asks for; see there, and `pausing`."""
    run = _flow_run(name)
    question = question_of(wanted)
    return Awaiting(run, _suspend_steps(run, question, _pause(run, question, timeout, key, "suspend"), key))


def _in_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # where it was never loaded, no loop runs
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# --- what happens -----------------------------------------------------------------------------------------------------


def _done(action: Callable[[], T]) -> Steps[T]:
    value, error = yield Do(action)
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _pause_steps(run: Run, question: Question, pause: Pause, key: str | None, poll_interval: float) -> Steps[Any]:
    asked, _ = yield from _done(lambda: pauses.ask(pause, claimer(run, key)))
    if asked.answer is not None:
        answer = yield from _done(partial(_received, run, question, asked, asked.answer))
        if answer is not MISSING:
            return answer
    return (yield from _wait_steps(run, question, asked, poll_interval))


def _wait_steps(run: Run, question: Question, asked: Pause, poll_interval: float) -> Steps[Any]:
    """Wait, as Paused, until there is an answer that fits."""
    blind = False
    with _paused(run, asked):
        while True:
            answer, trouble = yield Do(partial(_look, run, question, asked))
            if trouble is not None and not isinstance(trouble, StorageError | KeyringError):
                raise trouble
            if trouble is None and answer is not MISSING:
                return answer
            if trouble is not None and not blind:  # it may pass, and there is a deadline
                run.log(logging.WARNING, "There is no telling whether somebody answered: %s", trouble)
            blind = trouble is not None
            left = math.inf if asked.deadline is None else (asked.deadline - run.world.clock.now()).total_seconds()
            if left > 0:
                _, interrupt = yield Sleep(min(poll_interval, left))
                if interrupt is not None:
                    raise interrupt
            elif (yield from _done(lambda: pauses.withdraw(asked))):  # else an answer came in the last moment
                raise _too_late(run, asked)


@contextmanager
def _paused(run: Run, asked: Pause) -> Iterator[None]:
    """Let the run be Paused while something waits in the body."""
    run.enter(StateType.PAUSED, "Paused", f"Waits for an answer: {asked.message}")
    run.log(
        logging.INFO, "Paused, waiting for an answer: %s; give it with `entrepot runs answer %s`", asked.message, run.id
    )
    _waiting.append(run.id)
    try:
        yield
    except BaseException:
        # Nobody waits any more. Where the process is killed instead, the question stays for the run that resumes.
        with suppress(StorageError):
            pauses.withdraw(asked)
        raise
    finally:
        _waiting.remove(run.id)
        if run.id not in _waiting:  # else another thread or coroutine of the flow still waits
            run.enter(StateType.RUNNING, "Running")


_waiting: list[str] = []
"""The id of each run that waits in this process, once for each question."""


def _suspend_steps(run: Run, question: Question, pause: Pause, key: str | None) -> Steps[Any]:
    asked, before = yield from _done(lambda: pauses.ask(pause, claimer(run, key), renew=False))
    if asked.answer is not None:
        answer = yield from _done(partial(_received, run, question, asked, asked.answer))
        if answer is not MISSING:
            return answer
    elif before is not None and before.run_id != run.id and question.schema is None:
        # Kept like any answer: a run that is resumed once more goes on, too.
        yield from _done(lambda: pauses.answer(asked, seal_answer(asked, "null"), run.world.clock.now()))
        run.log(logging.INFO, "Goes on: it was resumed")
        return None
    if asked.deadline is not None and asked.deadline <= run.world.clock.now():
        yield from _done(lambda: pauses.withdraw(asked))
        raise _too_late(run, asked)
    answering = "" if question.schema is None else f"answer with `entrepot runs answer {run.id}`, and "
    raise PausedRunError(
        f"flow run {run.name!r} waits for an answer: {asked.message}; {answering}continue with `entrepot runs resume"
        f" {run.id}`",
        run_id=run.id,
    )


def _look(run: Run, question: Question, asked: Pause) -> Any:
    """Return the answer, or `MISSING` where there is none (that fits) yet."""
    found = pauses.find(asked.root_run_id, asked.key)
    if found is None:  # somebody moved the file away
        pauses.ask_again(asked)
        return MISSING
    if found.run_id != run.id:
        raise CancelledRunError(f"flow run {run.name!r} was resumed as {found.run_id}, which asks in its place now")
    return MISSING if found.answer is None else _received(run, question, asked, found.answer)


def _received(run: Run, question: Question, asked: Pause, sealed: str) -> Any:
    """Return what an answer stands for; `MISSING` if it is refused, and then the question is asked again."""
    try:
        answer = question.read(open_answer(asked, sealed))
    except InputError as error:
        refused = f"it does not fit: {error}"
    except IntegrityError:
        refused = "it does not verify: it, or the question that people saw, was altered in the file"
    except UnknownKeyError as error:
        refused = f"it cannot be opened: {error}"
    else:
        run.log(logging.INFO, "Goes on with the answer to %s", asked.key)
        with suppress(StorageError):  # only for who waits to hear of it
            pauses.take(asked, run.world.clock.now())
        return answer
    run.log(logging.WARNING, "The answer to %s is refused: %s; still waiting for another", asked.key, refused)
    pauses.ask_again(asked, refused)
    return MISSING


# --- asking -----------------------------------------------------------------------------------------------------------


def _flow_run(name: str) -> Run:
    """Return the flow run whose code this is."""
    context = CURRENT.get()
    if isinstance(context, FlowRunContext):
        return context.engine  # type: ignore[no-any-return]
    where = "outside flows" if context is None else f"in the task {context.task.name!r}"
    raise MissingContextError(f"{name}() was called {where}; only the code of a flow can wait: call it there")


def _pause(run: Run, question: Question, timeout: float | None, key: str | None, kind: str) -> Pause:
    if timeout is not None and (not _is_number(timeout) or not timeout >= 0):
        raise ParameterError(f"timeout is a number of seconds, or None, not {timeout!r}", parameter="timeout")
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise ParameterError(f"the key of a pause is a text in one line, not {key!r}"[:300], parameter="key")
    now = run.world.clock.now()
    try:
        deadline = None if timeout is None else now + timedelta(seconds=timeout)
    except OverflowError:
        deadline = None
    return Pause(
        root_run_id=root_run_id(run),
        key=key or "",
        run_id=run.id,
        question=identity(run, question, key, kind),
        schema=question.schema,
        message=question.message,
        asked=now,
        deadline=deadline,
    )


def _too_late(run: Run, asked: Pause) -> PauseTimeoutError:
    return PauseTimeoutError(
        f"nobody answered flow run {run.name!r} by {asked.deadline}: {asked.message}", run_id=run.id
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
