"""What a run is doing, or how it ended: immutable states, their types and their constructors."""

# ruff: noqa: N802  the constructors are named like the states that they make, as in every engine of this family

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from entrepot._frozen import quick
from entrepot._sentinels import MISSING, Missing
from entrepot.errors import CancelledRunError, CrashedRunError, FailedRunError, MissingResultError, NotReadyError
from entrepot.results.lazy import Lazy

if TYPE_CHECKING:
    from entrepot.results.explain import Explanation

__all__ = [
    "FINAL_TYPES",
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Completed",
    "Crashed",
    "Failed",
    "NotReady",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateType",
    "new_id",
    "next_id",
]

R = TypeVar("R")


class StateType(StrEnum):
    """The kinds of states. Names within a kind (`Cached`, `Retrying`) say more; rules go by the kind."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"


FINAL_TYPES = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED})
"""The types that nothing leaves."""

_UNSUCCESSFUL = FINAL_TYPES - {StateType.COMPLETED}


_series: list[str] = []  # the next ids: a question to the system costs more than all the rest
_AT_ONCE = 256

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_series.clear)  # else parent and child would give the same ids


def new_id() -> str:
    """Return a fresh random UUID (version 4, RFC 9562), as text."""
    return _uuid(os.urandom(16).hex())


def next_id() -> str:
    """Return a fresh UUID for something of which there are many: the next one of a series of 256.

    All of a series begin with the same six random digits, the next two count, the rest is random: so 256 neighbours in
    time are neighbours in every index, and a history does not become slower as it grows. Still, eight digits tell ids
    apart as well as eight random ones.
    """
    try:
        return _series.pop()  # one step: no two threads get the same
    except IndexError:
        fresh = os.urandom(3 + 12 * _AT_ONCE).hex()
        first, rest = fresh[:6], fresh[6:]
        starts = range(0, 24 * _AT_ONCE, 24)
        made = [_uuid(f"{first}{number:02x}{rest[start : start + 24]}") for number, start in enumerate(starts)]
        _series.extend(reversed(made[1:]))
        return made[0]


_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def _now() -> datetime:
    return datetime.now(UTC)


class _Explained:
    """Has room for what explains how the cache was used; a field would cost something for every state that is made."""

    __slots__ = ("_account",)


@quick
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class State(_Explained, Generic[R]):
    """One state of one run.

    Two states are equal if they are the same state (by id), whatever their data.

    Attributes:
        type: Its kind.
        name: What it is called within its kind; the kind's own name if not given.
        message: For people; never holds a result.
        timestamp: When the run entered it, in UTC.
        id: A UUID, as text.
        data: The result of a completed run, the exception of another; `MISSING` where it was not kept.
    """

    type: StateType
    name: str = ""
    message: str = ""
    timestamp: datetime = field(default_factory=_now)
    id: str = field(default_factory=next_id)
    data: R | BaseException | Missing = MISSING

    def __post_init__(self) -> None:
        if not self.name or type(self.type) is not StateType:
            kind = StateType(self.type)
            object.__setattr__(self, "type", kind)
            object.__setattr__(self, "name", self.name or kind.value.title())

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, State) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        """Return name and message; the data may be large, or secret."""
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"

    @property
    def cache_explanation(self) -> "Explanation | None":
        """Why the result was used again, or computed; found out when it is asked for.

        None where nothing was looked up or kept, and in another process than the run's own: there,
        `entrepot cache explain` knows.

        Raises:
            EntrepotError: If the result store or the run history cannot be read.
        """
        account: Callable[[], Explanation] | None = getattr(self, "_account", None)
        return None if account is None else account()

    def is_scheduled(self) -> bool:
        """Return whether the run waits for its time."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Return whether the run has not started."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Return whether the run is under way."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Return whether the run waits for somebody."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """Return whether the run is being cancelled."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """Return whether the run ended well."""
        return self.type is StateType.COMPLETED

    def is_cached(self) -> bool:
        """Return whether the run ended well because its result was known."""
        return self.type is StateType.COMPLETED and self.name == "Cached"

    def is_failed(self) -> bool:
        """Return whether the run ended with an error of its own."""
        return self.type is StateType.FAILED

    def is_cancelled(self) -> bool:
        """Return whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_crashed(self) -> bool:
        """Return whether the run was ended from outside: an interrupt, an exit, a lost process."""
        return self.type is StateType.CRASHED

    def is_final(self) -> bool:
        """Return whether the run is over."""
        return self.type in FINAL_TYPES

    def result(self, raise_on_failure: bool = True) -> R:  # noqa: FBT001, FBT002  positional in the API that users know
        """Return what the run returned, or raise what it raised.

        Args:
            raise_on_failure: Whether to raise; if not, the exception itself is returned.

        Raises:
            Exception: The run's own, the very object.
            FailedRunError: If it failed without one.
            CrashedRunError: If it was ended from outside; chained to the interrupt.
            CancelledRunError: If it was cancelled.
            NotReadyError: If it could not start because of another run; chained to that run's exception.
            MissingResultError: If the run is not over, or its result was not kept.
            EntrepotError: What reading it raises, where it is read only now (see `Lazy`).
        """
        if self.type is StateType.COMPLETED:
            if self.data is MISSING:
                raise MissingResultError(
                    f"the run ended as {self.name}, but its result was not kept; use persist_result=True to keep it"
                )
            value: Any = self.data.get() if type(self.data) is Lazy else self.data
            return value  # type: ignore[no-any-return]  # the data of such a state is an R; `cast` would be a call
        error = self._error()
        if raise_on_failure or isinstance(error, MissingResultError):
            try:
                raise error
            finally:
                del error, self  # this frame is in the traceback, and would hold the error that holds it
        return cast("R", error)

    def _error(self) -> BaseException:
        """Return the exception that stands for this state."""
        data: object = self.data
        if isinstance(data, State):  # a state given by hand as the reason of another
            return data._error()  # noqa: SLF001  the same class
        if isinstance(data, list | tuple | set | frozenset):
            reason = next((state for state in data if isinstance(state, State) and not state.is_completed()), None)
            if reason is not None:
                return reason._error()  # noqa: SLF001  the same class
        if isinstance(data, Exception):
            return data
        error = self._described()
        if isinstance(data, BaseException):
            # An interrupt or an exit ends its own thread; whoever asks for the result later gets an error to handle.
            error.__cause__ = data
        return error

    def _described(self) -> BaseException:
        words = self.message or f"the run ended as {self.name}"
        if self.type is StateType.CRASHED:
            return CrashedRunError(words)
        if self.type is StateType.CANCELLED:
            return CancelledRunError(words)
        if self.type in _UNSUCCESSFUL:
            return FailedRunError(words)
        if self.name == "NotReady":
            return NotReadyError(words)
        return MissingResultError(f"the run is {self.name}: it has no result yet; wait for it first")


