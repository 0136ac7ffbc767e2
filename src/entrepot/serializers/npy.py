"""NumPy's own file format, `.npy`: `numpy.load` opens it, and so does everything that reads arrays.

Exact arrays only (no subclass), of the built-in types that are not objects. The array's memory is written as it lies,
and the array that comes back shares the memory that was read. One that is read-only says so in a comment behind the
header's literal, where other readers see none. Format: `numpy.lib.format`, versions 1.0 to 3.0; written
here rather than by NumPy, so that its bytes do not depend on NumPy's version.
"""

import ast
import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy_format

from entrepot.errors import SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._describe import type_name
from entrepot.serializers.advice import OR_ANOTHER

__all__ = ["NpySerializer"]

_MAGIC: Final = b"\x93NUMPY"
_ALIGNMENT: Final = 64
_SHORT: Final = struct.Struct("<H")
_LONG: Final = struct.Struct("<I")
_LONGEST_HEADER: Final = 10_000  # as NumPy: longer text is not safe to parse
_LOCKED: Final = "  # read-only"
_KINDS: Final = frozenset("?biufcmMSUV")
_KEYS: Final = {"descr", "fortran_order", "shape"}


class NpySerializer:
    """Writes NumPy arrays."""

    name = "npy"
    extension = "npy"
    is_text = False
    reads_code = False

    def accepts(self, value: object) -> bool:
        """Return whether it is an array that comes back as it was, the order of its axes in memory included."""
        return type(value) is np.ndarray and not _problem(value)

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the header, and the array's own memory; only one that does not lie in one piece is copied.

        Raises:
            SerializationError: If it is no array, or one that this format cannot hold.
        """
        if type(value) is not np.ndarray:
            raise self._refusal(f"writes arrays, and value is a {type_name(type(value))}")
        if why := _problem(value):
            raise self._refusal(f"cannot write value, an array of {value.dtype}: {why}")
        fortran, locked = _order(value) == "F", not value.flags.writeable
        if not (value.flags.f_contiguous if fortran else value.flags.c_contiguous):
            value = value.copy(order="F" if fortran else "C")
        header = _header(value.dtype, value.shape, fortran=fortran and not value.flags.c_contiguous, locked=locked)
        if value.nbytes == 0:
            return [header]
        # Bytes, not items: of dates there are no buffers.
        memory = (value.T if fortran else value).reshape(-1).view(np.uint8)
        return [header, memory.data]

    def loads(self, data: memoryview) -> object:
        """Return the array; it shares the memory of `data`.

        Raises:
            SerializationError: If this is no whole file of this format.
        """
        try:
            dtype, fortran, shape, start, locked = _read_header(data)
            count = math.prod(shape)
            if dtype.itemsize * count != len(data) - start:
                raise ValueError("its size is not what its header says")  # noqa: TRY301  one way out
            if dtype.itemsize == 0 or count == 0:
                flat: np.ndarray[Any, Any] = np.zeros(count, dtype)
            else:
                flat = np.frombuffer(data, dtype, count, start)
            return _shaped(flat, shape, fortran=fortran, locked=locked)
        except (MemoryError, SerializationError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the npy serializer cannot read this: it is no whole array file ({type(error).__name__})",
                serializer=self.name,
                path="value",
            ) from error

    def _refusal(self, why: str) -> SerializationError:
        return SerializationError(
            f"the npy serializer {why}; return another{OR_ANOTHER}", serializer=self.name, path="value"
        )


def _problem(value: np.ndarray[Any, Any]) -> str:
    """Return why an array would not come back as it was, or nothing."""
    if not _is_plain(value.dtype):
        return "the format does not hold all that makes up this type"
    if value.dtype.itemsize == 0 and value.size:
        return "its items have no bytes"
    if len(_header(value.dtype, value.shape, fortran=False, locked=True)) > _LONGEST_HEADER:
        return "its type takes more words than readers accept"
    return "" if _order(value) else "its axes lie in memory in an order that is neither C nor Fortran; copy it"


def _is_plain(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata is not None or dtype.hasobject or dtype.kind not in _KINDS:
        return False
    if dtype.subdtype is not None:
        return _is_plain(dtype.subdtype[0])
    if dtype.type.__module__ != "numpy" or (dtype.kind == "V" and dtype.type is not np.void):
        return False  # of a library that adds its own, or a record
    if dtype.fields is None:
        return True
    return not dtype.isalignedstruct and _has_plain_fields(dtype)


def _has_plain_fields(dtype: np.dtype[Any]) -> bool:
    if not all(len(field) == 2 and _is_plain(field[0]) for field in (dtype.fields or {}).values()):  # noqa: PLR2004  no titles
        return False
    try:
        return bool(npy_format.descr_to_dtype(npy_format.dtype_to_descr(dtype)) == dtype)
    except (TypeError, ValueError):  # fields that overlap, or are out of order
        return False


def _order(value: np.ndarray[Any, Any]) -> str:
    """Return the order of the axes in memory: "C", "F", or nothing for any other."""
    if value.flags.c_contiguous:
        return "C"
    if value.flags.f_contiguous:
        return "F"
    steps = [abs(step) for step, size in zip(value.strides, value.shape, strict=True) if size > 1]
    if 0 in steps:  # one item stands for many: there is no order
        return ""
    if steps == sorted(steps, reverse=True):
        return "C"
    return "F" if steps == sorted(steps) else ""


def _shaped(flat: np.ndarray[Any, Any], shape: tuple[int, ...], *, fortran: bool, locked: bool) -> np.ndarray[Any, Any]:
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    if locked:
        array.flags.writeable = False
    return array


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran: bool, locked: bool) -> bytes:
    text = repr({"descr": npy_format.dtype_to_descr(dtype), "fortran_order": fortran, "shape": shape})
    text += _LOCKED if locked else ""
    version, body = ((1, 0), text.encode("latin-1")) if text.isascii() else ((3, 0), text.encode())
    size = _SHORT if version == (1, 0) else _LONG
    start = len(_MAGIC) + 2 + size.size
    length = len(body) + 1
    length += -(start + length) % _ALIGNMENT
    if version == (1, 0) and length > 0xFFFF:  # noqa: PLR2004  what two bytes hold
        return _MAGIC + bytes((2, 0)) + _LONG.pack(length) + body  # refused: longer than readers accept
    return _MAGIC + bytes(version) + size.pack(length) + body.ljust(length - 1) + b"\n"


def _read_header(data: memoryview) -> tuple[np.dtype[Any], bool, tuple[int, ...], int, bool]:
    """Return type, whether in Fortran order, shape, where the items begin, and whether it is read-only."""
    if bytes(data[:6]) != _MAGIC:
        raise ValueError("it does not begin like one")
    version = tuple(data[6:8])
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise ValueError("an unknown version")
    size = _SHORT if version == (1, 0) else _LONG
    start = 8 + size.size
    (length,) = size.unpack_from(data, 8)
    if length > _LONGEST_HEADER or start + length > len(data):
        raise ValueError("a header of impossible length")
    text = str(data[start : start + length], "utf-8" if version == (3, 0) else "latin-1")
    header: object = ast.literal_eval(text)
    if not isinstance(header, dict) or header.keys() != _KEYS:
        raise ValueError("a header of another kind")
    fortran, shape = header["fortran_order"], header["shape"]
    if type(fortran) is not bool or type(shape) is not tuple:
        raise TypeError("a header of another kind")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an impossible shape")
    dtype = npy_format.descr_to_dtype(header["descr"])
    if not _is_plain(dtype):
        raise ValueError("a type that is not written")
    return dtype, fortran, shape, start + length, text.rstrip().endswith(_LOCKED)
