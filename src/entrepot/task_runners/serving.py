"""What a worker process does: it calls what it is sent, and sends back what comes of it."""

import atexit
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from entrepot._stops import StopRun
from entrepot.errors import FailedRunError, SerializationError
from entrepot.task_runners.channel import (
    ANSWER,
    CALL,
    ERROR,
    MESSAGE,
    REFUSED,
    SETUP,
    Buffer,
    Channel,
    packed,
    unpacked,
)

__all__ = ["RemoteTraceback", "serve", "surroundings"]


class RemoteTraceback(Exception):  # noqa: N818  it is what it says, and is only shown
    """The traceback of an error in another process, as text; the cause of that error in this one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"in another process\n{self.text}"


def surroundings() -> dict[str, Any]:
    """Return what code finds around it in this process, for a worker to have the same."""
    return {
        "environment": dict(os.environ),
        "folder": _folder(),
        "path": list(sys.path),
        "arguments": list(sys.argv),
    }


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  as a text, as it is compared with nothing
    except OSError:  # it was removed
        return "/"


def serve(end: socket.socket) -> int:
    """Serve until the other end is gone; return the code that the process is to end with."""
    channel = Channel(end)
    signal.signal(signal.SIGTERM, _stop)
    try:
        while True:
            try:
                kind, parts = channel.receive()
            except EOFError:
                return 0
            if kind == SETUP:
                _settle_in(unpacked(parts))
            elif kind == CALL:
                _answer(channel, parts)
    except StopRun:
        return 128 + signal.SIGTERM
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()  # noqa: SLF001  it leaves without the exit of an interpreter, which would


def _stop(_: int, __: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise StopRun("its process was told to end")


def _settle_in(around: Mapping[str, Any]) -> None:
    environment = around["environment"]
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    sys.path[:] = around["path"]
    sys.argv[:] = around["arguments"]
    with suppress(OSError):  # it was removed meanwhile
        os.chdir(around["folder"])


def _answer(channel: Channel, parts: list[Buffer]) -> None:
    def emit(message: object) -> None:
        with suppress(OSError, SerializationError):  # nobody listens any more, or it is nothing that can be told
            channel.send(MESSAGE, message)

    try:
        work = unpacked(parts)
    except SerializationError as error:
        channel.send(REFUSED, str(error))
        return
    parts.clear()
    try:
        value = work(emit)
        del work
    except StopRun:
        raise
    except BaseException as error:  # noqa: BLE001  the other end decides, about exits too
        _send_error(channel, error)
        return
    try:
        channel.send(ANSWER, value, "its result")
    except SerializationError as error:
        channel.send(REFUSED, str(error))


def _send_error(channel: Channel, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    for form in (_as_it_is, _by_parts, _stand_in):
        try:
            channel.send(ERROR, (form(error), text))
        except Exception:  # noqa: BLE001, S112  it may do anything while it is pickled: then in a simpler form
            continue
        return


def _as_it_is(error: BaseException) -> BaseException:
    """Return the error if it comes out of a pickle as it went in."""
    data = packed(error, "it")
    again = unpacked([bytearray(part) for part in data])
    if type(again).__qualname__ != type(error).__qualname__ or str(again) != str(error):
        raise SerializationError("it does not survive", serializer="cloudpickle", path="")
    return error


class _Rebuilt:
    """An error whose `__init__` wants what its pickle does not tell, or that holds what cannot be pickled."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._error
        args = tuple(_that_can_be_pickled(argument) for argument in error.args)
        state = {name: _that_can_be_pickled(value) for name, value in vars(error).items()}
        return _rebuild, (type(error), args, state)


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _that_can_be_pickled(value: Any) -> Any:
    try:
        packed(value, "it")
    except SerializationError:
        return repr(value)
    return value


def _by_parts(error: BaseException) -> Any:
    return _Rebuilt(error)


def _stand_in(error: BaseException) -> BaseException:
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return FailedRunError(f"{name}: {error} (the error itself cannot be sent from process to process)")
