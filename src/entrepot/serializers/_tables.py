"""Arrow's own tables."""

import base64
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from entrepot.serializers._frames import Plan
from entrepot.serializers._unfit import Unfit

__all__ = ["plan", "restore"]

_MARK = b"entrepot"


def plan(value: pa.Table, *, parquet: bool) -> Plan:
    """Return how a table is written.

    Parquet keeps flat columns of unique names; Arrow's own format keeps all but extension types, which readers may
    not have. The schema is kept as it is, with its metadata.

    Raises:
        Unfit: If it would not come back as it was.
    """
    schema = value.schema
    if _MARK in (schema.metadata or {}):
        raise Unfit(".schema", "its metadata uses the key 'entrepot'")
    if parquet and len(set(schema.names)) < len(schema.names):
        raise Unfit(".schema", "two columns have one name")
    if not schema.names:
        raise Unfit(".schema", "it has no columns")
    for position, field in enumerate(schema):
        if not (_is_flat(field.type) if parquet else _is_known(field.type)):
            raise Unfit(f".columns[{position}]", f"{field.type} is not kept exactly")
        if value.column(position).num_chunks > 1 and _has_dictionary(field.type):
            raise Unfit(f".columns[{position}]", "its chunks have dictionaries of their own; combine them")
    about = {"schema": base64.b64encode(schema.serialize()).decode()} if parquet else {}
    return Plan(about, lambda: value)


def restore(table: pa.Table, about: dict[str, Any], memory: memoryview | None) -> pa.Table:  # noqa: ARG001  they share
    """Return the table as it was."""
    if "schema" not in about:
        return table
    schema = ipc.read_schema(pa.py_buffer(base64.b64decode(about["schema"], validate=True)))
    if schema.types != table.schema.types:
        raise TypeError("columns of other types")
    return pa.Table.from_arrays(table.columns, schema=schema)


def _is_flat(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_timestamp(kind):
        return bool(kind.unit != "s")  # Parquet has no seconds
    return any(
        bool(is_one(kind))
        for is_one in (
            types.is_boolean,
            types.is_integer,
            types.is_float32,
            types.is_float64,
            types.is_string,
            types.is_large_string,
            types.is_binary,
            types.is_large_binary,
            types.is_date32,
        )
    )


def _is_known(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return False
    if pa.types.is_dictionary(kind):
        return _is_known(kind.value_type)
    return all(_is_known(kind.field(index).type) for index in range(kind.num_fields))


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(index).type) for index in range(kind.num_fields))
