"""Acme's serializers."""

from collections.abc import Sequence

from entrepot.errors import SerializationError
from entrepot.protocols.serializer import Buffer

__all__ = ["LinesSerializer"]


class LinesSerializer:
    """Lists of lines, as a text file."""

    name = "acme-lines"
    extension = "txt"
    is_text = True
    reads_code = False

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the lines, each with its end."""
        if not isinstance(value, list) or not all(isinstance(line, str) and "\n" not in line for line in value):
            raise SerializationError("acme-lines takes a list of lines", serializer=self.name, path="value")
        return ["".join(f"{line}\n" for line in value).encode()]

    def loads(self, data: memoryview) -> object:
        """Return the lines."""
        return bytes(data).decode().split("\n")[:-1]
