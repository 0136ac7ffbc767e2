"""From what an option says of a store to the store itself: opened when a run needs it, and kept open.

This module loads stores and cryptography; the engine imports it for the first result that is kept.
"""

import os
import re
from pathlib import Path, PurePath
from time import monotonic
from typing import Any, Final

from entrepot import home, storage
from entrepot._clock import Clock
from entrepot.crypto.keyring import Keyring
from entrepot.engine.world import World
from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Storage, SupportsStorage
from entrepot.results.store import ResultStore
from entrepot.settings import Settings

__all__ = ["result_store"]

_BLOCK_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*\Z", re.ASCII)
_KEPT: Final = 256  # open stores
_FRESH: Final = 1.0  # seconds that a keyring is taken for what it was

_open: dict[tuple[object, ...], tuple[object, Settings, Clock, ResultStore]] = {}


def result_store(spec: Any, world: World) -> ResultStore:
    """Return the store of an option `result_storage`; the same one at each call, until settings change.

    A block that is given by its name is loaded once in a process: a later version of it is seen by the next process.

    Args:
        spec: A path, a URL, the name of a saved block, a block, a `Storage`, or None for the default.
        world: Whose settings and clock count.

    Raises:
        ConfigurationError: If it is none of these.
        EntrepotError: What loading or opening it raises.
    """
    settings, clock = world.settings, world.clock
    if spec is None:
        spec = settings.results_storage
    # By identity, which costs least: what is known holds the objects themselves, so that no other has their ids.
    itself = (id(spec), id(settings), id(clock))
    known = _open.get(itself)
    if known is not None:
        return known[-1]
    text = _absolute(spec) if isinstance(spec, str | os.PathLike) else None
    key = itself if text is None else (text, *itself[1:])
    known = _open.get(key)
    store = _opened(spec if text is None else text, settings, clock) if known is None else known[-1]
    if len(_open) >= _KEPT:
        _open.clear()
    _open[key] = (spec, settings, clock, store)
    if isinstance(spec, str | PurePath) and os.fspath(spec) == text:  # it means the same in any working directory
        _open[itself] = _open[key]
    return store


def _opened(spec: Any, settings: Settings, clock: Clock) -> ResultStore:
    found = home.results_storage() if spec is None else _storage(spec)
    ring = _FreshRing()
    if settings.results_encrypt:
        found = storage.EncryptedStorage(found, ring)
    return ResultStore(
        found,
        ring=ring,
        allow=settings.results_allow,
        clock=clock,
        notes_use=settings.results_max_size is not None,
        mapped=settings.results_mapped,
        compression=settings.results_compress,
    )


class _FreshRing:
    """The keyring of the home, looked at again after a second: to ask each time would cost more than a result."""

    __slots__ = ("_known", "_until")

    def __init__(self) -> None:
        self._known: Keyring | None = None
        self._until = 0.0

    def __call__(self) -> Keyring:
        now = monotonic()
        known = self._known
        if known is None or now >= self._until:
            self._known = known = home.ring()
            self._until = now + _FRESH
        return known

    def __reduce__(self) -> tuple[type["_FreshRing"], tuple[()]]:
        return _FreshRing, ()  # keys are never pickled


def _absolute(spec: str | os.PathLike[str]) -> str:
    """Return a folder's whole path: the working directory may change, and with it what a relative one means."""
    text = os.fspath(spec)
    if text.startswith("/"):
        return text
    if isinstance(spec, str) and not text.startswith(("./", "../", "~")) and text not in {".", ".."}:
        return text
    return str(Path(text).expanduser().absolute())


def _storage(spec: Any) -> Storage:
    if isinstance(spec, str):
        if spec.startswith("/") or "://" in spec:
            return storage.open_storage(spec)
        if _BLOCK_NAME.match(spec):
            return _of_block(spec)
        raise ConfigurationError(
            f"{spec!r} names no result storage; give a folder ('/data/results', './results'), a URL"
            " ('s3://bucket/prefix'), or the name of a saved block ('s3/prod')",
            setting="result_storage",
        )
    if isinstance(spec, SupportsStorage):
        return spec.as_storage()
    found: Storage = spec  # checked when the decorator ran
    return found


def _of_block(name: str) -> Storage:
    from entrepot.blocks.core import Block  # noqa: PLC0415  pydantic is loaded only where a block is named

    block = Block.load(name)
    if not isinstance(block, SupportsStorage):
        raise ConfigurationError(
            f"the block {name!r} is a {type(block).__name__}, which keeps no results; name a storage block"
            " (local-file-system, s3, gcs, azure, remote-file-system)",
            setting="result_storage",
        )
    return block.as_storage()
