"""What every hasher must keep to, as tests to inherit.

class TestMyHasher(HasherContract):
    def make_hasher(self):
        return connection_key

    def make_values(self):
        return [Connection("a"), Connection("b")]
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from entrepot.hashing.values import hash_value

__all__ = ["HasherContract"]

_LEAST = 2


class HasherContract(ABC):
    """Inherit it in a class whose name starts with `Test`, and define `make_hasher` and `make_values`."""

    @abstractmethod
    def make_hasher(self) -> Callable[[Any], object]:
        """Return the function."""

    @abstractmethod
    def make_values(self) -> Sequence[Any]:
        """Return values that are different from each other, two at least; fresh but equal ones at each call."""

    def test_what_it_returns_can_be_hashed(self) -> None:
        """It is plain data, or has a hasher of its own; and it is not the value itself."""
        hasher = self.make_hasher()
        for value in self.make_values():
            found = hasher(value)
            _check(found is not value, f"it returned the {type(value).__name__} itself; return a part of it")
            hash_value(found)

    def test_different_values_are_told_apart(self) -> None:
        """Two that it takes for one would share a cached result."""
        values = self.make_values()
        _check(len(values) >= _LEAST, "make_values returned fewer than two")
        hasher = self.make_hasher()
        keys = [hash_value(hasher(value)) for value in values]
        for place, key in enumerate(keys):
            _check(key not in keys[:place], f"values {keys.index(key)} and {place} were taken for one")

    def test_equal_values_are_one(self) -> None:
        """Made anew, as another process makes them, they have the same key: no address and no time is in it."""
        hasher = self.make_hasher()
        for place, (one, other) in enumerate(zip(self.make_values(), self.make_values(), strict=True)):
            _check(hash_value(hasher(one)) == hash_value(hasher(other)), f"value {place}, made twice, was two")

    def test_asking_changes_nothing(self) -> None:
        """The second answer is the first."""
        hasher = self.make_hasher()
        for value in self.make_values():
            _check(hash_value(hasher(value)) == hash_value(hasher(value)), "its second answer differs")


def _check(fine: bool, complaint: str) -> None:  # noqa: FBT001  an assertion that python -O keeps
    if not fine:
        raise AssertionError(complaint)
