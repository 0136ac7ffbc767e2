"""Blocks from the plain JSON that `blocks._encoding` made of them.

Data never chooses code: `slug` is looked up among registered blocks, `class` among the classes that the block's own
annotations name.
"""

import dataclasses
import enum
import ipaddress
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core.core_schema import ErrorType

from entrepot.blocks._annotations import ClassFacts, facts_of
from entrepot.blocks._lookups import made_for
from entrepot.blocks._references import SecretBytesReference, SecretReference
from entrepot.blocks.migrations import migrations_of
from entrepot.errors import EntrepotError, SerializationError
from entrepot.plugins import BLOCKS
from entrepot.serializers.tagged import TAG, decode_tag

if TYPE_CHECKING:
    from entrepot.blocks.core import Block

__all__ = [
    "ADDRESSES",
    "LISTS",
    "REFERENCES",
    "SCALARS",
    "Misfit",
    "Resolve",
    "decode_fields",
    "decode_value",
    "kind_of",
    "members",
    "migrated",
    "newer",
    "quietly",
]

T = TypeVar("T")

Resolve = Callable[[str, str], "Block"]
"""Gives the block that a reference names."""

ADDRESSES: Final = (
    ipaddress.IPv4Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Address,
    ipaddress.IPv6Interface,
    ipaddress.IPv6Network,
)
SCALARS: Final = (int, float, str, bytes)
REFERENCES: Final[Mapping[type, str]] = {
    SecretReference: "secret-reference",
    SecretBytesReference: "secret-bytes-reference",
}
"""The tags of secrets that are kept as where they are."""

LISTS: Final = (list, tuple, set, frozenset, deque)
_BY_CALL: Final = (enum.Enum, *SCALARS, *LISTS, *ADDRESSES)
_MOST: Final = 1_000_000
_QUOTING: Final = frozenset(
    {"assertion_error", "get_attribute_error", "iteration_error", "mapping_type", "union_tag_invalid", "value_error"}
)
"""Errors whose messages may quote the value, or be somebody's own words about it."""

_PLAIN_ERRORS: Final = frozenset(get_args(ErrorType)) - _QUOTING
_NO_CLASSES: Final = ClassFacts({}, {}, frozenset(), frozenset())


class Misfit(Exception):  # noqa: N818  it never leaves the blocks: `load` makes a BlockSchemaError of it
    """Fields do not fit a class, or blocks each other. The message names fields, never values.

    Args:
        message: What does not fit.
        missing: Fields that the class requires and that are not there.
        unknown: Fields that are there and that the class does not know.
        refused: Fields whose values the class refuses.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        unknown: Sequence[str] = (),
        refused: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.missing, self.unknown, self.refused = tuple(missing), tuple(unknown), tuple(refused)


def decode_fields(
    cls: "type[Block]", body: Mapping[str, object], resolve: Resolve, *, version: int | None = None
) -> "Block":
    """Return the block of a body.

    Args:
        cls: Its class.
        body: What `encode_fields` gave.
        resolve: Gives the nested blocks that are written by name.
        version: The schema version under which it was written; None stands for that of the class.

    Raises:
        Misfit: If the fields do not fit the class.
        SerializationError: If a value is of a type that nothing here knows.
    """
    old = version is not None and version < cls._schema_version and bool(migrations_of(cls))
    given, problems = _values(body, facts_of(cls), resolve, _decode_old if old else _decode)
    lost = members(body).keys() - given.keys()
    if old and not problems:
        given = migrated(cls, given, cast("int", version))
    infos = cls.__pydantic_fields__
    missing = [name for name, info in infos.items() if info.is_required() and name not in given and name not in lost]
    if missing:
        problems.append(f"it lacks {_named(missing)}, which the class requires")
    takes_more = cls.model_config.get("extra") == "allow"
    unknown = [] if takes_more else [name for name in [*lost, *given] if name not in infos]
    if unknown:
        problems.append(f"it has {_named(unknown)}, which the class does not know")
    refused: list[str] = []
    if not problems:
        try:
            return cls.model_validate(given, by_alias=False, by_name=True)
        except ValidationError as error:
            problems += _refused(error)
            refused = _refused_fields(error)
        except EntrepotError:
            raise
        except Exception as error:  # noqa: BLE001  as in `_values`
            problems.append(f"a validator of the class raised {kind_of(error)}")
    raise Misfit("; ".join(problems), missing=missing, unknown=unknown, refused=refused)


def decode_value(cls: "type[Block]", plain: object, resolve: Resolve) -> object:
    """Return one value of a block of a class from its plain form; raises as `decode_fields`, and what classes raise."""
    return _decode(plain, facts_of(cls), resolve)


def members(body: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a body, plain."""
    fields = body["fields"]
    return fields if isinstance(fields, dict) else {}


