"""What lives under `ENTREPOT_HOME`, and how it is opened: the keyring, block documents, results, the run history.

    keyring.json      the keys, 0600
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
import os
import threading
from pathlib import Path

from entrepot import settings
from entrepot._clock import SYSTEM_CLOCK
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import EnvironmentKeyProvider, FileKeyProvider, open_keyring
from entrepot.protocols.keys import KeyProvider
from entrepot.protocols.storage import Storage
from entrepot.settings import Settings
from entrepot.storage import LocalStorage, open_storage
from entrepot.storage.paths import RESERVED_PREFIX

__all__ = ["blocks_storage", "home_path", "key_provider", "opened", "results_storage", "ring"]

KEYRING_VARIABLE = "ENTREPOT_KEYRING"
_TOMBSTONE = ".deleted.json"
_KEPT_SECONDS = 300.0
_OF_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCSFS_", "FSSPEC_", "STORAGE_EMULATOR_", "BOTO_")

_lock = threading.Lock()
_stores_lock = threading.Lock()  # of its own: a ring is opened under the other one, and looks into stores
_stores: dict[tuple[str, bytes], tuple[float, Storage]] = {}  # what was opened -> (until when it is used, the store)
_rings: dict[str, tuple[object, Keyring]] = {}  # location -> (what the document looked like, the open ring)


def home_path() -> Path:
    """Return the folder that holds everything a user keeps."""
    return settings.current().home


def results_storage() -> Storage:
    """Return the default result store's storage, a local folder."""
    return LocalStorage(home_path() / "results")


def blocks_storage(now: Settings) -> Storage:
    """Return where block documents lie unless the setting `blocks_storage` says otherwise: a folder of the home."""
    return LocalStorage(now.home / "blocks")


def opened(spec: str) -> Storage:
    """Return the store that a path or URL names, with the credentials of this machine.

    One on another machine stays open for some minutes, so that not every operation connects anew; other credentials in
    the environment open another one.
    """
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


def key_provider() -> KeyProvider:
    """Return where the keyring is kept: the variable `ENTREPOT_KEYRING` if it is set, or the file."""
    if os.environ.get(KEYRING_VARIABLE):
        return EnvironmentKeyProvider(KEYRING_VARIABLE)
    return FileKeyProvider(home_path() / "keyring.json")


def ring() -> Keyring:
    """Return the keyring; it is made on first need, and read again when its document changed.

    Raises:
        KeyringMissingError: If it is gone while sealed data that needs it is here.
        KeyringPermissionError: If others could read or change it.
        KeyringError: If it cannot be read.
    """
    provider = key_provider()
    location = provider.location
    look = _look()
    with _lock:
        known = _rings.get(location)
        if known is not None and look is not None and known[0] == look:
            return known[1]
        opened = open_keyring(provider, sealed_data=_sealed_data)
        _rings[location] = (_look(), opened)
        return opened


def _look() -> object:
    """Return what tells one state of the keyring's document from another, unread; None where there is none."""
    value = os.environ.get(KEYRING_VARIABLE)
    if value:  # hashed: what is looked at stands in frames and in `_rings`, and must not be the keys themselves
        return hashlib.sha256(value.encode()).digest()
    try:
        status = os.lstat(home_path() / "keyring.json")
    except FileNotFoundError:
        return None
    # The mode and the owner are part of it: a keyring that was opened up to others since is refused, not trusted.
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode, status.st_uid)


def _sealed_data() -> str | None:
    """Say what sealed data is here that a new key could not open, or None.

    Stores that only an option of a task names are not known here; there, a new key finds an unknown one, and says so.
    """
    now = settings.current()
    shared = [spec for spec in (now.blocks_storage, now.blocks_team) if spec is not None]
    storages = [blocks_storage(now), results_storage(), LocalStorage(home_path() / "snapshots")]
    storages += [opened(spec) for spec in shared if not spec.startswith("block://")]
    spec = now.results_storage
    if spec is not None and ("://" in spec or Path(spec).expanduser().is_absolute()):  # else: a block, seen above
        storages.append(opened(spec))
    for storage in storages:
        first = _anything(storage)
        if first is not None:
            return f"{first} in {storage.location}"
    # A block of the environment can name them, and what a team has shared is sealed under the team's keys.
    return next((f"the documents in {spec}" for spec in shared if spec.startswith("block://")), None)


def _anything(storage: Storage) -> str | None:
    """Return the name of any object of a store; in a local one a link counts too, wherever it points.

    What deleted blocks leave behind does not count: there is nothing in it to lose.
    """
    if not isinstance(storage, LocalStorage):
        return next((info.path for info in storage.list() if not info.path.endswith(_TOMBSTONE)), None)
    root = Path(storage.location)
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*links, *files):
            if not name.startswith(RESERVED_PREFIX) and not name.endswith(_TOMBSTONE):
                return str(Path(folder, name).relative_to(root))
    return None
