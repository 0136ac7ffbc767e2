"""Which other programs open a payload: the line to type."""

import shlex
from pathlib import Path
from typing import Final

from entrepot.errors import PluginError
from entrepot.results.chunks import STREAM
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer

__all__ = ["how_to_open"]

_COMPRESSED: Final = ".zst"
_IN_PYTHON: Final = {
    "arrow": "import pandas; print(pandas.read_feather({path!r}))",  # by its path, DuckDB does not open it
    "npy": "import numpy; print(numpy.load({path!r}, mmap_mode='r'))",
}


def how_to_open(store: ResultStore, record: Record, *, storage: str | None, topic: str) -> str:
    """Return the line that opens a payload in another program; "" where only we do.

    Args:
        store: Where it is.
        record: Its record.
        storage: As the option says which store it is.
        topic: Of the command that writes the bytes where no file has them.
    """
    if record.serializer.startswith(STREAM):
        return ""
    try:
        extension = get_serializer(record.serializer).extension
    except PluginError:
        return ""
    path = store.locate(record)
    if record.payload is not None and _is_readable(path, record.size):
        return _opening(path, extension)
    # It stands inside the record, or is encrypted, or elsewhere: its bytes are to be had from us.
    name = f"value.{extension}"
    line = _opening(name, extension)
    if not line:
        return ""
    option = "" if storage is None else f" --storage {shlex.quote(storage)}"
    return f"entrepot {topic} show {shlex.quote(record.key)}{option} --payload -o {name} && {line}"


def _is_readable(path: str, size: int) -> bool:
    """Tell whether a payload lies at a path as it is; one that is encrypted there is larger."""
    try:
        return path.startswith("/") and Path(path).stat().st_size == size
    except OSError:
        return False


def _opening(path: str, extension: str) -> str:
    quoted = shlex.quote(path)
    kind = extension.removesuffix(_COMPRESSED)
    if extension != kind:
        return f"zstd -dc {quoted} | jq ." if kind == "json" else ""
    if kind == "json":
        return f"jq . {quoted}"
    if kind == "parquet":
        return f"duckdb -c {_quoted('FROM ' + _sql_text(path))}"
    if kind in _IN_PYTHON:
        return f"python -c {_quoted(_IN_PYTHON[kind].format(path=path))}"
    return ""


def _quoted(text: str) -> str:
    """Quote for a shell, so that people can read it where that is possible."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
