"""The serializer `auto`: looks at a value and picks who writes it. Records name the one that was picked.

In this order: JSON for plain data, `bytes` for bytes, `npy` for arrays, `parquet` for frames (`arrow` for large ones
and for what Parquet does not keep exactly), then serializers of plugins and of this program that say that they accept
the value, by name, then pickle. Each takes only what it gives back exactly as it was.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Final, NoReturn, cast

from entrepot.errors import PluginError, RefusedSerializerError, SerializationError
from entrepot.plugins import SERIALIZERS
from entrepot.plugins.builtin import BUILTINS, SERIALIZER_GROUP
from entrepot.protocols.serializer import PicksValues, Serializer
from entrepot.protocols.storage import Buffer
from entrepot.serializers import get_serializer, is_allowed
from entrepot.serializers._describe import type_name
from entrepot.serializers._exact import is_exact
from entrepot.serializers._frame_kinds import frame_kind, frame_size

__all__ = ["AutoSerializer", "own_serializers"]

_LARGE_FRAME: Final = 64 << 20  # from this size on, not to copy counts for more than to be opened by everything

_logger: Final = logging.getLogger("entrepot.serializers")
_broken: Final[set[str]] = set()


class AutoSerializer:
    """Picks the serializer of each value."""

    name = "auto"
    extension = "bin"
    is_text = False
    reads_code = True

    def choose(self, value: object, *, allow: frozenset[str] | None = None) -> Serializer:
        """Return the first serializer that gives this value back exactly as it was.

        Where pickle is not allowed, JSON is what is left: it writes what it can (registered classes too; a list that
        stands in two places comes back as two), and its error says which part it cannot. Of a frame or array that none
        gives back, the one for such values is returned: its error says why.

        Args:
            value: What is to be written.
            allow: The names that it may be; None for all.

        Raises:
            RefusedSerializerError: If none of those writes such a value.
        """
        if is_allowed("json", allow) and is_exact(value):
            return get_serializer("json")
        for name in _built_in(value):
            if is_allowed(name, allow) and (found := _accepting(name, value)) is not None:
                return found
        for found in own_serializers():
            if is_allowed(found.name, allow) and _accepts(found, value):
                return found
        # Of frames Arrow holds more than Parquet: what it says is wrong is wrong for both.
        for name in ("pickle", *sorted(_built_in(value)), "json"):
            if is_allowed(name, allow):
                return get_serializer(name)
        raise RefusedSerializerError(
            f"none of the serializers that this store allows ({', '.join(sorted(allow or ()))}) writes value, a"
            f" {type_name(type(value))}, and gives it back as it was; return something else, or allow another"
            " serializer",
            serializer="pickle",
        )

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Refuse: who reads the bytes could not tell what they are.

        Raises:
            SerializationError: Always.
        """
        self._refuse(f"ask choose(...) for the one that writes a {type_name(type(value))}")

    def loads(self, data: memoryview) -> object:  # noqa: ARG002  it reads nothing
        """Refuse: the bytes do not say what they are.

        Raises:
            SerializationError: Always.
        """
        self._refuse("bytes are read by the one that wrote them, which their record names")

    def _refuse(self, what: str) -> NoReturn:
        raise SerializationError(
            f"the auto serializer writes and reads nothing itself: it picks one for each value; {what}",
            serializer=self.name,
            path="value",
        )


def own_serializers() -> Iterator[PicksValues]:
    """Yield the serializers of plugins and of this program that say what they accept, by name.

    One that cannot be loaded is left out, with a warning the first time.
    """
    for name in SERIALIZERS.names():
        if name in BUILTINS[SERIALIZER_GROUP] or name in _broken:
            continue
        try:
            found = get_serializer(name)
        except PluginError as error:
            _broken.add(name)
            _logger.warning("The serializer %r is not offered any values: %s", name, error)
            continue
        if isinstance(found, PicksValues):
            yield found


def _built_in(value: object) -> tuple[str, ...]:
    """Return the names of our own serializers that may suit a value's type, apart from JSON and pickle."""
    if type(value) is bytes:
        return ("bytes",)
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return ("npy",)
    kind = frame_kind(value)
    if kind is None or not _has_arrow():
        return ()
    return ("arrow", "parquet") if frame_size(value, kind) >= _LARGE_FRAME else ("parquet", "arrow")


@cache
def _has_arrow() -> bool:
    return "pyarrow" in sys.modules or find_spec("pyarrow") is not None


def _accepting(name: str, value: object) -> Serializer | None:
    try:
        found = cast("PicksValues", get_serializer(name))
    except PluginError:  # Arrow is there and cannot be imported: the value is no worse for it
        return None
    return found if _accepts(found, value) else None


def _accepts(serializer: PicksValues, value: object) -> bool:
    try:
        return serializer.accepts(value)
    except Exception:
        _logger.warning("The serializer %r could not say whether it accepts a value", serializer.name, exc_info=True)
        return False
