"""Blocks as plain JSON and back: the bodies of documents, with secrets in clear (they are sealed next).

Fields are walked as they are, not through `model_dump`: a serializer of the user's own does not get in between, and
secrets stay secrets. On top of the tags of `entrepot.serializers.tagged` there are these::

    secret-str, secret-bytes     value
    secret                       value; class: which secret type, unless it is pydantic's Secret
    typed                        value; class: a model, dataclass, enum, ... that the annotations of the block name
    block                        value: fields; slug: a nested block that was not saved, or was changed since
    block-ref                    slug, name: a nested block that was saved

Data never chooses code: `slug` is looked up among registered blocks, `class` among the classes that the block's own
annotations name. What would not come back as it was is refused when it is saved.
"""

import base64
import dataclasses
import enum
import ipaddress
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError

from entrepot.blocks._annotations import ClassFacts, facts_of
from entrepot.blocks.fields import MASK, is_mask, is_secret
from entrepot.errors import EntrepotError, SecretMaskError, SerializationError
from entrepot.plugins import BLOCKS
from entrepot.serializers.tagged import TAG, Refusal, Walk, decode_tag, tag, to_plain

if TYPE_CHECKING:
    from entrepot.blocks.core import Block

__all__ = ["Misfit", "Reference", "Resolve", "decode_fields", "encode_checked", "encode_fields", "kind_of"]

Reference = Callable[["Block"], tuple[str, str] | None]
"""Gives slug and name of a nested block that was saved and is unchanged, or None."""

Resolve = Callable[[str, str], "Block"]
"""Gives the block that a reference names."""

Veil = Callable[[object], object]
"""Gives what stands for a secret in an identity, from the plain form of the secret."""

_ADDRESSES: Final = (
    ipaddress.IPv4Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Address,
    ipaddress.IPv6Interface,
    ipaddress.IPv6Network,
)
_SCALARS: Final = (int, float, str, bytes)
_LISTS: Final = (list, tuple, set, frozenset, deque)
_BY_CALL: Final = (enum.Enum, *_SCALARS, *_LISTS, *_ADDRESSES)
_MASK_BYTES: Final = base64.b64encode(MASK.encode()).decode()


class Misfit(Exception):  # noqa: N818  it never leaves the blocks: `load` makes a BlockSchemaError of it
    """Fields do not fit a class, or blocks each other. The message names fields, never values."""


# --- writing ------------------------------------------------------------------------------------------------------


def encode_checked(block: "Block", reference: Reference) -> dict[str, object]:
    """Return the body of a block that is about to be saved, after seeing that it comes back as it is.

    Raises:
        SecretMaskError: If a secret is the mask that stands for secrets.
        SerializationError: If a field cannot be kept, or would come back as something else.
    """
    cls = type(block)
    named: dict[tuple[str, str], Block] = {}

    def remember(nested: "Block") -> tuple[str, str] | None:
        known = reference(nested)
        if known is not None:
            named[known] = nested
        return known

    body = encode_fields(block, remember)
    path = _find_mask(cls, body)
    if path is not None:
        raise SecretMaskError(
            f"{cls.__name__}.{path} is {MASK!r}: that is what stands for a secret where secrets are not shown, not the"
            " secret itself; give the secret, or leave the saved block as it is",
            field=path,
        )
    try:
        again = encode_fields(decode_fields(cls, body, lambda slug, name: named[slug, name]), remember)
    except (Misfit, EntrepotError) as misfit:
        why = f": {misfit}"
    else:
        if again == body:
            return body
        fields, others = _members(body), _members(again)
        changed = [name for name in fields if others.get(name) != fields[name]] or ["its extra fields"]
        why = f" ({', '.join(changed)})"
    raise SerializationError(
        f"{cls.__name__} cannot be saved: it would not come back as it is{why}; annotate each field with the class of"
        " its value, and let validators accept what they return",
        serializer="block",
        path="value",
    )


def encode_fields(block: "Block", reference: Reference, *, veil: Veil | None = None) -> dict[str, object]:
    """Return the body of a block: its fields and extra fields as plain JSON.

    Args:
        block: Any block.
        reference: Says which nested blocks are written by name.
        veil: What to write for secrets; without it they are written in clear.

    Raises:
        SerializationError: If a field cannot be written; the message gives its path and what to do.
    """
    cls = type(block)
    encoder = _Encoder(cls, reference, veil)
    fields: dict[str, object] = {}
    for name in cls.__pydantic_fields__:
        if name in vars(block):  # what was made by model_construct may lack some
            fields[name] = _plain(cls, name, vars(block)[name], encoder)
    body: dict[str, object] = {"fields": fields}
    if block.model_extra:
        body["extra"] = _plain(cls, "", dict(block.model_extra), encoder)
    return body


def _plain(cls: type, name: str, value: object, encoder: "_Encoder") -> object:
    try:
        return to_plain(value, encoder=encoder, serializer="block")
    except SerializationError as error:
        path, said = error.path.replace("value", name, 1).strip("."), str(error)
        kind, _, why = said.removeprefix(f"the block serializer cannot write {error.path}, a ").partition(": ")
        if kind.startswith("the block serializer"):
            what = "it contains itself, or is nested too deeply; keep flatter data"
        else:
            what = f"it is a {kind}, and {why}"
    path = path or "extra fields"
    raise SerializationError(f"{cls.__name__}.{path} cannot be saved: {what}", serializer="block", path=path)


