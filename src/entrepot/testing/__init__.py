"""For plugin authors: contracts to inherit, and fakes to test against.

A store, for example, meets its contract when this passes::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)

Contracts need pytest, fakes do not; each is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrepot.testing.fakes import FaultyStorage as FaultyStorage
    from entrepot.testing.fakes import FrozenClock as FrozenClock
    from entrepot.testing.key_providers import KeyProviderContract as KeyProviderContract
    from entrepot.testing.serializers import SerializerContract as SerializerContract
    from entrepot.testing.storage import ReadableStorageContract as ReadableStorageContract
    from entrepot.testing.storage import StorageContract as StorageContract
    from entrepot.testing.task_runners import TaskRunnerContract as TaskRunnerContract

_HOMES = {
    "FaultyStorage": "fakes",
    "FrozenClock": "fakes",
    "KeyProviderContract": "key_providers",
    "ReadableStorageContract": "storage",
    "SerializerContract": "serializers",
    "StorageContract": "storage",
    "TaskRunnerContract": "task_runners",
}

__all__ = [
    "FaultyStorage",
    "FrozenClock",
    "KeyProviderContract",
    "ReadableStorageContract",
    "SerializerContract",
    "StorageContract",
    "TaskRunnerContract",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
