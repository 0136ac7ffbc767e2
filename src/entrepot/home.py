"""What lives under `ENTREPOT_HOME`, and how it is opened: the keyring, block documents, results, the run history.

    keyring.json      the keys, 0600
    keyring-ID.sealed an earlier keyring, under a passphrase (`entrepot keys join`)
    config.toml       settings
    blocks/           sealed block documents
    seen/             the highest version of each block that was seen from here
    results/          the default result store
    sources/          the source of the functions that cache keys cover, for explanations
    snapshots/        what another process needs to resume each flow run, encrypted
    processes/        a lock for each process that runs flows, as long as it lives
    runs.db           the run history (SQLite), opened by `entrepot.runs`
    state.db          what processes share (SQLite), opened by `entrepot.coordination`
    processes/        one locked file for each process that holds something of that

Folders are made by whoever writes first, 0700; reading makes nothing.
"""

import hashlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from entrepot import settings
from entrepot._clock import SYSTEM_CLOCK
from entrepot.crypto.environment import KEYRING_VARIABLE, EnvironmentKeyProvider
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import KEYRING_NAME, FileKeyProvider, open_keyring
from entrepot.errors import ConfigurationError, KeyProviderError, KeyringError, StorageError
from entrepot.plugins import KEY_PROVIDERS
from entrepot.protocols.keys import KeyProvider, LooksCheaply
from entrepot.protocols.storage import Storage
from entrepot.settings import Settings
from entrepot.storage import LocalStorage, open_storage
from entrepot.storage.paths import RESERVED_PREFIX

__all__ = ["blocks_storage", "home_path", "key_provider", "results_storage", "ring", "store_at"]

_NAMING_STORES: Final = ("blocks_storage", "blocks_team", "results_storage")
_TOMBSTONE = ".deleted.json"
_KEPT_SECONDS = 300.0
_OF_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCSFS_", "FSSPEC_", "STORAGE_EMULATOR_", "BOTO_")
_PATIENCE: Final = 30.0  # seconds after which a provider is asked again that did not answer, or cannot be looked at
_EAGER: Final = 1.0  # seconds between two askings for keys that are not in the ring: planted documents may name any
_OF_ONES_OWN: Final = (
    "bring it from an export (entrepot keys import FILE), or put it back from a backup; or, if it is lost for good,"
    " move that data away to start anew (it cannot be opened without its keys)"
)
_OF_OTHERS: Final = (
    "bring the keyring of those who use that store: one of them makes an export (entrepot keys export FILE), and here"
    " it is: entrepot keys import FILE"
)
_NOT_KNOWN: Final = (
    "there is no keyring here yet, and none is made while it is not known whether that store needs another one: bring"
    " theirs (entrepot keys import FILE), or take the setting away for now (entrepot config unset blocks_team)"
)
_logger = logging.getLogger("entrepot.keys")


@dataclass(slots=True)
class _Opened:
    """A ring in memory.

    Attributes:
        ring: The ring.
        look: What its document looked like, where that can be seen.
        until: When it is read again in any case (monotonic), or None.
        read: When it was read.
    """

    ring: Keyring
    look: object
    until: float | None
    read: float


_lock = threading.Lock()
_rings: dict[str, _Opened] = {}  # by location
_providers: dict[tuple[str, Path], KeyProvider] = {}  # by setting and home: opening a client takes its time
_stores_lock = threading.Lock()  # of its own: a ring is opened under the other one, and looks into stores
_stores: dict[tuple[str, bytes], tuple[float, Storage]] = {}  # what was opened -> (until when it is used, the store)


def home_path() -> Path:
    """Return the folder that holds everything a user keeps."""
    return settings.current().home


def results_storage() -> Storage:
    """Return the default result store's storage, a local folder."""
    return LocalStorage(home_path() / "results")


def blocks_storage(now: Settings) -> Storage:
    """Return where block documents lie unless the setting `blocks_storage` says otherwise: a folder of the home."""
    return LocalStorage(now.home / "blocks")


def store_at(spec: str) -> Storage:
    """Return the store that a path or URL names, with the credentials of this machine.

    One on another machine stays open for some minutes, so that not every operation connects anew; other credentials in
    the environment open another one.

    Raises:
        ConfigurationError: If it cannot be opened; the setting that names it is told.
    """
    try:
        return _store_at(spec)
    except ConfigurationError as error:
        now = settings.current()
        named = [name for name in _NAMING_STORES if getattr(now, name) == spec]
        if not named:
            raise
        raise ConfigurationError(f"the setting {' and '.join(named)}: {error}", setting=named[0]) from error


def _store_at(spec: str) -> Storage:
    if "://" not in spec or spec.startswith(("file://", "local://", "memory://")):
        return open_storage(spec)
    key, now = (spec, _surroundings()), SYSTEM_CLOCK.monotonic()
    with _stores_lock:
        for stale in [each for each, (until, _) in _stores.items() if until <= now]:
            del _stores[stale]
        if key in _stores:
            return _stores[key][1]
    storage = open_storage(spec)
    with _stores_lock:
        return _stores.setdefault(key, (now + _KEPT_SECONDS, storage))[1]


def _surroundings() -> bytes:
    """Return a digest of the variables that clients of clouds read."""
    facts = (f"{name}={value}" for name, value in os.environ.items() if name.startswith(_OF_CLOUDS))
    return hashlib.sha256("\0".join(sorted(facts)).encode(errors="surrogateescape")).digest()


