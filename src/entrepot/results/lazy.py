"""Results that are read when they are used."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from entrepot.errors import DamagedResultError, MissingResultError, ObjectNotFoundError

if TYPE_CHECKING:
    from entrepot.protocols.serializer import Serializer
    from entrepot.results.record import Record
    from entrepot.results.store import ResultStore

__all__ = ["InStore", "Lazy"]

R = TypeVar("R")


class InStore:
    """A value in a store.

    Args:
        store: Which.
        record: Its record.
        serializer: The serializer that it was written by; others come from the registry.
    """

    __slots__ = ("_serializer", "_store", "record")

    def __init__(self, store: "ResultStore", record: "Record", serializer: "Serializer | None" = None) -> None:
        self._store = store
        self._serializer = serializer
        self.record = record

    def __reduce__(self) -> tuple[object, ...]:
        record = self.record
        plain = replace(  # views of dicts are not pickled
            record,
            parts=dict(record.parts),
            task=dict(record.task),
            run=dict(record.run),
            about=dict(record.about),
            details=dict(record.details),
        )
        return InStore, (self._store, plain, self._serializer)

    def read(self) -> Any:
        """Return the value.

        Raises:
            MissingResultError: If it was kept until its run ended, and that has ended.
            DamagedResultError: If it is not there any more for another reason, or was altered.
            StorageError: If the store cannot be read.
        """
        try:
            return self._store.load_record(self.record, serializer=self._serializer)
        except DamagedResultError as error:
            if self._has_passed():
                raise MissingResultError(
                    f"the result of {self.record.task.get('name', 'a task')!r} (run {self.record.run.get('id', '?')})"
                    ' was kept until the flow run around it was completed (keep="run"), and was removed then: read it'
                    " in the flow, or keep it longer, by another keep= on the task"
                ) from error
            raise

    def _has_passed(self) -> bool:
        """Return whether it is gone, as it was to be."""
        payload = self.record.payload
        if payload is None or self.record.about.get("keep") != "run":
            return False
        try:
            self._store.storage.stat(payload)
        except ObjectNotFoundError:
            return True
        return False


class Lazy(Generic[R]):
    """The result of a run, read when it is used; what `future.result(lazy=True)` returns.

    As an argument of a task or flow it stands for the result, as a future does. It holds nothing large where the result
    is in a store, and can be sent to another process with it.

    Args:
        source: Where the result is, or the result itself where it is nowhere else, or small.
        task_run_id: The run.

    Attributes:
        task_run_id: The id of the run.
    """

    __slots__ = ("_source", "task_run_id")

    def __init__(self, source: "InStore | R", task_run_id: str) -> None:
        self._source = source
        self.task_run_id = task_run_id

    @property
    def record(self) -> "Record | None":
        """What the store says of the result; None where it is held here."""
        return self._source.record if isinstance(self._source, InStore) else None

    def get(self) -> R:
        """Return the result; from a store it is read, and checked, at each call.

        Raises:
            MissingResultError: If it was kept until its run ended (`keep="run"`), and that has ended.
            DamagedResultError: If it is not there any more for another reason, or was altered.
            StorageError: If the store cannot be read.
        """
        source = self._source
        if isinstance(source, InStore):
            value: R = source.read()
            return value
        return source

    def __repr__(self) -> str:
        record = self.record
        where = "a value" if record is None else f"{record.size} bytes in a store"
        return f"<Lazy {where}, of run {self.task_run_id}>"
