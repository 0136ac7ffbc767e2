"""Signatures of result records: one readable line under the record, made and checked with HMAC-SHA256.

The line is `entrepot-sig/1 <key id> <64 hex digits>`. What is signed is the context (which kind of record, and where it
belongs), its length before it, and then the message. The standard library is all that this needs.
"""

import hmac
import re
from typing import Final

from entrepot.crypto.keyring import Key, Keyring
from entrepot.errors import IntegrityError

__all__ = ["SIGNATURE_FORMAT", "sign_line", "verify_line"]

SIGNATURE_FORMAT: Final = "entrepot-sig/1"
_LABEL: Final = "entrepot/result/sign/1"
_LINE: Final = re.compile(r"entrepot-sig/1 (k[0-9a-f]{16}) ([0-9a-f]{64})\Z", re.ASCII)


def sign_line(ring: Keyring, message: bytes, *, context: str) -> str:
    """Return the signature line of a message, without a line end.

    Args:
        ring: Its primary result key signs.
        message: What is signed.
        context: Where the message belongs, such as its kind and key: it verifies only there.
    """
    key = ring.primary("result")
    return f"{SIGNATURE_FORMAT} {key.id} {_mac(ring, key, message, context)}"


def verify_line(ring: Keyring, message: bytes, line: str, *, context: str, location: str) -> str:
    """Check a signature line, to the letter, and return the id of the key that made it.

    Args:
        ring: The reader's keys.
        message: What should be signed.
        line: The line of `sign_line`, without a line end.
        context: Where the reader found the message.
        location: The same for people.

    Raises:
        IntegrityError: If it is not the signature of this message in this context.
        UnknownKeyError: If the ring does not have its key, or no longer enables it.
    """
    match = _LINE.match(line)
    if match is None:
        raise IntegrityError(
            f"{location} does not verify: it carries no signature that this version reads; it was altered, cut short"
            " or not written by Entrepot",
            location=location,
        )
    key = ring.key(match[1], "result")
    if not _same(ring, key, message, context, match[2]):
        raise IntegrityError(
            f"{location} does not verify: its signature under key {key.id} does not match; it was altered, moved or"
            " swapped since it was written",
            location=location,
        )
    return key.id


def _mac(ring: Keyring, key: Key, message: bytes, context: str) -> str:
    name = context.encode("utf-8", "surrogatepass")
    signed = b"".join((len(name).to_bytes(8, "big"), name, message))
    return hmac.digest(ring.derive(key, _LABEL), signed, "sha256").hex()


def _same(ring: Keyring, key: Key, message: bytes, context: str, given: str) -> bool:
    # The right signature of a forged message stays in this frame: captured in a traceback it would be a licence.
    return hmac.compare_digest(_mac(ring, key, message, context), given)
