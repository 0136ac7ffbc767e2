"""Encrypted objects of any size, readable from any offset: what `EncryptedStorage` keeps.

An encrypted object is a header of 128 bytes and then chunks. A chunk is 256 KiB of plaintext (the last one is shorter,
and empty only if the object is), encrypted with AES-256-GCM, with its tag of 16 bytes behind it::

    0    8  b"entrpt-1"
    8    8  key id: the 16 hex digits, as bytes
    16  12  wrap nonce
    28  48  AES-256-GCM(wrap key, data key), tag included
    76   7  nonce prefix, random
    83  13  zero
    96  32  HMAC-SHA256(commit key, associated data, bytes 0 to 95): the key commitment, checked first

Each object has a random data key. A chunk's nonce is the prefix, the chunk's number (4 bytes, big-endian) and 1 for the
last chunk, else 0: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and
its Nonce-Reuse Misuse-Resistance", CRYPTO 2015). So chunks cannot be changed, reordered, dropped, repeated or cut off.
The associated data is ring id and path: an object decrypts only under its own path. (That an older object was put back
in its place is not noticed here.)
"""

import hmac
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entrepot.crypto._keys import Key, hide
from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError
from entrepot.protocols.storage import Buffer

__all__ = [
    "CHUNK_SIZE",
    "HEADER_SIZE",
    "decrypt_into",
    "decrypt_range",
    "encrypt_parts",
    "encrypted_size",
    "plain_size",
    "read_stream_key",
]

CHUNK_SIZE: Final = 256 * 1024
HEADER_SIZE: Final = 128
_MAGIC: Final = b"entrpt-1"
_WRAP: Final = "entrepot/result/stream-wrap/1"
_COMMIT: Final = "entrepot/result/stream-commit/1"
_TAG_SIZE: Final = 16
_SEALED_CHUNK: Final = CHUNK_SIZE + _TAG_SIZE
_BATCH: Final = 16  # chunks fetched at a time: 4 MiB, so that ciphertext is never held whole
_PADDING: Final = bytes(13)
_MAX_CHUNKS: Final = 1 << 32

Fetch = Callable[[int, int], Buffer]
"""Returns the encrypted bytes from an offset, at most so many; short or empty at the end."""


