"""Stores of bytes: local folders, any fsspec file system, memory, and wrappers around them.

Each class is imported when it is first asked for: a `LocalStorage` costs no fsspec and no cryptography.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrepot.storage.encrypted import EncryptedStorage as EncryptedStorage
    from entrepot.storage.files import FileStorage as FileStorage
    from entrepot.storage.local import LocalStorage as LocalStorage
    from entrepot.storage.memory import MemoryStorage as MemoryStorage
    from entrepot.storage.open import open_storage as open_storage
    from entrepot.storage.prefixed import PrefixedStorage as PrefixedStorage
    from entrepot.storage.readonly import ReadOnlyStorage as ReadOnlyStorage

_HOMES = {
    "EncryptedStorage": "encrypted",
    "FileStorage": "files",
    "LocalStorage": "local",
    "MemoryStorage": "memory",
    "PrefixedStorage": "prefixed",
    "ReadOnlyStorage": "readonly",
    "open_storage": "open",
}

__all__ = [
    "EncryptedStorage",
    "FileStorage",
    "LocalStorage",
    "MemoryStorage",
    "PrefixedStorage",
    "ReadOnlyStorage",
    "open_storage",
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
