"""Secrets planted in every container of a block, a hunt for them in what a program leaves, and the list of sinks."""

import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard
from pydantic import BaseModel, Field, PrivateAttr, SecretBytes, SecretStr
from pydantic import Secret as SecretOf

from entrepot.blocks.core import Block
from entrepot.blocks.system import Secret
from entrepot_test_secrets import forms

__all__ = ["LATE", "REFERENCE", "SINKS", "Hunt", "Inner", "Plants", "Scene", "Shown", "Sink", "Treasury", "Vault"]
__all__ += ["plants", "sink", "treasury"]

REFERENCE: Final = "SINKS_REFERENCE"
"""The variable that a reference in the block leads to."""

LATE: Final = "SINKS_LATE"
"""The variable of a reference that only a worker process looks up."""

Plants = Mapping[str, str | bytes]
Shown = str | bytes | Path

_LETTERS: Final = "ghijkmnopqrstuvwxyzGHJKLMNPQRSTUVWXYZ"  # no hexadecimal digits: digests have none of these in a row
_AWKWARD: Final = "\"'\\\n%41 /+=&<é😀>"  # something that each encoding writes in a way of its own
_MAILABLE: Final = "\"'\\%41 /+=&<é>"  # what may be in the password of a mailbox
_EMPTY: Final = re.compile(rb"\0{64,}")
_INFLATED: Final = 64 << 20  # bytes of one stream that are looked at


# --- what is planted --------------------------------------------------------------------------------------------------


class Inner(BaseModel):
    token: SecretStr


@dataclass
class Pair:
    token: SecretStr
    label: str = ""


class Vault(Block):
    """Secrets in every kind of place."""

    _block_type_slug = "sinks-vault"

    label: str
    plain: SecretStr
    awkward: SecretStr
    short: SecretStr
    raw: SecretBytes
    optional: SecretStr | None = None
    either: int | SecretStr = 0
    listed: list[SecretStr] = Field(default_factory=list)
    mapped: dict[str, SecretStr] = Field(default_factory=dict)
    couple: tuple[SecretStr, SecretBytes] | None = None
    unordered: frozenset[SecretStr] = frozenset()
    whole: SecretOf[dict[str, str]] | None = None
    anything: Any = None
    inner: Inner | None = None
    pair: Pair | None = None
    nested: Secret | None = None
    referenced: SecretStr | None = None

    _session: Any = PrivateAttr(default=None)


class Treasury(Vault):
    """A block class derived from another."""

    _block_type_slug = "sinks-treasury"

    extra: SecretStr


def plants() -> dict[str, str | bytes]:
    """Return new secrets, one for each place; those that are told apart by shape have that as their name."""
    chance = random.SystemRandom()

    def word(length: int = 20) -> str:
        return "".join(chance.choices(_LETTERS, k=length))

    places = "optional either listed couple unordered whole anything inner pair session extra reference late"
    made: dict[str, str | bytes] = {name: word() for name in ("plain", *places.split())}
    made |= {name: word(8) for name in ("short", "nested")}
    made |= {name: f"{word(9)}{_AWKWARD}{word(9)}" for name in ("awkward", "mapped")}
    made["password"] = f"{word(9)}{_MAILABLE}{word(9)}"
    made |= {name: b"\x00\xff" + word(9).encode() + b"\n'\"\\" + word(9).encode() for name in ("raw", "couple_raw")}
    return made


def treasury(planted: Plants, label: str) -> Treasury:
    """Return a block with all of them; `label` is what may be seen of it."""
    of: Any = planted
    block = Treasury(
        label=label,
        plain=of["plain"],
        awkward=of["awkward"],
        short=of["short"],
        raw=of["raw"],
        optional=of["optional"],
        either=SecretStr(of["either"]),
        listed=[of["listed"]],
        mapped={"a": of["mapped"]},
        couple=(of["couple"], of["couple_raw"]),
        unordered=frozenset({SecretStr(of["unordered"])}),
        whole={"a": of["whole"]},
        anything=[{"deep": (SecretStr(of["anything"]),)}],
        inner={"token": of["inner"]},
        pair=Pair(SecretStr(of["pair"])),
        nested=Secret(value=of["nested"]),
        referenced=f"env://{REFERENCE}",
        extra=of["extra"],
    )
    block._session = SecretStr(of["session"])
    return block


# --- the hunt ---------------------------------------------------------------------------------------------------------


class Hunt:
    """Looks for secrets, in whatever form, in text, bytes, files and folders, also where these are compressed."""

    def __init__(self, planted: Plants) -> None:
        self._needles = {needle: name for name, secret in planted.items() for needle in _needles(secret)}

    def __call__(self, shown: Shown) -> list[str]:
        """Return what was found: which secret, as what, and where."""
        return [found for where, data in _opened(shown) for found in self._found(data, where)]

    def _found(self, data: bytes, where: str) -> Iterator[str]:
        data = _EMPTY.sub(bytes(64), data)  # empty pages of databases: long to search, with nothing in them
        for needle, name in self._needles.items():
            at = data.find(needle)
            if at >= 0:
                yield f"{name} as {needle!r} in {where}: {data[max(at - 60, 0) : at + len(needle) + 20]!r}"