def encrypted_size(plain: int) -> int:
    """Return how long an object of `plain` bytes is once encrypted."""
    return HEADER_SIZE + plain + _TAG_SIZE * max(1, -(-plain // CHUNK_SIZE))


def plain_size(encrypted: int) -> int | None:
    """Return how long the plaintext of an object of `encrypted` bytes is, or None if there can be none."""
    chunks, rest = divmod(encrypted - HEADER_SIZE, _SEALED_CHUNK)
    if chunks < 0 or (rest == 0 and chunks == 0) or 0 < rest < _TAG_SIZE or (rest == _TAG_SIZE and chunks):
        return None
    return chunks * CHUNK_SIZE + max(0, rest - _TAG_SIZE)


def read_stream_key(head: Buffer) -> str:
    """Return the id of the key that the first bytes of an encrypted object name, unverified; "" if it is none."""
    start = bytes(memoryview(head).cast("B")[:16])
    return "k" + start[8:].hex() if len(start) == 16 and start.startswith(_MAGIC) else ""  # noqa: PLR2004  magic and id


def encrypt_parts(ring: Keyring, path: str, parts: Iterable[Buffer], *, size: int) -> Iterator[bytes]:
    """Yield an encrypted object: the header, then each chunk.

    Args:
        ring: Its primary result key is used.
        path: Where the object will lie; it decrypts only there.
        parts: The plaintext, as contiguous buffers one after another.
        size: Of all of them.

    Raises:
        ValueError: If they are more than one object can hold.
    """
    views = (memoryview(part).cast("B") for part in parts)
    last = max(1, -(-size // CHUNK_SIZE)) - 1
    if last >= _MAX_CHUNKS:
        raise ValueError(f"{size} bytes are more than one encrypted object can hold")
    key = ring.primary("result")
    bound = _bound(ring, path)
    data_key, wrap_nonce, prefix = hide(os.urandom(32)), os.urandom(12), os.urandom(7)
    wrapped = AESGCM(ring.derive(key, _WRAP)).encrypt(wrap_nonce, data_key, bound)
    head = b"".join((_MAGIC, bytes.fromhex(key.id[1:]), wrap_nonce, wrapped, prefix, _PADDING))
    yield head + _commitment(ring, key, bound, head)
    cipher = AESGCM(data_key)
    for number, chunk in enumerate(_chunks(views)):
        yield cipher.encrypt(_nonce(prefix, number, last=number == last), chunk, bound)


def decrypt_range(
    ring: Keyring,
    path: str,
    fetch: Fetch,
    *,
    size: int,
    location: str,
    start: int = 0,
    length: int | None = None,
) -> bytearray:
    """Return the plaintext from `start`, at most `length` bytes; past the end there is none.

    Whatever is returned is verified; where the end of the object is met, so is that it is the end.

    Args:
        ring: The reader's keys.
        path: Where the object lies.
        fetch: Reads from the encrypted object.
        size: The length of the encrypted object.
        location: Where the object lies, for people.
        start: The first byte wanted, in plaintext.
        length: How many, or None for all.

    Raises:
        IntegrityError: If the object was altered, moved, cut short or extended, or is not an encrypted one.
        UnknownKeyError: If the ring does not have its key, or no longer enables it.
    """
    plain = plain_size(size)
    wanted = 0 if plain is None else max(0, plain - start)
    buffer = bytearray(wanted if length is None else min(wanted, length))
    decrypt_into(ring, path, fetch, memoryview(buffer), size=size, location=location, start=start)
    return buffer


def decrypt_into(
    ring: Keyring,
    path: str,
    fetch: Fetch,
    buffer: memoryview,
    *,
    size: int,
    location: str,
    start: int = 0,
) -> int:
    """Fill `buffer` with plaintext from `start`; return how many bytes there were. As `decrypt_range` otherwise.

    When an error is raised the buffer holds nothing that was not verified.
    """
    plain = plain_size(size)
    if plain is None:
        raise _not_ours(location)
    stop = max(start, min(plain, start + buffer.nbytes))
    last = max(1, -(-plain // CHUNK_SIZE)) - 1
    # A reader who meets the end learns that it is the true one: then the last chunk is always decrypted.
    first = min(start // CHUNK_SIZE, last)
    final = min(max(stop - 1, 0) // CHUNK_SIZE, last)
    target = buffer.cast("B")[: stop - start]
    source = _Source(fetch, size, ahead=min(final + 1, _BATCH) if first == 0 else 0)
    opened = _open(ring, path, source.header(), location)
    for low in range(first, final + 1, _BATCH):
        high = min(low + _BATCH, final + 1)
        sealed = source.chunks(low, high)
        if sealed.nbytes != min(high * _SEALED_CHUNK, size - HEADER_SIZE) - low * _SEALED_CHUNK:
            raise IntegrityError(f"{location} does not verify: it is shorter than it should be", location=location)
        for number in range(low, high):
            offset = (number - low) * _SEALED_CHUNK
            chunk = sealed[offset : offset + _SEALED_CHUNK]
            at = number * CHUNK_SIZE - start
            _decrypt_chunk(opened, chunk, number, target, at, last=number == last, location=location)
    return stop - start


@dataclass(frozen=True, slots=True)
class _Opened:
    cipher: AESGCM
    prefix: bytes
    bound: bytes


class _Source:
    """Fetches from one object; a read that begins at the start takes the header and the first chunks in one go."""

    def __init__(self, fetch: Fetch, size: int, *, ahead: int) -> None:
        self._fetch = fetch
        self._size = size
        self._start = memoryview(fetch(0, min(size, HEADER_SIZE + ahead * _SEALED_CHUNK))).cast("B")

    def header(self) -> bytes:
        return bytes(self._start[:HEADER_SIZE])

    def chunks(self, low: int, high: int) -> memoryview:
        start = HEADER_SIZE + low * _SEALED_CHUNK
        stop = min(HEADER_SIZE + high * _SEALED_CHUNK, self._size)
        if stop <= self._start.nbytes:
            return self._start[start:stop]
        self._start = self._start[:0]  # let go of it before the next batch
        return memoryview(self._fetch(start, stop - start)).cast("B")


def _decrypt_chunk(
    opened: _Opened, sealed: memoryview, number: int, target: memoryview, at: int, *, last: bool, location: str
) -> None:
    """Decrypt one chunk into `target` at offset `at`; what lies outside of `target` is verified and dropped."""
    nonce = _nonce(opened.prefix, number, last=last)
    size = len(sealed) - _TAG_SIZE
    whole = at >= 0 and at + size <= len(target)
    place = target[at : at + size] if whole else memoryview(bytearray(max(size, 0)))
    try:
        opened.cipher.decrypt_into(nonce, sealed, opened.bound, place)
    except (InvalidTag, ValueError):  # ValueError: shorter than a tag
        place[:] = bytes(len(place))  # it may hold plaintext that nobody vouches for
        damaged = True
    else:
        damaged = False
    if damaged:
        raise IntegrityError(
            f"{location} does not verify: chunk {number} was altered, moved or cut short since it was written",
            location=location,
        )
    if not whole:
        low, high = max(at, 0), min(at + size, len(target))
        if low < high:
            target[low:high] = place[low - at : high - at]


def _open(ring: Keyring, path: str, header: bytes, location: str) -> _Opened:
    if len(header) != HEADER_SIZE or not header.startswith(_MAGIC):
        raise _not_ours(location)
    key = ring.key(read_stream_key(header), "result")
    bound = _bound(ring, path)
    cipher = _unwrap(ring, key, bound, header)
    if cipher is None:
        raise IntegrityError(
            f"{location} does not verify under key {key.id}: its header was altered, or it was moved here from another"
            " place",
            location=location,
        )
    return _Opened(cipher, header[76:83], bound)


def _unwrap(ring: Keyring, key: Key, bound: bytes, header: bytes) -> AESGCM | None:
    if not hmac.compare_digest(_commitment(ring, key, bound, header[:96]), header[96:]):
        return None
    try:
        return AESGCM(AESGCM(ring.derive(key, _WRAP)).decrypt(header[16:28], header[28:76], bound))
    except InvalidTag:
        return None


def _commitment(ring: Keyring, key: Key, bound: bytes, head: bytes) -> bytes:
    return hmac.digest(ring.derive(key, _COMMIT), len(bound).to_bytes(8, "big") + bound + head, "sha256")


def _bound(ring: Keyring, path: str) -> bytes:
    return b"\0".join((_MAGIC, ring.ring_id.encode("ascii"), path.encode("utf-8", "surrogatepass")))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _chunks(views: Iterable[memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the bytes in pieces of one chunk, at least one piece; a piece that lies in one view is not copied."""
    pieces: list[memoryview] = []
    held = 0
    yielded = False
    for view in views:
        offset = 0
        while offset < view.nbytes:
            piece = view[offset : offset + CHUNK_SIZE - held]
            pieces.append(piece)
            held += piece.nbytes
            offset += piece.nbytes
            if held == CHUNK_SIZE:
                yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces, held, yielded = [], 0, True
    if pieces or not yielded:
        yield pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _not_ours(location: str) -> IntegrityError:
    return IntegrityError(
        f"{location} does not verify: it is not an encrypted object that this version reads; it was altered, cut short"
        " or written without encryption",
        location=location,
    )
