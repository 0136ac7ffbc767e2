"""The life of a key: staged, made the primary one, taken out of use, destroyed. And blocks sealed again in between.

Each step is one change of the keyring, atomic and durable, and can be repeated: a rotation that was killed is finished
by the next one. No process has to be stopped: who meets a key that it does not know reads the keyring again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.rewrap import Rewrapped, rewrap_documents
from entrepot.coordination import pauses
from entrepot.crypto.changing import change_keyring
from entrepot.crypto.keyring import Key, Keyring, Purpose
from entrepot.errors import IntegrityError, KeyInUseError, KeyringError, UnknownKeyError
from entrepot.flow_runs.sealing import reseal_answer
from entrepot.keys.usage import Usage
from entrepot.protocols.keys import KeyProvider

__all__ = ["Rotated", "destroy", "disable", "enable", "promote", "rewrap", "rewrap_command", "stage"]


@dataclass(frozen=True, slots=True)
class Rotated:
    """One purpose, before and after.

    Attributes:
        purpose: "block" or "result".
        old: The key that was the primary one.
        new: The key that is; the same where nothing was done.
    """

    purpose: Purpose
    old: str
    new: str


def stage(provider: KeyProvider, purposes: Sequence[Purpose]) -> Keyring:
    """Make a key for each purpose that has none waiting; it opens, and seals nothing yet.

    Raises:
        KeyringError: If the keyring cannot be read or written.
    """

    def change(ring: Keyring) -> Keyring | None:
        missing = [purpose for purpose in purposes if _staged(ring, purpose) is None]
        for purpose in missing:
            ring = ring.with_staged(purpose)
        return ring if missing else None

    return change_keyring(provider, change)


def promote(provider: KeyProvider, purposes: Sequence[Purpose]) -> list[Rotated]:
    """Make the staged key of each purpose the primary one; where there is none, leave all as it is.

    Raises:
        KeyringError: If the keyring cannot be read or written.
    """
    before: dict[Purpose, str] = {}

    def change(ring: Keyring) -> Keyring | None:
        before.update((purpose, ring.primary(purpose).id) for purpose in purposes)
        waiting = [key for purpose in purposes if (key := _staged(ring, purpose)) is not None]
        for key in waiting:
            ring = ring.with_primary(key.id)
        return ring if waiting else None

    ring = change_keyring(provider, change)
    return [Rotated(purpose, before[purpose], ring.primary(purpose).id) for purpose in purposes]


def rewrap(
    documents: BlockDocuments,
    tick: Callable[[int, int], object] = lambda _, __: None,
    *,
    answers: bool = True,
    other: Keyring | None = None,
) -> Rewrapped:
    """Seal saved blocks and answers to runs again under the primary block key.

    Results stay as they are: their signatures, and the digests that are the names of their payloads, are made with the
    key of their time, which goes on verifying them until it is disabled.

    Args:
        documents: The blocks. Of a store that others share, all of them need the primary key first.
        tick: Told how many versions were looked at in this pass, of how many.
        answers: Whether to do the answers to runs, too: they are this home's.
        other: Another keyring: what that has sealed is done, and nothing else.

    Raises:
        KeyringError: If the keyring cannot be used.
        StorageError: If a store cannot be read or written; what was done is done, and the next call goes on.
    """
    found = rewrap_documents(documents, tick, other)
    ring = documents.ring()
    for pause in pauses.list_answered() if answers else ():
        try:
            fresh = reseal_answer(ring, pause, other)
        except (IntegrityError, UnknownKeyError) as error:
            found.problems[f"the answer to {pause.key} of run {pause.root_run_id}"] = str(error)
            continue
        found.seen += 1
        if fresh is not None and pauses.exchange_answer(pause, fresh):
            found.done += 1
    return found


def disable(provider: KeyProvider, key_id: str, usage: Usage | None) -> Keyring:
    """Take a key out of use: it opens nothing any more, until it is enabled again.

    Args:
        provider: What keeps the keyring.
        key_id: Which.
        usage: What needs it; None not to ask.

    Raises:
        KeyInUseError: If something needs it; nothing was changed.
        UnknownKeyError: If there is no such key.
        KeyringError: If it is a primary key, or destroyed.
    """
    return change_keyring(provider, lambda ring: _dropped(ring, key_id, usage, "disabled"))


def destroy(provider: KeyProvider, key_id: str, usage: Usage | None) -> Keyring:
    """Forget the material of a disabled key for good.

    Results under it are misses from then on. Blocks under it are lost.

    Args:
        provider: What keeps the keyring.
        key_id: Which.
        usage: What needs it; None not to ask.

    Raises:
        KeyInUseError: If something needs it, or it is not disabled; nothing was changed.
        UnknownKeyError: If there is no such key.
        KeyringError: If it is a primary key.
    """
    return change_keyring(provider, lambda ring: _dropped(ring, key_id, usage, "destroyed"))


def enable(provider: KeyProvider, key_id: str) -> Keyring:
    """Put a disabled key back into use: it opens what was made under it.

    Raises:
        UnknownKeyError: If there is no such key.
        KeyringError: If it was destroyed, or is staged.
    """

    def change(ring: Keyring) -> Keyring | None:
        held = _held(ring, key_id)
        if held.state == "staged":  # enabled, it would be no new key any more, and the next rotation make another
            raise KeyringError(
                f"key {key_id} is staged: it opens already, and a rotation makes it the primary one: entrepot keys"
                f" rotate --purpose {held.purpose}",
                location=ring.location,
            )
        return None if held.state == "enabled" else ring.with_state(key_id, "enabled")

    return change_keyring(provider, change)


def _dropped(ring: Keyring, key_id: str, usage: Usage | None, state: str) -> Keyring | None:
    held = _held(ring, key_id)
    if held.state == "destroyed":
        return ring.with_state(key_id, "disabled")  # raises, and says why
    if held.state == state:
        return None
    if ring.primary(held.purpose).id == key_id:
        return ring.with_state(key_id, "disabled")  # the same
    if state == "destroyed" and held.state == "enabled":
        raise KeyInUseError(
            f"key {key_id} is enabled: disable it first, see that all works without it, and destroy it then:"
            f" entrepot keys disable {key_id}",
            key_id=key_id,
            location=ring.location,
        )
    if usage is not None and usage.count(key_id):
        raise _in_use(ring, held, usage)
    return ring.with_state(key_id, "destroyed" if state == "destroyed" else "disabled")


def rewrap_command(usage: Usage, key_id: str) -> str:
    """Return what seals again what is under a key: in which store, or in both."""
    is_of_team = bool(usage.count_in(key_id, "team"))
    is_own = bool(usage.count_in(key_id, "local") or usage.count(key_id, "answers"))
    commands = ["entrepot keys rewrap"] if is_own or not is_of_team else []
    return " && ".join([*commands, *(["entrepot keys rewrap --store team"] if is_of_team else [])])


def _in_use(ring: Keyring, key: Key, usage: Usage) -> KeyInUseError:
    count = usage.count(key.id)
    is_ahead = key.purpose == "block" and ring.is_ahead(key.id, "block")
    todo = (
        "it came after the primary key here: bring an export of the keyring from where that was made (entrepot keys"
        " import FILE), or make a newer key: entrepot keys rotate"
        if is_ahead
        else f"run: {rewrap_command(usage, key.id)}"
        if key.purpose == "block"
        else "wait until they have expired and were collected (entrepot store gc), or give them up with --force: then"
        " they are computed again"
    )
    return KeyInUseError(
        f"key {key.id} is in use: {count} {'thing needs' if count == 1 else 'things need'} it, such as"
        f" {usage.first(key.id)}; {todo}",
        key_id=key.id,
        location=ring.location,
    )


def _held(ring: Keyring, key_id: str) -> Key:
    for key in ring.all_keys():
        if key.id == key_id:
            return key
    raise UnknownKeyError(
        f"no key {key_id!a} in keyring {ring.ring_id} ({ring.location}); there are"
        f" {', '.join(key.id for key in ring.all_keys())}: entrepot keys status",
        location=ring.location,
        key_id=key_id,
    )


def _staged(ring: Keyring, purpose: Purpose) -> Key | None:
    """Return the key of a purpose that waits, the newest one."""
    waiting = [key for key in ring.all_keys() if key.purpose == purpose and key.state == "staged"]
    return max(waiting, key=lambda key: key.created, default=None)
