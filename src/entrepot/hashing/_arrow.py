"""How to write Arrow data: arrays, tables, schemas, scalars.

What counts is what the values are, not how they are kept: cutting into chunks, offsets into a larger buffer, and the
bytes that lie under a null do not count. Types do, all the way down: names, nullability and metadata of fields, and
whether offsets have 32 or 64 bits. Floats are compared bit by bit, as in NumPy arrays.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from entrepot.hashing._bytes import bytes_form, text
from entrepot.hashing._encoder import Encoder, Encoding, Refused

__all__ = ["content_of", "encoding_for"]

_ROWS: Final = 1 << 20
"""Values that are looked at in one go, where they have to be copied."""


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    return next((encoding for base, encoding in _KNOWN if issubclass(cls, base)), None)


def content_of(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> bytes:
    """Return the form of the values of arrays of one type, one after another; their type is for the caller to write.

    Raises:
        Refused: If values of this type cannot be looked at.
    """
    writer = _writer(kind)
    count = sum(len(chunk) for chunk in chunks)
    missing = sum(chunk.null_count for chunk in chunks)
    parts = [encoder.encode((count, missing))]
    if missing and not pa.types.is_null(kind):
        parts.append(_joined(_validity(chunk) for chunk in chunks))
    return encoder.named("arrow", *parts, *writer(encoder, chunks, kind))


# --- content, by kind of type -----------------------------------------------------------------------------------------

_Writer = Callable[[Encoder, Sequence[Any], Any], tuple[bytes, ...]]


def _writer(kind: Any) -> _Writer:
    for is_one, writer in _WRITERS:
        if is_one(kind):
            return writer
    try:
        width = kind.bit_width
    except ValueError:
        width = 0
    if width and width % 8 == 0 and kind.num_fields == 0:
        return _fixed
    raise Refused(f"an Arrow array of {kind}", "which is of a type that cannot be looked at")


def _joined(pieces: Iterable[Any]) -> bytes:
    """Return the form of bytes that come in pieces, wherever they are cut."""
    from entrepot.hashing._bulk import Bulk  # noqa: PLC0415  blake3 loads for long values only

    bulk = Bulk(1 << 20)
    for piece in pieces:
        if len(piece):
            bulk.update(memoryview(piece).cast("B"))
    return bytes_form(bulk.digest())


def _rows(chunk: Any) -> Iterable[Any]:
    for start in range(0, len(chunk), _ROWS):
        yield chunk.slice(start, _ROWS)


def _valid(chunk: Any) -> "np.ndarray[Any, Any]":
    return np.asarray(chunk.is_valid().to_numpy(zero_copy_only=False))


def _validity(chunk: Any) -> "np.ndarray[Any, Any]":
    if not chunk.null_count:
        return np.ones(len(chunk), np.uint8)
    return _valid(chunk).view(np.uint8)


def _nothing(_: Encoder, __: Sequence[Any], ___: Any) -> tuple[bytes, ...]:
    return ()


def _fixed(_: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    width = kind.bit_width // 8
    if not width:  # runs of no bytes
        return ()

    def pieces() -> Iterable[Any]:
        for chunk in chunks:
            if not chunk.null_count:
                yield _bytes_at(chunk, width)
                continue
            for part in _rows(chunk):
                data = _bytes_at(part, width).reshape(-1, width).copy()
                data[~_valid(part)] = 0  # what lies under a null is whatever was there before
                yield data.reshape(-1)

    return (_joined(pieces()),)


def _bytes_at(chunk: Any, width: int) -> "np.ndarray[Any, Any]":
    buffer = chunk.buffers()[1]
    if buffer is None or not len(chunk):
        return np.zeros(len(chunk) * width, np.uint8)
    return np.frombuffer(buffer, np.uint8)[chunk.offset * width : (chunk.offset + len(chunk)) * width]


def _booleans(_: Encoder, chunks: Sequence[Any], __: Any) -> tuple[bytes, ...]:
    pieces = (part.fill_null(False).cast(pa.uint8()).to_numpy() for chunk in chunks for part in _rows(chunk))  # noqa: FBT003  a value, no option
    return (_joined(pieces),)


def _texts(_: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    """Write texts and runs of bytes: how long each is, and all of them joined."""
    plain = pa.large_string() if pa.types.is_string(kind) or _is(kind, "string_view") else pa.large_binary()

    def clean(part: Any) -> Any:
        if _is(kind, "string_view") or _is(kind, "binary_view"):
            part = part.cast(plain)
        if part.null_count:
            part = part.fill_null("" if pa.types.is_string(part.type) or pa.types.is_large_string(part.type) else b"")
        return part

    # Gone through twice, so that neither is held.
    lengths = _joined(np.diff(_offsets(clean(part))) for chunk in chunks for part in _rows(chunk))
    return lengths, _joined(_joined_texts(clean(part)) for chunk in chunks for part in _rows(chunk))


def _offsets(part: Any) -> "np.ndarray[Any, Any]":
    buffer = part.buffers()[1]
    if buffer is None or not len(part):
        return np.zeros(1, np.int64)
    is_large = pa.types.is_large_string(part.type) or pa.types.is_large_binary(part.type)
    every = np.frombuffer(buffer, np.int64 if is_large else np.int32)
    return every[part.offset : part.offset + len(part) + 1].astype(np.int64, copy=False)


def _joined_texts(part: Any) -> "np.ndarray[Any, Any]":
    offsets, buffer = _offsets(part), part.buffers()[2]
    if buffer is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(buffer, np.uint8)[offsets[0] : offsets[-1]]


def _lists(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    lengths = (pc.list_value_length(chunk).fill_null(0).cast(pa.int64()).to_numpy() for chunk in chunks)
    inner = [chunk.flatten() for chunk in chunks]  # without what lies under nulls
    below = inner[0].type if inner else kind.value_type
    return _joined(lengths), content_of(encoder, inner, below)


def _maps(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    entries = pa.list_(pa.struct([kind.key_field, kind.item_field]))
    return _lists(encoder, [chunk.cast(entries) for chunk in chunks], entries)


def _structs(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    flat = [chunk.flatten() for chunk in chunks]  # a field of a null is null
    return tuple(content_of(encoder, [each[n] for each in flat], kind.field(n).type) for n in range(kind.num_fields))


def _dictionaries(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    if len(chunks) > 1:
        chunks = pa.chunked_array(chunks, type=kind).unify_dictionaries().chunks
    dictionaries = [chunk.dictionary for chunk in chunks[:1]]
    return (
        content_of(encoder, dictionaries, kind.value_type),
        content_of(encoder, [chunk.indices for chunk in chunks], kind.index_type),
    )


def _runs(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    return (content_of(encoder, [pc.run_end_decode(chunk) for chunk in chunks], kind.value_type),)


def _extensions(encoder: Encoder, chunks: Sequence[Any], kind: Any) -> tuple[bytes, ...]:
    return (content_of(encoder, [chunk.storage for chunk in chunks], kind.storage_type),)


def _is(kind: Any, name: str) -> bool:
    """Tell whether a type is of a kind that older versions of Arrow do not have."""
    known: Callable[[Any], bool] | None = getattr(pa.types, f"is_{name}", None)
    return known is not None and known(kind)


_WRITERS: Final[tuple[tuple[Callable[[Any], bool], _Writer], ...]] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extensions),
    (pa.types.is_null, _nothing),
    (pa.types.is_boolean, _booleans),
    (pa.types.is_dictionary, _dictionaries),
    (lambda kind: _is(kind, "run_end_encoded"), _runs),
    (pa.types.is_fixed_size_binary, _fixed),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is(kind, "string_view"), _texts),
    (lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or _is(kind, "binary_view"), _texts),
    (pa.types.is_map, _maps),
    (lambda kind: pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind), _lists),
    (pa.types.is_struct, _structs),
)


# --- types ------------------------------------------------------------------------------------------------------------


def _type(encoder: Encoder, kind: Any) -> bytes:
    if isinstance(kind, pa.BaseExtensionType):
        said = kind.__arrow_ext_serialize__() if isinstance(kind, pa.ExtensionType) else str(kind).encode()
        return encoder.named(
            "arrow.extension", text(kind.extension_name), bytes_form(said), _type(encoder, kind.storage_type)
        )
    inner = [_field(encoder, kind.field(n)) for n in range(kind.num_fields)]
    if pa.types.is_dictionary(kind):
        inner = [_type(encoder, kind.value_type)]
    return encoder.named("arrow.type", text(str(kind)), *inner)


def _field(encoder: Encoder, field: Any) -> bytes:
    said = encoder.encode((field.name, field.nullable, dict(field.metadata or {})))
    return encoder.named("arrow.field", said, _type(encoder, field.type))


def _schema(encoder: Encoder, schema: Any) -> bytes:
    metadata = encoder.encode(dict(schema.metadata or {}))
    return encoder.named("arrow.schema", metadata, *[_field(encoder, field) for field in schema])


# --- values -----------------------------------------------------------------------------------------------------------


def _array(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("pyarrow.Array", _type(encoder, value.type), content_of(encoder, [value], value.type))


def _chunked(encoder: Encoder, value: Any) -> bytes:
    content = content_of(encoder, value.chunks, value.type)
    return encoder.named("pyarrow.ChunkedArray", _type(encoder, value.type), content)


def _table(encoder: Encoder, value: Any) -> bytes:
    columns = []
    for position, column in enumerate(value.columns):
        try:
            chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
            columns.append(content_of(encoder, chunks, column.type))
        except Refused as refusal:
            raise refusal.inside(f".columns[{position}]") from None
    name = "pyarrow.Table" if isinstance(value, pa.Table) else "pyarrow.RecordBatch"
    return encoder.named(name, _schema(encoder, value.schema), encoder.encode(value.num_rows), *columns)


def _scalar(encoder: Encoder, value: Any) -> bytes:
    try:
        array = pa.repeat(value, 1)
    except pa.ArrowException:
        raise Refused(f"an Arrow scalar of {value.type}", "which is of a type that cannot be looked at") from None
    return encoder.named("pyarrow.Scalar", _type(encoder, value.type), content_of(encoder, [array], value.type))


def _buffer(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("pyarrow.Buffer", bytes_form(memoryview(value).cast("B") if value.size else b""))


_KNOWN: Final[tuple[tuple[type, Encoding], ...]] = (
    (pa.Array, _array),
    (pa.ChunkedArray, _chunked),
    (pa.Table, _table),
    (pa.RecordBatch, _table),
    (pa.Scalar, _scalar),
    (pa.Schema, _schema),
    (pa.Field, _field),
    (pa.DataType, _type),
    (pa.Buffer, _buffer),
)
