"""Which values are frames: known by their libraries, none of which is imported for that."""

import sys
from typing import Any, Final, cast

__all__ = ["HOMES", "frame_kind", "frame_size"]

HOMES: Final = {
    "pandas.DataFrame": "entrepot.serializers._pandas",
    "pandas.Series": "entrepot.serializers._pandas",
    "polars.DataFrame": "entrepot.serializers._polars",
    "pyarrow.Table": "entrepot.serializers._tables",
}
"""The kinds of frames that are written, by what their files say, and our module that knows each."""


def frame_kind(value: object) -> str | None:
    """Return which kind of frame a value is exactly, or None; a library that was not imported has made none."""
    cls = type(value)
    for kind in HOMES:
        module, _, name = kind.partition(".")
        loaded = sys.modules.get(module)
        if loaded is not None and cls.__name__ == name and cls is getattr(loaded, name, None):
            return kind
    return None


def frame_size(value: object, kind: str) -> int:
    """Return about how many bytes a frame's columns take; what a column of objects points at does not count."""
    frame = cast("Any", value)
    try:
        if kind == "polars.DataFrame":
            return int(frame.estimated_size())
        return int(frame.nbytes) if kind != "pandas.DataFrame" else int(frame.memory_usage(index=False).sum())
    except Exception:  # noqa: BLE001  columns of other libraries may not know; nothing depends on it but the choice
        return 0
