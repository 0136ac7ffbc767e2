"""Sealed documents: small confidential data (block bodies), bound to the place where it belongs.

A sealed document is canonical JSON on one line, and a line end::

    {"body": base64(AES-256-GCM(data key, plaintext)), "commit": 64 hex, "format": "entrepot-seal/1",
     "header": {...}, "key": key id, "nonce": base64(12 bytes), "ring": ring id,
     "wrapped": base64(nonce, AES-256-GCM(wrap key, data key))}

Each document has a random data key of its own. The wrap key and the commit key are derived from a block key of the ring
(HKDF, labels below). The associated data of everything is the canonical JSON of format, key, ring, header and *place*.
The place is not stored: the reader rebuilds it from what it asked for, so a document opens only where it was sealed.

`commit` is HMAC-SHA256 over associated data, nonce, wrapped key and body, and is checked before anything is decrypted.
AES-GCM alone lets one ciphertext open under two keys, each giving another plaintext (Albertini and others, "How to
Abuse and Fix Authenticated Encryption Without Key Commitment", USENIX Security 2022); HMAC commits to key and bytes.
"""

import base64
import hmac
import os
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entrepot.crypto._canonical import canonical, parse
from entrepot.crypto._keys import KEY_ID, RING_ID, Key, hide, hkdf_sha256
from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, UnknownKeyError

__all__ = ["MAX_SEALED_SIZE", "SEAL_FORMAT", "Header", "Place", "read_header", "read_key", "reseal", "seal", "unseal"]

SEAL_FORMAT: Final = "entrepot-seal/1"
MAX_SEALED_SIZE: Final = 64 << 20
_WRAP: Final = "entrepot/block/wrap/1"
_COMMIT: Final = "entrepot/block/commit/1"
_BODY: Final = b"entrepot/block/body/1"
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_KEY_SIZE: Final = 32
_MOST_PARTS: Final = 10_000  # of a document's JSON; a body is one
_COMMIT_HEX: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)

Header: TypeAlias = Mapping[str, str | int]
"""What a document says of itself in clear, authenticated."""

Place: TypeAlias = Mapping[str, str | int]
"""Where a document belongs: type, name, version."""


class _Envelope(NamedTuple):
    body: bytes
    commit: str
    header: dict[str, str | int]
    key: str
    nonce: bytes
    ring: str
    wrapped: bytes


def seal(ring: Keyring, plaintext: bytes | memoryview, *, place: Place, header: Header | None = None) -> bytes:
    """Return a document that only this ring opens, and only at this place.

    Args:
        ring: Its primary block key seals.
        plaintext: What to hide (a memoryview does not print itself into tracebacks).
        place: Where it belongs; the reader must say the same.
        header: What to say in clear; it cannot be changed afterwards either.
    """
    key = ring.primary("block")
    shown = dict(header or {})
    bound = _bound(ring.ring_id, key.id, shown, place)
    data_key = hide(os.urandom(_KEY_SIZE))
    wrap_nonce, nonce = os.urandom(_NONCE_SIZE), os.urandom(_NONCE_SIZE)
    wrapped = wrap_nonce + AESGCM(ring.derive(key, _WRAP)).encrypt(wrap_nonce, data_key, bound)
    body = _body_cipher(data_key).encrypt(nonce, plaintext, bound)
    envelope = _Envelope(
        body=body, commit="", header=shown, key=key.id, nonce=nonce, ring=ring.ring_id, wrapped=wrapped
    )
    return _serialise(envelope._replace(commit=_commitment(ring, key, bound, envelope)))


def unseal(
    ring: Keyring,
    sealed: bytes | memoryview,
    *,
    place: Place | Callable[[Header], Place],
    location: str,
) -> bytes:
    """Return what was sealed, if not one bit of it changed and it belongs here.

    Args:
        ring: The reader's keys.
        sealed: The bytes of `seal`.
        place: Where the reader found it; or a function that gives that from the header (which is not verified yet
            when the function sees it, but is when `unseal` returns).
        location: The same for people.

    Raises:
        IntegrityError: If it was altered, moved, swapped, cut short or extended, or is something else.
        UnknownKeyError: If the ring does not have its key, or no longer enables it.
    """
    envelope = _read(sealed)
    if envelope is None:
        raise IntegrityError(
            f"{location} does not verify: it is not a sealed document that this version reads; it was altered, cut"
            " short or not written by Entrepot",
            location=location,
        )
    key = _key(ring, envelope, location)
    bound = _bound(envelope.ring, key.id, envelope.header, place(envelope.header) if callable(place) else place)
    genuine = envelope.ring == ring.ring_id and _commits(ring, key, bound, envelope)
    opened = _open(ring, key, bound, envelope) if genuine else None
    if opened is None:
        raise IntegrityError(
            f"{location} does not verify under key {key.id}: it was altered since it was sealed, or belongs to another"
            " type, name or version; restore it from a backup or save it again",
            location=location,
        )
    return opened


def read_header(sealed: bytes | memoryview) -> dict[str, str | int] | None:
    """Return what a document says of itself, unverified: for listings only. None if it is no sealed document."""
    envelope = _read(sealed)
    return None if envelope is None else envelope.header


def read_key(sealed: bytes | memoryview) -> tuple[str, str] | None:
    """Return the ids of the ring and of the key that a document names, unverified. None if it is no sealed document."""
    envelope = _read(sealed)
    return None if envelope is None else (envelope.ring, envelope.key)


