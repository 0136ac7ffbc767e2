"""Slots of limits: taken for the body of a `with`, or for good where a rate gives them back.

Light to import: SQLite is loaded by the first use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from entrepot.errors import LeaseLostError, LimitError

if TYPE_CHECKING:
    from types import TracebackType

    from entrepot.concurrency.acquiring import Acquisition

__all__ = ["LEASE_SECONDS", "Slots", "arate_limit", "concurrency", "rate_limit"]

LEASE_SECONDS: Final = 30.0

_AROUND: ContextVar[tuple[str, ...]] = ContextVar("entrepot_claims", default=())
"""The claims that the code here holds, outermost first."""


class Slots:
    """Slots of one limit or of several, held between `acquire` and `release`, or in the body of a `with`.

    One at a time: an object that holds slots cannot be entered again before it has given them back.

    Args:
        names: The limits.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them; None for as long as it takes.
        strict: Whether a limit that is not set, and a lease that was lost, are errors.
        lease_duration: How many seconds the slots stay taken when nothing is heard of this process any more.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        occupy: int = 1,
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        lease_duration: float = LEASE_SECONDS,
    ) -> None:
        self._names = _checked_names(names)
        self._occupy = _checked_occupy(occupy, self._names)
        self._timeout = _checked_timeout(timeout_seconds, self._names)
        self._strict = strict
        self._lease = _checked_lease(lease_duration, self._names)
        self._taken: Acquisition | None = None

    def __repr__(self) -> str:
        return f"Slots({list(self._names)!r}, occupy={self._occupy})"

    def acquire(self, *, on_wait: Callable[[str], None] | None = None) -> None:
        """Wait for the slots, and hold them.

        Args:
            on_wait: Called once, before the first wait if there is one, with what is waited for.

        Raises:
            LimitError: If more slots are wanted than there are; if `strict`, also if a limit is not set.
            LimitTimeoutError: If they are not free in time.
            StorageError: If the file of the limits cannot be used.
        """
        if self._names:
            acquisition = self._begin(on_wait)
            try:
                acquisition.acquire()
                self._begun(acquisition)
            except BaseException:
                self._taken = None
                acquisition.release()
                raise

    async def aacquire(self, *, on_wait: Callable[[str], None] | None = None) -> None:
        """As `acquire`; the loop runs on meanwhile."""
        if self._names:
            acquisition = self._begin(on_wait)
            try:
                await acquisition.aacquire()
                self._begun(acquisition)
            except BaseException:
                self._taken = None
                acquisition.release()
                raise

    def release(self) -> bool:
        """Give the slots back; return whether they were still ours. Without slots it does nothing."""
        acquisition = self._end()
        return acquisition is None or acquisition.release()

    async def arelease(self) -> bool:
        """As `release`; a cancellation meanwhile is put off until it is done."""
        acquisition = self._end()
        return acquisition is None or await acquisition.arelease()

    def __enter__(self) -> None:
        """Wait for the slots, and hold them."""
        self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Give the slots back.

        Raises:
            LeaseLostError: If `strict`, the body raised nothing, and others may have held the slots meanwhile.
        """
        self._complain(error, kept=self.release())

    async def __aenter__(self) -> None:
        """Wait for the slots, and hold them."""
        await self.aacquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """As `__exit__`."""
        # A coroutine that is thrown away cannot await any more.
        self._complain(error, kept=self.release() if kind is GeneratorExit else await self.arelease())

    def _begin(self, on_wait: Callable[[str], None] | None) -> Acquisition:
        from entrepot.concurrency.acquiring import Acquisition  # noqa: PLC0415  the lazy seam: it loads SQLite

        if self._taken is not None:
            raise LimitError(
                f"{self!r} is held already, or about to be; make another one: concurrency({list(self._names)!r})",
                name=self._names[0],
            )
        self._taken = Acquisition(
            dict.fromkeys(self._names, self._occupy),
            timeout=self._timeout,
            strict=self._strict,
            lease=self._lease,
            around=_AROUND.get(),
            on_wait=on_wait,
        )
        return self._taken

    def _begun(self, acquisition: Acquisition) -> None:
        if acquisition.claim_id is not None:
            _AROUND.set((*_AROUND.get(), acquisition.claim_id))

    def _end(self) -> Acquisition | None:
        acquisition, self._taken = self._taken, None
        if acquisition is not None and acquisition.claim_id is not None:
            # Not by a token: an `async with` may be left in another context than it was entered in.
            _AROUND.set(tuple(claim for claim in _AROUND.get() if claim != acquisition.claim_id))
        return acquisition

    def _complain(self, error: BaseException | None, *, kept: bool) -> None:
        if not kept and self._strict and error is None:
            raise LeaseLostError(
                f"the lease on the slots of {', '.join(map(repr, self._names))} was lost before the code that held them"
                " had ended, and others may have held them meanwhile; give it a longer lease_duration than the"
                f" {self._lease:g} seconds it has, and see that the process is not stopped",
                name=self._names[0],
            )


def concurrency(
    names: str | Sequence[str],
    occupy: int = 1,
    *,
    timeout_seconds: float | None = None,
    strict: bool = False,
    lease_duration: float = LEASE_SECONDS,
) -> Slots:
    """Return what holds slots of limits in the body of a `with`, or of an `async with`.

    All limits are entered together or none is. A limit that is not set, or not active, limits nothing.

    Args:
        names: The limits: one, or several.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them; None for as long as it takes, 0 to try once.
        strict: Whether a limit that is not set, and a lease that was lost by the end of the body, are errors.
        lease_duration: How many seconds the slots stay taken when nothing is heard of this process any more. They are
            free at once when it is dead; this is about one that is stopped, or too busy to run another thread.

    Raises:
        LimitError: If an argument makes no sense. On entering: if more slots are wanted than there are; if `strict`,
            also if a limit is not set.
        LimitTimeoutError: On entering, if the slots are not free in time.
        LeaseLostError: On leaving, if `strict` and the lease was lost; else that is logged.
        StorageError: On entering, if the file of the limits cannot be used.
    """
    return Slots(names, occupy, timeout_seconds=timeout_seconds, strict=strict, lease_duration=lease_duration)


def rate_limit(
    names: str | Sequence[str], occupy: int = 1, *, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until the rate of limits lets one more through: slots are taken, and come back by themselves.

    Args:
        names: The limits: one, or several; each has a `slot_decay_per_second`.
        occupy: How many slots of each.
        timeout_seconds: How long to wait; None for as long as it takes, 0 to try once.
        strict: Whether a limit that is not set is an error.

    Raises:
        LimitError: If an argument makes no sense, a limit has no rate, or more slots are wanted than it has; if
            `strict`, also if a limit is not set.
        LimitTimeoutError: If it would take longer.
        StorageError: If the file of the limits cannot be used.
    """
    acquisition = _by_rate(names, occupy, timeout_seconds, strict=strict)
    if acquisition is not None:
        acquisition.acquire()


