"""What the core may ask of its driver, and what it is told back."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from entrepot.context import RunContext
from entrepot.protocols.task_runner import Place

__all__ = ["NOTHING", "Call", "Do", "Effect", "Outcome", "Sleep", "Steps", "raised"]

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """Call user code, in a run's context; an async driver awaits what it returns if that can be awaited.

    Attributes:
        fn: What to call.
        args: With what.
        kwargs: The same, by name.
        context: The run whose code this is.
        timeout: Seconds after which it is stopped, with a `TimedOutError` that names the run; None for never.
        place: Runs it elsewhere, in another process; None for here.
        shielded: Whether it runs, to its end, also after the run was told to stop, as hooks do.
    """

    fn: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    context: RunContext
    timeout: float | None = None
    place: Place | None = None
    shielded: bool = False


@dataclass(slots=True)
class Do:
    """Do something of ours that may block: read or write a store, wait for other runs, flush.

    Attributes:
        action: What.
        shielded: Whether it is done, to its end, also after the run was told to stop.
        masked: Whether it ends by itself before long, and must not be interrupted at all.
    """

    action: Callable[[], Any]
    shielded: bool = False
    masked: bool = False


@dataclass(slots=True)
class Sleep:
    """Wait."""

    seconds: float


Effect: TypeAlias = Call | Do | Sleep

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What an effect returned, or what it raised. Errors are handed back, not thrown in: they keep their traceback."""

Steps: TypeAlias = Generator[Effect, Outcome, T]
"""What the core writes: a generator that yields effects, is sent their outcomes, and returns a `T`."""

NOTHING: Final[Outcome] = (None, None)


def raised(error: BaseException) -> Outcome:
    """Return the outcome of an effect that raised; called by the function that caught it.

    The traceback then begins in the frame below that function: where the user's code does.
    """
    top = error.__traceback__
    return None, error if top is None or top.tb_next is None else error.with_traceback(top.tb_next)
