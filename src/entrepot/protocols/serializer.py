"""How a value becomes bytes, and bytes a value."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from entrepot.protocols.storage import Buffer

__all__ = ["ChoosesSerializer", "PicksValues", "Serializer"]


@runtime_checkable
class Serializer(Protocol):
    """Turns values into bytes and back.

    Entry points of the group `entrepot.serializers` name a class that is made without arguments.

    Attributes:
        name: The name that records carry and readers look up in their own registry: `json`, `compressed/json`.
        extension: The ending of payload files, without a dot, such that other tools open them: `json`, `parquet`.
        is_text: Whether the bytes are UTF-8 text; small text is kept readable inside the record.
        reads_code: Whether `loads` can run code that the bytes choose (pickle); a reader's policy may refuse such.
    """

    name: str
    extension: str
    is_text: bool
    reads_code: bool

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the value's bytes, as parts to be written one after another (large buffers are not copied).

        Raises:
            SerializationError: If it cannot be written; the message gives the path inside the value and the type.
        """
        ...

    def loads(self, data: memoryview) -> object:
        """Return the value. `data` is writable memory that the value may keep and share.

        Only verified bytes get here.

        Raises:
            SerializationError: If the bytes are not this serializer's, or need something that is not there.
        """
        ...


@runtime_checkable
class PicksValues(Serializer, Protocol):
    """A serializer that can say beforehand what it writes; `auto` offers values to those that can.

    Optional: one without it is used where it is named.
    """

    def accepts(self, value: object) -> bool:
        """Return whether `dumps` writes this value, and `loads` gives it back exactly as it was: type, order and all.

        It is asked for every value, so it is cheap, and it never raises. In doubt it says no.
        """
        ...


@runtime_checkable
class ChoosesSerializer(Serializer, Protocol):
    """A serializer that stands for others: which one writes a value is decided when the value is there.

    Records name the one that was chosen. `dumps` and `loads` of the chooser itself refuse.
    """

    def choose(self, value: object, *, allow: frozenset[str] | None = None) -> Serializer:
        """Return the serializer that is to write a value.

        Args:
            value: What is to be written.
            allow: The names that it may be; None for all.

        Raises:
            RefusedSerializerError: If none of those writes such a value.
        """
        ...
