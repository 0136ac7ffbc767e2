"""Result records: one line of JSON, one line of signature, at a place that follows from the key.

A record is signed together with its path. One that was altered, cut short, moved or planted does not verify, and
nothing in it is looked at before it does.

A record of a transaction also names that: it counts from when the transaction's marker says so (`markers`). Where a
transaction wants to take the place of another record, a `Versioned` stands in that place, and says where both are
(`versions`).
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from entrepot._frozen import quick
from entrepot._sentinels import MISSING
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line, verify_line
from entrepot.errors import CacheKeyError, IntegrityError, ObjectNotFoundError, SerializationError, UnknownNameError
from entrepot.results.claims import is_claim, standing_in

__all__ = [
    "MAX_RECORD_SIZE",
    "NOTED_FORMAT",
    "RECORDS",
    "RECORD_FORMAT",
    "STAGED_FORMAT",
    "VERSIONS_FORMAT",
    "Record",
    "Versioned",
    "another_path",
    "open_record",
    "payload_path",
    "record_path",
    "seal_record",
    "seal_versioned",
    "stored_key",
]

RECORD_FORMAT: Final = "entrepot-result/1"
STAGED_FORMAT: Final = "entrepot-result/2"
"""Of a record that names its transaction: a version that knows no transactions must not believe it."""
NOTED_FORMAT: Final = "entrepot-result/3"
"""Of a record with notes: what collection goes by, and what explains a miss in more detail."""
VERSIONS_FORMAT: Final = "entrepot-versions/1"
RECORDS: Final = "records"
MAX_RECORD_SIZE: Final = 1 << 20
"""Bytes; nothing longer is read as a record."""

_MAX_TEXT: Final = 1024  # of a key and of each part: longer ones are kept as their hash
_MAX_PARTS: Final = 1000  # entries of each mapping
_HASHED: Final = re.compile(r"sha256:[0-9a-f]{64}\Z", re.ASCII)
_DIGEST: Final = re.compile(r"blake3:k[0-9a-f]{16}:([0-9a-f]{64})\Z", re.ASCII)
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,16}(?:\.[a-z0-9]{1,16}){0,3}\Z", re.ASCII)
_MAX_INNER: Final = 3  # parts of an extension behind its first
_FIELDS: Final = ("format", "key", "parts", "task", "run", "serializer", "size", "digest", "created", "expires")
_KEPT: Final = ("value", "value64", "payload")
_FORMS: Final[Mapping[str, Mapping[tuple[str, ...], str]]] = {
    RECORD_FORMAT: {(*_FIELDS, kept): kept for kept in _KEPT},
    STAGED_FORMAT: {(*_FIELDS, "transaction", kept): kept for kept in _KEPT},
    NOTED_FORMAT: {
        (*_FIELDS, "about", "details", *transaction, kept): kept
        for transaction in ((), ("transaction",))
        for kept in _KEPT
    },
}
_TEXTS: Final = frozenset({str})
_decoder: Final = json.JSONDecoder()  # `json.loads` would look for other encodings first
_TRANSACTION: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_CHAIN: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


@quick
@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one result.

    Attributes:
        key: The cache key as it is kept: see `stored_key`.
        parts: What the key was made of, by name: what explains a miss.
        task: `name` and `key` of the task or flow.
        run: The run that computed it: `id`, and what else the writer said.
        serializer: The name of the serializer, looked up by the reader.
        size: Of the value's bytes.
        digest: The keyed digest of the value's bytes; it stands for the value where one result is another's input.
        created: In UTC.
        expires: From when on it is no longer used, in UTC; or None.
        value: The value's bytes where small: as text where they are text.
        payload: Else where they are, below the same root.
        transaction: The id of the transaction that it is a part of; None for a record that counts by itself.
        about: How long it is to be kept, its tags, and what else its users go by; none of it is a part of the key.
        details: The digests of the parts of its inputs, by path (`input:df.columns[3]`): what tells which one differs.
    """

    key: str
    parts: Mapping[str, str]
    task: Mapping[str, str]
    run: Mapping[str, str]
    serializer: str
    size: int
    digest: str
    created: datetime
    expires: datetime | None = None
    value: str | bytes | None = None
    payload: str | None = None
    transaction: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the record is, below the root of its store."""
        return _path_of(self.key)


@dataclass(frozen=True, slots=True)
class Versioned:
    """What stands in the place of a record that a transaction wants to replace.

    Attributes:
        chain: Where the versions of the record are, and what was in its place before them: 64 hex digits.
    """

    chain: str


def stored_key(key: str) -> str:
    """Return a key as records keep it: itself, or `sha256:<64 hex>` where it is long or looks like that.

    Raises:
        CacheKeyError: If it is no key: not a string, or empty.
    """
    if not isinstance(key, str) or not key:
        what = "an empty string" if key == "" else f"a {type(key).__name__}"
        raise CacheKeyError(f"{what} is no cache key; a key is a string of at least one character", task="")
    data = _utf8(key)
    if len(data) > _MAX_TEXT or key.startswith("sha256:") or not key.isprintable():
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return key


def record_path(key: str) -> str:
    """Return where the record of a key is: `records/<2 hex>/<SHA-256 of the key>.json`."""
    return _path_of(stored_key(key))


def payload_path(digest: str, extension: str) -> str:
    """Return where a payload is: `payloads/<2 hex>/<digest>.<extension>`, which follows from its bytes.

    Raises:
        SerializationError: If the extension may not be one.
    """
    match = _DIGEST.match(digest)
    if match is None or not _EXTENSION.match(extension):
        raise SerializationError(
            f"{ascii(extension)[:60]} is no file extension for results; use 1 to 16 characters of a-z and 0-9, with no"
            " dot in front",
            serializer="",
            path="value",
        )
    return f"payloads/{match[1][:2]}/{match[1]}.{extension}"


def another_path(path: str, name: str) -> str:
    """Return another place for the payload of a path, for when a collection may be about to delete that one.

    Args:
        path: As `payload_path` returns it.
        name: 1 to 16 characters of a-z and 0-9 that nobody has used.
    """
    digest, _, extension = path.partition(".")
    parts = extension.split(".")
    return ".".join((digest, name, *parts[-_MAX_INNER:]))


def seal_record(record: Record, ring: Keyring, *, place: str | None = None) -> bytes:
    """Return a record's bytes, signed for its place.

    Args:
        record: The record.
        ring: The writer's keys.
        place: Where it goes, if not to its own path.

    Raises:
        SerializationError: If it is too large.
    """
    data = _signed(_to_line(record), ring, record.path if place is None else place)
    if len(data) > MAX_RECORD_SIZE:
        raise SerializationError(
            f"the record of this result would have {len(data)} bytes, more than {MAX_RECORD_SIZE}: lower inline_limit",
            serializer=record.serializer,
            path="value",
        )
    return data


def seal_versioned(versioned: Versioned, ring: Keyring, *, path: str) -> bytes:
    """Return the bytes of what stands in the place of a record, signed for that place."""
    line = json.dumps({"format": VERSIONS_FORMAT, "chain": versioned.chain}, separators=(",", ":")).encode()
    return _signed(line, ring, path)


def open_record(
    data: bytes, ring: Keyring, *, path: str, location: str, place: str | None = None
) -> Record | Versioned:
    """Return what a record says, once it is known to be whole, ours, and in its place.

    Args:
        data: At most `MAX_RECORD_SIZE + 1` bytes that were found there.
        ring: The reader's keys.
        path: The path of the record.
        location: Where the reader looked, for people.
        place: The same below the root of the store, if not at the record's own path.

    Raises:
        ObjectNotFoundError: If there is only the claim of a run that computes it.
        IntegrityError: If it does not verify, or is not the record of this place.
        UnknownKeyError: If it is signed under a key that the ring lacks.
        UnknownNameError: If it verifies, but has a format that this version does not read.
    """
    if len(data) > MAX_RECORD_SIZE:
        raise IntegrityError(f"{location} is too large to be a result record", location=location)
    if is_claim(data) and not (data := standing_in(data)):
        raise ObjectNotFoundError(f"{location} is no record yet: a run computes it", path=path, location=location)
    line, newline, rest = data.partition(b"\n")
    if not newline or not rest.endswith(b"\n"):
        raise IntegrityError(f"{location} is no whole result record: it is cut short", location=location)
    # Latin-1 gives every byte a character: what is no signature line is refused as one, not as bad text.
    context = _context(path if place is None else place)
    verify_line(ring, line, rest[:-1].decode("latin-1"), context=context, location=location)
    record, problem = _from_line(line, location)
    if isinstance(record, Versioned) and place is None:
        return record
    if not isinstance(record, Record) or record.path != path:
        problem = problem or "it belongs to another key"
        raise IntegrityError(f"{location} is no result record of this place: {problem}", location=location)
    return record


# --- the line -----------------------------------------------------------------------------------------------------


def _signed(line: bytes, ring: Keyring, place: str) -> bytes:
    return b"".join((line, b"\n", sign_line(ring, line, context=_context(place)).encode("ascii"), b"\n"))


def _to_line(record: Record) -> bytes:
    is_noted = bool(record.about or record.details)
    plain = RECORD_FORMAT if record.transaction is None else STAGED_FORMAT
    fields: dict[str, object] = {
        "format": NOTED_FORMAT if is_noted else plain,
        "key": record.key,
        "parts": _bounded(record.parts),
        "task": _bounded(record.task),
        "run": _bounded(record.run),
        "serializer": record.serializer,
        "size": record.size,
        "digest": record.digest,
        "created": _to_text(record.created),
        "expires": None if record.expires is None else _to_text(record.expires),
    }
    if is_noted:
        fields["about"] = _bounded(record.about)
        fields["details"] = _bounded(record.details)
    if record.transaction is not None:
        fields["transaction"] = record.transaction
    if record.payload is not None:
        fields["payload"] = record.payload
    elif isinstance(record.value, str):
        fields["value"] = record.value
    else:
        fields["value64"] = base64.b64encode(record.value or b"").decode("ascii")
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _from_line(line: bytes, location: str) -> tuple[Record | Versioned | None, str]:
    """Return a record, or None and what is wrong with it. Who signs it can only be trusted not to be an attacker."""
    fields = _parsed(line)
    if fields is MISSING:
        return None, "it is not JSON"
    if not isinstance(fields, dict):
        return None, "it is not a JSON object"
    form = fields.get("format")
    if form == VERSIONS_FORMAT:
        return _to_versioned(fields), "its fields are not those of its format"
    forms = _FORMS.get(form) if isinstance(form, str) else None
    if forms is None:
        shown = ascii(form)[:60]
        raise UnknownNameError(
            f"{location} is a result record of the format {shown}, and this version reads {RECORD_FORMAT!r}:"
            " it was written by a newer Entrepot; update this one",
            group="entrepot result formats",
            name=shown,
            known=(RECORD_FORMAT, STAGED_FORMAT, NOTED_FORMAT, VERSIONS_FORMAT),
        )
    kept = forms.get(tuple(fields))
    if kept is None:
        return None, "its fields are not those of its format"
    try:
        return _to_record(fields, kept), ""
    except (TypeError, ValueError) as error:
        return None, f"a field is malformed ({error})"


def _parsed(line: bytes) -> Any:
    """Return what a line of JSON says; `MISSING` if it is none, or has more in it."""
    try:
        text = line.decode()
        said, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return MISSING
    return said if end == len(text) else MISSING


def _to_versioned(fields: Mapping[str, object]) -> Versioned | None:
    chain = fields.get("chain")
    right = tuple(fields) == ("format", "chain") and isinstance(chain, str) and _CHAIN.match(chain)
    return Versioned(str(chain)) if right else None


def _to_record(fields: dict[str, object], kept: str) -> Record:
    size, digest, expires = fields["size"], _str(fields, "digest"), fields["expires"]
    if type(size) is not int or size < 0:
        raise ValueError("size")
    match = _DIGEST.match(digest)
    if match is None:
        raise ValueError("digest")
    value: str | bytes | None = None
    payload: str | None = None
    if kept == "payload":
        payload = _str(fields, "payload")
        # Only the extension is free: a payload's place follows from its digest, so that no record can point elsewhere.
        extension = payload.partition(".")[2]
        if not _EXTENSION.match(extension) or payload != f"payloads/{match[1][:2]}/{match[1]}.{extension}":
            raise ValueError("payload")
    elif kept == "value":
        value = _str(fields, "value")
    else:
        value = base64.b64decode(_str(fields, "value64"), validate=True)
        if len(value) != size:
            raise ValueError("value64")
    transaction = _str(fields, "transaction") if "transaction" in fields else None
    if transaction is not None and not _TRANSACTION.match(transaction):
        raise ValueError("transaction")
    return Record(
        key=_str(fields, "key"),
        parts=_strings(fields, "parts"),
        task=_strings(fields, "task"),
        run=_strings(fields, "run"),
        serializer=_str(fields, "serializer"),
        size=size,
        digest=digest,
        created=_from_text(_str(fields, "created")),
        expires=None if expires is None else _from_text(_str(fields, "expires")),
        value=value,
        payload=payload,
        transaction=transaction,
        about=_strings(fields, "about") if "about" in fields else {},
        details=_strings(fields, "details") if "details" in fields else {},
    )


def _str(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if type(value) is not str:
        raise TypeError(name)
    return value


def _strings(fields: Mapping[str, object], name: str) -> dict[str, str]:
    value = fields[name]
    if not isinstance(value, dict):
        raise TypeError(name)
    if not _TEXTS.issuperset(map(type, value.values())):
        raise TypeError(name)
    return value


def _bounded(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return what a record keeps of a mapping: sorted; long texts as hashes, so that they still tell equal from not."""
    if len(mapping) > _MAX_PARTS:
        names = sorted(mapping)
        rest = json.dumps([[name, mapping[name]] for name in names[_MAX_PARTS - 1 :]])
        mapping = {**{name: mapping[name] for name in names[: _MAX_PARTS - 1]}, "...": rest}
    return {_short(name): _short(text) for name, text in sorted(mapping.items())}


def _short(text: str) -> str:
    if len(text) <= _MAX_TEXT // 4 and text.isascii():
        return text
    data = _utf8(text)
    try:
        data.decode()
    except UnicodeDecodeError:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return text if len(data) <= _MAX_TEXT // 4 else "sha256:" + hashlib.sha256(data).hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=256)  # it is asked for twice: where to look, and whether that is the place of what is there
def _path_of(key: str) -> str:
    digest = key[7:] if _HASHED.match(key) else hashlib.sha256(_utf8(key)).hexdigest()
    return f"{RECORDS}/{digest[:2]}/{digest}.json"


def _context(place: str) -> str:
    return f"{RECORD_FORMAT} {place}"  # of every format: what is in a place is known once its signature verifies


def _to_text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _from_text(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without a zone")
    return when