def key_provider(now: Settings | None = None) -> KeyProvider:
    """Return where the keyring is kept.

    That is what the setting `key_provider` says, else the variable `ENTREPOT_KEYRING` if it is set, else the file.

    Args:
        now: The settings, where the caller has read them.

    Raises:
        ConfigurationError: If the setting cannot be that.
        PluginError: If there is no such provider, or it cannot be loaded.
        KeyProviderError: If it fails as it is opened.
    """
    now = now or settings.current()
    if now.key_provider is None:
        if os.environ.get(KEYRING_VARIABLE):
            return EnvironmentKeyProvider(KEYRING_VARIABLE)
        return FileKeyProvider(now.home / KEYRING_NAME)
    known = _providers.get((now.key_provider, now.home))
    if known is None:
        from urllib.parse import parse_qsl  # noqa: PLC0415  only who sets a provider pays for it

        from entrepot.crypto.guarded import guard, guarded_call  # noqa: PLC0415  the same

        described, _, query = now.key_provider.partition("?")
        name, _, target = described.partition(":")
        options = dict(parse_qsl(query, keep_blank_values=True))
        opens = KEY_PROVIDERS.get(name)
        known = guard(guarded_call(name, described, lambda: opens.open(target, options, folder=now.home)), name)
        _providers[now.key_provider, now.home] = known
    return known


def ring(now: Settings | None = None) -> Keyring:
    """Return the keyring; it is made on first need, and read again when its document changed.

    While what keeps it does not answer, a process that has read it goes on with what it has.

    Args:
        now: The settings, where the caller has read them.

    Raises:
        KeyringMissingError: If it is gone while sealed data that needs it is here.
        KeyringPermissionError: If others could read or change it.
        KeyProviderError: If what keeps it does not answer, and this process has not read it before.
        KeyringError: If it cannot be read, or is an older one than this process has read.
    """
    return _ring(key_provider(now), eager=False)


def _ring(provider: KeyProvider, *, eager: bool) -> Keyring:
    """Return the ring, read again if its document changed, or if `eager` and that was not just done."""
    location = provider.location
    look = _look(provider)
    with _lock:
        known = _rings.get(location)
        if known is not None and _is_fresh(known, look, eager=eager):
            return known.ring
        try:
            opened, look = _opened(provider, look)
        except KeyProviderError as error:
            if known is None:
                raise
            known.read = time.monotonic()
            known.until = known.read + _PATIENCE
            known.look = look
            _logger.warning("The keyring is not read again, and this process goes on with the one it has: %s", error)
            return known.ring
        if known is not None and known.ring.ring_id == opened.ring_id and opened.epoch < known.ring.epoch:
            raise KeyringError(
                f"the keyring at {location} is an older copy: its epoch is {opened.epoch}, and this process has read"
                f" {known.ring.epoch}; put the newer one back, or, if that is lost, start this program again",
                location=location,
            )
        opened.newest = lambda: _ring(provider, eager=True)
        now = time.monotonic()
        _rings[location] = _Opened(opened, look, None if look is not None else now + _PATIENCE, now)
        return opened


def _opened(provider: KeyProvider, look: object | None) -> tuple[Keyring, object | None]:
    """Return the ring, and what its document looked like when it was read.

    One that changes while it is read is read again: the old ring with the new look would be taken for the new one.
    """
    while True:
        opened = open_keyring(provider, sealed_data=_sealed_data)
        seen = _look(provider)
        if seen == look:
            return opened, look
        look = seen


def _is_fresh(known: _Opened, look: object, *, eager: bool) -> bool:
    now = time.monotonic()
    if known.until is not None and (now >= known.until or (eager and now >= known.read + _EAGER)):
        return False
    return known.look == look and (look is not None or known.until is not None)


def _look(provider: KeyProvider) -> object | None:
    """Return what tells one state of the keyring's document from another, unread; None where that cannot be said."""
    return provider.look() if isinstance(provider, LooksCheaply) else None


def _sealed_data() -> str | None:
    """Say what sealed data is here that a new key could not open, and what to do, or None.

    Stores that only an option of a task names are not known here; there, a new key finds an unknown one, and says so.
    """
    now = settings.current()
    own = [blocks_storage(now), results_storage(), LocalStorage(home_path() / "snapshots")]
    for storage in own:
        first = _anything(storage)
        if first is not None:
            return f"{first} in {storage.location}; {_OF_ONES_OWN}"
    shared = [spec for spec in (now.blocks_storage, now.blocks_team) if spec is not None]
    storages = [store_at(spec) for spec in shared if not spec.startswith("block://")]
    spec = now.results_storage
    if spec is not None and ("://" in spec or Path(spec).expanduser().is_absolute()):  # else: a block, seen above
        storages.append(store_at(spec))
    for storage in storages:
        try:
            first = _anything(storage)
        except StorageError as error:
            error.add_note(_NOT_KNOWN)
            raise
        if first is not None:
            return f"{first} in {storage.location}; {_OF_OTHERS}"
    # A block of the environment can name them, and what a team has shared is sealed under the team's keys.
    return next((f"the documents in {spec}; {_OF_OTHERS}" for spec in shared if spec.startswith("block://")), None)


def _anything(storage: Storage) -> str | None:
    """Return the name of any object of a store; in a local one a link counts too, wherever it points.

    What deleted blocks leave behind does not count: there is nothing in it to lose.
    """
    if not isinstance(storage, LocalStorage):
        return next((info.path for info in storage.list() if not info.path.endswith(_TOMBSTONE)), None)
    root = Path(storage.location)
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(RESERVED_PREFIX)]  # locks of the store
        for name in (*links, *files):
            if not name.startswith(RESERVED_PREFIX) and not name.endswith(_TOMBSTONE):
                return str(Path(folder, name).relative_to(root))
    return None
