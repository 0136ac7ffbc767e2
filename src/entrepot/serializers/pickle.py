"""Pickle, protocol 5, with large buffers (arrays, frames) out of band: they are written and read without a copy.

A value without large buffers is a plain pickle that `pickle.load` opens. Otherwise the file is a container:

    "EPICKLE1" | number of buffers: u32 | 0: u32 | length of the pickle: u64 | length of each buffer: u64 ... |
    the pickle | each buffer, starting at a multiple of 64 bytes, zeros between     (integers little-endian)

Classes and functions are written by reference (module and name) wherever a reference works, those of the main script
too: the script finds its own classes again, and instances are instances of them. What has no reference, a lambda or a
class made inside a function, is written by value with cloudpickle.
"""

import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from types import FunctionType, SimpleNamespace
from typing import Any, Final

from entrepot.errors import EntrepotError, SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._describe import key_step, type_name
from entrepot.serializers.buffers import flat

__all__ = ["PickleSerializer"]

_MAGIC: Final = b"EPICKLE1"
_HEADER: Final = struct.Struct("<8sIIQ")
_ALIGNMENT: Final = 64  # a cache line, and what vector instructions like
_IN_BAND_BELOW: Final = 4096  # smaller buffers stay inside: the file is then a plain pickle
_MAX_BUFFERS: Final = 1 << 24
_FIRST_BYTE: Final = 0x80  # of every pickle
_MAX_DEPTH: Final = 20
_MAX_TRIES: Final = 1000

_HINTS: Final = {
    "generator": "make it a list",
    "async_generator": "collect it into a list",
    "coroutine": "await it and return what it gives",
    "module": "return what you need of it",
    "memoryview": "make it bytes",
    "lock": "locks belong to one process; leave it out",
    "RLock": "locks belong to one process; leave it out",
    "TextIOWrapper": "return what you read from the file, or its path",
    "BufferedReader": "return what you read from the file, or its path",
    "BufferedWriter": "return the file's path",
    "socket": "connections belong to one process; return what you received",
    "Connection": "connections belong to one process; return what you read through it",
}
_DEFAULT_HINT: Final = "return plain data instead, or do not keep this result (persist_result=False)"


class Unwritable(Exception):  # noqa: N818  it never leaves: `dumps` turns it into a SerializationError
    """Raised while pickling: this object must not be written."""


