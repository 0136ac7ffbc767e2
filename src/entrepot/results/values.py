"""From a record that is believed to its value: the payload is checked, then a serializer of the reader's sees it."""

from collections.abc import Callable

from entrepot.crypto.keyring import Keyring
from entrepot.errors import EntrepotError, RefusedSerializerError, SerializationError, UnknownNameError
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage
from entrepot.results.allowed import check_once
from entrepot.results.chunks import STREAM, KeptItems
from entrepot.results.payloads import read_payload
from entrepot.results.record import Record
from entrepot.results.streams import Stream
from entrepot.serializers import get_serializer, is_allowed

__all__ = ["Values"]


class Values:
    """Reads the values of one store.

    Args:
        storage: Where.
        keys: Returns the ring.
        allow: The names of the serializers that may read; None for all.
        mapped: Whether large values are mapped rather than read, where their files are this user's alone.

    Attributes:
        mapped: As given.
    """

    def __init__(
        self, storage: Storage, keys: Callable[[], Keyring], allow: frozenset[str] | None, *, mapped: bool
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._allow = allow
        self.mapped = mapped

    def read(self, record: Record, serializer: Serializer | None = None) -> object:
        """Return the value of a record.

        Args:
            record: It verified, and is believed.
            serializer: The caller's own; it reads what carries its name. Others come from the registry.

        Raises:
            IntegrityError: If its payload is missing or does not verify.
            UnknownKeyError: If its payload's digest is under a key that the ring lacks.
            UnknownNameError: If it names a serializer that is not here.
            RefusedSerializerError: If it names one that is not allowed.
            UnknownNameError: The same, where a name that is allowed is that of no serializer.
            SerializationError: If its bytes are right, but cannot be turned into a value.
            StorageError: If the store cannot be read.
        """
        reader = self._reader(record, serializer)
        if record.serializer.startswith(STREAM):
            return Stream(KeptItems(self._storage, self._keys, record, reader))
        if record.payload is not None:
            data = read_payload(
                self._storage,
                record.payload,
                size=record.size,
                digest=record.digest,
                ring=self._keys(),
                mapped=self.mapped,
            )
        else:
            # The signature covers the value itself: its digest, which it also covers, need not be made again.
            value = record.value
            data = memoryview(bytearray(value, "utf-8") if isinstance(value, str) else bytearray(value or b""))
        try:
            return reader.loads(data)
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the {reader.name} serializer failed to read {self.locate(record)} ({type(error).__name__})",
                serializer=reader.name,
                path="value",
            ) from error

    def _reader(self, record: Record, serializer: Serializer | None) -> Serializer:
        name = record.serializer.removeprefix(STREAM)  # of a stream: that of its items
        if not is_allowed(name, self._allow):
            check_once(self._allow)  # that one is misspelt says more
            raise RefusedSerializerError(
                f"{self.locate(record)} was written by the serializer {ascii(name)[:100]}, which this reader does not"
                f" allow; allowed: {', '.join(sorted(self._allow or ())) or 'none'}; allow it, or compute the result"
                " again",
                serializer=name,
            )
        if serializer is not None and serializer.name == name:
            return serializer
        if serializer is not None and f"compressed/{serializer.name}" == name:
            from entrepot.serializers.compressed import CompressedSerializer  # noqa: PLC0415  zstandard, for those only

            return CompressedSerializer(serializer)
        try:
            return get_serializer(name)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"{self.locate(record)} cannot be read: {error}", group=error.group, name=error.name, known=error.known
            ) from error

    def locate(self, record: Record) -> str:
        """Return where a result's bytes are, for people: its payload, or its record where they are inside that."""
        return f"{self._storage.location.rstrip('/')}/{record.payload or record.path}"
