"""Parameters as the history shows them: short, quick to make whatever their size, and without secrets."""

import dataclasses
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from typing import Any

from entrepot._secrets import mask, remember_secret
from entrepot.futures import EntrepotFuture

__all__ = ["LIMIT", "MASK", "remember_secrets", "render", "render_all"]

LIMIT = 100
"""Characters of one parameter."""

MASK = "**********"

_NAME_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # of words: authToken, APIKey
_NO_LETTERS = re.compile(r"[^a-z]+")
_SECRET = re.compile(
    r"_(?:pass|passwords?|passwd|passphrase|pwd|pw|secrets?|tokens?|auth|authorization|credentials?|sas|signature|apikey"
    r"|(?:api|access|private|account|secret|shared)_key)_"
    r"|(?:password|passwd|passphrase|secret|token|credentials?|apikey|accesskey|privatekey)_$"  # dbpassword
)
_COLLECTIONS = frozenset({list, tuple, set, frozenset})
_ITEMS = 6  # of each collection
_LOOKED_AT = 100  # members of a collection in which secrets are looked for
_DEPTH = 3
_PLAIN = (bool, int, float, complex, type(None), date, time, timedelta, PurePath, Enum, range)
_NUMBERS = frozenset({bool, float, complex, type(None)})
_FLOATS = frozenset({float})
_EXACTLY = frozenset({int, str, bytes}) | _NUMBERS  # in one of these there is nothing to look for
_PLAIN_TOO = frozenset({"decimal.Decimal", "fractions.Fraction", "uuid.UUID"})  # by name: their import costs much
_SEARCHED = 4096  # characters of a long text in which secrets are looked for
_HUGE = 10**50  # the digits of a larger number take long to compute


def render_all(parameters: Mapping[str, Any], untrusted: Collection[str] = ()) -> dict[str, str]:
    """Return the printable form of each parameter; of what is called like a secret, a mask.

    Args:
        parameters: By name.
        untrusted: Those of which only the type is shown.
    """
    return {
        name: MASK if _names_secret(name) else f"<{type(value).__qualname__}>" if name in untrusted else render(value)
        for name, value in parameters.items()
    }


def remember_secrets(parameters: Mapping[str, Any]) -> None:
    """Have the secrets (`SecretStr` and its like) among parameters masked from now on, as those of blocks are.

    They are looked for in collections, dataclasses and pydantic models, too: three levels deep, and in the first 100
    members.
    """
    if "pydantic" in sys.modules:  # else there are none
        for value in parameters.values():
            if type(value) not in _EXACTLY:
                _remember(value, _DEPTH)


def _remember(value: Any, depth: int) -> None:
    kind = type(value)
    members: Any
    if kind is dict:
        members = value.values()
    elif kind in _COLLECTIONS:
        members = value
    elif isinstance(value, _PLAIN):
        return
    elif hasattr(kind, "get_secret_value"):
        with suppress(Exception):  # of a class of the user's: whoever reads it next hears of it
            remember_secret(value.get_secret_value())
        return
    elif _is_pydantic(value) or (dataclasses.is_dataclass(kind) and hasattr(value, "__dict__")):
        members = vars(value).values()
    else:
        return
    if depth:
        for member in islice(members, _LOOKED_AT):
            if type(member) not in _EXACTLY:
                _remember(member, depth - 1)


def render(value: Any) -> str:
    """Return a printable form of a value, of at most 100 characters."""
    kind = type(value)
    if kind is int and -_HUGE < value < _HUGE:
        return repr(value)
    try:
        text = _render(value, _DEPTH)
    except Exception:  # noqa: BLE001  a broken __repr__ of a user's class must not break a run
        text = _outline(value)
    return text if len(text) <= LIMIT else text[: LIMIT - 3] + "..."


