"""Stores of bytes: local folders, any fsspec file system, memory, and wrappers around them.

Each class is imported when it is first asked for: a `LocalStorage` costs no fsspec and no cryptography.
"""

from typing import TYPE_CHECKING

from entrepot._lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
