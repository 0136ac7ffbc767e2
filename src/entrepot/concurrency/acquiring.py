"""A claim on its way: asked for again and again until it is granted, held, and given back whatever happens."""

import logging
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from entrepot.concurrency.bells import AsyncBell, Bell, ring, stop_listening
from entrepot.context import CURRENT, TaskRunContext
from entrepot.coordination.claims import Answer, Request, Standing, attempt, withdraw
from entrepot.coordination.database import default_path
from entrepot.coordination.heartbeat import Held, hold, let_go
from entrepot.coordination.limits import nearest, read_limits
from entrepot.coordination.worker import on_worker
from entrepot.errors import LimitError, LimitTimeoutError, StorageError
from entrepot.logging import get_run_logger

__all__ = ["Acquisition"]

_log = logging.getLogger("entrepot.concurrency")

_POLL: Final = 0.05  # seconds between tries of who is first in the queue; who is behind waits longer
_LONGEST_POLL: Final = 4.0  # seconds; much less than a place in the queue is kept
_REPORT: Final = 5.0  # seconds of waiting after which the log says what for; then each time twice as long
_SHOWN: Final = 3  # holders that a message names

_WARNINGS: Final = 1000  # names that are not set of which a process warns
_undefined: set[str] = set()  # names that were warned of


