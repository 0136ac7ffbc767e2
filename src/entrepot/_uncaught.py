"""The traceback that Python prints when nothing catches an error, without the secrets that this process knows.

Only an error in whose traceback a known secret stands is touched. The hook that was there before gets every error: such
a one as a stand-in of the same class and name, with the secrets masked, so that debuggers, crash reporters and colours
work as before.
"""

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias

__all__ = ["mask_uncaught"]

_Masker: TypeAlias = Callable[[str], str]


def mask_uncaught(mask: _Masker) -> None:
    """Wrap the hooks for uncaught errors, of the main thread and of others.

    Args:
        mask: Returns a text without secrets; the very same object where there is none in it.
    """
    former, former_of_threads = sys.excepthook, threading.excepthook

    def told(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:  # who calls the hook by hand may do so
            former(kind, error, trace)  # type: ignore[arg-type]
        else:
            _tell(error, trace, mask, lambda shown: former(type(shown), shown, trace))

    def told_of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or issubclass(args.exc_type, SystemExit):  # the second ends a thread without a word
            former_of_threads(args)
            return
        trace, thread = args.exc_traceback, args.thread
        _tell(
            args.exc_value,
            trace,
            mask,
            lambda shown: former_of_threads(threading.ExceptHookArgs((type(shown), shown, trace, thread))),
        )

    sys.excepthook, threading.excepthook = told, told_of_thread


def _tell(
    error: BaseException, trace: TracebackType | None, mask: _Masker, former: Callable[[BaseException], object]
) -> None:
    """Have an error shown by the hook that was there: itself, or a stand-in if a secret is in its traceback."""
    shown: BaseException | None = error
    masked = ""
    try:
        text = _printed(error, trace)
        masked = mask(text)
        if masked is not text:
            shown = _stand_in(error, mask)
            again = _printed(shown, trace)
            if mask(again) is not again:
                shown = None  # a line of the source has a secret in it: no hook would mask that
    except Exception:  # noqa: BLE001  of a class of somebody's that cannot be printed: it is told as it always was
        shown = None if masked else error
    if shown is error:
        former(error)
        return
    try:
        if shown is not None:
            former(shown)
            return
    except Exception:  # noqa: BLE001, S110  it asked for more than a stand-in has; Python would show the error itself
        pass
    if sys.stderr is not None:
        sys.stderr.write(masked)


def _printed(error: BaseException, trace: TracebackType | None) -> str:
    import traceback  # noqa: PLC0415  only a program that dies pays for it

    return "".join(traceback.TracebackException(type(error), error, trace).format())


def _stand_in(error: BaseException, mask: _Masker) -> BaseException:
    """Return an error of a class of the same name whose text is masked, with such for all that led to it."""
    made: dict[int, BaseException] = {}
    left, linked = [error], set[int]()
    while left:
        each = left.pop()
        if id(each) in linked:  # they can lead to one another in a circle
            continue
        linked.add(id(each))
        shown = _alone(each, mask, made)
        for link in ("__cause__", "__context__"):
            other = getattr(each, link)
            if other is not None:
                setattr(shown, link, _alone(other, mask, made))
                left.append(other)
        shown.__suppress_context__ = each.__suppress_context__
        left += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
    return made[id(error)]


def _alone(error: BaseException, mask: _Masker, made: dict[int, BaseException]) -> BaseException:
    """Return the stand-in for an error, without what led to it."""
    if id(error) in made:
        return made[id(error)]
    kind = type(error)
    text = mask(str(error))
    names: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__str__": lambda _: text,
        "__repr__": lambda _: f"{kind.__name__}({text!r})",
    }
    shown: BaseException
    if isinstance(error, BaseExceptionGroup):
        inner = [_alone(each, mask, made) for each in error.exceptions]
        base = ExceptionGroup if isinstance(error, ExceptionGroup) else BaseExceptionGroup
        shown = type(kind.__name__, (base,), names)(mask(error.message), inner)
    else:
        shown = _of_class(kind, names, text)
    shown.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        shown.add_note(mask(str(note)))
    made[id(error)] = shown
    return shown


def _of_class(kind: type[BaseException], names: dict[str, Any], text: str) -> BaseException:
    """Return an error of a class derived from another, so that who asks for its class finds it; else a plain one."""
    if not issubclass(kind, SyntaxError):  # that one shows a line of the source, and where in it
        try:
            derived: Any = type(kind.__name__, (kind,), names)
            made: BaseException = derived.__new__(derived, text)
        except Exception:  # noqa: BLE001, S110  a class that cannot be derived from, or is made in a way of its own
            pass
        else:
            return made
    plain: Any = type(kind.__name__, (Exception if issubclass(kind, Exception) else BaseException,), names)
    shown: BaseException = plain(text)
    return shown
