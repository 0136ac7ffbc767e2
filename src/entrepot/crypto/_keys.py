"""One key: its id, its state, its hidden material, and what is derived from it."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, NoReturn, Self, SupportsIndex, TypeAlias, get_args

from entrepot._clock import Clock

__all__ = [
    "KEY_ID",
    "MATERIAL_SIZE",
    "PURPOSES",
    "RING_ID",
    "STATES",
    "Key",
    "KeyState",
    "Material",
    "Purpose",
    "hide",
    "hkdf_sha256",
    "key_id_of",
    "new_key",
]

KEY_ID: Final = re.compile(r"k[0-9a-f]{16}\Z", re.ASCII)
RING_ID: Final = re.compile(r"r[0-9a-f]{16}\Z", re.ASCII)
MATERIAL_SIZE: Final = 32

Purpose: TypeAlias = Literal["block", "result"]
KeyState: TypeAlias = Literal["staged", "enabled", "disabled", "destroyed"]

PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
STATES: Final[tuple[KeyState, ...]] = get_args(KeyState)


class _SecretBytes(bytes):
    """Bytes that work as a key and print as nothing: captured locals, logs and pickles must not carry keys."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<key bytes, not shown>"

    __str__ = __repr__

    def __format__(self, spec: str, /) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError("key bytes cannot be pickled")


class Material:
    """Holds a key's material in a closure: no attribute, slot or dictionary shows it."""

    __slots__ = ("reveal",)

    def __init__(self, material: bytes) -> None:
        hidden = _SecretBytes(material)
        self.reveal: Callable[[], bytes] = lambda: hidden

    def __repr__(self) -> str:
        return "<key material, not shown>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError("key material cannot be pickled")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a ring.

    Attributes:
        id: Made from the material: "k" and 16 hex digits.
        purpose: "block" seals documents, "result" signs and names results.
        state: "staged", "enabled", "disabled" or "destroyed".
        created: When it was made, in UTC.
        material: Hidden; None if the key is destroyed.
    """

    id: str
    purpose: Purpose
    state: KeyState
    created: datetime
    material: Material | None = field(repr=False, compare=False)

    @property
    def opens(self) -> bool:
        """Whether it may open and verify what was made under it."""
        return self.state in ("staged", "enabled") and self.material is not None


def hide(key: bytes) -> bytes:
    """Return the same bytes in a form that prints as nothing and is not pickled."""
    return _SecretBytes(key)


def key_id_of(material: bytes) -> str:
    """Return the id of a key with this material."""
    return "k" + hashlib.sha256(b"entrepot-key-id/1" + material).hexdigest()[:16]


def hkdf_sha256(material: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Return `length` bytes derived from `material` (RFC 5869, HKDF-SHA256), at most 8,160."""
    prk = hmac.digest(salt or b"\0" * 32, material, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        output += block
    return _SecretBytes(output[:length])


def new_key(purpose: Purpose, clock: Clock, state: KeyState = "enabled") -> Key:
    """Return a key with random material."""
    material = _SecretBytes(secrets.token_bytes(MATERIAL_SIZE))
    return Key(key_id_of(material), purpose, state, clock.now().astimezone(UTC), Material(material))
