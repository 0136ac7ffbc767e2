"""Which record of a key counts, where transactions have to do with it.

A record that names no transaction counts. One that does counts once that is committed.

No store can replace an object only if it is still the one that was read. So a transaction never puts its own record
over another: if it died, that would be lost. It puts its record beside it, as a numbered version in a *chain*, which is
named after what is in the place of the record; keeps a copy of that as the base of the chain; and only then puts a
`Versioned` in the place, which names the chain. Whoever does so for the same content puts the same bytes: it does no
harm twice, late, or in vain. What counts is the latest committed version, or else the base.

    versions/<2 hex>/<chain>/<number>.json      records, signed for these places
    versions/<2 hex>/<chain>/base.json          what was there before, as it was
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final

from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, IntegrityError, ObjectExistsError, ObjectNotFoundError, UnknownKeyError
from entrepot.protocols.storage import Storage
from entrepot.results.markers import Fate, Markers
from entrepot.results.record import (
    MAX_RECORD_SIZE,
    Record,
    Versioned,
    open_record,
    seal_record,
    seal_versioned,
)

__all__ = ["VERSIONS", "Versions", "chain_of"]

VERSIONS: Final = "versions"

_NUMBER: Final = re.compile(r"/(0|[1-9][0-9]{0,15})\.json\Z", re.ASCII)
_LOOKS: Final = 10  # while others remove versions that no longer count


class Versions:
    """The chains of one store.

    Args:
        storage: Where.
        keys: Returns the ring.
        markers: What became of transactions.
    """

    def __init__(self, storage: Storage, keys: Callable[[], Keyring], markers: Markers) -> None:
        self._storage = storage
        self._keys = keys
        self._markers = markers

    def visible(self, path: str, found: Record | Versioned) -> Record | None:
        """Return the record that counts where `found` is in the place of one; None if none does.

        Args:
            path: The place of the record.
            found: What is there.

        Raises:
            IntegrityError: If something that it depends on does not verify.
            UnknownKeyError: If that is signed under a key that the ring lacks.
            StorageError: If the store cannot be read.
        """
        if isinstance(found, Record):
            if found.transaction is None or self._markers.fate(found.transaction) is Fate.COMMITTED:
                return found
            return None
        for _ in range(_LOOKS):
            with contextlib.suppress(ObjectNotFoundError):  # it no longer counts, and was removed since it was listed
                return self._latest(path, found.chain)
        where = self._where(path)
        raise IntegrityError(f"the versions of {where} are not there, though it says that they are", location=where)

    def numbers(self, chain: str) -> list[int]:
        """Return the numbers of a chain's versions, the latest first.

        Raises:
            StorageError: If the store cannot be listed.
        """
        found = (_NUMBER.search(info.path) for info in self._storage.list(_folder(chain)))
        return sorted((int(match[1]) for match in found if match is not None), reverse=True)

    def pending(self, path: str, chain: str, numbers: Iterable[int]) -> list[str]:
        """Return the transactions that may still commit a version which would count.

        Args:
            path: The place of the record.
            chain: The chain.
            numbers: Of its versions, the latest first.

        Raises:
            StorageError: If the store cannot be read.
        """
        found = []
        for number in numbers:
            try:
                record = self._version(path, chain, number)
                transaction = record.transaction or ""
                fate = self._markers.fate(transaction)
            except (ObjectNotFoundError, IntegrityError, UnknownKeyError):
                continue  # what cannot be read cannot be committed for us
            if fate is Fate.COMMITTED:
                break
            if fate is Fate.PENDING:
                found.append(transaction)
        return found

    def add(self, record: Record, chain: str, number: int) -> bool:
        """Put a record in a chain, as the version of a number; return False if another has that number.

        Raises:
            StorageError: If the store cannot be written.
        """
        place = _place(chain, number)
        data = seal_record(record, self._keys(), place=place)
        if not self._storage.creates_exclusively:
            self._storage.put(place, data)
            return True
        try:
            self._storage.create(place, data)
        except ObjectExistsError:
            return False
        return True

    def keep_base(self, chain: str, base: bytes) -> None:
        """Keep a copy of what is in the place of a record that a chain is for.

        Raises:
            StorageError: If the store cannot be written.
        """
        place = f"{_folder(chain)}/base.json"
        if self._storage.creates_exclusively:
            with contextlib.suppress(ObjectExistsError):
                self._storage.create(place, base)
        else:
            self._storage.put(place, base)

    def begin(self, path: str, chain: str) -> None:
        """Put a chain in the place of a record; it has its base, and a version.

        Raises:
            StorageError: If the store cannot be written.
        """
        self._storage.put(path, seal_versioned(Versioned(chain), self._keys(), path=path))

    def forget(self, chain: str, numbers: Iterable[int]) -> None:
        """Remove the base of a chain and versions of it that no longer count: a later one is committed."""
        with contextlib.suppress(EntrepotError):  # what stays takes room, and nothing else
            self._storage.delete(f"{_folder(chain)}/base.json")
            for number in numbers:
                self._storage.delete(_place(chain, number))

    def _latest(self, path: str, chain: str) -> Record | None:
        for number in self.numbers(chain):
            record = self._version(path, chain, number)
            if self._markers.fate(record.transaction or "") is Fate.COMMITTED:
                return record
        place = f"{_folder(chain)}/base.json"
        data = bytes(self._storage.get(place, length=MAX_RECORD_SIZE + 1))
        if chain_of(path, data) != chain:
            raise IntegrityError(
                f"{self._where(place)} is not what was there before the versions of {path}", location=self._where(place)
            )
        base = open_record(data, self._keys(), path=path, location=self._where(place))
        return self.visible(path, base) if isinstance(base, Record) else None

    def _version(self, path: str, chain: str, number: int) -> Record:
        place = _place(chain, number)
        data = bytes(self._storage.get(place, length=MAX_RECORD_SIZE + 1))
        record = open_record(data, self._keys(), path=path, location=self._where(place), place=place)
        if not isinstance(record, Record) or record.transaction is None:
            raise IntegrityError(f"{self._where(place)} is no version of a record", location=self._where(place))
        return record

    def _where(self, path: str) -> str:
        return f"{self._storage.location.rstrip('/')}/{path}"


def chain_of(path: str, data: bytes) -> str:
    """Return the name of the chain that begins with `data` in the place of a record."""
    return hashlib.sha256(b"".join((path.encode(), b"\0", data))).hexdigest()


def _folder(chain: str) -> str:
    return f"{VERSIONS}/{chain[:2]}/{chain}"


def _place(chain: str, number: int) -> str:
    return f"{_folder(chain)}/{number}.json"
