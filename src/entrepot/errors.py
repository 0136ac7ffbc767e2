"""The error tree: every error that Entrepot raises on purpose, with its facts as attributes.

Each class also inherits the built-in that a caller would expect (`LookupError`, `ValueError`, `PermissionError`, ...).
A message says what failed, what is known, and what to do; it never holds a secret.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `collections.abc` and `typing` take milliseconds to import, and only annotations need them
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AbsentNameError",
    "AmbiguousBlockNameError",
    "ArtifactNotFoundError",
    "BlockExistsError",
    "BlockFileError",
    "BlockNotFoundError",
    "BlockSchemaError",
    "BlockedAddressError",
    "CacheKeyError",
    "CancelledRunError",
    "ChangedResultError",
    "CollectionError",
    "ConfigurationError",
    "CrashedRunError",
    "DamagedResultError",
    "DatabaseError",
    "DestroyedKeyError",
    "EntrepotError",
    "FailedRunError",
    "ForeignReferenceError",
    "InputError",
    "IntegrityError",
    "InvalidNameError",
    "InvalidPathError",
    "KeyInUseError",
    "KeyProviderError",
    "KeyringChangedError",
    "KeyringError",
    "KeyringExistsError",
    "KeyringMissingError",
    "KeyringPermissionError",
    "LeaseLostError",
    "LimitError",
    "LimitTimeoutError",
    "MissingContextError",
    "MissingResultError",
    "NotReadyError",
    "NotResumableError",
    "NotificationError",
    "ObjectChangedError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "OptionError",
    "ParameterError",
    "PauseTimeoutError",
    "PausedRunError",
    "PluginConflictError",
    "PluginDeniedError",
    "PluginError",
    "PluginLoadError",
    "RefusedSerializerError",
    "RunNotFoundError",
    "SecretMaskError",
    "SecretReferenceError",
    "SerializationError",
    "StorageAccessError",
    "StorageError",
    "StorageFullError",
    "StorageUnreachableError",
    "TimedOutError",
    "TransactionError",
    "UnhashableValueError",
    "UnknownBlockTypeError",
    "UnknownKeyError",
    "UnknownNameError",
    "UnstableKeyError",
    "VariableExistsError",
    "VariableNotFoundError",
    "WebhookError",
]


class EntrepotError(Exception):
    """The root of the tree.

    Args:
        message: What failed, what is known, what to do.
        **facts: Becomes attributes of the error, for programs; they survive pickling.
    """

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        for name, fact in facts.items():  # not __dict__: ImportError keeps `name` in a slot of its own
            setattr(self, name, fact)

    def __str__(self) -> str:
        # Some built-ins we inherit from (KeyError, OSError) would print the message in a form of their own.
        return str(self.args[0]) if self.args else ""


# --- names, settings, options -----------------------------------------------------------------------------------


class InvalidNameError(EntrepotError, ValueError):
    """A block name or slug that may not be one."""

    name: str


class ConfigurationError(EntrepotError, ValueError):
    """A setting that is unknown or has an unusable value."""

    setting: str


class OptionError(EntrepotError, TypeError):
    """An option of `@flow` or `@task` that is unknown, contradictory or of the wrong type."""

    option: str


# --- plugins ------------------------------------------------------------------------------------------------------


class PluginError(EntrepotError):
    """The root of what can go wrong between a name and the class behind it."""

    group: str
    name: str


class UnknownNameError(PluginError, LookupError):
    """No built-in and no installed distribution claims this name."""

    known: Sequence[str]


class UnknownBlockTypeError(UnknownNameError):
    """No block class has this slug."""


class PluginConflictError(PluginError, ValueError):
    """Two distributions claim one name."""

    distributions: Sequence[str]


class PluginLoadError(PluginError, ImportError):  # type: ignore[misc]  # ImportError types `name` as optional
    """The distribution that claims this name could not give a usable class for it."""

    distribution: str


class PluginDeniedError(PluginError, PermissionError):
    """The settings do not allow the distribution that claims this name; nothing of it was imported."""

    distribution: str


# --- keys and seals -----------------------------------------------------------------------------------------------


class KeyringError(EntrepotError):
    """The keyring cannot be used."""

    location: str


class KeyringMissingError(KeyringError, LookupError):
    """There is no keyring, but sealed data exists that needs one; no new key is made."""


class KeyringPermissionError(KeyringError, PermissionError):
    """The keyring's file or folder can be read or changed by others, or is not a plain file."""


