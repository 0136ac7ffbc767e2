"""Documents of their own for each test."""

from collections.abc import Iterator

import pytest

from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.crypto.keyring import Keyring
from entrepot.storage import MemoryStorage
from entrepot_test_sites import site

__all__ = ["documents", "ring", "site", "storage"]


@pytest.fixture(scope="session")
def ring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def documents(ring: Keyring, storage: MemoryStorage) -> Iterator[BlockDocuments]:
    """Documents in memory, chosen for the test."""
    with use_documents(BlockDocuments(StorageDocumentStore(storage), lambda: ring)) as chosen:
        yield chosen
