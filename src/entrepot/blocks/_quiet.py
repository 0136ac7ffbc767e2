"""Calls whose errors come without their frames, which hold secrets in clear.

Tracebacks are logged with the locals of every frame. Masked objects are no help where a library is at work below us: it
takes plain values.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from entrepot.errors import EntrepotError

__all__ = ["Failed", "attempt", "call_quietly"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """What a call raised.

    Attributes:
        error: Without traceback, cause and context.
    """

    error: BaseException = field(repr=False)


def attempt(call: Callable[[], T], otherwise: Callable[[Exception], EntrepotError]) -> T | Failed:
    """Return what a call returns, or the error that it raises, with nothing that leads to its frames.

    Args:
        call: What to do; it makes the plain values itself, so that no frame above holds them.
        otherwise: Makes an error of ours of any other, whose text may have a value in it.
    """
    try:
        return call()
    except EntrepotError as error:
        raised: BaseException = error
    except Exception as error:  # noqa: BLE001  of libraries: whatever it is, its frames have secrets in them
        raised = otherwise(error)
    except BaseException as error:  # noqa: BLE001  an interrupt goes on, too: it is raised by the caller
        raised = error
    raised.__cause__ = raised.__context__ = None
    return Failed(raised.with_traceback(None))


def call_quietly(call: Callable[[], T], otherwise: Callable[[Exception], EntrepotError]) -> T:
    """Return what a call returns; what it raises is raised anew, as `attempt` gives it."""
    found = attempt(call, otherwise)
    if isinstance(found, Failed):
        raise found.error
    return found
