"""Words about single arguments of a task: take it whole, take it even if it failed, do not look inside."""

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["AllowFailure", "Quote", "Unmapped", "allow_failure", "quote", "unmapped"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unmapped(Generic[T]):
    """An argument of `.map()` that each call gets whole.

    Attributes:
        value: The argument.
    """

    value: T


@dataclass(frozen=True, slots=True)
class AllowFailure(Generic[T]):
    """A future or state whose run may have failed: the task then gets the exception in the place of the result.

    Attributes:
        value: The argument.
    """

    value: T


@dataclass(frozen=True, slots=True)
class Quote(Generic[T]):
    """An argument in which no futures are looked for, however large it is.

    Attributes:
        value: The argument.
    """

    value: T

    def unquote(self) -> T:
        """Return the argument."""
        return self.value


def unmapped(value: T) -> Unmapped[T]:
    """Give each call of `.map()` this very argument, even if it could be iterated over."""
    return Unmapped(value)


def allow_failure(value: T) -> AllowFailure[T]:
    """Let the task run even if this did not complete; it gets the exception in the place of the result."""
    return AllowFailure(value)


def quote(value: T) -> Quote[T]:
    """Give the task this argument wrapped as it is: no future is looked for in it. `.unquote()` returns it."""
    return Quote(value)
