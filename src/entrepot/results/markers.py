"""What became of transactions: one small signed object for each, made once, and never changed.

A transaction is committed or aborted by whoever creates its marker first, `transactions/<2 hex>/<id>.json`: itself,
once all its records are in place, or another that waited for it in vain. Where there is no marker, its records do not
count.
"""

import enum
import json
import re
from collections.abc import Callable
from typing import Final

from entrepot._clock import Clock
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line, verify_line
from entrepot.errors import IntegrityError, ObjectExistsError, ObjectNotFoundError, UnknownNameError
from entrepot.protocols.storage import Storage

__all__ = ["MARKERS", "MARKER_FORMAT", "Fate", "Markers", "marker_path"]

MARKERS: Final = "transactions"
MARKER_FORMAT: Final = "entrepot-transaction/1"

_MAX_SIZE: Final = 4096  # bytes; nothing longer is read as a marker
_REMEMBERED: Final = 4096  # fates, which never change
_ID: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)


class Fate(enum.Enum):
    """What became of a transaction."""

    PENDING = "pending"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Markers:
    """The markers of one store.

    Args:
        storage: Where.
        keys: Returns the ring.
        clock: Tells when a marker is made.
    """

    def __init__(self, storage: Storage, keys: Callable[[], Keyring], clock: Clock) -> None:
        self._storage = storage
        self._keys = keys
        self._clock = clock
        self._known: dict[str, Fate] = {}

    def fate(self, transaction: str) -> Fate:
        """Return what became of a transaction; one that is over is asked for once in a process.

        Raises:
            IntegrityError: If its marker does not verify.
            UnknownKeyError: If its marker is signed under a key that the ring lacks.
            UnknownNameError: If its marker has a newer format.
            StorageError: If the store cannot be read.
        """
        known = self._known.get(transaction)
        if known is not None:
            return known
        path = marker_path(transaction)
        try:
            data = bytes(self._storage.get(path, length=_MAX_SIZE + 1))
        except ObjectNotFoundError:
            return Fate.PENDING
        fate = _read(data, self._keys(), transaction, path, f"{self._storage.location.rstrip('/')}/{path}")
        self._remember(transaction, fate)
        return fate

    def decide(self, transaction: str, fate: Fate) -> None:
        """Commit or abort a transaction, for good; on return that is durable.

        Raises:
            ObjectExistsError: If it was decided already; not by a store that cannot create exclusively.
            StorageError: If the store cannot be written; it may be decided nevertheless.
        """
        path = marker_path(transaction)
        line = json.dumps(
            {
                "format": MARKER_FORMAT,
                "id": transaction,
                "state": fate.value,
                "decided": self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
            },
            separators=(",", ":"),
        ).encode()
        data = b"".join((line, b"\n", sign_line(self._keys(), line, context=_context(path)).encode("ascii"), b"\n"))
        if self._storage.creates_exclusively:
            self._storage.create(path, data)
        else:
            self._storage.put(path, data)
        self._remember(transaction, fate)

    def try_abort(self, transaction: str) -> Fate:
        """Abort a transaction if it is not over, and return what became of it.

        Raises:
            EntrepotError: As `fate` and `decide`.
        """
        try:
            self.decide(transaction, Fate.ABORTED)
        except ObjectExistsError:
            return self.fate(transaction)
        return Fate.ABORTED

    def _remember(self, transaction: str, fate: Fate) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[transaction] = fate


def marker_path(transaction: str) -> str:
    """Return where a transaction's marker is, below the root of its store."""
    return f"{MARKERS}/{transaction[:2]}/{transaction}.json"


def _context(path: str) -> str:
    return f"{MARKER_FORMAT} {path}"


def _read(data: bytes, ring: Keyring, transaction: str, path: str, location: str) -> Fate:
    line, newline, rest = data.partition(b"\n")
    if len(data) > _MAX_SIZE or not newline or not rest.endswith(b"\n"):
        raise IntegrityError(f"{location} is no whole marker of a transaction", location=location)
    verify_line(ring, line, rest[:-1].decode("latin-1"), context=_context(path), location=location)
    try:
        fields = json.loads(line)
        form, state = fields["format"], fields["state"]
    except (ValueError, TypeError, LookupError, RecursionError):
        form = state = None
    if form is not None and form != MARKER_FORMAT:
        raise UnknownNameError(
            f"{location} is a marker of the format {ascii(form)[:60]}, and this version reads {MARKER_FORMAT!r}: it was"
            " written by a newer Entrepot; update this one",
            group="entrepot transaction formats",
            name=ascii(form)[:60],
            known=(MARKER_FORMAT,),
        )
    if form is None or fields.get("id") != transaction or state not in {"committed", "aborted"}:
        raise IntegrityError(f"{location} is no marker of this transaction", location=location)
    return Fate(state)
