"""Bytes as they are: the payload is the value."""

from collections.abc import Sequence
from typing import Final

from entrepot.errors import SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._describe import type_name

__all__ = ["BytesSerializer"]

_NAME: Final = "bytes"


class BytesSerializer:
    """Writes `bytes` (exactly: no subclass, no bytearray) without a copy."""

    name = _NAME
    extension = "bin"
    is_text = False
    reads_code = False

    def accepts(self, value: object) -> bool:
        """Return whether it is bytes."""
        return type(value) is bytes

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the value.

        Raises:
            SerializationError: If it is not bytes.
        """
        if type(value) is not bytes:
            raise SerializationError(
                f"the {_NAME} serializer writes bytes, and value is a {type_name(type(value))}; make it bytes, or leave"
                " result_serializer out",
                serializer=_NAME,
                path="value",
            )
        return [value]

    def loads(self, data: memoryview) -> object:
        """Return the bytes."""
        return bytes(data)
