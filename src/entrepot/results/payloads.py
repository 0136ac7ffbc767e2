"""Large values: their bytes, under their own digest; read and checked in one pass, written once."""

import hmac
from collections.abc import Sequence
from typing import Final

from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, ObjectExistsError, ObjectNotFoundError
from entrepot.protocols.storage import MakesDurable, MapsObjects, ReadsInto, Storage, Touches
from entrepot.results.reading import CHUNK, REQUEST, read_and_hash, read_part
from entrepot.serializers.buffers import allocate, total_size

__all__ = ["check_payload", "read_payload", "write_payload"]

_MAP_FROM: Final = 1 << 20  # below, a mapping costs more than it saves


def read_payload(
    storage: Storage, path: str, *, size: int, digest: str, ring: Keyring, mapped: bool = False
) -> memoryview:
    """Return a payload's bytes, in writable memory of their own, once they are known to be the right ones.

    Beyond the value itself this takes next to no memory where the store can read into ours.

    Args:
        storage: Where it is.
        path: Its path there.
        size: Its size.
        digest: Its digest.
        ring: The keys.
        mapped: Whether a large one may be mapped instead of read, where the store can do that soundly.

    Raises:
        IntegrityError: If there is no such payload, or its size or digest is wrong.
        UnknownKeyError: If the digest was made under a key that the ring lacks.
    """
    if mapped and size >= _MAP_FROM:
        memory = _mapped(storage, path, size=size, digest=digest, ring=ring)
        if memory is not None:
            return memory
    # Hashing on more than one thread would compete with the reading, which it overlaps anyway.
    hasher = Digester(ring).hasher_for(digest, size=0)
    # One byte more than there should be: a payload that goes on is noticed without asking for its size.
    memory = allocate(size + 1)
    try:
        count = read_and_hash(storage, path, memory, hasher)
    except ObjectNotFoundError as error:
        raise _bad(storage, path, "it is not there") from error
    if count != size:
        raise _bad(
            storage, path, "it goes on after its end" if count > size else f"it ends after {count} bytes of {size}"
        )
    if not hmac.compare_digest(hasher.digest(), digest):
        raise _bad(storage, path, "its digest does not match: it was altered or swapped since it was written")
    return memory[:size]


def check_payload(storage: Storage, path: str, *, size: int, digest: str, ring: Keyring) -> str:
    """Return "" if a payload is there and right, else what is wrong with it; takes a few MiB of memory."""
    hasher = Digester(ring).hasher_for(digest, size=size)
    step = min(size + 1, CHUNK if isinstance(storage, ReadsInto) else REQUEST)
    memory = allocate(step)
    done = 0
    try:
        while done <= size:
            room = min(step, size + 1 - done)
            count = read_part(storage, path, memory[:room], done)
            hasher.update(memory[:count])
            done += count
            if count < room:
                break
    except ObjectNotFoundError:
        return "it is not there"
    except IntegrityError as error:  # an encrypted store noticed first
        return str(error)
    if done != size or not hmac.compare_digest(hasher.digest(), digest):
        return "its bytes are not those that were written"
    return ""


def write_payload(storage: Storage, path: str, parts: Sequence[memoryview], *, digest: str, ring: Keyring) -> bool:
    """Make sure that a payload is in place, durable and right.

    One that is there already is read and checked, not trusted for its name: if it was damaged or planted, a record that
    points at it would be lost. A right one is left alone, a wrong one replaced.

    Returns:
        Whether it was there already, so that a collection may be about to delete it.
    """
    size = total_size(parts)
    try:
        same_size = storage.stat(path).size == size
    except ObjectNotFoundError:
        if storage.creates_exclusively:
            try:
                storage.create(path, parts)
            except ObjectExistsError:
                same_size = True  # another writer, a moment ago
            else:
                return False
        else:
            storage.put(path, parts)  # who else writes here writes the same bytes
            return False
    except IntegrityError:  # an encrypted store cannot even tell its size
        same_size = False
    if not same_size or check_payload(storage, path, size=size, digest=digest, ring=ring):
        storage.put(path, parts)
    else:
        if isinstance(storage, MakesDurable):
            storage.make_durable(path)  # who wrote it may not have come that far, or died before
        if isinstance(storage, Touches):
            storage.touch(path)  # as good as new for a collection
    return True


def _mapped(storage: Storage, path: str, *, size: int, digest: str, ring: Keyring) -> memoryview | None:
    """Return a payload's bytes as a mapping, once they are known to be the right ones; None where it is to be read.

    What does not verify is left to the reading, which says what is wrong with it.
    """
    if not isinstance(storage, MapsObjects):
        return None
    hasher = Digester(ring).hasher_for(digest, size=size)  # nothing is copied meanwhile: every core may hash
    try:
        memory = storage.map(path)
    except ObjectNotFoundError:
        return None
    if memory is None or memory.nbytes != size:
        return None
    hasher.update(memory)
    return memory if hmac.compare_digest(hasher.digest(), digest) else None


def _bad(storage: Storage, path: str, why: str) -> IntegrityError:
    location = f"{storage.location.rstrip('/')}/{path}"
    return IntegrityError(f"the payload {location} does not verify: {why}", location=location)
