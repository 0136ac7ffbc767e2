"""Values of blocks as people write them down, in files and variables: read, and written.

A secret field takes a reference (`env://NAME`), a field for blocks takes `block://type/name`, and what has a tag
(`$type`) is read as in the sealed body. Fields that say an older schema version than that of the class go through its
migrations first.
"""

import base64
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from pydantic import SecretBytes, SecretStr, ValidationError

from entrepot.blocks._annotations import FieldFacts, facts_of
from entrepot.blocks._decoding import REFERENCES, Misfit, decode_value, migrated, newer, quietly
from entrepot.blocks._files import SCHEMA_VERSION, split_version
from entrepot.blocks._references import (
    SEALED_AT_APPLY,
    AnyReference,
    SecretBytesReference,
    SecretReference,
    is_reference,
    resolve,
)
from entrepot.blocks.core import Block
from entrepot.blocks.fields import is_secret, reasons
from entrepot.errors import BlockFileError, EntrepotError, SerializationError
from entrepot.plugins import SECRET_SOURCES
from entrepot.serializers.tagged import TAG

__all__ = ["ANYTHING", "Writer", "make_block", "variables_in"]


class Lookup(Protocol):
    """Gives the secret of a reference."""

    def __call__(self, reference: str, *, where: str) -> str | None:
        """Return the secret, or None to leave the reference as it is; `where` is whose it is, for messages."""
        ...


ANYTHING: Final = FieldFacts(secret=False, open=True, bare=None, keys=frozenset())
"""Of a field that nothing is known of."""

_GONE: Final = FieldFacts(secret=True, open=True, bare=None, keys=frozenset())
"""Of a field that the class had once."""

_BLOCK: Final = "block://"
_AMBIGUOUS: Final = frozenset({"file", "block"})  # schemes of references that are those of other things as well
_VARIABLE: Final = "env://"
_PLAIN_SECRETS: Final = frozenset({"secret-str", "secret-bytes"})
_SIMPLE: Final = frozenset(
    {"typed", "tuple", "set", "frozenset", "datetime", "date", "time", "uuid", "decimal", "path"}
)
"""Tags of what a field that is annotated with its class makes again of the value alone."""

_NO_LETTERS: Final = re.compile(r"[^A-Z0-9]+")


def make_block(
    cls: type[Block],
    fields: Mapping[str, object],
    *,
    where: str,
    inner: Callable[[str], Block],
    clear: bool = False,
    lookup: Lookup | None = resolve,
) -> Block:
    """Return a block of fields that people wrote down.

    Args:
        cls: Its class.
        fields: By name or alias; in the place of secrets, references. Beside them may stand the schema version that
            they are of; without it they are of that of the class.
        where: What the block is called in messages.
        inner: Gives the block that `block://type/name` names.
        clear: Whether secrets may be there in clear.
        lookup: Gives the secret of a reference to a variable or a file; without it, those too stay references.

    Raises:
        BlockFileError: If they do not make one; the message names fields and reasons, never values.
    """
    made = quietly(functools.partial(_make, cls, fields, where, inner, clear=clear, lookup=lookup))
    del fields
    if isinstance(made, Block):
        return made
    if isinstance(made, EntrepotError) and not isinstance(made, SerializationError):
        raise made
    raise BlockFileError(f"{where} cannot be made: {made}", path="")