class Acquisition:
    """Slots of limits, from the first attempt to get them until they are given back.

    Args:
        wants: How many slots of which limits.
        rate: Whether they come back by themselves, and are not held.
        timeout: How many seconds to wait for them, or None.
        strict: Whether a limit that is not set is an error.
        lease: How many seconds a lease lasts that is not renewed.
        around: The claims that the code around holds.
        on_wait: Called before the first wait, with what is waited for.

    Attributes:
        claim_id: Of the slots that are held; None before, after, and where nothing limits it.
    """

    def __init__(
        self,
        wants: Mapping[str, int],
        *,
        rate: bool = False,
        timeout: float | None = None,
        strict: bool = False,
        lease: float = 30.0,
        around: Sequence[str] = (),
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        run_id, run_name = _run()
        self._logger = _log if run_id is None else get_run_logger()
        self._path = default_path()
        self._request = Request(uuid.uuid4().hex, wants, rate, lease, around, run_id, run_name)
        self._strict = strict
        self._timeout = timeout
        self._on_wait = on_wait
        self._begun = time.monotonic()
        self._next_report = _REPORT
        self._warned = False
        self._waits_for = ""
        self._held: Held | None = None
        self._number: int | None = None
        self.claim_id: str | None = None

    # --- two ways to wait ---------------------------------------------------------------------------------------------

    def acquire(self) -> None:
        """Wait for the slots in this thread."""
        bell = Bell(self._request.wants)
        try:
            while True:
                bell.listen()
                pause = self._attempt()
                if pause is None:
                    break
                self._tell()
                if bell.number is None and _blocks_a_loop():
                    self._logger.warning(
                        "this wait for slots of %s blocks an event loop, and whoever holds them in it; write `async"
                        " with` (or `await arate_limit`) there",
                        ", ".join(map(repr, self._request.wants)),
                    )
                bell.number = self._number
                bell.wait(pause)
        except BaseException:
            self.release()
            raise
        finally:
            self._leave_queue(bell)

    async def aacquire(self) -> None:
        """Wait for the slots while the loop runs on."""
        bell = AsyncBell(self._request.wants)
        try:
            while True:
                bell.listen()
                pause = await on_worker(self._attempt)
                if pause is None:
                    break
                self._tell()
                bell.number = self._number
                await bell.wait(pause)
        except GeneratorExit:  # the coroutine is thrown away: it cannot await any more
            self.release()
            raise
        except BaseException:
            await on_worker(self.release)
            raise
        finally:
            self._leave_queue(bell)

    def release(self) -> bool:
        """Give the slots, or the place in the queue, back; return whether slots that were held were still ours."""
        self.claim_id = None
        held, self._held = self._held, None
        if held is None or held.process_id != os.getpid():  # a forked child leaves the body too: they are not its own
            return True
        was_granted, held.granted = held.granted, False
        try:
            kept = withdraw(self._path, held.name)
        except StorageError as error:
            let_go(held)
            message = "%s cannot be given back now; they are free in %g seconds, when their lease ends: %s"
            self._logger.warning(message, held.what, held.seconds, error)
            return True
        let_go(held)
        ring(self._request.wants)
        if was_granted and not kept:  # else the heartbeat has noticed, and said so
            self._logger.warning("the lease on %s was lost before the code that held them had ended", held.what)
        return not held.lost and (kept or not was_granted)

    async def arelease(self) -> bool:
        """As `release`; a cancellation is put off until it is done."""
        return await on_worker(self.release)

    # --- one attempt --------------------------------------------------------------------------------------------------

    def _attempt(self) -> float | None:
        """Ask for the slots; return how many seconds to wait before the next try, or None where there is no need to."""
        if self._held is None and not self._is_limited():
            return None
        if self._held is None:
            names = ", ".join(map(repr, self._request.wants))
            self._held = Held(self._path, self._request.claim_id, self._request.seconds, f"the slots of {names}")
            if not self._request.rate:
                hold(self._held, self)  # before there is anything: what an interrupt tears away is given back, too
        waited = time.monotonic() - self._begun
        is_over = self._timeout is not None and waited >= self._timeout
        is_first = self._number is None and (self._on_wait is not None or bool(self._request.around))
        explain = is_over or is_first or waited >= self._next_report
        answer = attempt(self._path, self._request, explain=explain)
        if answer.granted:
            if answer.limited and not self._request.rate:
                self._held.granted = True
                self.claim_id = self._request.claim_id
            else:
                let_go(self._held)
                self._held = None
            return None
        self._number = answer.number
        if is_over:
            raise LimitTimeoutError(
                f"no room was found within {self._timeout:g} seconds: {_described(answer)}; wait longer, or raise the"
                " limit",
                name=next(iter(answer.short)),
            )
        if explain:
            self._report(answer, waited)
        return _pause(answer) if self._timeout is None else min(_pause(answer), self._timeout - waited)

    def _is_limited(self) -> bool:
        """Return whether any of the names is set; complain of those that are not."""
        known = {limit.name for limit in read_limits(path=self._path)}
        for name in self._request.wants:
            if name in known:
                continue
            if self._strict:
                raise LimitError(f"there is no limit {name!r}; {nearest(name, known)}", name=name)
            if name not in _undefined and len(_undefined) < _WARNINGS:
                _undefined.add(name)
                self._logger.warning(
                    "there is no limit %r, so nothing is limited by it; %s", name, nearest(name, known)
                )
        return not known.isdisjoint(self._request.wants)

    @staticmethod
    def _leave_queue(bell: Bell | AsyncBell) -> None:
        stop_listening(bell)
        ring(bell.names)  # there may be room for the next one, too

    # --- what is said -------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Call `on_wait`, the first time: in the caller's thread and context, not where attempts are made."""
        on_wait, self._on_wait = self._on_wait, None
        if on_wait is not None:
            on_wait(self._waits_for)

    def _report(self, answer: Answer, waited: float) -> None:
        self._waits_for = text = _described(answer)
        if not self._warned and any(one.claim_id in self._request.around for one in _holders(answer)):
            self._warned = True
            self._logger.warning("this waits for slots that the code around it holds itself: %s", text)
        if waited >= self._next_report:
            self._next_report = max(2 * self._next_report, waited)
            self._logger.info("Waiting for %.0f seconds now: %s", waited, text)


def _blocks_a_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run() -> tuple[str | None, str | None]:
    """Return the id and the name of the run that asks."""
    context = CURRENT.get()
    if context is None:
        return None, None
    run = context.task_run if isinstance(context, TaskRunContext) else context.flow_run
    return run.id, run.name


def _pause(answer: Answer) -> float:
    if answer.seconds is not None:
        return min(answer.seconds, _LONGEST_POLL)
    spread = random.uniform(0.75, 1.25)  # noqa: S311  so that those who wait do not wait in step
    return min(_POLL * (1 + answer.ahead), _LONGEST_POLL) * spread


def _holders(answer: Answer) -> list[Standing]:
    return [one for _, holders in answer.short.values() for one in holders]


def _described(answer: Answer) -> str:
    """Say what is in the way: `db: 5 of 5 slots in use, by process 17 (run 'x'), ...; 2 wait before it`."""
    parts = []
    for name, (slots, holders) in answer.short.items():
        used = sum(one.slots for one in holders)
        shown = ", ".join(str(one) for one in holders[:_SHOWN]) + (", ..." if len(holders) > _SHOWN else "")
        by = f", by {shown}" if holders else ""
        rate = "" if answer.seconds is None else f", and its rate has room in {answer.seconds:.1f} seconds"
        parts.append(f"{used} of {slots} slots of {name!r} are in use{by}{rate}")
    if answer.ahead:
        parts.append(f"{answer.ahead} came before")
    return "; ".join(parts)
