"""Removes one result that was kept until a run ends: nobody else's record names its payload."""

from datetime import datetime

from entrepot.protocols.storage import DeletesIf
from entrepot.results.chunks import STREAM
from entrepot.results.seen import read_record
from entrepot.results.store import ResultStore

__all__ = ["remove_result"]


def remove_result(store: ResultStore, path: str, created: datetime) -> None:
    """Remove a result, unless another one is in its place by now.

    Args:
        store: Where it is.
        path: Of its record.
        created: When it was made.

    Raises:
        StorageError: If the store cannot be read or written.
    """
    seen = read_record(store, path)
    record = None if seen is None else seen.record
    if seen is None or record is None or seen.state != "live" or seen.chain or record.created != created:
        return  # versions beside it may be another transaction's: a collection looks at those
    if record.about.get("keep") != "run":
        return
    if not isinstance(store.storage, DeletesIf):
        store.storage.delete(path)
    elif not store.storage.delete_if(path, seen.data):
        return
    if record.payload is not None and not record.serializer.startswith(STREAM):  # a stream's may be another's too
        store.storage.delete(record.payload)