class PickleSerializer:
    """Writes nearly any Python value. Reading a pickle can run code: only verified bytes are read."""

    name = "pickle"
    extension = "pkl"
    is_text = False
    reads_code = True

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the value's bytes.

        Raises:
            SerializationError: If it cannot be written; the message gives the path inside the value and the type.
        """
        parts: list[Buffer] = []
        buffers: list[memoryview] = []
        try:
            try:
                _pickler()(SimpleNamespace(write=parts.append), 5, buffer_callback=_keep_large(buffers)).dump(value)
            except (EntrepotError, Unwritable, MemoryError, RecursionError):
                raise
            except Exception:  # noqa: BLE001  pickling calls code of any class, which may raise anything
                parts.clear()
                buffers.clear()
                _dump_by_value(value, parts.append, buffers)
        except (EntrepotError, MemoryError):
            raise
        except RecursionError:
            raise SerializationError(
                "the pickle serializer cannot write this value: it is nested too deeply; return flatter data",
                serializer=self.name,
                path="value",
            ) from None
        except Exception as error:
            raise _unwritable(value, error) from error
        return _container(parts, buffers) if buffers else parts

    def loads(self, data: memoryview) -> object:
        """Return the value; its arrays share the memory of `data`.

        Raises:
            SerializationError: If this is no pickle, or a class that it needs is not there or has changed.
        """
        buffers: list[memoryview] = []
        try:
            stream = data
            if len(data) == 0 or data[0] != _FIRST_BYTE:
                stream, buffers = _open_container(data)
            return pickle.loads(stream, buffers=buffers)  # noqa: S301  the caller has verified the bytes
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the pickle serializer cannot read this: {_reading_problem(error)}", serializer=self.name, path="value"
            ) from error


# --- writing ------------------------------------------------------------------------------------------------------


class _Guarded(pickle.Pickler):
    """Refuses what may not be written. Used once there can be such a thing: before that, C alone is faster."""

    def reducer_override(self, obj: object) -> Any:
        refuse_secrets(obj)
        return NotImplemented


_SECRET: Final = "secrets are never written into results; return what the secret was used for"  # noqa: S105  words
_CONNECTED: Final = (
    "it holds the keys of its account, which are never written into results; return what was read through it, or its"
    " address"
)
_WITH_KEYS: Final = (("entrepot.storage.files", "FileStorage"), ("fsspec.spec", "AbstractFileSystem"))


def refuse_secrets(obj: object) -> None:
    """Let everything pass but secrets, and connections, which pickle together with their keys.

    Raises:
        Unwritable: If it is one of those.
    """
    kind = type(obj)
    if hasattr(kind, "get_secret_value"):
        raise Unwritable(_SECRET)
    for module, name in _WITH_KEYS:  # where its module was never loaded, nothing is an instance of a class
        loaded = sys.modules.get(module)
        if loaded is not None and issubclass(kind, getattr(loaded, name, ())):
            raise Unwritable(_CONNECTED)


def _pickler() -> Callable[..., pickle.Pickler]:
    return _Guarded if "pydantic" in sys.modules or "fsspec" in sys.modules else pickle.Pickler


def _keep_large(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return the callback that takes large buffers out of band; for the others it answers "keep it inside"."""

    def take(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < _IN_BAND_BELOW:
            return True
        buffers.append(view)
        return False

    return take


def _dump_by_value(value: object, write: Callable[[Buffer], object], buffers: list[memoryview]) -> None:
    from entrepot.serializers._by_value import ByValuePickler  # noqa: PLC0415  cloudpickle, only where pickle fails

    ByValuePickler(SimpleNamespace(write=write), 5, buffer_callback=_keep_large(buffers)).dump(value)


def _container(parts: Sequence[Buffer], buffers: Sequence[memoryview]) -> Sequence[Buffer]:
    stream = [flat(part) for part in parts]
    size = sum(part.nbytes for part in stream)
    head = _HEADER.pack(_MAGIC, len(buffers), 0, size) + b"".join(struct.pack("<Q", view.nbytes) for view in buffers)
    done: list[Buffer] = [head, *stream]
    at = len(head) + size
    for view in buffers:
        gap = -at % _ALIGNMENT
        done += [bytes(gap), view]
        at += gap + view.nbytes
    return done


def _unwritable(value: object, error: Exception) -> SerializationError:
    path, culprit = _find_culprit(value)
    kind = type(culprit)
    why = str(error) if isinstance(error, Unwritable) else _HINTS.get(kind.__name__, _DEFAULT_HINT)
    return SerializationError(
        f"the pickle serializer cannot write {path}, a {type_name(kind)}: {why}", serializer="pickle", path=path
    )


def _find_culprit(value: object) -> tuple[str, object]:
    """Return the innermost part that cannot be pickled by itself, and its path, as far as a bounded search finds it."""
    path, tries, seen = "value", _MAX_TRIES, {id(value)}
    for _ in range(_MAX_DEPTH):
        if _is_refused(value):  # itself, whatever it is made of
            break
        for step, child in _children(value):
            tries -= 1
            if tries < 0:
                return path, value
            if id(child) not in seen and _fails(child):
                seen.add(id(child))
                path, value = path + step, child
                break
        else:
            break
    return path, value


def _is_refused(value: object) -> bool:
    try:
        refuse_secrets(value)
    except Unwritable:
        return True
    return False


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        keys = ((f".keys()[{index}]", key) for index, key in enumerate(value))
        yield from chain(((key_step(key), item) for key, item in value.items()), keys)
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{...}", item) for item in value)
    elif isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                yield f".<closure>.{name}", cell.cell_contents
            except ValueError:  # an empty cell
                continue
        names = [name for name in value.__code__.co_names if name in value.__globals__]
        yield from ((f".<globals>.{name}", value.__globals__[name]) for name in names)
    elif not isinstance(value, type) and isinstance(getattr(value, "__dict__", None), dict):
        yield from ((f".{name}", item) for name, item in vars(value).items())


def _fails(value: object) -> bool:
    try:
        _dump_by_value(value, _discard, [])
    except Exception:  # noqa: BLE001  any failure is what is looked for
        return True
    return False


def _discard(_: Buffer) -> None:
    pass


# --- reading ------------------------------------------------------------------------------------------------------


def _open_container(data: memoryview) -> tuple[memoryview, list[memoryview]]:
    if len(data) < _HEADER.size or bytes(data[: len(_MAGIC)]) != _MAGIC:
        raise pickle.UnpicklingError("it does not begin like one")
    _, count, reserved, size = _HEADER.unpack_from(data)
    start = _HEADER.size + 8 * count
    if reserved or count > _MAX_BUFFERS or start + size > len(data):
        raise pickle.UnpicklingError("its table does not fit its size")
    buffers = []
    at = start + size
    for (length,) in struct.iter_unpack("<Q", data[_HEADER.size : start]):
        at += -at % _ALIGNMENT
        buffers.append(data[at : at + length])
        at += length
    if at != len(data):
        raise pickle.UnpicklingError("its table does not fit its size")
    return data[start : start + size], buffers


def _reading_problem(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the module {error.name!r}, which is not installed here or has moved"
    if isinstance(error, AttributeError):
        missing = getattr(error, "name", None)
        if missing is None and "__main__" in str(error):
            return (
                "it needs a class or function of the script that wrote it, which this program does not have;"
                " define such classes in a module that both import"
            )
        return f"it needs {missing!r}, which its module no longer has" if missing else "something it needs has moved"
    if isinstance(error, pickle.UnpicklingError | EOFError):
        return f"it is no whole pickle ({error})"
    return f"a class that it needs has changed or is not usable here ({type(error).__name__})"