async def arate_limit(
    names: str | Sequence[str], occupy: int = 1, *, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """As `rate_limit`; the loop runs on meanwhile."""
    acquisition = _by_rate(names, occupy, timeout_seconds, strict=strict)
    if acquisition is not None:
        await acquisition.aacquire()


def _by_rate(
    names: str | Sequence[str], occupy: int, timeout_seconds: float | None, *, strict: bool
) -> Acquisition | None:
    from entrepot.concurrency.acquiring import Acquisition  # noqa: PLC0415  the lazy seam: it loads SQLite

    checked = _checked_names(names)
    if not checked:
        return None
    return Acquisition(
        dict.fromkeys(checked, _checked_occupy(occupy, checked)),
        rate=True,
        timeout=_checked_timeout(timeout_seconds, checked),
        strict=strict,
        around=_AROUND.get(),
    )


# --- arguments --------------------------------------------------------------------------------------------------------


def _checked_names(names: object) -> tuple[str, ...]:
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
        raise LimitError(f"limits are given by name, as a text or a list of texts, not {names!r}", name=repr(names))
    return tuple(dict.fromkeys(names))


def _checked_occupy(occupy: object, names: Sequence[str]) -> int:
    if isinstance(occupy, bool) or not isinstance(occupy, int) or occupy < 1:
        raise LimitError(f"occupy is a whole number of slots, 1 or more, not {occupy!r}", name=", ".join(names))
    return occupy


def _checked_timeout(seconds: object, names: Sequence[str]) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise LimitError(f"timeout_seconds is 0 or more, or None, not {seconds!r}", name=", ".join(names))
    return None if math.isinf(seconds) else float(seconds)


def _checked_lease(seconds: object, names: Sequence[str]) -> float:
    # Shorter than a second, a busy machine alone would lose it.
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 1 <= seconds < math.inf:
        raise LimitError(f"lease_duration is a number of seconds, 1 or more, not {seconds!r}", name=", ".join(names))
    return float(seconds)