def Scheduled(message: str = "", *, name: str = "Scheduled", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that waits for its time."""
    return State(StateType.SCHEDULED, name, message, data=data)


def AwaitingRetry(message: str = "", *, name: str = "AwaitingRetry", data: Any = MISSING) -> State[Any]:
    """Return the state of a run between two attempts."""
    return State(StateType.SCHEDULED, name, message, data=data)


def Pending(message: str = "", *, name: str = "Pending", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that has not started."""
    return State(StateType.PENDING, name, message, data=data)


def NotReady(message: str = "", *, name: str = "NotReady", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that cannot start because something upstream did not complete."""
    return State(StateType.PENDING, name, message, data=data)


def Running(message: str = "", *, name: str = "Running", data: Any = MISSING) -> State[Any]:
    """Return the state of a run in its first attempt."""
    return State(StateType.RUNNING, name, message, data=data)


def Retrying(message: str = "", *, name: str = "Retrying", data: Any = MISSING) -> State[Any]:
    """Return the state of a run in a later attempt."""
    return State(StateType.RUNNING, name, message, data=data)


def Paused(message: str = "", *, name: str = "Paused", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that waits for somebody."""
    return State(StateType.PAUSED, name, message, data=data)


def Completed(message: str = "", *, name: str = "Completed", data: Any = None) -> State[Any]:
    """Return the state of a run that ended well. One made by hand without data has the result None."""
    return State(StateType.COMPLETED, name, message, data=data)


def Cached(message: str = "", *, name: str = "Cached", data: Any = None) -> State[Any]:
    """Return the state of a run whose result was known."""
    return State(StateType.COMPLETED, name, message, data=data)


def Failed(message: str = "", *, name: str = "Failed", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that ended with an error; `data` may be the exception."""
    return State(StateType.FAILED, name, message, data=data)


def Cancelled(message: str = "", *, name: str = "Cancelled", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that was cancelled."""
    return State(StateType.CANCELLED, name, message, data=data)


def Crashed(message: str = "", *, name: str = "Crashed", data: Any = MISSING) -> State[Any]:
    """Return the state of a run that was ended from outside."""
    return State(StateType.CRASHED, name, message, data=data)
