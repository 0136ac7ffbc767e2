"""A keyring that is kept sealed under a key which is somewhere else: in a key service, or made from a passphrase.

UTF-8 JSON, one object on one line, and a line end::

    {"by": name of the key provider, "epoch": the ring's epoch, "format": "entrepot-keyring-sealed/1",
     "key": what the provider needs to get at the sealing key: texts and numbers by name,
     "nonce": base64(12 bytes), "ring": ring id,
     "sealed": base64(AES-256-GCM(sealing key, the keyring's document))}

The associated data is the canonical JSON of everything but `sealed`. Each writing has a nonce of its own, and where the
provider gives one a new sealing key. In clear is what tells one ring from another, and where its key is to be had.
"""

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entrepot.crypto._canonical import canonical, parse
from entrepot.crypto._document import KEYRING_FORMAT, SEALED_FORMAT, read_document
from entrepot.crypto._keys import hide
from entrepot.crypto.providers import FileKeyProvider
from entrepot.errors import KeyProviderError, KeyringChangedError, KeyringError

__all__ = ["Facts", "WrappedKeyProvider", "Wrapper", "open_keyring_file", "seal_keyring"]

Facts: TypeAlias = Mapping[str, str | int]
"""What a provider notes in clear, to find the sealing key again."""

_NAMES: Final = {"by", "epoch", "format", "key", "nonce", "ring", "sealed"}
_PASSPHRASE: Final = "passphrase"  # noqa: S105  the provider's name
_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12


class Wrapper(Protocol):
    """Gives sealing keys, 32 bytes each."""

    @property
    def name(self) -> str:
        """The name of the key provider."""
        ...

    def new_key(self, ring_id: str) -> tuple[bytes, Facts]:
        """Return a new sealing key, and what it takes to get it again.

        Raises:
            KeyProviderError: If it cannot be had.
        """
        ...

    def same_key(self, ring_id: str, facts: Facts) -> bytes:
        """Return the sealing key again.

        Raises:
            KeyProviderError: If it cannot be had.
            KeyringError: If these are no facts of this provider.
        """
        ...


class WrappedKeyProvider:
    """Keeps the keyring in a file, sealed.

    Args:
        file: Where.
        wrapper: What gives the sealing key.
    """

    def __init__(self, file: FileKeyProvider, wrapper: Wrapper) -> None:
        self.file = file
        self._wrapper = wrapper

    @property
    def location(self) -> str:
        """The file, and who seals it."""
        return f"{self.file.location} (sealed by {self._wrapper.name})"

    def look(self) -> object | None:
        """Return what tells one state of the file from another, unread; None where there is none."""
        return self.file.look()

    def left_behind(self) -> list[Path]:
        """Return the temporary files of writers that were killed; they hold sealed keys."""
        return self.file.left_behind()

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet.

        Raises:
            KeyProviderError: If the sealing key cannot be had.
            KeyringPermissionError: If others could read or change the file.
            KeyringError: If it cannot be read or opened.
        """
        content = self._content()
        return None if content is None else self._opened(content)

    def create(self, document: bytes) -> None:
        """Keep a first document, durably.

        Raises:
            KeyringExistsError: If there is one.
            KeyProviderError: If there is no sealing key to be had.
            KeyringError: If it cannot be written.
        """
        content = self._sealed(hide(document))
        del document
        self.file.create(content)

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Put a new document in place of the one that was read, atomically and durably.

        Raises:
            KeyringChangedError: If it is not `old` that is there; nothing was changed.
            KeyProviderError: If there is no sealing key to be had.
            KeyringError: If it cannot be written; the old one is still there.
        """
        document, old = hide(document), hide(old)
        before = self._content()
        if before is None or self._opened(before) != old:
            raise KeyringChangedError(
                f"the keyring {self.location} was changed by another program; read it again", location=self.location
            )
        self.file.replace(self._sealed(document), old=before)

    def _content(self) -> bytes | None:
        """Return what is in the file: it may be a keyring in clear, of another provider, which frames must not show."""
        content = self.file.read()
        return None if content is None else hide(content)

    def _sealed(self, document: bytes) -> bytes:
        return seal_keyring(document, self._wrapper)

    def _opened(self, content: bytes) -> bytes:
        return open_keyring_file(content, self._wrapper, location=self.file.location)


