"""Blocks as plain JSON: the bodies of documents, with secrets in clear (they are sealed next).

Fields are walked as they are, not through `model_dump`: a serializer of the user's own does not get in between, and
secrets stay secrets. On top of the tags of `entrepot.serializers.tagged` there are these::

    secret-str, secret-bytes     value
    secret-reference, secret-bytes-reference   value: where the secret is, `env://NAME`
    secret                       value; class: which secret type, unless it is pydantic's Secret
    typed                        value; class: a model, dataclass, enum, ... that the annotations of the block name
    block                        value: fields; slug: a nested block that was not saved, or was changed since;
                                 schema_version: of its class, where that is not 1
    block-ref                    slug, name: a nested block that was saved

`blocks._decoding` reads them. What would not come back as it was is refused when it is saved.
"""

import base64
import dataclasses
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from entrepot.blocks._annotations import facts_of
from entrepot.blocks._decoding import ADDRESSES, LISTS, REFERENCES, SCALARS, Misfit, decode_fields, members
from entrepot.blocks._plain import has_secret
from entrepot.blocks._references import AnyReference
from entrepot.blocks.fields import MASK, MASKS, is_mask, is_secret
from entrepot.errors import EntrepotError, SecretMaskError, SerializationError
from entrepot.serializers.tagged import TAG, Refusal, Walk, tag, to_plain

if TYPE_CHECKING:
    from entrepot.blocks.core import Block

__all__ = ["Reference", "encode_checked", "encode_fields"]

Reference = Callable[["Block"], tuple[str, str] | None]
"""Gives slug and name of a nested block that was saved and is unchanged, or None."""

Veil = Callable[[object], object]
"""Gives what stands for a secret in an identity, from the plain form of the secret."""

_MASKED_BYTES: Final = frozenset(base64.b64encode(mask.encode()).decode() for mask in MASKS)


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
        fields, others = members(body), members(again)
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
        if self._veil is None and isinstance(value, AnyReference):
            return tag(REFERENCES[cls], value.reference)
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
            if cls._schema_version != 1 and self._veil is None:  # an identity is of the fields alone
                more["schema_version"] = cls._schema_version
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
    if isinstance(value, ADDRESSES) or hasattr(type(value), "unicode_string"):  # the second: pydantic's URLs
        return str(value)
    bases: tuple[tuple[Any, Any], ...] = (*zip(SCALARS, SCALARS, strict=True), (dict, dict), (LISTS, list))
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


# --- masks --------------------------------------------------------------------------------------------------------


def _find_mask(cls: type[BaseModel], body: Mapping[str, object]) -> str | None:
    """Return the path of the first mask in a place where a secret could be."""
    facts = facts_of(cls)
    for name, value in members(body).items():
        if facts.fields[name].secret or facts.fields[name].open or has_secret(value):
            for path in _masks(value):
                return name + path
    for path in _masks(body.get("extra")):
        return path.removeprefix(".")
    return None


def _masks(plain: object) -> Iterator[str]:
    if isinstance(plain, str) and (is_mask(plain) or plain in _MASKED_BYTES):
        yield ""
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from (f"[{index}]{path}" for path in _masks(value))
    elif isinstance(plain, dict):
        within = plain.get(TAG)
        for key, value in plain.items():
            step = "" if within is not None else f".{key}" if key.isidentifier() else f"[{key!a}]"
            yield from (step + path for path in _masks(value))