class KeyringExistsError(KeyringError, FileExistsError):
    """A keyring is there already; another process may have made it a moment ago."""


class KeyringChangedError(KeyringError):
    """The keyring is not what was read any more: another program changed it first, and nothing was written."""


class KeyProviderError(KeyringError, ConnectionError):
    """What keeps the keyring, or the key that wraps it, does not answer or refuses; `provider` is its name."""

    provider: str


class KeyInUseError(KeyringError):
    """A key is not taken out of use: something needs it still."""

    key_id: str


class UnknownKeyError(KeyringError, LookupError):
    """Something is sealed or signed under a key that this ring does not have (or no longer enables)."""

    key_id: str


class DestroyedKeyError(UnknownKeyError):
    """Something is sealed or signed under a key that this ring knows, and that was destroyed on purpose."""


class IntegrityError(EntrepotError, ValueError):
    """Sealed or signed bytes do not verify: altered, moved, swapped, cut short or planted."""

    location: str


# --- storage ------------------------------------------------------------------------------------------------------


class StorageError(EntrepotError, OSError):
    """A storage operation failed; `location` is the place, without credentials."""

    location: str


class InvalidPathError(StorageError, ValueError):
    """A storage path that may not be one: absolute, empty, with `..`, NUL, a backslash, or too long."""

    path: str


class ObjectNotFoundError(StorageError, FileNotFoundError):
    """The store answered, and there is no such object."""

    path: str


class ObjectExistsError(StorageError, FileExistsError):
    """Create-if-absent found an object in place."""

    path: str


class ObjectChangedError(StorageError):
    """A conditional write found another object in the place than the one that was read, or none."""

    path: str


class StorageUnreachableError(StorageError, ConnectionError):
    """The store did not answer, or its bucket or root is not there: an outage, never a miss."""


class StorageAccessError(StorageError, PermissionError):
    """The store answered that these credentials may not do this."""


class StorageFullError(StorageError):
    """No space, or over quota: nothing was written."""


# --- blocks -------------------------------------------------------------------------------------------------------


class BlockNotFoundError(EntrepotError, LookupError):
    """No saved block has this name."""

    name: str


class AmbiguousBlockNameError(EntrepotError, LookupError):
    """Blocks of more than one type have this name."""

    name: str
    candidates: Sequence[str]


class BlockExistsError(EntrepotError, FileExistsError):
    """A block of this name is saved already, and overwriting was not asked for (or another writer won)."""

    name: str


class BlockSchemaError(EntrepotError, ValueError):
    """A stored block does not fit the class that is installed; values are never shown."""

    name: str
    saved_version: int | None = None
    class_version: int | None = None
    missing: Sequence[str] = ()
    unknown: Sequence[str] = ()
    refused: Sequence[str] = ()
    stub: str = ""


class BlockFileError(EntrepotError, ValueError):
    """Blocks that people wrote down, in a file or a variable, cannot be made; values are never shown."""

    path: str


class SecretReferenceError(EntrepotError, LookupError):
    """The secret that a reference names (`env://NAME`) cannot be had: it is not there, or its source is not reached."""

    reference: str = ""
    where: str = ""


class ForeignReferenceError(SecretReferenceError):
    """A block of a shared store refers to a secret that this machine's owner has not listed for such blocks.

    `store` is where the block came from; `setting` is what to write to let it, "" where that cannot be written.
    """

    store: str = ""
    setting: str = ""


class SecretMaskError(EntrepotError, ValueError):
    """The mask that stands for a secret was about to be saved as the secret."""

    field: str


class BlockedAddressError(EntrepotError, PermissionError):
    """A webhook's host resolved to a private, loopback, link-local or metadata address."""

    address: str


class WebhookError(EntrepotError, ConnectionError):
    """A webhook was not delivered; `status` is the HTTP status, or None where there was no answer."""

    status: int | None