class _Encoder:
    """Writes what is not of a built-in type."""

    def __init__(self, cls: type[BaseModel], reference: Reference, veil: Veil | None) -> None:
        self._facts = [facts_of(cls)]  # of the block whose fields are being walked, the innermost last
        self._reference = reference
        self._veil = veil

    def __call__(self, value: object, walk: Walk) -> object:
        if is_secret(value):
            return self._secret(value, walk)
        if _is_block(type(value)):
            return self._block(value, walk)  # type: ignore[arg-type]
        cls = type(value)
        more = {} if (name := self._facts[-1].name_of(cls)) is None else {"class": name}
        if isinstance(value, BaseModel):
            if value.model_extra:
                more["extra"] = walk(dict(value.model_extra), "")  # type: ignore[assignment]
            return tag("typed", _fields(value, cls.__pydantic_fields__, walk), **more)  # type: ignore[attr-defined]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return tag("typed", _fields(value, [field.name for field in dataclasses.fields(value)], walk), **more)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return tag("typed", _fields(value, value._fields, walk), **more)
        return tag("typed", walk(_simple(value), ""), **more)

    def _secret(self, value: object, walk: Walk) -> object:
        cls = type(value)
        inner = walk(value.get_secret_value(), "")  # type: ignore[attr-defined]
        if self._veil is not None:
            return tag("secret", self._veil(inner))
        if cls is SecretStr:
            return tag("secret-str", inner)
        if cls is SecretBytes:
            return tag("secret-bytes", inner)
        if cls is Secret:
            return tag("secret", inner)
        name = self._facts[-1].name_of(cls)
        if name is None:
            raise Refusal(value, f"annotate the field with {cls.__qualname__}, or use SecretStr, SecretBytes or Secret")
        return tag("secret", inner, **{"class": name})

    def _block(self, block: "Block", walk: Walk) -> object:
        known = self._reference(block)
        if known is not None:
            return {TAG: "block-ref", "slug": known[0], "name": known[1]}
        cls = type(block)
        self._facts.append(facts_of(cls))
        try:
            more = {"extra": walk(dict(block.model_extra), "")} if block.model_extra else {}
            fields = _fields(block, cls.__pydantic_fields__, walk)
            return tag("block", fields, slug=cls.get_block_type_slug(), **more)
        finally:
            self._facts.pop()


def _fields(value: object, names: Any, walk: Walk) -> dict[str, object]:
    return {name: walk(getattr(value, name), f".{name}") for name in names if hasattr(value, name)}


def _simple(value: object) -> object:
    """Return what a value of a derived or special class is written as."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, re.Pattern) and value.flags == re.compile(value.pattern).flags:
        return value.pattern
    if isinstance(value, _ADDRESSES) or hasattr(type(value), "unicode_string"):  # the second: pydantic's URLs
        return str(value)
    bases: tuple[tuple[Any, Any], ...] = (*zip(_SCALARS, _SCALARS, strict=True), (dict, dict), (_LISTS, list))
    for kind, plain in bases:
        if isinstance(value, kind):
            return plain(value)
    raise Refusal(
        value,
        "blocks keep plain data (numbers, text, lists, dicts, dates, paths, ...), secrets, other blocks, and pydantic"
        " models, dataclasses and enums that the annotations name; keep what it is made from instead",
    )


def _is_block(cls: type) -> bool:
    return hasattr(cls, "get_block_type_slug")


def _members(body: Mapping[str, object]) -> dict[str, object]:
    fields = body["fields"]
    return fields if isinstance(fields, dict) else {}


# --- masks --------------------------------------------------------------------------------------------------------


def _find_mask(cls: type[BaseModel], body: Mapping[str, object]) -> str | None:
    """Return the path of the first mask in a place where a secret could be."""
    facts = facts_of(cls)
    for name, value in _members(body).items():
        if facts.fields[name].secret or facts.fields[name].open or _has_secret(value):
            for path in _masks(value):
                return name + path
    for path in _masks(body.get("extra")):
        return path.removeprefix(".")
    return None


def _has_secret(plain: object) -> bool:
    if isinstance(plain, list):
        return any(map(_has_secret, plain))
    if isinstance(plain, dict):
        return str(plain.get(TAG)).startswith("secret") or any(map(_has_secret, plain.values()))
    return False


def _masks(plain: object) -> Iterator[str]:
    if is_mask(plain) or plain == _MASK_BYTES:
        yield ""
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from (f"[{index}]{path}" for path in _masks(value))
    elif isinstance(plain, dict):
        within = plain.get(TAG)
        for key, value in plain.items():
            step = "" if within is not None else f".{key}" if key.isidentifier() else f"[{key!a}]"
            yield from (step + path for path in _masks(value))


# --- reading ------------------------------------------------------------------------------------------------------


def decode_fields(cls: "type[Block]", body: Mapping[str, object], resolve: Resolve) -> "Block":
    """Return the block of a body.

    Args:
        cls: Its class.
        body: What `encode_fields` gave.
        resolve: Gives the nested blocks that are written by name.

    Raises:
        Misfit: If the fields do not fit the class.
        SerializationError: If a value is of a type that nothing here knows.
    """
    facts = facts_of(cls)
    infos = cls.__pydantic_fields__
    problems: list[str] = []
    given: dict[str, Any] = {}
    for name, value in [*_members(body).items(), ("", body.get("extra", {}))]:
        try:
            given[name] = _decode(value, facts, resolve)
        except (Misfit, EntrepotError):
            raise
        except Exception as error:  # noqa: BLE001  what validators and constructors of users raise shows values
            problems.append(f"what it has for {name or 'its extra fields'} cannot be made again ({kind_of(error)})")
    extra = given.pop("", {})
    missing = [name for name, info in infos.items() if info.is_required() and name not in _members(body)]
    if missing:
        problems.append(f"it lacks {_named(missing)}, which the class requires")
    unknown = [name for name in [*given, *extra] if name not in infos]
    if unknown and cls.model_config.get("extra") != "allow":
        problems.append(f"it has {_named(unknown)}, which the class does not know")
    if not problems:
        try:
            return cls.model_validate({**given, **extra}, by_alias=False, by_name=True)
        except ValidationError as error:
            problems += _refused(error)
        except EntrepotError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            problems.append(f"a validator of the class raised {kind_of(error)}")
    raise Misfit("; ".join(problems))


def kind_of(error: Exception) -> str:
    """Return what is safe to show of somebody else's exception: what it is, and where it was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = "" if traceback is None else f" in {traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
    return type(error).__name__ + where


