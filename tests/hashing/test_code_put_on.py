"""What is changed of functions, classes and members while the program runs: seen, and seen without another walk."""

import contextlib
import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator

import pytest

from entrepot.hashing._walker import CodeWalker
from entrepot.hashing.code import CodeHash, hash_function, known_function


@dataclasses.dataclass
class Row:
    size: int = 1
    items: list[int] = dataclasses.field(default_factory=list)
    rate: float = dataclasses.field(default=0.5, kw_only=True)


def uses_row() -> object:
    return Row()


class Color(enum.Enum):
    RED = "red"
    BLUE = ("blue", 2)

    def __init__(self, *said: object) -> None:
        self.said = len(said)


def uses_color() -> object:
    return Color.RED


class Shade(enum.Enum):
    DARK = 1

    @functools.cached_property
    def shown(self) -> str:
        return self.name.lower()


def uses_shade() -> object:
    return Shade.DARK


class Level(enum.IntEnum):
    LOW = 1
    LEAST = 1
    HIGH = 2


def uses_level() -> object:
    return Level.LOW


def helper() -> int:
    return 1


class Tool:
    pass


def uses_names() -> object:
    return [thing.__name__ for thing in (helper, Tool, uses_names)]


def uses_methods() -> object:
    return Level.LOW.__format__, dict.fromkeys, object.__new__


USERS = (uses_methods, uses_row, uses_color, uses_level, uses_names)


@contextlib.contextmanager
def setting(owner: object, name: str, value: object) -> Iterator[None]:
    was = vars(owner).get(name) if name not in {"__defaults__", "__name__", "__qualname__"} else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name) if was is None else setattr(owner, name, was)


@contextlib.contextmanager
def filling(items: dict[str, object], name: str, value: object) -> Iterator[None]:
    was = items[name]
    items[name] = value
    try:
        yield
    finally:
        items[name] = was


def fresh(fn: object) -> str:
    walker = CodeWalker()
    walker.walk(fn)
    return CodeHash(walker.parts).digest


@pytest.mark.parametrize("fn", USERS)
def test_nothing_of_this_needs_a_walk_at_every_call(fn: Callable[[], object]) -> None:
    hash_function(fn)
    assert known_function(fn) is not None


@pytest.mark.parametrize(
    ("fn", "change"),
    [
        (uses_row, lambda: setting(Row.__init__, "__defaults__", (2, *Row.__init__.__defaults__[1:]))),
        (uses_row, lambda: setting(Row.__init__, "__defaults__", Row.__init__.__defaults__[1:])),
        (uses_row, lambda: filling(Row.__init__.__kwdefaults__, "rate", 0.25)),
        (uses_color, lambda: setting(Color.RED, "label", "a")),
        (uses_color, lambda: setting(Color.BLUE, "said", 7)),
        (uses_color, lambda: setting(Color.RED, "_value_", "rouge")),
        (uses_level, lambda: setting(Level.HIGH, "label", ["a"])),
        (uses_level, lambda: setting(Level.HIGH, "_value_", 3)),
        (uses_names, lambda: setting(helper, "__name__", "other")),
        (uses_names, lambda: setting(helper, "__qualname__", "other")),
        (uses_names, lambda: setting(uses_names, "__name__", "other")),
        (uses_names, lambda: setting(Tool, "__name__", "Other")),
    ],
)
def test_a_change_while_running_gives_another_digest(
    fn: Callable[[], object], change: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    before = hash_function(fn).digest
    with change():
        during = hash_function(fn).digest
        assert during == fresh(fn)
    assert hash_function(fn).digest == before == fresh(fn) != during


def test_what_a_member_keeps_of_what_it_computed_gives_the_same() -> None:
    before = hash_function(uses_shade).digest
    assert Shade.DARK.shown == "dark"
    assert hash_function(uses_shade).digest == before == fresh(uses_shade)


def test_what_is_put_on_a_member_may_lack_an_identity() -> None:
    before = hash_function(uses_color).digest
    with setting(Color.RED, "lock", object()):
        assert hash_function(uses_color).digest != before


def test_members_that_cannot_be_told_apart_by_a_set_are_members() -> None:
    class Odd(enum.Enum):
        ONE = 1
        __hash__ = None  # type: ignore[assignment]

    def work() -> object:
        return Odd.ONE

    before = hash_function(work).digest
    Odd.ONE.label = "a"  # type: ignore[attr-defined]
    assert hash_function(work).digest != before


def test_a_name_that_wraps_gave_counts_only_where_names_are_read() -> None:
    def made(name: str) -> Callable[[], int]:
        def inner() -> int:
            return 1

        inner.__name__ = name
        return inner

    one, two = made("one"), made("two")

    def reads(thing: Callable[[], int]) -> Callable[[], object]:
        return lambda: thing.__name__

    def calls(thing: Callable[[], int]) -> Callable[[], object]:
        return lambda: thing()  # noqa: PLW0108  the point of the test

    assert hash_function(reads(one)).digest != hash_function(reads(two)).digest
    assert hash_function(calls(one)).digest == hash_function(calls(two)).digest
