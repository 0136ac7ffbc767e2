"""Values as plain JSON and back, without losing their types.

What JSON has stays as it is. Everything else is a tag: an object with `$type`, a name, and `value`. The name is looked
up in tables of the reader, never imported. A dict of the user's own that JSON could not keep (other keys than strings,
or a `$type` among them) is a tag as well, so that no user data is ever mistaken for one.

Sets are written in a fixed order: equal values give equal bytes in every process.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Final, NoReturn, TypeAlias, cast

from entrepot._sentinels import MISSING, Missing
from entrepot.errors import SerializationError
from entrepot.serializers._describe import key_step, shown, type_name
from entrepot.serializers._tags import (
    DECODERS,
    LEAF_ENCODERS,
    TAG,
    Decoder,
    Refusal,
    is_utf8,
    library_scalar,
    plain_float,
    plain_int,
    plain_str,
    tag,
)
from entrepot.serializers.advice import OR_PICKLE

__all__ = [
    "BUILTIN_TAGS",
    "TAG",
    "Decoder",
    "Encoder",
    "Refusal",
    "Walk",
    "decode_tag",
    "from_plain",
    "tag",
    "to_plain",
]

Walk: TypeAlias = Callable[[object, str], object]
"""`walk(child, step)` gives the plain form of a part of a value; `step` is what leads to it: `.field` or `[key]`."""

Encoder: TypeAlias = Callable[[object, Walk], object | Missing]
"""Gives the plain form (usually `tag(...)`) of a value that is no built-in, or MISSING where it knows none."""

BUILTIN_TAGS: Final = frozenset(DECODERS)
"""The names of the tags that every reader knows."""

_NONE: Final[Mapping[str, Decoder]] = MappingProxyType({})
_SMALL: Final = 1 << 62


def to_plain(value: object, *, encoder: Encoder | None = None, serializer: str = "json") -> object:
    """Return a value as plain JSON: None, bool, int, finite float, str, list, and dict with string keys.

    Args:
        value: What to write. It is not changed; parts that are plain already may be shared, not copied.
        encoder: Asked for values that are not of a built-in type (exactly: subclasses are not built-in).
        serializer: Whose name the error carries.

    Raises:
        SerializationError: With the path inside the value, the type, and what to do.
    """
    try:
        return _Walker(encoder).plain(value)
    except Refusal as refusal:
        path = "value" + "".join(reversed(refusal.steps))
        raise SerializationError(
            f"the {serializer} serializer cannot write {path}, a {type_name(refusal.kind)}: {refusal}",
            serializer=serializer,
            path=path,
        ) from None
    except RecursionError:
        raise SerializationError(
            f"the {serializer} serializer cannot write this value: it contains itself, or is nested too deeply;"
            f" return flatter data{OR_PICKLE}",
            serializer=serializer,
            path="value",
        ) from None


def from_plain(plain: object, *, decoders: Mapping[str, Decoder] = _NONE, serializer: str = "json") -> object:
    """Return the value of plain JSON that `to_plain` made.

    Args:
        plain: Parsed JSON.
        decoders: For tags that are not built-in, by name.
        serializer: Whose name the error carries.

    Raises:
        SerializationError: If a tag is unknown here or malformed.
    """
    if isinstance(plain, list):
        return [from_plain(item, decoders=decoders, serializer=serializer) for item in plain]
    if isinstance(plain, dict):
        decoded = {key: from_plain(item, decoders=decoders, serializer=serializer) for key, item in plain.items()}
        return decode_tag(decoded, decoders=decoders, serializer=serializer)
    return plain


def decode_tag(
    decoded: dict[str, object], *, decoders: Mapping[str, Decoder] = _NONE, serializer: str = "json"
) -> object:
    """Return the value of one JSON object whose members are decoded: itself, or what its tag stands for.

    `json.loads` can call this as its `object_hook`: it works from the inside out, too.

    Raises:
        SerializationError: If the tag is unknown here or malformed.
    """
    if TAG not in decoded:
        return decoded
    name = decoded[TAG]
    decode = (DECODERS.get(name) or decoders.get(name)) if isinstance(name, str) else None
    if decode is None:
        raise SerializationError(
            f"the {serializer} serializer cannot read a value of the type {shown(name)}: nothing in this program has"
            " registered that name; import the module that does (register_json_type) before reading",
            serializer=serializer,
            path="value",
        )
    try:
        return decode(decoded)
    except SerializationError:
        raise
    except Exception as error:
        raise SerializationError(
            f"the {serializer} serializer cannot read a value of the type {name!r} ({type(error).__name__}); its class"
            " may have changed since the value was written",
            serializer=serializer,
            path="value",
        ) from error


class _Walker:
    """Goes through one value. Paths cost nothing until something is refused: each level then adds its own step."""

    __slots__ = ("_encoder",)

    def __init__(self, encoder: Encoder | None) -> None:
        self._encoder = encoder

    def plain(self, value: object) -> object:
        if value is None:
            return None
        kind = type(value)
        encode = _PLAIN.get(kind)
        if encode is not None:
            return encode(value)
        container = _CONTAINERS.get(kind)
        if container is not None:
            return container(self, value)
        if self._encoder is not None and (encoded := self._encoder(value, self.step)) is not MISSING:
            return encoded
        if (scalar := library_scalar(value)) is not MISSING:
            return scalar
        return _refuse(value)

    def step(self, value: object, step: str) -> object:
        """Return the plain form of a part; the `walk` that encoders are given."""
        try:
            return self.plain(value)
        except Refusal as refusal:
            refusal.steps.append(step)
            raise

    def items(self, values: Iterable[object]) -> list[object]:
        done: list[object] = []
        try:
            for value in values:
                done.append(self.plain(value))  # noqa: PERF401  its length is the index of what is refused
        except Refusal as refusal:
            refusal.steps.append(f"[{len(done)}]")
            raise
        return done

    def list(self, value: object) -> object:
        values = cast("list[object]", value)
        return values if _is_plain(values) else self.items(values)

    def dict(self, value: object) -> object:
        members = cast("dict[object, object]", value)
        done: dict[str, object] = {}
        for key, item in members.items():
            if type(key) is not str or key == TAG or not is_utf8(key):
                return tag("dict", self._pairs(members))
            try:
                done[key] = self.plain(item)
            except Refusal as refusal:
                refusal.steps.append(key_step(key))
                raise
        return done

    def _pairs(self, members: Mapping[object, object]) -> object:
        pairs: list[object] = []
        for key, item in members.items():
            try:
                pairs.append([self.plain(key), self.plain(item)])
            except Refusal as refusal:
                refusal.steps.append(key_step(key))
                raise
        return pairs

    def tuple(self, value: object) -> object:
        return tag("tuple", self.items(cast("tuple[object, ...]", value)))

    def set(self, value: object) -> object:
        return tag("set", self._unordered(value))

    def frozenset(self, value: object) -> object:
        return tag("frozenset", self._unordered(value))

    def _unordered(self, value: object) -> object:
        try:
            done = [self.plain(item) for item in cast("set[object]", value)]
        except Refusal as refusal:
            refusal.steps.append("{...}")
            raise
        return sorted(done, key=_spelling)  # the order of a set depends on the process


_PLAIN: Final[Mapping[type, Callable[[object], object]]] = {
    str: cast("Callable[[object], object]", plain_str),
    int: cast("Callable[[object], object]", plain_int),
    float: cast("Callable[[object], object]", plain_float),
    bool: lambda value: value,
    **LEAF_ENCODERS,
}
_CONTAINERS: Final[Mapping[type, Callable[[_Walker, object], object]]] = {
    dict: _Walker.dict,
    list: _Walker.list,
    tuple: _Walker.tuple,
    set: _Walker.set,
    frozenset: _Walker.frozenset,
}


def _is_plain(values: list[object]) -> bool:
    """Return whether a list is plain as it is; only lists of one simple type are looked at, and those in C."""
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return not kinds
    kind = kinds.pop()
    if kind is int:
        numbers = cast("list[int]", values)
        return max(numbers) < _SMALL and min(numbers) > -_SMALL
    if kind is float:
        return all(map(isfinite, cast("list[float]", values)))
    if kind is str:
        return all(map(str.isascii, cast("list[str]", values)))
    return kind is bool or kind is type(None)


def _spelling(plain: object) -> str:
    return json.dumps(plain, sort_keys=True)


def _refuse(value: object) -> NoReturn:
    kind = type(value)
    if hasattr(kind, "get_secret_value"):
        raise Refusal(value, "secrets are never written into results; return what the secret was used for")
    if kind.__module__.partition(".")[0] == "numpy":
        raise Refusal(value, f"make it a Python value with .item() or .tolist(){OR_PICKLE}")
    raise Refusal(
        value,
        "turn it into plain data (numbers, text, lists, dicts, dates, ...), register its class with"
        f" entrepot.serializers.register_json_type{OR_PICKLE}",
    )