def _needles(secret: str | bytes) -> Iterator[bytes]:
    data = secret if isinstance(secret, bytes) else secret.encode()
    text = secret if isinstance(secret, str) else secret.decode("latin-1")
    yield data
    yield from (form.encode() for form in {*forms(secret), text[::-1]})
    yield from (text.encode(encoding) for encoding in ("utf-16-le", "utf-16-be"))
    for read in {text, data.decode("latin-1")}:
        yield read.encode()
        # As the oldest protocol of pickles has it.
        yield read.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "\\\0\n\r\x1a"}).encode(
            "raw-unicode-escape"
        )


def _opened(shown: Shown) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of what was shown, and those of the streams in it; of files the names, too."""
    if isinstance(shown, Path):
        for path in [shown, *shown.rglob("*")] if shown.is_dir() else [shown]:
            yield f"the name of {path.name}", bytes(path)
            if path.is_file():
                for where, data in _opened(path.read_bytes()):
                    yield f"{path.name}: {where}", data
        return
    data = shown if isinstance(shown, bytes) else shown.encode("utf-8", "surrogatepass")
    yield "its bytes", data
    for inner in _inflated(data):
        for where, again in _opened(inner):
            yield f"a stream, {where}", again


def _inflated(data: bytes) -> Iterator[bytes]:
    for magic, inflate in _STREAMS.items():
        at = data.find(magic)
        while at >= 0:
            try:
                inner = inflate(data[at:])
            except (ValueError, IndexError, zlib.error, zstandard.ZstdError):
                inner = b""  # these bytes are something else
            if inner:
                yield inner
            at = data.find(magic, at + 1)


def _zip_member(data: bytes) -> bytes:
    start = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return zlib.decompressobj(-15).decompress(data[start:], _INFLATED)


_STREAMS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b\x08": lambda data: zlib.decompressobj(31).decompress(data, _INFLATED),
    **{
        bytes([0x78, level]): lambda data: zlib.decompressobj().decompress(data, _INFLATED)
        for level in b"\x01^\x9c\xda"
    },
    b"\x28\xb5\x2f\xfd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    b"PK\x03\x04": _zip_member,
}


# --- the list ---------------------------------------------------------------------------------------------------------


class Scene:
    """What the sinks look at. It prints nothing of itself: its secrets must not get into a traceback by it.

    Attributes:
        planted: The secrets of the block, by name.
        keys: What else is secret: the keys of the ring, and the key of the S3 server.
        label: What may be seen of the block that holds them.
        folder: Where the program of the sinks ran, and left what it wrote.
        home: Its ENTREPOT_HOME.
        variables: The environment that it had.
        out: What it printed.
        err: What it wrote to its standard error.
        mails: What the mail server got.
        calls: What the HTTP server got: path, headers and body of each request.
        http_url: Of the HTTP server, which refuses what is asked of Vault or of AWS.
        smtp_port: Of the mail server.
        s3_url: Of the S3 server.
        bucket: The bucket on it that the program wrote to.
        objects: What is in the bucket then.
        kept: Room for a text that must not be in a frame of a test's own.
        block: The block, made anew.
    """

    planted: Plants
    keys: dict[str, str | bytes]
    label: str
    folder: Path
    home: Path
    variables: dict[str, str]
    out: bytes
    err: bytes
    mails: list[bytes]
    calls: list[tuple[str, dict[str, str], bytes]]
    http_url: str
    smtp_port: int
    s3_url: str
    bucket: str
    objects: dict[str, bytes]
    kept: str
    block: Treasury

    def text(self, name: str) -> str:
        """Return a secret that is a text."""
        found = self.planted[name]
        assert isinstance(found, str)
        return found


@dataclass(frozen=True, slots=True)
class Sink:
    """A place where a secret could come to light.

    Attributes:
        name: What it is, as in the table of docs/secrets.md.
        look: Yields what is to be seen there, given what the tests of the list made.
        shows: What must be seen there, so that the hunt is known to look at the right place: "label" is what may be
            seen of the block, anything else is meant literally.
    """

    name: str
    look: Callable[[Any], Iterable[Shown]]
    shows: str


SINKS: Final[list[Sink]] = []
"""All of them, in the order of the table."""


def sink(name: str, shows: str = "label") -> Callable[[Callable[[Any], Iterable[Shown]]], Callable[..., Any]]:
    """Put a function on the list, under the next number."""

    def put(look: Callable[[Any], Iterable[Shown]]) -> Callable[[Any], Iterable[Shown]]:
        SINKS.append(Sink(name, look, shows))
        return look

    return put