class DatabaseError(EntrepotError, ConnectionError):
    """A database was not reached, or refused a statement; `retryable` says whether the same may work later."""

    retryable: bool


class NotificationError(EntrepotError, ConnectionError):
    """A message was not taken by a mail server or a notification service."""


# --- hashing, serializers, results --------------------------------------------------------------------------------


class UnhashableValueError(EntrepotError, TypeError):
    """A value has no stable identity, so that no key can be made of it."""

    parameter: str
    path: str


class UnstableKeyError(EntrepotError, RuntimeError):
    """In the checking mode: a cache key is another one in another process."""

    parts: Sequence[str]


class ChangedResultError(EntrepotError, RuntimeError):
    """In the checking mode: what a task returned was changed in place before another one took it."""


class CacheKeyError(EntrepotError, ValueError):
    """A cache key could not be computed: a `cache_key_fn` raised or returned something that is no key."""

    task: str


class SerializationError(EntrepotError, TypeError):
    """A value cannot be written by this serializer, or bytes cannot be read by it."""

    serializer: str
    path: str


class RefusedSerializerError(EntrepotError, PermissionError):
    """A result was written, or would have to be, by a serializer that its store does not allow."""

    serializer: str


class MissingResultError(EntrepotError, LookupError):
    """A result was asked for that was not kept."""


class DamagedResultError(IntegrityError):
    """A stored result does not verify, and the policy says to stop."""

    key: str


class CollectionError(EntrepotError, RuntimeError):
    """A collection of a result store could not go on: another is at work there, or it was held up for too long."""

    location: str
    id: str


# --- runs ---------------------------------------------------------------------------------------------------------


class ParameterError(EntrepotError, TypeError, ValueError):
    """The arguments of a flow or task do not fit its signature or its annotations."""

    parameter: str


class MissingContextError(EntrepotError, RuntimeError):
    """Something that needs a running flow or task was called outside one."""


class FailedRunError(EntrepotError, RuntimeError):
    """A run ended in a failed state that carries no exception of its own."""


class CancelledRunError(EntrepotError, RuntimeError):
    """A run was cancelled before it could end by itself."""


class CrashedRunError(EntrepotError, RuntimeError):
    """A run ended because its process or its task runner did."""


class NotReadyError(EntrepotError, RuntimeError):
    """A task did not start because something upstream of it did not complete."""


class TimedOutError(EntrepotError, TimeoutError):
    """A run was stopped because it took longer than its `timeout_seconds`."""

    seconds: float


class NotResumableError(EntrepotError, RuntimeError):
    """A run cannot be resumed or rerun: it goes on, it is no flow run, or what that needs was not kept."""

    run_id: str


class TransactionError(EntrepotError, RuntimeError):
    """A transaction was used in a way that it does not allow, or could not be committed."""

    key: str


class LimitError(EntrepotError, ValueError):
    """A concurrency or rate limit that there is not, or whose numbers make no sense."""

    name: str


class LimitTimeoutError(EntrepotError, TimeoutError):
    """No place under a limit was free in time."""

    name: str


class LeaseLostError(EntrepotError, RuntimeError):
    """A place under a limit or a lock was not renewed in time, and somebody else may hold it now."""

    name: str


class VariableNotFoundError(EntrepotError, LookupError):
    """No variable has this name."""

    name: str


class VariableExistsError(EntrepotError, FileExistsError):
    """A variable of this name is set already, and overwriting was not asked for."""

    name: str


class ArtifactNotFoundError(EntrepotError, LookupError):
    """No artifact has this id or key."""

    key: str


class PausedRunError(EntrepotError, RuntimeError):
    """A flow run left its process to wait for somebody."""

    run_id: str


class PauseTimeoutError(EntrepotError, TimeoutError):
    """Nobody answered a paused flow run in time."""

    run_id: str


class InputError(EntrepotError, ValueError):
    """An answer to a paused flow run does not fit what it waits for."""

    field: str


class AbsentNameError(EntrepotError, ImportError):
    """A name of another engine that Entrepot does not have; the message says when it will be, or why not."""


class RunNotFoundError(EntrepotError, LookupError):
    """The run history has no run with this id."""

    run_id: str