def variables_in(cls: type[Block], fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what `make_block` would look up in the environment: where it stands, and the reference."""
    by_key = {key: one for one in facts_of(cls).fields.values() for key in one.keys}
    version = fields.get(SCHEMA_VERSION)
    is_old = isinstance(version, int) and version < cls._schema_version
    for name, value in fields.items():
        yield from _variables(value, is_secret=by_key.get(name, _GONE if is_old else ANYTHING).secret, path=name)


def _variables(value: object, *, is_secret: bool, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if is_secret and value.startswith(_VARIABLE):
            yield path, value
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _variables(each, is_secret=is_secret, path=f"{path}[{index}]")
    elif isinstance(value, dict):
        kind = value.get(TAG)
        if kind in REFERENCES.values():
            return
        tagged = kind is not None
        is_secret = str(kind).startswith("secret") if tagged else is_secret
        for key, each in value.items():
            yield from _variables(each, is_secret=is_secret, path=path if tagged else f"{path}.{key}")


def _make(
    cls: type[Block],
    fields: Mapping[str, object],
    where: str,
    inner: Callable[[str], Block],
    *,
    clear: bool,
    lookup: Lookup | None,
) -> Block:
    version, fields = split_version(fields, where)
    facts = facts_of(cls).fields
    by_key = {key: one for one in facts.values() for key in one.keys}
    reader = _Reader(cls, inner, where, lookup)
    hint = ""
    if version is not None and version > cls._schema_version:
        raise BlockFileError(
            f"{where} is written for a newer class: {newer(cls, version)}; upgrade the package that has the class, or"
            " write the block as that version takes it",
            path="",
        )
    if version is not None and version < cls._schema_version:
        values = _brought_up(cls, fields, version, reader, where)
    else:
        if version is None and cls._schema_version > 1:
            hint = f'; if it was written for an older version of the class, say so: "{SCHEMA_VERSION}" = 1'
        values = {name: reader.value(value, by_key.get(name, ANYTHING), name) for name, value in fields.items()}
    unknown = [name for name in values if name not in by_key]
    if unknown and cls.model_config.get("extra") != "allow":
        raise BlockFileError(f"{where}: no field named {unknown[0]!a}; known: {', '.join(facts)}{hint}", path="")
    try:
        made = cls.model_validate(values, by_alias=True, by_name=True)
    except ValidationError as error:
        raise BlockFileError(f"{where}: {'; '.join(reasons(error))}{hint}", path="") from None
    bare = "" if clear else reader.in_clear(made)
    if bare:
        schemes = ", ".join(f"{scheme}://..." for scheme in SECRET_SOURCES.names())
        raise BlockFileError(
            f"{where}: the secret of the field {bare} is in clear, and files are read by many: put it into a variable"
            f" or a file, and write a reference here: {schemes} (if it was a real secret, change it)",
            path="",
        )
    return made


def _brought_up(
    cls: type[Block], fields: Mapping[str, object], version: int, reader: "_Reader", where: str
) -> dict[str, Any]:
    """Return the fields of an older schema version, by name, as those of the class.

    What the class does not know any more has no annotation here that says what it holds: a reference is taken for a
    secret there, and what could be another thing (a URL of a file, a block) goes through the migrations as a text. It
    is a reference, or a block, if it ends in a field for such.
    """
    facts = facts_of(cls).fields
    names = {key: name for name, one in facts.items() for key in one.keys}
    given: dict[str, Any] = {}
    for key, value in fields.items():
        known = facts.get(names.get(key, ""))
        given[names.get(key, key)] = reader.value(value, known or _GONE, key)
    try:
        made = migrated(cls, given, version)
    except Misfit as misfit:
        raise BlockFileError(
            f"{where} is of schema version {version}, and cannot be brought to version {cls._schema_version}: {misfit};"
            " in a file a value is what stands there (a time is a text): mend the migration, or write the block as the"
            " class takes it now",
            path="",
        ) from None
    return {name: reader.again(value, facts.get(name, ANYTHING), name) for name, value in made.items()}


class _Reader:
    """Makes values of what stands in a file, and remembers which texts were there in clear."""

    def __init__(self, cls: type[Block], inner: Callable[[str], Block], where: str, lookup: Lookup | None) -> None:
        self._lookup = lookup
        self._cls = cls
        self._inner = inner
        self._where = where
        self._known: list[Block] = []  # blocks that came by name
        self._clear: set[str | bytes] = set()
        self._bare = ""

    def value(self, value: object, facts: FieldFacts, path: str) -> object:
        if isinstance(value, str):
            return self._text(value, facts, path)
        if isinstance(value, list):
            return [self.value(each, facts, f"{path}[{index}]") for index, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if TAG not in value:
            return {key: self.value(each, facts, f"{path}.{key}") for key, each in value.items()}
        plain = self._plain(value, path)
        try:
            return decode_value(self._cls, plain, lambda slug, name: self._block(f"{slug}/{name}"))
        except Misfit as misfit:
            raise BlockFileError(f"{self._where}: {path} cannot be made: {misfit}", path="") from None

    def again(self, value: object, facts: FieldFacts, path: str) -> object:
        """Return what a migration left in a field: what is still a text there is read as what the field takes."""
        if isinstance(value, str) and "://" not in value and value not in self._clear:
            return value  # of the migration's own
        if isinstance(value, str | list | dict) and (facts.secret or facts.block):
            return self.value(value, facts, path)
        if facts.bare is SecretBytes and isinstance(value, SecretReference):
            return SecretBytesReference(value.reference)
        if facts.bare is SecretBytes and isinstance(value, SecretStr):
            return SecretBytes(value.get_secret_value().encode())
        return value

    def in_clear(self, block: Block) -> str:
        """Return the name of a field that holds a secret which stood there as it is; "" if there is none."""
        if self._bare:
            return self._bare
        for name, value in {**vars(block), **(block.model_extra or {})}.items():
            if any(secret in self._clear for secret in self._secrets(value)):
                return name
        return ""

    def _text(self, text: str, facts: FieldFacts, path: str) -> object:
        if facts.block and text.startswith(_BLOCK):
            return self._block(text.removeprefix(_BLOCK))
        if facts is _GONE and (text.partition("://")[0] in _AMBIGUOUS or not is_reference(text)):
            self._stood_in_clear(text)
            return text  # it is looked at again where it ends
        if facts.secret and is_reference(text):
            found = self._sealed(text, path)
            if found is None:
                return SecretBytesReference(text) if facts.bare is SecretBytes else SecretReference(text)
            return SecretBytes(found.encode()) if facts.bare is SecretBytes else SecretStr(found)
        if text:
            self._stood_in_clear(text)
            self._bare = self._bare or (path if facts.bare is not None else "")
        return text

    def _stood_in_clear(self, text: str) -> None:
        if text:
            self._clear |= {text, text.encode("utf-8", "surrogatepass")}

    def _block(self, address: str) -> Block:
        self._known.append(self._inner(address))
        return self._known[-1]

    def _plain(self, value: object, path: str) -> object:
        """Return what is tagged with the secrets in the place of their references."""
        if isinstance(value, list):
            return [self._plain(each, path) for each in value]
        if isinstance(value, str):
            self._stood_in_clear(value)
        if not isinstance(value, dict):
            return value
        inner = value.get("value")
        kind = str(value.get(TAG))
        if kind in REFERENCES.values():
            return value
        if kind.startswith("secret") and isinstance(inner, str) and is_reference(inner):
            found = self._sealed(inner, path)
            if found is None:
                return {TAG: "secret-bytes-reference" if kind == "secret-bytes" else "secret-reference", "value": inner}
            return {**value, "value": found}
        return {key: self._plain(each, path) for key, each in value.items()}

    def _sealed(self, reference: str, path: str) -> str | None:
        """Return the secret that takes the place of a reference; None where it stays one."""
        if self._lookup is None or reference.partition("://")[0] not in SEALED_AT_APPLY:
            return None
        return self._lookup(reference, where=f"{self._where}: {path}")

    def _secrets(self, value: object) -> Iterator[str | bytes]:
        if isinstance(value, AnyReference) or any(value is block for block in self._known):
            return
        if is_secret(value):
            secret = value.get_secret_value()  # type: ignore[attr-defined]
            if isinstance(secret, str | bytes):
                yield secret
        elif isinstance(value, Mapping):
            for each in [*value, *value.values()]:
                yield from self._secrets(each)
        elif isinstance(value, list | tuple | set | frozenset):
            for each in value:
                yield from self._secrets(each)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            for each in vars(value).values():
                yield from self._secrets(each)


class Writer:
    """Makes what stands in a file of the fields of one block.

    Args:
        address: The block: `s3/prod`.
        variables: Gets the variables that it refers to, each with whose secret it is.
    """

    def __init__(self, address: str, variables: dict[str, str]) -> None:
        self._address = address
        self._variables = variables
        self._names: dict[tuple[str, ...], str] = {}
        self._secrets: dict[str, str] = {}

    def value(self, plain: object, facts: FieldFacts, path: tuple[str, ...]) -> object:
        """Return what stands in a file for a plain value.

        Args:
            plain: From a body, its secrets in clear.
            facts: What its field can hold; where that is anything, every tag stays.
            path: Where it is, for the name of a variable.
        """
        if isinstance(plain, list):
            return [self.value(each, facts, (*path, str(index))) for index, each in enumerate(plain)]
        if not isinstance(plain, dict):
            return plain
        if TAG not in plain:
            return {key: self.value(each, facts, (*path, key)) for key, each in plain.items()}
        return self._tagged(plain, facts, path)

    def lookup(self, reference: str, *, where: str) -> str:
        """Return the secret behind a reference that this writer made; without a variable being set."""
        return self._secrets[reference] if reference in self._secrets else resolve(reference, where=where)

    def _tagged(self, plain: dict[str, object], facts: FieldFacts, path: tuple[str, ...]) -> object:
        kind = plain[TAG]
        if kind in REFERENCES.values():
            text = str(plain["value"])
            if text.startswith(_VARIABLE):
                name = text.removeprefix(_VARIABLE)
                self._variables.setdefault(name, f"{self._address}: {'.'.join(path)} (looked up at each use)")
            looked_up = text.partition("://")[0] in SEALED_AT_APPLY  # such a text alone would not stay a reference
            return text if facts.secret and is_reference(text) and not looked_up else plain
        if str(kind).startswith("secret"):
            reference = f"env://{self._variable(path)}"
            inner = plain.get("value")
            if isinstance(inner, dict) and inner.get(TAG) == "bytes":
                inner = base64.b64decode(str(inner.get("value"))).decode("utf-8", "replace")
            self._secrets[reference] = str(inner)
            return reference if facts.secret and kind in _PLAIN_SECRETS else {**plain, "value": reference}
        if kind == "block-ref" and facts.block:
            return f"{_BLOCK}{plain['slug']}/{plain['name']}"
        inner = self.value(plain.get("value"), ANYTHING if kind == "block" else facts, path)
        simple = kind in _SIMPLE and (kind == "typed" or len(plain) == len((TAG, "value")))  # else: a zone by name, say
        if facts.open or not simple:
            return {
                name: inner if name == "value" else self.value(each, ANYTHING, (*path, name))
                for name, each in plain.items()
            }
        extra = plain.get("extra")
        if isinstance(inner, dict) and isinstance(extra, dict):
            inner |= {name: self.value(each, facts, (*path, name)) for name, each in extra.items()}
        return inner

    def _variable(self, path: tuple[str, ...]) -> str:
        if path in self._names:
            return self._names[path]
        wanted = name = _NO_LETTERS.sub("_", "_".join((self._address, *path)).upper()).strip("_")
        number = 1
        while name in self._variables:
            number += 1
            name = f"{wanted}_{number}"
        self._names[path] = name
        self._variables[name] = f"{self._address}: {'.'.join(path)}"
        return name