def seal_keyring(document: bytes, wrapper: Wrapper) -> bytes:
    """Return what to keep of a keyring's document.

    Args:
        document: Of `Keyring.to_document`.
        wrapper: What gives the sealing key.

    Raises:
        KeyProviderError: If there is none to be had, or it is of another length.
        KeyringError: If that is no keyring's document.
    """
    document = hide(document)
    fields, _ = read_document(document)
    if fields is None:
        raise KeyringError("what is to be sealed is no keyring document: this should not happen", location="memory")
    facts = {"by": wrapper.name, "epoch": fields.epoch, "format": SEALED_FORMAT, "ring": fields.ring_id}
    key, known = wrapper.new_key(fields.ring_id)
    if len(key) != _KEY_SIZE:  # of another length, AES may take it, and nobody would open this again
        raise KeyProviderError(
            f"the key provider {wrapper.name} gave a key of {len(key)} bytes, where {_KEY_SIZE} are due: nothing was"
            " sealed; see that its options name the service that is meant",
            provider=wrapper.name,
            location=wrapper.name,
        )
    cipher = AESGCM(key)
    del key
    nonce = os.urandom(_NONCE_SIZE)
    bound = facts | {"key": dict(known), "nonce": base64.b64encode(nonce).decode("ascii")}
    sealed = cipher.encrypt(nonce, document, canonical(bound))
    return canonical(bound | {"sealed": base64.b64encode(sealed).decode("ascii")}) + b"\n"


def open_keyring_file(content: bytes, wrapper: Wrapper, *, location: str) -> bytes:
    """Return a keyring's document.

    Args:
        content: What `seal_keyring` gave.
        wrapper: What gives the sealing key.
        location: Where it was, for messages.

    Raises:
        KeyProviderError: If the key cannot be had.
        KeyringError: If it is something else, was altered, or the key does not fit.
    """
    content = hide(content)  # it may be a keyring in clear
    fields, problem = parse(content)
    if isinstance(fields, dict) and fields.get("format") == KEYRING_FORMAT:
        del fields
        raise KeyringError(
            f"the keyring at {location} is not sealed, and the key provider {wrapper.name} keeps sealed ones; to seal"
            " it, take the provider's setting away, and run: entrepot keys export FILE; then move this file away, set"
            " the provider again, and run: entrepot keys import FILE",
            location=location,
        )
    if problem or not isinstance(fields, dict) or fields.keys() != _NAMES or fields["format"] != SEALED_FORMAT:
        raise KeyringError(
            f"the keyring at {location} cannot be used: it is no sealed keyring that this version reads; restore it"
            " from a backup",
            location=location,
        )
    if fields["by"] != wrapper.name:
        raise KeyringError(
            f"the keyring at {location} is sealed by the key provider {str(fields['by'])[:60]!a}, not by"
            f" {wrapper.name}: set ENTREPOT_KEY_PROVIDER to that, with its options",
            location=location,
        )
    opened = _open(fields, wrapper.same_key)
    if opened is None:
        why = (
            "wrong passphrase? Or the file was altered: then restore it from a backup"
            if wrapper.name == _PASSPHRASE
            else f"the key that {wrapper.name} gives is another one than it was sealed under, or the file was altered;"
            " check the provider's options, or restore it from a backup"
        )
        raise KeyringError(f"the keyring at {location} does not open: {why}", location=location)
    return opened


def _open(fields: dict[str, object], same_key: Callable[[str, Facts], bytes]) -> bytes | None:
    known, ring_id = fields["key"], fields["ring"]
    if not isinstance(ring_id, str) or not isinstance(known, dict):
        return None
    try:
        nonce = base64.b64decode(str(fields["nonce"]), validate=True)
        sealed = base64.b64decode(str(fields["sealed"]), validate=True)
        bound = canonical({name: fact for name, fact in fields.items() if name != "sealed"})
    except ValueError:
        return None
    key = hide(same_key(ring_id, known))
    if len(nonce) != _NONCE_SIZE or len(key) != _KEY_SIZE:
        return None
    try:
        return hide(AESGCM(key).decrypt(nonce, sealed, bound))
    except InvalidTag:
        return None
