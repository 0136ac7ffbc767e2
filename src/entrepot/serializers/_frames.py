"""Frames as Arrow tables and back: which values are frames, and how one says in its file what it was.

A frame becomes a table whose schema metadata holds, under the key `entrepot`, a JSON object: `format`, `of` (the
library and class), and what the library needs besides the columns. Readers look `of` up in a fixed table.
"""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, cast

import pyarrow as pa

from entrepot.errors import EntrepotError, SerializationError
from entrepot.serializers._describe import shown, type_name
from entrepot.serializers._frame_kinds import HOMES, frame_kind
from entrepot.serializers._unfit import Unfit
from entrepot.serializers.advice import OR_ANOTHER

__all__ = ["Plan", "frame_of", "plan_for", "table_of", "would_keep"]

_KEY: Final = b"entrepot"
_FORMAT: Final = 1


class Plan(NamedTuple):
    """How a frame is written; made from its types, before anything is converted.

    Attributes:
        about: What its library needs besides the columns; plain JSON.
        build: Makes the table.
    """

    about: dict[str, Any]
    build: Callable[[], pa.Table]


class _Adapter(Protocol):
    def plan(self, value: Any, *, parquet: bool) -> Plan: ...

    def restore(self, table: pa.Table, about: dict[str, Any], memory: memoryview | None) -> object: ...


def _adapter(kind: str) -> _Adapter:
    return cast("_Adapter", import_module(HOMES[kind]))


def would_keep(value: object, *, parquet: bool) -> bool:
    """Return whether a value is a frame that comes back exactly as it was."""
    kind = frame_kind(value)
    if kind is None:
        return False
    try:
        _adapter(kind).plan(value, parquet=parquet)
    except Exception:  # noqa: BLE001  in doubt it is not; another serializer is asked
        return False
    return True


def plan_for(value: object, *, parquet: bool, serializer: str) -> tuple[str, Plan]:
    """Return what kind of frame a value is, and how it is written.

    Raises:
        SerializationError: If it is no frame, or would not come back exactly as it was.
    """
    kind = frame_kind(value)
    if kind is None:
        raise SerializationError(
            f"the {serializer} serializer writes frames ({', '.join(sorted(HOMES))}), and value is a"
            f" {type_name(type(value))}; return one{OR_ANOTHER}",
            serializer=serializer,
            path="value",
        )
    try:
        return kind, _adapter(kind).plan(value, parquet=parquet)
    except Unfit as unfit:
        raise SerializationError(
            f"the {serializer} serializer cannot write value{unfit.path} as it is: {unfit}; change that{OR_ANOTHER}",
            serializer=serializer,
            path=f"value{unfit.path}",
        ) from None
    except (EntrepotError, MemoryError):
        raise
    except Exception as error:
        raise SerializationError(
            f"the {serializer} serializer cannot tell how to write value, a {kind} ({type(error).__name__})"
            f"; return another{OR_ANOTHER}",
            serializer=serializer,
            path="value",
        ) from error


def table_of(value: object, *, parquet: bool, serializer: str) -> pa.Table:
    """Return a frame as a table that says what it was.

    Raises:
        SerializationError: If it is no frame, or would not come back exactly as it was.
    """
    kind, plan = plan_for(value, parquet=parquet, serializer=serializer)
    table = plan.build()
    about = json.dumps({"format": _FORMAT, "of": kind, **plan.about}, ensure_ascii=False, separators=(",", ":"))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: about.encode()})


def frame_of(table: pa.Table, *, serializer: str, memory: memoryview | None = None) -> object:
    """Return the frame that a table was.

    Args:
        table: As it was read.
        serializer: Whose name errors carry.
        memory: What the table's buffers lie in, if they do; it is writable, and the frame may share it.

    Raises:
        SerializationError: If the table does not say what it was, or is not that.
    """
    metadata = dict(table.schema.metadata or {})
    about = _about(metadata.pop(_KEY, b"{}"))
    kind, format_ = about.get("of"), about.get("format")
    if not isinstance(kind, str) or kind not in HOMES or format_ != _FORMAT:
        raise SerializationError(
            f"the {serializer} serializer cannot read this: it does not say which kind of frame it was that this"
            f" version knows (of {shown(kind)}, format {shown(format_)}); upgrade entrepot, or open the file with"
            " another tool",
            serializer=serializer,
            path="value",
        )
    try:
        table.validate(full=True)  # what is not valid could be read outside its memory
        return _adapter(kind).restore(table.replace_schema_metadata(metadata or None), about, memory)
    except (EntrepotError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise SerializationError(
            f"the {serializer} serializer cannot read this: it was a {kind}, and {error.name!r} is not installed here",
            serializer=serializer,
            path="value",
        ) from error
    except Exception as error:
        raise SerializationError(
            f"the {serializer} serializer cannot read this: its table is not what it says ({type(error).__name__})",
            serializer=serializer,
            path="value",
        ) from error


def _about(text: bytes) -> dict[str, Any]:
    try:
        about: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}
