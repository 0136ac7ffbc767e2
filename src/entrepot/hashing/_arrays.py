"""How to write NumPy arrays, scalars and dtypes.

An array is its class, dtype, shape, memory layout and content. The layout is the order of its axes in memory: summing a
C-ordered and a Fortran-ordered array of equal content adds in different orders, and the last bits differ. A strided
view counts like the copy it would make (its axes are in the same order). Content is compared bit by bit, so here two
zeros and two bit patterns of NaN differ; arrays of Python objects go item by item.
"""

from typing import Any, Final

import numpy as np

from entrepot.hashing._bytes import bytes_form, text
from entrepot.hashing._encoder import Encoder, Encoding, Refused
from entrepot.hashing._labels import class_label
from entrepot.hashing._objects import is_python_class, state_names, state_of

__all__ = ["content_form", "dtype_form", "encoding_for"]

_PIECE: Final = 16 << 20
"""Bytes of a strided array that are copied at a time."""


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if cls is np.ndarray:
        return _array
    if cls is np.ma.MaskedArray:
        return _masked
    if issubclass(cls, np.ndarray):
        return _subclass
    if issubclass(cls, np.generic):
        return _scalar
    if issubclass(cls, np.dtype):
        return _dtype
    return None


def _array_form(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    return encoder.named("numpy.ndarray", *_parts(encoder, value))


def _array(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    return encoder.container(value, _array_form)


def _parts(encoder: Encoder, value: np.ndarray[Any, Any]) -> tuple[bytes, ...]:
    return (
        dtype_form(encoder, value.dtype),
        encoder.encode(value.shape),
        encoder.encode(_layout(value)),
        content_form(encoder, value),
    )


def _layout(value: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """Return the axes from slowest to fastest in memory (`~axis` where one runs backwards), or None for C order."""
    if value.flags.c_contiguous or value.size <= 1:
        return None
    strides = value.strides
    axes = sorted((axis for axis in range(value.ndim) if value.shape[axis] > 1), key=lambda axis: -abs(strides[axis]))
    layout = tuple(axis if strides[axis] >= 0 else ~axis for axis in axes)
    return None if all(one < two for one, two in zip((-1, *layout), layout, strict=False)) else layout


def content_form(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    """Return the form of the items alone, in C order or, for another layout, in the order of memory."""
    dtype = value.dtype
    if dtype.names is not None:  # by field: the bytes between fields are whatever was in memory before
        return encoder.named("fields", *[_field(encoder, value, name) for name in dtype.names])
    if dtype.hasobject or dtype.char in "TgG":  # objects, long texts, and extended floats with their unused bytes
        return _items(encoder, value)
    layout = _layout(value)
    if layout is not None:
        # Walked in memory order, so that Fortran-ordered arrays need no copy; `_layout` says which order that was.
        unit = [axis for axis in range(value.ndim) if value.shape[axis] <= 1]
        value = value.transpose(unit + [axis if axis >= 0 else ~axis for axis in layout])
        flips = [slice(None, None, -1 if stride < 0 else 1) for stride in value.strides]
        value = value[tuple(flips)]
    if value.flags.c_contiguous:
        return bytes_form(value.reshape(-1).view(np.uint8).data if value.nbytes else b"")
    if value.nbytes <= _PIECE:
        return bytes_form(value.tobytes())
    return _pieces(value)


def _pieces(value: np.ndarray[Any, Any]) -> bytes:
    """Return the form of a large strided array's bytes, copying a part at a time."""
    from entrepot.hashing._bulk import Bulk  # noqa: PLC0415  blake3 loads for long values only

    bulk = Bulk(value.nbytes)

    def feed(part: np.ndarray[Any, Any]) -> None:
        if part.nbytes <= _PIECE or part.ndim == 0:
            bulk.update(part.tobytes())
            return
        rows = max(1, _PIECE // (part.nbytes // part.shape[0]))
        for start in range(0, part.shape[0], rows):
            if rows == 1:
                feed(part[start])
            else:
                bulk.update(part[start : start + rows].tobytes())

    feed(value)
    return b"B" + bulk.digest()


def _field(encoder: Encoder, value: np.ndarray[Any, Any], name: str) -> bytes:
    try:
        return content_form(encoder, value[name])
    except Refused as refusal:
        raise refusal.inside(f"[{name!r}]") from None


def _items(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    """Return the form of an array whose items have to be looked at one by one, in C order."""
    if value.dtype.char in "gG":
        return encoder.sequence(b"[", [str(item) for item in value.flat])
    if value.dtype.char == "T":
        value = value.astype(object)
    if value.dtype.kind != "O":
        raise Refused(f"an array of {value.dtype}", "which holds objects in a way that cannot be seen")
    try:
        return encoder.sequence(b"[", value.ravel().tolist())
    except Refused as refusal:
        if value.ndim != 1:  # from the place in the flat list to the place in the array
            position = np.unravel_index(int(refusal.steps.pop()[1:-1]), value.shape)
            refusal.inside("[" + ", ".join(str(int(index)) for index in position) + "]")
        raise


def dtype_form(encoder: Encoder, dtype: "np.dtype[Any]") -> bytes:
    """Return the form of a dtype: its byte order and unit, and for structured ones names, types, offsets and size."""
    form = _bare_dtype_form(encoder, dtype)
    if dtype.metadata is None:
        return form
    # Notes that NumPy itself takes no account of; libraries do, as h5py.
    return encoder.named("noted dtype", form, encoder.part(".dtype.metadata", dict(dtype.metadata)))


def _bare_dtype_form(encoder: Encoder, dtype: "np.dtype[Any]") -> bytes:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return encoder.named("subarray", dtype_form(encoder, base), encoder.encode(shape))
    if dtype.names is not None and dtype.fields is not None:
        fields = [
            encoder.named("field", encoder.encode((name, *field[1:])), dtype_form(encoder, field[0]))
            for name in dtype.names
            for field in [dtype.fields[name]]
        ]
        frame = (dtype.type.__qualname__, dtype.itemsize, dtype.isalignedstruct)
        return encoder.named("struct", encoder.encode(frame), *fields)
    label = type(dtype).__qualname__  # dtypes of other packages (bfloat16) share their letters with plain void
    missing = encoder.encode(getattr(dtype, "na_object", None)) if dtype.char == "T" else b"N"
    return encoder.named("dtype", text(dtype.str), text(dtype.name), text(label), missing)


def _dtype(encoder: Encoder, value: "np.dtype[Any]") -> bytes:
    return encoder.named("numpy.dtype", dtype_form(encoder, value))


def _scalar(encoder: Encoder, value: np.generic) -> bytes:
    cls = type(value)
    if is_python_class(cls):
        raise Refused(f"a {cls.__module__}.{cls.__qualname__}", "which has no stable identity")
    array = np.asarray(value)
    if array.dtype.kind in "fc" and np.isnan(array):
        array = np.full((), np.nan, array.dtype)  # a scalar NaN is one NaN, as a Python one is
    return encoder.named(
        "numpy.scalar", text(class_label(cls)), dtype_form(encoder, array.dtype), content_form(encoder, array)
    )


def _masked_form(encoder: Encoder, value: Any) -> bytes:
    # What lies under the mask cannot be read by ordinary means, but it is there: `.data` shows it.
    mask = value.mask if value.mask is not np.ma.nomask else False
    return encoder.named(
        "numpy.ma.MaskedArray",
        *_parts(encoder, value.data),
        encoder.encode(mask),
        encoder.encode(value.hardmask),
        encoder.encode(value.fill_value),
    )


def _masked(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _masked_form)


def _subclass_form(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    cls = type(value)
    slots, cached = state_names(cls, above=np.ndarray)
    state = b"N"
    if cls is not np.memmap:  # its attributes say where the file is; its content is what counts
        state = encoder.attributes(state_of(value, slots, cached))
    base = value.view(np.ndarray)
    return encoder.named("numpy.subclass", encoder.instance_of(cls), *_parts(encoder, base), state)


def _subclass(encoder: Encoder, value: np.ndarray[Any, Any]) -> bytes:
    cls = type(value)
    for base in cls.__mro__:
        if base is np.ndarray:
            break
        if not is_python_class(base):
            raise Refused(f"a {cls.__module__}.{cls.__qualname__}", "which has no stable identity")
    return encoder.container(value, _subclass_form)
