"""What every serializer must keep to, as tests to inherit.

class TestMySerializer(SerializerContract):
    def make_serializer(self):
        return MySerializer()
"""

import copy
import pickle
import random
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from entrepot.errors import SerializationError
from entrepot.protocols.serializer import PicksValues, Serializer
from entrepot.testing._asserting import check

__all__ = ["SerializerContract"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_/-]*[a-z0-9])?\Z")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}(?:\.[a-z0-9]{1,16}){0,3}\Z")
_FOREIGN = (b"", b"\x00", b"\xff\xfe\xfd\xfc", b"not mine", b"\x80\x05", b"{", bytes(4096))
_ALTERATIONS = 50


class SerializerContract(ABC):
    """Inherit it in a class whose name starts with `Test`, and define `make_serializer`.

    Override `values` for a serializer of special values, `unwritable` for what it must refuse, and `same` where `==`
    does not compare them.
    """

    @abstractmethod
    def make_serializer(self) -> Serializer:
        """Return the serializer under test."""

    def values(self) -> Iterable[object]:
        """Return values that must come back as they were."""
        return (
            None,
            True,
            0,
            -1,
            1.5,
            "",
            "text",
            "한국어 \u2028",
            [],
            [1, "a", None],
            {},
            {"a": {"b": [1, 2, 3]}},
            "x" * 100_000,
        )

    def unwritable(self) -> Iterable[object]:
        """Return values that must be refused."""
        return (threading.Lock(), [1, {"deep": _generator()}])

    def same(self, value: object, back: object) -> bool:
        """Return whether a value came back as it was."""
        return type(value) is type(back) and value == back

    def test_every_value_comes_back_as_it_was(self) -> None:
        """Writing and reading changes nothing."""
        serializer = self.make_serializer()
        for value in self.values():
            back = serializer.loads(_memory(_written(serializer, value)))
            check(self.same(value, back), f"{value!r} came back as {back!r}")

    def test_writing_changes_nothing_of_the_value(self) -> None:
        """It is the task's own, and used on."""
        serializer = self.make_serializer()
        for value in self.values():
            try:
                before = copy.deepcopy(value)
            except Exception:  # noqa: BLE001, S112  of any class: what cannot be copied cannot be compared
                continue
            if not self.same(value, before):
                continue  # nor what a copy loses something of
            _written(serializer, value)
            check(self.same(before, value), f"{before!r} was {value!r} after it was written")

    def test_what_is_written_is_made_of_buffers(self) -> None:
        """`dumps` gives a sequence of bytes, bytearrays or memoryviews."""
        serializer = self.make_serializer()
        for value in self.values():
            for part in serializer.dumps(value):
                check(isinstance(part, bytes | bytearray | memoryview), f"a {type(part).__name__} is no buffer")

    def test_its_attributes_are_usable(self) -> None:
        """Names and extensions end up in records and paths."""
        serializer = self.make_serializer()
        check(isinstance(serializer, Serializer), "it lacks a part of the protocol")
        check(bool(_NAME.match(serializer.name)), f"{serializer.name!r} is no name")
        check(bool(_EXTENSION.match(serializer.extension)), f"{serializer.extension!r} is no extension")
        check(type(serializer.is_text) is bool, "is_text is not a bool")
        check(type(serializer.reads_code) is bool, "reads_code is not a bool")

    def test_text_is_utf8(self) -> None:
        """What says that it is text can be kept inside a record as text."""
        serializer = self.make_serializer()
        if serializer.is_text:
            for value in self.values():
                written = _written(serializer, value)
                check(written.decode("utf-8").encode("utf-8") == written, "its bytes are not UTF-8 text")

    def test_what_cannot_be_written_is_refused_with_our_error(self) -> None:
        """An unwritable value is a SerializationError, with the serializer's name."""
        serializer = self.make_serializer()
        for value in self.unwritable():
            try:
                serializer.dumps(value)
            except SerializationError as error:
                check(error.serializer == serializer.name, f"the error names {error.serializer!r}")
                check(bool(error.path), "the error has no path")
            else:
                raise AssertionError(f"a {type(value).__name__} was written")

    def test_foreign_bytes_give_a_value_or_our_error(self) -> None:
        """Bytes of something else never raise anything but a SerializationError."""
        serializer = self.make_serializer()
        for data in _FOREIGN:
            _read_or_refuse(serializer, data)

    def test_short_bytes_give_a_value_or_our_error(self) -> None:
        """Nor do its own bytes, cut short anywhere."""
        serializer = self.make_serializer()
        for value in self.values():
            written = _written(serializer, value)
            for end in sorted({*range(min(len(written), 200)), *range(max(0, len(written) - 50), len(written))}):
                _read_or_refuse(serializer, written[:end])

    def test_altered_bytes_give_a_value_or_our_error(self) -> None:
        """Nor do its own bytes with some changed; those of pickles are not tried: they could do anything."""
        serializer = self.make_serializer()
        if serializer.reads_code:
            return
        chance = random.Random(0)  # noqa: S311  the same bytes in every run
        for value in self.values():
            written = _written(serializer, value)
            for _ in range(_ALTERATIONS if written else 0):
                altered = bytearray(written)
                for _ in range(chance.randint(1, 3)):
                    altered[chance.randrange(len(altered))] = chance.randrange(256)
                with suppress(SerializationError):  # or that of a serializer inside it
                    serializer.loads(_memory(bytes(altered)))

    def test_it_says_truly_what_it_accepts(self) -> None:
        """Where it can say what it accepts, that comes back as it was, and what it must refuse is not among it."""
        serializer = self.make_serializer()
        if isinstance(serializer, PicksValues):
            for value in self.unwritable():
                check(not serializer.accepts(value), f"it accepts a {type(value).__name__}, and cannot write it")
            for value in self.values():
                if serializer.accepts(value):
                    back = serializer.loads(_memory(_written(serializer, value)))
                    check(self.same(value, back), f"{value!r} was accepted, and came back as {back!r}")

    def test_it_can_be_pickled(self) -> None:
        """Options of tasks go to other processes, serializers with them."""
        serializer = self.make_serializer()
        other = pickle.loads(pickle.dumps(serializer))  # noqa: S301  made here
        check(other.name == serializer.name, f"its copy is called {other.name!r}")
        for value in self.values():
            check(self.same(value, other.loads(_memory(_written(serializer, value)))), "its copy reads something else")

    def test_reading_leaves_no_need_for_the_caller_to_keep_the_memory(self) -> None:
        """A value that shares the memory keeps it alive by itself."""
        serializer = self.make_serializer()
        for value in self.values():
            memory = _memory(_written(serializer, value))
            back = serializer.loads(memory)
            del memory
            check(self.same(value, back), f"{value!r} came back as {back!r}")

    def test_threads_can_share_it(self) -> None:
        """One instance serves all threads."""
        serializer = self.make_serializer()

        def there_and_back(value: object) -> bool:
            return self.same(value, serializer.loads(_memory(_written(serializer, value))))

        with ThreadPoolExecutor(4) as pool:
            check(
                all(pool.map(there_and_back, [value for _ in range(8) for value in self.values()])), "threads mix it up"
            )


def _generator() -> Iterator[int]:
    yield 1


def _written(serializer: Serializer, value: object) -> bytes:
    return b"".join(serializer.dumps(value))


def _memory(data: bytes) -> memoryview:
    return memoryview(bytearray(data))


def _read_or_refuse(serializer: Serializer, data: bytes) -> None:
    try:
        serializer.loads(_memory(data))
    except SerializationError as error:
        check(error.serializer == serializer.name, f"the error names {error.serializer!r}")
