"""What may be the path of an object: one rule for every store, checked before anything is touched."""

import re
from functools import lru_cache

from entrepot.errors import InvalidPathError, StorageError

__all__ = [
    "MAX_COMPONENT_BYTES",
    "MAX_PATH_BYTES",
    "RESERVED_PREFIX",
    "check_path",
    "check_prefix",
    "check_range",
    "is_path",
]

MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255
RESERVED_PREFIX = ".tmp-"
"""Components that start so are unfinished writes of stores on disk; no object may have such a name, in any store."""

# One component: not ".", "..", nor reserved; no backslash (a separator elsewhere) and no control characters.
_COMPONENT = r"(?!\.\.?(?:/|\Z)|\.tmp-)[^/\\\x00-\x1f\x7f-\x9f]+"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_SHOWN = 80


def check_path(path: str, *, location: str = "") -> str:
    """Return `path` if it may name an object.

    Args:
        path: Relative and `/`-separated.
        location: Where the store is, for the error.

    Raises:
        InvalidPathError: If it is anything else; the message says what is wrong with it.
    """
    if isinstance(path, str) and _is_known(path):
        return path
    raise InvalidPathError(
        f"{_shown(path)} cannot be the path of an object: {_fault(path)}; "
        "use relative paths such as 'folder/name.json'",
        path=path if isinstance(path, str) else repr(type(path)),
        location=location,
    )


def is_path(path: str) -> bool:
    """Whether `path` may name an object."""
    # A short ASCII path that matches needs no counting of bytes: that is every path that we make ourselves.
    return bool(_PATH.match(path)) and ((len(path) <= MAX_COMPONENT_BYTES and path.isascii()) or _fits(path))


_is_known = lru_cache(maxsize=512)(is_path)  # most paths are checked several times, by several stores


def check_prefix(prefix: str, *, location: str = "") -> str:
    """Return `prefix` if it may name a folder: "" (everything) or a path.

    Raises:
        InvalidPathError: If it is anything else.
    """
    return prefix if prefix == "" else check_path(prefix, location=location)


def check_range(start: int, length: int | None, *, location: str = "") -> None:
    """Refuse a range of bytes that starts before the object or has a negative length.

    Raises:
        StorageError: If `start` or `length` is negative: stores read such numbers differently, or from the end.
    """
    if start < 0 or (length is not None and length < 0):
        raise StorageError(
            f"cannot read {length} bytes from offset {start}: neither may be negative", location=location
        )


def _fits(path: str) -> bool:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_PATH_BYTES and all(len(part) <= MAX_COMPONENT_BYTES for part in encoded.split(b"/"))


def _shown(path: object) -> str:
    if not isinstance(path, str):
        return f"a {type(path).__name__}"
    return ascii(path if len(path) <= _SHOWN else path[:_SHOWN] + "...")


def _fault(path: object) -> str:
    if not isinstance(path, str):
        return "a path is a string"
    parts = path.split("/")
    reserved = any(part.startswith(RESERVED_PREFIX) for part in parts)
    faults = (
        (not path, "it is empty"),
        (path.startswith("/"), "it is absolute"),
        ("" in parts, "it has an empty component"),
        ("." in parts or ".." in parts, "it has a '.' or '..' component"),
        ("\\" in path, "it has a backslash"),
        (
            reserved,
            f"names that start with {RESERVED_PREFIX!r} are reserved",
        ),
        (not _encodes(path), "it has characters that UTF-8 cannot hold"),
    )
    for at_fault, why in faults:
        if at_fault:
            return why
    if not _PATH.match(path):
        return "it has a control character"
    return f"it is longer than {MAX_PATH_BYTES} bytes, or a component than {MAX_COMPONENT_BYTES}"


def _encodes(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