def _render(value: Any, depth: int) -> str:
    kind = type(value)
    if kind in _NUMBERS or (kind is int and -_HUGE < value < _HUGE):
        return repr(value)
    if kind is str or kind is bytes or kind is bytearray:
        if kind is str and len(value) > LIMIT:
            value = mask(value[:_SEARCHED])  # before it is cut: of a secret that is cut, the rest would not be found
        return repr(value if len(value) <= LIMIT else value[:LIMIT])
    if kind is dict:
        return _mapping(value, depth)
    if kind in _COLLECTIONS:
        return _collection(value, depth)
    unshown = hasattr(kind, "get_secret_value") or (isinstance(value, int) and abs(value) >= _HUGE)
    if unshown or isinstance(value, _PLAIN):
        return _outline(value) if unshown else repr(value)
    return _instance(value, depth)


def _mapping(value: dict[Any, Any], depth: int) -> str:
    if depth == 0:
        return "{...}"
    pairs = []
    for key, member in islice(value.items(), _ITEMS):
        if type(key) is str and len(key) <= LIMIT:
            name, is_hidden = repr(key), _names_secret(key)
        else:
            name, is_hidden = _render(key, depth - 1), False
        pairs.append(f"{name}: {MASK if is_hidden else _render(member, depth - 1)}")
    return "{" + _joined(pairs, len(value)) + "}"


def _collection(value: Sequence[Any], depth: int) -> str:
    if type(value) is list and 0 < len(value) <= _ITEMS and depth and _FLOATS.issuperset(map(type, value)):
        return repr(value)  # the same, at once
    opening, closing = {list: ("[", "]"), tuple: ("(", ")")}.get(type(value), ("{", "}"))
    if depth == 0:
        return f"{opening}...{closing}"
    return opening + _joined([_render(member, depth - 1) for member in _first(value)], len(value)) + closing


def _instance(value: Any, depth: int) -> str:
    """Return an object of some class: with its fields where the class has a list of them, else by its name."""
    kind = type(value)
    members: Any = None
    if f"{kind.__module__}.{kind.__qualname__}" in _PLAIN_TOO:
        return repr(value)
    if kind is EntrepotFuture:
        return f"<result of {value.task_run_name}>"
    if dataclasses.is_dataclass(kind):
        members = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr]
    elif _is_pydantic(value):
        # What pydantic itself would show: fields with repr=False are left out, SecretStr masks itself. A block is a
        # model whose own repr decides what is shown.
        if kind.__repr__ is not _pydantic_repr():
            return repr(value)
        members = value.__repr_args__()
    elif callable(value) and hasattr(value, "__qualname__"):
        return f"<{value.__qualname__}>"
    return _outline(value) if members is None else _fields(kind.__qualname__, members, depth)


def _fields(name: str, members: Any, depth: int) -> str:
    if depth == 0:
        return f"{name}(...)"
    shown = [f"{member}={MASK if _is_secret(member) else _render(held, depth - 1)}" for member, held in members]
    return f"{name}({', '.join(shown)})"


def _outline(value: object) -> str:
    """Return what costs nothing to say: the class, and a shape or length where there is one."""
    name = type(value).__qualname__
    if "Secret" in name or hasattr(type(value), "get_secret_value"):  # the length of a secret is a part of it
        return MASK
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            dtype = getattr(value, "dtype", None)
            return f"<{name} {'x'.join(map(str, shape))}{'' if dtype is None else f' {dtype}'}>"
        if hasattr(type(value), "__len__"):
            return f"<{name} of {len(value)}>"  # type: ignore[arg-type]  # it has a __len__
    except Exception:  # noqa: BLE001  of a user's class; its name is enough
        return f"<{name}>"
    return f"<{name}>"


def _first(members: Any) -> list[Any]:
    """Return the first members, without a look at the rest."""
    return list(islice(members, _ITEMS))


def _joined(members: list[str], length: int) -> str:
    return ", ".join(members) + (f", ... {length} in all" if length > len(members) else "")


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and len(name) <= LIMIT and _names_secret(name)


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    # In words, and as it is: where words end is not always to be seen (APIkey).
    forms = (_NO_LETTERS.sub("_", form.lower()).strip("_") for form in (_NAME_ENDS.sub("_", name), name))
    return any(_SECRET.search(f"_{form}_") is not None for form in forms)


def _is_pydantic(value: object) -> bool:
    pydantic = sys.modules.get("pydantic")  # where it was never loaded, nothing is a model of it
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def _pydantic_repr() -> object:
    return sys.modules["pydantic"].BaseModel.__repr__
