"""Bytes as they are."""

from collections.abc import Iterable

from entrepot.serializers import BytesSerializer
from entrepot.testing.serializers import SerializerContract


class Own(bytes):
    pass


class TestBytesSerializer(SerializerContract):
    def make_serializer(self) -> BytesSerializer:
        return BytesSerializer()

    def values(self) -> Iterable[object]:
        return (b"", b"\x00", bytes(range(256)) * 100)

    def unwritable(self) -> Iterable[object]:
        return (bytearray(b"x"), memoryview(b"x"), Own(b"x"), "x", None)


def test_the_payload_is_the_value_itself() -> None:
    value = bytes(10_000)
    assert list(BytesSerializer().dumps(value)) == [value]
    assert BytesSerializer().dumps(value)[0] is value
