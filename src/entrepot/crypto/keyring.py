"""The keyring: which keys there are, what each is for, which one is used for new data.

A *staged* key opens but does not seal yet, an *enabled* one does both, a *disabled* one does neither, and of a
*destroyed* one only the id is left.

Another process may change the ring meanwhile: whoever meets a key that its ring does not know looks once whether a
newer ring does.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, NoReturn, Self, SupportsIndex

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.crypto._document import Fields, read_document, write_document
from entrepot.crypto._keys import PURPOSES, Key, KeyState, Purpose, hkdf_sha256, new_key
from entrepot.errors import DestroyedKeyError, KeyringError, UnknownKeyError

__all__ = ["Key", "KeyState", "Keyring", "Purpose"]

_HKDF_SALT: Final = b"entrepot/hkdf/1"


class Keyring:
    """A set of keys with one primary a purpose. Immutable: a change gives a new ring with a higher epoch.

    Attributes:
        ring_id: The ring's own id, kept through rotations.
        epoch: From 1, one more with each change.
        location: Where it was read from, for messages.
        newest: Returns the ring as it is now, if somebody can say; asked for keys that are not here.
    """

    __slots__ = ("_derived", "_keys", "_learnt", "_primary", "epoch", "location", "newest", "ring_id")

    def __init__(
        self,
        *,
        ring_id: str,
        epoch: int,
        keys: Iterable[Key],
        primary: Mapping[Purpose, str],
        location: str = "memory",
    ) -> None:
        self.ring_id = ring_id
        self.epoch = epoch
        self.location = location
        self._keys: dict[str, Key] = {key.id: key for key in keys}
        self._primary: dict[Purpose, str] = dict(primary)
        self._derived: dict[tuple[str, str], bytes] = {}
        self._learnt: dict[str, Key] = {}  # of newer rings; they open, and are in no document of this ring
        self.newest: Callable[[], Keyring] | None = None

    # --- made and written ---------------------------------------------------------------------------------------

    @classmethod
    def generate(cls, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Return a new ring with one fresh key a purpose."""
        keys = [new_key(purpose, clock) for purpose in PURPOSES]
        primary = {key.purpose: key.id for key in keys}
        return cls(ring_id="r" + secrets.token_hex(8), epoch=1, keys=keys, primary=primary)

    @classmethod
    def from_document(cls, document: bytes, *, location: str) -> Self:
        """Read a ring.

        Args:
            document: The bytes of `to_document`.
            location: Where they were, for messages.

        Raises:
            KeyringError: If it is not a keyring of a known version, or not sound: an id that does not match its
                material or occurs twice, a primary that is missing or not enabled. The message shows no material.
        """
        fields, problem = read_document(document)
        # Nothing with material in it is left in this frame when it raises: tracebacks can carry captured locals.
        del document
        if fields is None:
            raise KeyringError(
                f"the keyring at {location} cannot be used: {problem}; restore it from a backup"
                " (what was sealed under its keys cannot be opened without them)",
                location=location,
            )
        return cls(
            ring_id=fields.ring_id, epoch=fields.epoch, keys=fields.keys, primary=fields.primary, location=location
        )

    def to_document(self) -> bytes:
        """Return the bytes to keep. They hold the key material: give them to a `KeyProvider` and to nothing else."""
        fields = Fields(self.ring_id, self.epoch, tuple(self._keys.values()), self._primary)
        return write_document(fields)

    # --- changed ------------------------------------------------------------------------------------------------

    def with_new_primary(self, purpose: Purpose, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Return a ring whose new data of this purpose goes under a fresh key; the older keys still open."""
        key = new_key(purpose, clock)
        return self._changed([*self._keys.values(), key], {**self._primary, purpose: key.id})

    def with_staged(self, purpose: Purpose, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Return a ring with one more key, which opens but does not seal yet."""
        return self._changed([*self._keys.values(), new_key(purpose, clock, "staged")], self._primary)

    def with_primary(self, key_id: str) -> Self:
        """Return a ring whose new data of a key's purpose goes under that key, which is enabled, and the last one.

        Raises:
            UnknownKeyError: If there is no such key.
            KeyringError: If it is disabled or destroyed.
        """
        key = self._held(key_id)
        if not key.opens:
            raise KeyringError(
                f"key {key_id} of ring {self.ring_id} is {key.state}, and becomes no primary key; stage a new one",
                location=self.location,
            )
        enabled = replace(key, state="enabled")
        keys = [*(other for other in self._keys.values() if other is not key), enabled]
        return self._changed(keys, {**self._primary, key.purpose: key_id})

    def with_state(self, key_id: str, state: KeyState) -> Self:
        """Return a ring with one key in another state; "destroyed" forgets its material for good.

        Raises:
            UnknownKeyError: If there is no such key.
            KeyringError: If it is a primary (make another one first), or is destroyed.
        """
        key = self._held(key_id)
        if key_id in self._primary.values() and state != "enabled":
            raise KeyringError(
                f"key {key_id} of ring {self.ring_id} is the primary {key.purpose} key and stays enabled;"
                " make a new primary first (entrepot keys rotate)",
                location=self.location,
            )
        if key.state == "destroyed":
            raise KeyringError(
                f"key {key_id} of ring {self.ring_id} was destroyed and stays so", location=self.location
            )
        material = None if state == "destroyed" else key.material
        changed = replace(key, state=state, material=material)
        return self._changed([changed if other is key else other for other in self._keys.values()], self._primary)

    def _held(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            raise self._unknown(key_id, "it is not in the ring")
        return key

    def _changed(self, keys: list[Key], primary: Mapping[Purpose, str]) -> Self:
        return type(self)(
            ring_id=self.ring_id, epoch=self.epoch + 1, keys=keys, primary=primary, location=self.location
        )

    # --- used ---------------------------------------------------------------------------------------------------

    def all_keys(self) -> list[Key]:
        """Return every key, in the order of the document."""
        return list(self._keys.values())

    def primary(self, purpose: Purpose) -> Key:
        """Return the key for new data of this purpose."""
        return self._keys[self._primary[purpose]]

    def is_ahead(self, key_id: str, purpose: Purpose) -> bool:
        """Say whether a key came after the primary one of its purpose, or is of a newer ring than this one.

        Keys stand in the order in which they came, and the one that becomes the primary is the last then. So one that
        comes after it was made the primary elsewhere, or will be: what is under it is not to be put back.
        """
        order = [key.id for key in self._keys.values() if key.purpose == purpose]
        if key_id in order:
            return order.index(key_id) > order.index(self._primary[purpose])
        newer = self._newer(key_id)
        return newer is not None and newer.purpose == purpose

    def key(self, key_id: str, purpose: Purpose) -> Key:
        """Return a key that may open data of this purpose.

        Raises:
            DestroyedKeyError: If the ring knows that it was destroyed.
            UnknownKeyError: If the ring does not have it, has it for another purpose, or no longer enables it.
        """
        key = self._keys.get(key_id)
        if key is None or not key.opens:
            key = self._newer(key_id) or key
        if key is None:
            raise self._unknown(
                key_id,
                "it is not in the ring; use the keyring under which the data was made (this one is of epoch"
                f" {self.epoch}: an older copy lacks the keys that came later), or add the key from an export:"
                " entrepot keys import FILE",
            )
        if key.purpose != purpose:
            raise self._unknown(key_id, f"there it is a key for {key.purpose} data, not for {purpose} data")
        if key.state == "destroyed":
            raise DestroyedKeyError(
                f"key {key_id} of keyring {self.ring_id} ({self.location}) was destroyed: what was made under it cannot"
                " be read any more",
                location=self.location,
                key_id=key_id,
            )
        if not key.opens:
            raise self._unknown(
                key_id,
                f"there it is {key.state}; if the data is still to be trusted, run: entrepot keys enable {key_id}",
            )
        return key

    def _newer(self, key_id: str) -> Key | None:
        """Return a key as a newer ring has it, if there is one."""
        known = self._learnt.get(key_id)
        if known is None and self.newest is not None:
            newest = self.newest()
            if newest.ring_id == self.ring_id and newest.epoch > self.epoch:
                known = newest._keys.get(key_id)  # noqa: SLF001  another one of this class
            if known is not None:
                self._learnt[key_id] = known
        return known

    def derive(self, key: Key, label: str) -> bytes:
        """Return 32 bytes derived from a key for one use (HKDF-SHA256), the same ones at every call.

        Args:
            key: A key of this ring.
            label: The use: ASCII, such as "entrepot/block/wrap/1"; two uses never share a label.

        Raises:
            UnknownKeyError: If the ring does not have the key, or no longer has its material.
        """
        known = self._derived.get((key.id, label))
        if known is not None:
            return known
        held = self._learnt.get(key.id) or self._keys.get(key.id)
        if held is None or held.material is None:
            raise self._unknown(key.id, "it is not in the ring")
        derived = hkdf_sha256(held.material.reveal(), salt=_HKDF_SALT, info=label.encode("ascii") + b"\0")
        self._derived[key.id, label] = derived
        return derived

    def _unknown(self, key_id: str, why: str) -> UnknownKeyError:
        return UnknownKeyError(
            f"no usable key {key_id} in keyring {self.ring_id} ({self.location}): {why}",
            location=self.location,
            key_id=key_id,
        )

    def __repr__(self) -> str:
        return f"<Keyring {self.ring_id} epoch {self.epoch}, keys {', '.join(self._keys)}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"keyring {self.ring_id} cannot be pickled: each process opens its own")
