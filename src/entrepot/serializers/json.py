"""JSON that people can read and that keeps types; see `tagged` for the form.

Classes take part through a registry of this process: a stored value holds only the registered name. Dataclasses, enums
and pydantic models need no more than a name; other classes bring two functions.
"""

import dataclasses
import enum
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, Protocol, Self, TypeVar, cast, overload

from entrepot._names import check_name
from entrepot._sentinels import MISSING, Missing
from entrepot.errors import InvalidNameError, PluginConflictError, SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._exact import is_exact
from entrepot.serializers.advice import OR_PICKLE
from entrepot.serializers.tagged import BUILTIN_TAGS, Decoder, Walk, decode_tag, tag, to_plain

__all__ = ["JSONSerializer", "register_json_type", "registered_json_types"]

C = TypeVar("C", bound=type)
T = TypeVar("T")

_TagEncoder = Callable[[object, Walk], object]

_lock: Final = threading.Lock()
_encoders: dict[type, _TagEncoder] = {}
_decoders: dict[str, Decoder] = {}
_classes: dict[str, type] = {}


class JSONSerializer:
    """Writes values as JSON, in UTF-8.

    Plain JSON data stays as it is. Dates, times, UUIDs, decimals, fractions, bytes, sets, tuples, paths, complex
    numbers, NaN, infinities, and dicts with other keys than strings are tagged and come back as they were; so are
    instances of classes registered with `register_json_type`. Anything else is refused: nothing comes back as
    something else.
    """

    name = "json"
    extension = "json"
    is_text = True
    reads_code = False

    def accepts(self, value: object) -> bool:
        """Return whether it is plain data that comes back exactly as it was, in any program: see `is_exact`."""
        return is_exact(value)

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the value's bytes.

        Raises:
            SerializationError: If it cannot be written; the message gives the path inside the value and the type.
        """
        plain = to_plain(value, encoder=_encode, serializer=self.name)
        try:
            text = _encoder.encode(plain)
        except (RecursionError, ValueError):  # ValueError: what json calls a circular reference
            raise SerializationError(
                "the json serializer cannot write this value: it contains itself, or is nested too deeply;"
                f" return flatter data{OR_PICKLE}",
                serializer=self.name,
                path="value",
            ) from None
        return [text.encode()]

    def loads(self, data: memoryview) -> object:
        """Return the value.

        Raises:
            SerializationError: If it is not JSON, or holds a type that is not registered here.
        """
        try:
            text = str(data, "utf-8")
            value, end = _decoder.raw_decode(text)  # `decode` looks for blanks around it, which we never write
            return value if end == len(text) else _decoder.decode(text)
        except (ValueError, RecursionError) as error:
            # Not chained: a JSONDecodeError holds the whole text.
            raise SerializationError(
                f"the json serializer cannot read this: it is not JSON, or nested too deeply ({type(error).__name__})",
                serializer=self.name,
                path="value",
            ) from None


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _encode(value: object, walk: Walk) -> object | Missing:
    encode = _encoders.get(type(value))
    return MISSING if encode is None else encode(value, walk)


def _decode(decoded: dict[str, object]) -> object:
    return decode_tag(decoded, decoders=_decoders)


# `json.dumps` and `json.loads` would make these anew for each call.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decoder = json.JSONDecoder(object_hook=_decode, parse_constant=_refuse_constant)


# --- the registry of classes --------------------------------------------------------------------------------------


@overload
def register_json_type(cls: str, /) -> Callable[[C], C]: ...


@overload
def register_json_type(cls: C, name: str, /) -> C: ...


@overload
def register_json_type(
    cls: type[T], name: str, /, *, encode: Callable[[T], object], decode: Callable[[object], T]
) -> type[T]: ...


def register_json_type(
    cls: type | str,
    name: str | None = None,
    /,
    *,
    encode: Callable[..., object] | None = None,
    decode: Callable[..., object] | None = None,
) -> object:
    """Let `JSONSerializer` write and read instances of a class, under a name.

    As a decorator, `@register_json_type("reading")`, or as a call, `register_json_type(Reading, "reading")`. The name
    is what stored values hold: it must stay when the class moves or is renamed. Subclasses are registered on their own.

    Dataclasses keep their fields and come back through their constructor; pydantic models keep their fields and come
    back through validation (private attributes are not kept); enum members keep their names.

    Args:
        cls: The class; or the name, in the decorator form.
        name: 1 to 100 characters of a-z, 0-9, - and _.
        encode: For other classes: gives a value that `JSONSerializer` can write.
        decode: The way back.

    Raises:
        InvalidNameError: If the name may not be one, or is that of a built-in type.
        PluginConflictError: If the name, or the class, is registered already as another.
        SerializationError: If the class is of no such kind, and `encode` and `decode` are not given.
    """
    if isinstance(cls, str):
        slug = cls

        def decorate(target: C) -> C:
            _register(target, slug, None, None)
            return target

        return decorate
    if name is None:
        raise InvalidNameError(f"register_json_type({cls.__qualname__}) needs a name as well", name="")
    _register(cls, name, encode, decode)
    return cls


def registered_json_types() -> list[type]:
    """Return the classes that are registered now."""
    with _lock:
        return list(_encoders)


def _register(cls: type, name: str, encode: Callable[..., object] | None, decode: Callable[..., object] | None) -> None:
    check_name(name, what="JSON type name")
    if name in BUILTIN_TAGS:
        raise InvalidNameError(f"the JSON type name {name!r} is built in; choose another", name=name)
    if encode is not None and decode is not None:
        encoder, decoder = _by_functions(name, encode, decode)
    elif encode is None and decode is None:
        encoder, decoder = _by_kind(cls, name)
    else:
        raise InvalidNameError(f"the JSON type {name!r} needs both `encode` and `decode`, or neither", name=name)
    with _lock:
        before = _classes.get(name)
        if before is not None and _identity(before) != _identity(cls):
            raise PluginConflictError(
                f"the JSON type name {name!r} is taken by {_identity(before)}; register {_identity(cls)} under another",
                group="entrepot JSON types",
                name=name,
                distributions=(_identity(before), _identity(cls)),
            )
        other = next((known for known, klass in _classes.items() if klass is cls and known != name), None)
        if other is not None:
            raise PluginConflictError(
                f"{_identity(cls)} is registered as the JSON type {other!r} already; a class has one name",
                group="entrepot JSON types",
                name=name,
                distributions=(_identity(cls),),
            )
        if before is not None:  # defined again: a notebook cell, a reload
            _encoders.pop(before, None)
        _classes[name], _encoders[cls], _decoders[name] = cls, encoder, decoder


def _identity(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _by_functions(
    name: str, encode: Callable[..., object], decode: Callable[..., object]
) -> tuple[_TagEncoder, Decoder]:
    return lambda value, walk: tag(name, walk(encode(value), "")), lambda tagged: decode(tagged["value"])


def _by_kind(cls: type, name: str) -> tuple[_TagEncoder, Decoder]:
    if issubclass(cls, enum.Enum):
        return _by_member(cls, name)
    if hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_fields"):  # pydantic is not imported for this
        return _by_model(cast("type[_Model]", cls), name)
    if dataclasses.is_dataclass(cls):
        return _by_fields(cls, name)
    raise SerializationError(
        f"{_identity(cls)} is no dataclass, enum or pydantic model: give register_json_type its `encode` and `decode`",
        serializer="json",
        path="value",
    )


def _by_member(cls: type[enum.Enum], name: str) -> tuple[_TagEncoder, Decoder]:
    if issubclass(cls, enum.Flag):  # combinations have no name of their own
        return lambda value, walk: tag(name, walk(cast("enum.Flag", value).value, ".value")), lambda tagged: cls(
            tagged["value"]
        )
    return lambda value, _: tag(name, cast("enum.Enum", value).name), lambda tagged: cls[cast("str", tagged["value"])]


def _by_fields(cls: type, name: str) -> tuple[_TagEncoder, Decoder]:
    given = [field.name for field in dataclasses.fields(cls) if field.init]
    own = [field.name for field in dataclasses.fields(cls) if not field.init]

    def encode(value: object, walk: Walk) -> object:
        present = [field for field in (*given, *own) if field in given or hasattr(value, field)]
        return tag(name, {field: walk(getattr(value, field), f".{field}") for field in present})

    def decode(tagged: dict[str, object]) -> object:
        members = dict(cast("dict[str, object]", tagged["value"]))
        later = {field: members.pop(field) for field in own if field in members}
        made = cls(**members)
        for field, member in later.items():
            object.__setattr__(made, field, member)  # frozen ones too
        return made

    return encode, decode


class _Model(Protocol):
    """The part of pydantic's BaseModel that is used here: this module must not import pydantic."""

    model_fields: ClassVar[Mapping[str, object]]
    model_extra: Mapping[str, object] | None
    model_fields_set: set[str]

    @classmethod
    def model_validate(cls, obj: object, *, by_alias: bool, by_name: bool) -> Self: ...


def _by_model(cls: type[_Model], name: str) -> tuple[_TagEncoder, Decoder]:
    is_root = bool(getattr(cls, "__pydantic_root_model__", False))

    def encode(value: object, walk: Walk) -> object:
        model = cast("_Model", value)
        present = vars(value)  # not getattr: a default of the class is not a value of this instance
        written = {field: walk(present[field], f".{field}") for field in cls.model_fields if field in present}
        more: dict[str, object] = {}
        if model.model_extra:
            more["extra"] = walk(dict(model.model_extra), "")
        if unset := sorted(written.keys() - model.model_fields_set):
            more["unset"] = unset
        return tag(name, written, **more)

    def decode(tagged: dict[str, object]) -> object:
        members = cast("dict[str, object]", tagged["value"]) | cast("dict[str, object]", tagged.get("extra", {}))
        made = cls.model_validate(members["root"] if is_root else members, by_alias=False, by_name=True)
        made.model_fields_set.difference_update(cast("list[str]", tagged.get("unset", [])))
        return made

    return encode, decode
