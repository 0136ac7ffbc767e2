"""For plugin authors: contracts to inherit, and fakes to test against.

A store, for example, meets its contract when this passes::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)

Contracts need pytest, fakes do not; each is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

from entrepot._lazy import lazy_names

if TYPE_CHECKING:
    from entrepot.testing.blocks import BlockContract as BlockContract
    from entrepot.testing.checking import check_plugins as check_plugins
    from entrepot.testing.fakes import FaultyStorage as FaultyStorage
    from entrepot.testing.fakes import FrozenClock as FrozenClock
    from entrepot.testing.fakes import memory_documents as memory_documents
    from entrepot.testing.hashers import HasherContract as HasherContract
    from entrepot.testing.key_providers import KeyProviderContract as KeyProviderContract
    from entrepot.testing.manifests import plugin_manifest as plugin_manifest
    from entrepot.testing.readable_storage import ReadableStorageContract as ReadableStorageContract
    from entrepot.testing.secret_sources import SecretSourceContract as SecretSourceContract
    from entrepot.testing.serializers import SerializerContract as SerializerContract
    from entrepot.testing.storage import StorageContract as StorageContract
    from entrepot.testing.task_runners import TaskRunnerContract as TaskRunnerContract

_HOMES = {
    "BlockContract": "blocks",
    "FaultyStorage": "fakes",
    "FrozenClock": "fakes",
    "HasherContract": "hashers",
    "KeyProviderContract": "key_providers",
    "ReadableStorageContract": "readable_storage",
    "SecretSourceContract": "secret_sources",
    "SerializerContract": "serializers",
    "StorageContract": "storage",
    "TaskRunnerContract": "task_runners",
    "check_plugins": "checking",
    "memory_documents": "fakes",
    "plugin_manifest": "manifests",
}

__all__ = [
    "BlockContract",
    "FaultyStorage",
    "FrozenClock",
    "HasherContract",
    "KeyProviderContract",
    "ReadableStorageContract",
    "SecretSourceContract",
    "SerializerContract",
    "StorageContract",
    "TaskRunnerContract",
    "check_plugins",
    "memory_documents",
    "plugin_manifest",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