def _values(
    body: Mapping[str, object],
    facts: ClassFacts,
    resolve: Resolve,
    decode: Callable[[object, ClassFacts, Resolve], object],
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of fields and extra fields, and what is wrong with those that are left out."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in [*members(body).items(), ("", body.get("extra", {}))]:
        try:
            given[name] = decode(value, facts, resolve)
        except (Misfit, EntrepotError):
            raise
        except Exception as error:  # noqa: BLE001  what validators and constructors of users raise shows values
            problems.append(f"what it has for {name or 'its extra fields'} cannot be made again ({kind_of(error)})")
    return given | given.pop("", {}), problems


def migrated(cls: "type[Block]", fields: dict[str, Any], version: int) -> dict[str, Any]:
    """Return fields after each step from a version to that of the class.

    Raises:
        Misfit: If a step fails.
    """
    for start, step in sorted(migrations_of(cls).items()):
        if start < version or start >= cls._schema_version:
            continue
        try:
            made = step(fields)
        except EntrepotError:
            raise
        except Exception as error:  # noqa: BLE001  of the user: its words may show values
            problem = f"the migration from version {start}, {step.__qualname__}, raised {kind_of(error)}"
        else:
            fields = fields if made is None else made
            if isinstance(fields, dict) and all(isinstance(name, str) for name in fields):
                continue
            problem = f"the migration from version {start}, {step.__qualname__}, did not return the fields as a dict"
        raise Misfit(problem)
    return fields


def _decode_old(value: object, facts: ClassFacts, resolve: Resolve) -> object:
    """Return a value for a migration: what its class no longer takes stays plain, for the migration to make."""
    try:
        return _decode(value, facts, resolve)
    except (Misfit, EntrepotError):
        raise
    except Exception:  # noqa: BLE001  of a class of the user's
        return _decode(value, _NO_CLASSES, resolve)


def newer(cls: "type[Block]", version: int) -> str:
    """Return what to say of a block that was saved by a newer class than the one that is here."""
    return (
        f"it was saved under schema version {version}, and the class {cls.__module__}.{cls.__qualname__} here knows"
        f" versions up to {cls._schema_version}"
    )


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
        what = f"what it has for {field}" if field else "the fields together"
        yield f"the class refuses {what} ({detail['msg'] if detail['type'] in _PLAIN_ERRORS else detail['type']})"


def _refused_fields(error: ValidationError) -> list[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return list(dict.fromkeys(str(detail["loc"][0]) for detail in details if detail["loc"]))


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
    made = decode_tag(members, serializer="block")
    if _is_vast(made):
        raise Misfit(f"it has a {type(made).__name__} that stands for more than {_MOST:,} items or digits")
    return made


def _is_vast(value: object) -> bool:
    """Return whether a few bytes stand for more than memory holds, as soon as a field of another type unfolds them.

    `range(10**12)` for a list, say, or `Decimal("1e999999999")` for a whole number.
    """
    if isinstance(value, range):
        return abs(value.stop - value.start) > _MOST * abs(value.step)
    if isinstance(value, int):
        return value.bit_length() > _MOST
    return isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > _MOST


def _decode_block(plain: dict[str, Any], resolve: Resolve) -> object:
    slug = str(plain["slug"])
    with made_for():  # what a module makes as it is imported is no part of this block
        cls: type[Block] = BLOCKS.get(slug)
    version = plain.get("schema_version", 1)
    body = {"fields": plain["value"], "extra": plain.get("extra", {})}
    try:
        if version > cls._schema_version:
            raise Misfit(newer(cls, version))  # noqa: TRY301  one way out
        return decode_fields(cls, body, resolve, version=version)
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
    "secret-reference": lambda members, _: SecretReference(str(members["value"])),
    "secret-bytes-reference": lambda members, _: SecretBytesReference(str(members["value"])),
    "secret": _decode_secret,
    "typed": _decode_typed,
}


def quietly(call: Callable[[], T]) -> "T | EntrepotError | Misfit":
    """Return what a call returns, or the error that it raises, without its frames: those have secrets in them."""
    try:
        return call()
    except (EntrepotError, Misfit) as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  of users: a property, a validator; its frames and words show values
        where = kind_of(error)
    return SerializationError(
        f"a block could not be read or written: its class raised {where}", serializer="block", path="value"
    )
