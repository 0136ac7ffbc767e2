"""What is in the place of a record, for who looks through a whole store: verified, and what it needs in any case."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from entrepot.errors import DestroyedKeyError, IntegrityError, ObjectNotFoundError, UnknownKeyError, UnknownNameError
from entrepot.results.markers import Fate
from entrepot.results.record import MAX_RECORD_SIZE, Record, Versioned, open_record
from entrepot.results.store import ResultStore

__all__ = ["Seen", "fields_of", "payloads_in", "read_record"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in the place of a record.

    Attributes:
        state: "live", "pending" or "aborted" (of a transaction), "damaged", "unknown" (key or format).
        sha: Of its bytes; empty where they cannot be had.
        record: The record that counts, or that would.
        payloads: All that is named there.
        chain: The versions that it stands for, or "".
        transaction: The transaction that it names, or "".
        is_blind: Whether it may need payloads that cannot be told.
        detail: What is wrong with it.
        data: Its bytes.
    """

    state: str
    sha: bytes = b""
    record: Record | None = None
    payloads: frozenset[str] = frozenset()
    chain: str = ""
    transaction: str = ""
    is_blind: bool = False
    detail: str = ""
    data: bytes = b""


def read_record(store: ResultStore, path: str) -> Seen | None:
    """Return what is in the place of a record; None if there is nothing.

    Raises:
        StorageError: If the store cannot be read: an outage is not an absence.
    """
    try:
        data = bytes(store.storage.get(path, length=MAX_RECORD_SIZE + 1))
    except ObjectNotFoundError:
        return None
    except IntegrityError as error:  # an encrypted store cannot tell what it is
        return Seen("damaged", detail=str(error))
    except UnknownKeyError as error:
        # What was made under a destroyed key is a miss: it needs nothing any more.
        return Seen("unknown", is_blind=not isinstance(error, DestroyedKeyError), detail=str(error))
    return _judged(store, path, data)


def _judged(store: ResultStore, path: str, data: bytes) -> Seen | None:
    fields = fields_of(data)
    seen = Seen("", _digest_of(data), None, payloads_in(fields), "", str(fields.get("transaction", "")), data=data)
    try:
        return _opened(store, path, data, seen)
    except ObjectNotFoundError:
        return None
    except IntegrityError as error:
        return replace(seen, state="damaged", detail=str(error))
    except (UnknownKeyError, UnknownNameError) as error:
        return replace(seen, state="unknown", is_blind=not fields, detail=str(error))


def _opened(store: ResultStore, path: str, data: bytes, seen: Seen) -> Seen:
    found = open_record(data, store.keys(), path=path, location=f"{store.location.rstrip('/')}/{path}")
    record = store.versions.visible(path, found)
    state = "live"
    if isinstance(found, Versioned):  # the bytes in the place say where to look, not what counts
        what = b"" if record is None else f"{record.created} {record.digest}".encode()
        seen = replace(seen, sha=_digest_of(data + what), chain=found.chain)
        if store.versions.pending(path, found.chain, store.versions.numbers(found.chain)):
            state = "pending"
    elif record is None:
        record = found
        is_over = store.markers.fate(seen.transaction) is Fate.ABORTED
        state = "aborted" if is_over else "pending"
    named = frozenset(() if record is None or record.payload is None else (record.payload,))
    return replace(seen, state=state, record=record, payloads=seen.payloads | named)


def _digest_of(data: bytes) -> bytes:
    """Return what tells the bytes of one record from those of another."""
    return hashlib.sha256(data).digest()[:16]


def fields_of(data: bytes) -> dict[str, Any]:
    """Return the fields of a record that need not verify: what it may need is kept in any case."""
    try:
        fields = json.loads(data.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def payloads_in(fields: dict[str, Any]) -> frozenset[str]:
    """Return the payloads that the fields of a record name."""
    payload = fields.get("payload")
    return frozenset({payload} if isinstance(payload, str) else ())