def _named(fields: list[str]) -> str:
    return f"the field{'s' if len(fields) > 1 else ''} {', '.join(fields)}"


def _refused(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        field = str(detail["loc"][0]) if detail["loc"] else ""
        yield f"the class refuses {f'what it has for {field}' if field else 'the fields together'} ({detail['type']})"


def _decode(plain: object, facts: ClassFacts, resolve: Resolve) -> object:
    if isinstance(plain, list):
        return [_decode(item, facts, resolve) for item in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(TAG)
    if kind == "block":
        return _decode_block(plain, resolve)
    if kind == "block-ref":
        return resolve(str(plain["slug"]), str(plain["name"]))
    members = {key: _decode(item, facts, resolve) for key, item in plain.items()}
    if kind in _DECODERS:
        return _DECODERS[kind](members, facts)
    return decode_tag(members, serializer="block")


def _decode_block(plain: dict[str, Any], resolve: Resolve) -> object:
    slug = str(plain["slug"])
    cls = BLOCKS.get(slug)
    try:
        return decode_fields(cls, {"fields": plain["value"], "extra": plain.get("extra", {})}, resolve)
    except Misfit as misfit:
        problem = f"in the {slug} block inside it, {misfit}"
    raise Misfit(problem)


def _decode_secret(members: dict[str, object], facts: ClassFacts) -> object:
    if "class" not in members:
        return Secret(members["value"])
    cls = facts.classes.get(str(members["class"]))
    if cls is None or not hasattr(cls, "get_secret_value"):
        return Secret(members["value"])  # the class has gone: what stands in its place may take it
    return cls(members["value"])


def _decode_typed(members: dict[str, object], facts: ClassFacts) -> object:
    value = members["value"]
    cls = facts.classes.get(str(members.get("class")))
    if isinstance(value, dict):
        return _decode_members(cls, value | cast("dict[str, object]", members.get("extra", {})))
    if cls is not None and (issubclass(cls, _BY_CALL) or hasattr(cls, "unicode_string")):
        return cast("Callable[[object], object]", cls)(value)
    return value  # the annotation of the field says what becomes of it


def _decode_members(cls: type | None, value: dict[str, object]) -> object:
    if cls is None:
        return value
    if issubclass(cls, BaseModel):
        fields = value["root"] if cls.__pydantic_root_model__ else value
        return cls.model_validate(fields, by_alias=False, by_name=True)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, value)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return cls(**value)
    if issubclass(cls, dict) and not issubclass(cls, defaultdict):  # the factory of a defaultdict is in the annotation
        return cls(value)
    return value


def _dataclass(cls: type, value: dict[str, object]) -> object:
    """Make a dataclass from its fields; those that the class has lost are for validation to complain about."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if value.keys() - fields.keys():
        return value
    made: object = cls(**{name: each for name, each in value.items() if fields[name].init})
    for name, each in value.items():
        if not fields[name].init:
            object.__setattr__(made, name, each)  # frozen ones too
    return made


_DECODERS: Final[Mapping[object, Callable[[dict[str, object], ClassFacts], object]]] = {
    "secret-str": lambda members, _: SecretStr(str(members["value"])),
    "secret-bytes": lambda members, _: SecretBytes(members["value"]),  # type: ignore[arg-type]
    "secret": _decode_secret,
    "typed": _decode_typed,
}
