"""The documents that a setting names: a folder, a store on another machine, or what a storage block describes.

`block://s3/team` and `block://s3/team/folder` name a block of the environment or of this home's own folder, never of
the documents that it leads to.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Final

from entrepot import home
from entrepot._names import check_name
from entrepot.blocks import _saving
from entrepot.blocks._marks import Marks
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.sources import EnvironmentBlocks, opening_documents
from entrepot.errors import BlockNotFoundError, ConfigurationError, StorageUnreachableError
from entrepot.protocols.storage import Storage, SupportsStorage
from entrepot.settings import Settings
from entrepot.storage import MemoryStorage
from entrepot.storage.prefixed import PrefixedStorage

__all__ = ["documents_at", "own_documents", "works_in_the_teams"]

_BLOCK: Final = "block://"


def own_documents(now: Settings) -> BlockDocuments:
    """Return the documents of this home's own folder, for one operation.

    Args:
        now: The settings; to read them once more takes longer than to look for a block.
    """
    return _documents_in(home.blocks_storage(now), now)


def works_in_the_teams(now: Settings) -> bool:
    """Say whether blocks are saved where the team's are: whether both settings name one place."""
    return now.blocks_team is not None and _normal(now.blocks_team) == _normal(now.blocks_storage or "")


def _normal(spec: str) -> str:
    """Return a place as it is once spelled, as far as that can be told without opening it."""
    path = spec.removeprefix("file://").removeprefix("local://")
    return spec.rstrip("/") if "://" in path or not path else os.path.realpath(os.path.expanduser(path))  # noqa: PTH111  not of links alone


def documents_at(spec: str, now: Settings, *, foreign: bool = False) -> BlockDocuments:
    """Return the documents at a place, opened with the keyring of this home, for one operation.

    Args:
        spec: A folder, a URL, or `block://TYPE/NAME`, with a folder after it or without.
        now: The settings.
        foreign: Whether others than this user save there; see `BlockDocuments`.

    Raises:
        BlockNotFoundError: If the block that it names is not here.
        ConfigurationError: If that is no storage block, or `spec` names nothing that can be opened.
        StorageError: If it cannot be reached, where opening it connects; or if it is a folder that is not there any
            more: it was seen, with blocks in it.
    """
    storage = _described(spec, now) if spec.startswith(_BLOCK) else home.store_at(spec)
    is_shared = storage.location != home.blocks_storage(now).location
    found = _documents_in(storage, now, foreign=foreign, is_shared=is_shared)
    _check_mounted(storage, found.marks)
    return found


def _check_mounted(storage: Storage, marks: Marks | None) -> None:
    """Refuse a folder that is gone: to a local storage it is an empty one, and so a share that is not mounted would be.

    One that was never seen is not there yet: the first save makes it.
    """
    folder = storage.location
    if os.path.isabs(folder) and not os.path.lexists(folder) and marks is not None and marks.any():  # noqa: PTH117  asked in every operation
        raise StorageUnreachableError(
            f"the folder {folder} is not there, and block documents that were seen from here lie in it; mount"
            " what it is on, or restore it; if it was removed on purpose, make it anew",
            location=folder,
        )


def _documents_in(storage: Storage, now: Settings, *, foreign: bool = False, is_shared: bool = False) -> BlockDocuments:
    # What ends with its process was not taken away.
    marks = None if isinstance(storage, MemoryStorage) else Marks(now.home / "seen", storage.location)
    store = StorageDocumentStore(storage, sole_writer=now.blocks_sole_writer)
    # One operation asks for the ring several times; finding out whether it has changed costs more than the operation.
    return BlockDocuments(
        store,
        functools.cache(functools.partial(home.ring, now)),
        marks,
        foreign=foreign,
        is_shared=is_shared,
        is_mixed=now.blocks_mixed_keyrings,
    )


def _described(spec: str, now: Settings) -> Storage:
    """Return the storage of a block; of the newest version of it, at each operation."""
    slug, _, rest = spec.removeprefix(_BLOCK).partition("/")
    name, _, folder = rest.partition("/")
    check_name(slug, what="block type")
    check_name(name)
    with _without_teams(own_documents(now)) as own:
        block: Block | None = EnvironmentBlocks().get(slug, name)
        if block is None:
            block = _own(slug, name, own, spec)
        if not isinstance(block, SupportsStorage):
            raise ConfigurationError(
                f"{spec} is to say where block documents lie, but a block of the type {slug} is no storage; name one"
                " such as local-file-system, s3, gcs, azure or remote-file-system",
                setting="blocks_storage",
            )
        storage = block.as_storage()  # its secrets may be in other blocks, which are looked up where it was
    return PrefixedStorage(storage, folder.strip("/")) if folder.strip("/") else storage


def _own(slug: str, name: str, own: BlockDocuments, spec: str) -> Block:
    ref = own.store.latest(slug, name)
    if ref is None or ref.deleted:
        raise BlockNotFoundError(
            f"{spec} is to say where block documents lie, but no block {slug}/{name} is in the environment or in"
            f" {own.store.location}, which are the places where it can be: save it there while the settings"
            " blocks_storage and blocks_team are not set",
            name=f"{slug}/{name}",
        )
    return _saving.load_newest(own.believe(ref), own)


@contextlib.contextmanager
def _without_teams(own: BlockDocuments) -> Iterator[BlockDocuments]:
    with opening_documents(), use_documents(own):
        yield own