def reseal(
    ring: Keyring,
    sealed: bytes | memoryview,
    *,
    place: Place,
    location: str,
    mark: Header | None = None,
    other: Keyring | None = None,
) -> bytes | None:
    """Return a document with the same place and content under the primary key; None if it is under that already.

    None, too, if it is under a key that came after that (`Keyring.is_ahead`): this ring is a copy that lags, and would
    put the document back under an older key than its writer's.

    The body is bound to the id of its ring key, too: so it gets a fresh data key, and whoever has the old ring key and
    an old copy of the document learns nothing about the new one.

    Args:
        ring: Has the old key, too.
        sealed: The bytes of `seal`.
        place: Where it is, and stays.
        location: The same for people.
        mark: What its header says anew.
        other: Another ring, whose documents are meant: None is returned for all others.

    Raises:
        IntegrityError: As `unseal`.
        UnknownKeyError: As `unseal`.
    """
    envelope = _read(sealed)
    if other is not None and envelope is not None and envelope.ring != other.ring_id:
        return None
    if envelope is not None and envelope.ring == ring.ring_id and _is_settled(ring, envelope.key):
        return None
    # What is unsealed stands in no local: it goes from call to call, as an address.
    plaintext = memoryview(unseal(other or ring, sealed, place=place, location=location))
    return seal(ring, plaintext, place=place, header={**(envelope.header if envelope else {}), **(mark or {})})


def _is_settled(ring: Keyring, key_id: str) -> bool:
    return key_id == ring.primary("block").id or ring.is_ahead(key_id, "block")


def _key(ring: Keyring, envelope: _Envelope, location: str) -> Key:
    try:
        return ring.key(envelope.key, "block")
    except UnknownKeyError:
        if envelope.ring == ring.ring_id:
            raise
    raise UnknownKeyError(
        f"key {envelope.key} of another keyring ({envelope.ring}) than the one here ({ring.ring_id}, {ring.location})"
        f" has sealed {location}; see: entrepot keys doctor",
        location=ring.location,
        key_id=envelope.key,
    )


def _open(ring: Keyring, key: Key, bound: bytes, envelope: _Envelope) -> bytes | None:
    wrap_nonce, wrapped = envelope.wrapped[:_NONCE_SIZE], envelope.wrapped[_NONCE_SIZE:]
    try:
        cipher = _body_cipher(AESGCM(ring.derive(key, _WRAP)).decrypt(wrap_nonce, wrapped, bound))
        return cipher.decrypt(envelope.nonce, envelope.body, bound)
    except InvalidTag:
        return None


def _commits(ring: Keyring, key: Key, bound: bytes, envelope: _Envelope) -> bool:
    return hmac.compare_digest(_commitment(ring, key, bound, envelope), envelope.commit)


def _commitment(ring: Keyring, key: Key, bound: bytes, envelope: _Envelope) -> str:
    parts = (bound, envelope.nonce, envelope.wrapped, envelope.body)
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(ring.derive(key, _COMMIT), framed, "sha256").hex()


def _body_cipher(data_key: bytes) -> AESGCM:
    return AESGCM(hkdf_sha256(data_key, salt=b"", info=_BODY))


def _bound(ring_id: str, key_id: str, header: Header, place: Place) -> bytes:
    return canonical(
        {"format": SEAL_FORMAT, "header": dict(header), "key": key_id, "place": dict(place), "ring": ring_id}
    )


# --- bytes: there is one spelling of each document, so that no change goes unnoticed ----------------------------------


def _serialise(envelope: _Envelope) -> bytes:
    binary = ("body", "nonce", "wrapped")
    fields = envelope._asdict() | {"format": SEAL_FORMAT}
    for name in binary:
        fields[name] = base64.b64encode(fields[name]).decode("ascii")
    return canonical(fields) + b"\n"


def _read(sealed: bytes | memoryview) -> _Envelope | None:
    if len(sealed) > MAX_SEALED_SIZE:
        return None
    sealed = bytes(sealed)
    # A swarm of small parts would take 25 times its size in memory, before anything of it is found to be unsound.
    is_swarm = max(map(sealed.count, (b"[", b"{", b","))) > _MOST_PARTS
    fields, problem = (None, "a swarm") if is_swarm else parse(sealed)
    if problem or not isinstance(fields, dict) or fields.keys() != {*_Envelope._fields, "format"}:
        return None
    header = fields["header"]
    if not isinstance(header, dict) or not all(type(fact) in (str, int) for fact in header.values()):
        return None
    if not all(isinstance(value, str) for name, value in fields.items() if name != "header"):
        return None
    body, nonce, wrapped = (_binary(fields[name]) for name in ("body", "nonce", "wrapped"))
    if body is None or nonce is None or wrapped is None:
        return None
    envelope = _Envelope(body, fields["commit"], header, fields["key"], nonce, fields["ring"], wrapped)
    sound = (
        fields["format"] == SEAL_FORMAT
        and KEY_ID.match(envelope.key)
        and RING_ID.match(envelope.ring)
        and _COMMIT_HEX.match(envelope.commit)
        and len(nonce) == _NONCE_SIZE
        and len(wrapped) == _NONCE_SIZE + _KEY_SIZE + _TAG_SIZE
        and len(body) >= _TAG_SIZE
    )
    # Writing it again must give the very same bytes: spaces, escapes, order and base64 have no freedom left.
    return envelope if sound and _serialise(envelope) == sealed else None


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
