"""Variables: small JSON values by name, kept in the home for flows and people. They are no place for secrets.

Light to import: SQLite is loaded by the first use.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from entrepot._names import check_name
from entrepot.errors import OptionError, SerializationError, VariableExistsError

if TYPE_CHECKING:
    from entrepot.coordination.variables import StoredVariable

__all__ = ["MAX_VALUE_BYTES", "Variable"]

T = TypeVar("T")

MAX_VALUE_BYTES: Final = 65_536
"""How long a value may be, as JSON."""

_DEEPEST: Final = 100  # lists and dicts inside each other


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it is kept.

    Attributes:
        name: 1 to 100 characters of `a-z`, `0-9`, `-` and `_`, with a letter or digit at both ends.
        value: What JSON can say: texts, numbers, truths, None, lists, and dicts with texts as keys.
        tags: Sorted.
        created: When it was set first, in UTC.
        updated: When it was set last.
    """

    name: str
    value: Any
    tags: Sequence[str]
    created: datetime
    updated: datetime

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """Return the value of a variable, or `default` where there is none.

        Raises:
            InvalidNameError: If no variable can have this name.
            StorageError: If the file of the variables cannot be read.
        """
        from entrepot.coordination.variables import read_variable  # noqa: PLC0415  the lazy seam: it loads SQLite

        found = read_variable(_checked(name))
        return default if found is None else found.value

    @classmethod
    def set(cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False) -> Self:  # noqa: FBT001, FBT002  as in Prefect
        """Set a variable. When this returns, it survives a loss of power.

        Args:
            name: Of the variable.
            value: What JSON can say, up to 64 KiB of it. It comes back as it was given.
            tags: What it is filed under; None for the tags that it has.
            overwrite: Whether one that is there gets this value; else that is an error.

        Returns:
            The variable.

        Raises:
            InvalidNameError: If no variable can have this name.
            SerializationError: If the value is none that JSON can say, or too long.
            OptionError: If the tags are no texts.
            VariableExistsError: If it is set already.
            StorageError: If it cannot be kept.
        """
        from entrepot.coordination.variables import write_variable  # noqa: PLC0415  the lazy seam: it loads SQLite

        _checked(name)
        kept = write_variable(name, _as_json(name, value), _checked_tags(tags), overwrite=overwrite)
        if kept is None:
            raise VariableExistsError(
                f"the variable {name!r} is set already; overwrite=True (or --overwrite) gives it another value",
                name=name,
            )
        return cls._of(kept)

    @classmethod
    def unset(cls, name: str) -> bool:
        """Remove a variable; return whether there was one.

        Raises:
            InvalidNameError: If no variable can have this name.
            StorageError: If it cannot be removed.
        """
        from entrepot.coordination.variables import delete_variable  # noqa: PLC0415  the lazy seam: it loads SQLite

        return delete_variable(_checked(name))

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """As `get`; the loop runs on meanwhile."""
        return await _in_thread(partial(cls.get, name, default))

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False) -> Self:  # noqa: FBT001, FBT002  as in Prefect
        """As `set`; the loop runs on meanwhile."""
        return await _in_thread(partial(cls.set, name, value, tags, overwrite=overwrite))

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """As `unset`; the loop runs on meanwhile."""
        return await _in_thread(partial(cls.unset, name))

    @classmethod
    def _of(cls, kept: "StoredVariable") -> Self:
        return cls(kept.name, kept.value, kept.tags, kept.created, kept.updated)


async def _in_thread(act: Callable[[], T]) -> T:
    from entrepot.coordination.worker import on_worker  # noqa: PLC0415  only who awaits has loaded asyncio

    return await on_worker(act)


def _checked(name: str) -> str:
    return check_name(name, what="variable name")


def _checked_tags(tags: object) -> Sequence[str] | None:
    if tags is None:
        return None
    if isinstance(tags, (list, tuple, set, frozenset)) and all(isinstance(tag, str) and tag for tag in tags):
        return tuple(tags)
    raise OptionError(f"tags are a list of texts, not {tags!r}", option="tags")


def _as_json(name: str, value: object) -> str:
    """Return a value as JSON from which exactly the same value comes back."""
    _check_value(name, value, "value", 0)
    try:
        text = json.dumps(value, separators=(",", ":"))
    except ValueError as error:  # a whole number of thousands of digits
        raise SerializationError(
            f"the value of the variable {name!r} is no JSON: {error}", serializer="json", path="value"
        ) from None
    if len(text) > MAX_VALUE_BYTES:
        raise SerializationError(
            f"the value of the variable {name!r} is {len(text)} bytes of JSON, and {MAX_VALUE_BYTES} is the most; keep"
            " it as a block or in a file, and its name here",
            serializer="json",
            path="value",
        )
    return text


def _check_value(name: str, value: object, path: str, depth: int) -> None:
    kind = type(value)
    if value is None or kind in {str, int, bool} or (kind is float and math.isfinite(cast("float", value))):
        return
    if kind in {list, dict} and depth < _DEEPEST:
        if isinstance(value, list):
            for number, part in enumerate(value):
                _check_value(name, part, f"{path}[{number}]", depth + 1)
            return
        if isinstance(value, dict) and all(type(key) is str for key in value):
            for key, part in value.items():
                _check_value(name, part, f"{path}[{key!r}]", depth + 1)
            return
    if depth >= _DEEPEST:
        reason = "too deep"
    elif isinstance(value, float):
        reason = f"{value}, which is no number in JSON"
    elif kind is dict:
        reason = "a dict with keys that are no texts"
    else:
        reason = f"of type {kind.__name__}"
    raise SerializationError(
        f"the value of the variable {name!r} cannot be kept: {path} is {reason}; use texts, numbers, True, False, None,"
        " lists, and dicts with texts as keys",
        serializer="json",
        path=path,
    )
